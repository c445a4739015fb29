"""What a client may try again, and what it sees of a stream that breaks: a full queue, a drain, a lost rank."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import bodies  # noqa: E402
from http_api import Http  # noqa: E402
from service import Service  # noqa: E402

TEXT = "/v1/completions"
LONG = {"prompt": "Once", "max_tokens": 4000, "ignore_eos": True, "stream": True}


class OpenStream:
    """A stream of which the first chunk has come and the rest is read when asked for."""

    def __init__(self, address: str, fields: dict):
        self.connection = http.client.HTTPConnection(address, timeout=60)
        self.connection.request("POST", TEXT, json.dumps(fields), {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.readline().startswith(b"data: ") and self.response.readline() == b"\n"

    def rest(self) -> list[str]:
        """The events that are left; the body ends as HTTP says that it must."""
        return self.response.read().decode().removesuffix("\n\n").split("\n\n")

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class Retry(unittest.TestCase):
    def expect_retry(self, reply, status: int, kind: str):
        self.assertGreaterEqual(int(reply.headers["retry-after"]), 1)
        self.assertNotIn("x-should-retry", reply.headers)
        self.expect_error(reply, status, kind)

    def expect_error(self, reply, status: int, kind: str):
        self.assertEqual(reply.status, status, reply.body)
        answer = reply.json()
        bodies.expect(answer, bodies.ERROR)
        self.assertEqual((answer["error"]["code"], answer["error"]["type"]), (status, kind))

    def test_full_queue_is_429_and_passes(self):
        with Service("--max-num-seqs", "1", "--max-waiting", "2", ranks=1) as service:
            client = Http(service.http_address)
            runs = OpenStream(service.http_address, LONG)
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                # Two of the three wait until the stream that runs is gone; one is refused at once.
                posts = [pool.submit(client.post, TEXT, {"prompt": text, "max_tokens": 2}) for text in "abc"]
                done, waiting = concurrent.futures.wait(posts, 50, concurrent.futures.FIRST_COMPLETED)
                self.assertEqual((len(done), len(waiting)), (1, 2))
                self.expect_retry(done.pop().result(), 429, "RateLimitError")
                # Several prompts are admitted together or not at all, and a stream is refused like a whole answer.
                self.expect_retry(client.post(TEXT, {"prompt": ["b", "c"], "max_tokens": 2}), 429, "RateLimitError")
                self.expect_retry(client.post(TEXT, {"prompt": "b", "stream": True}), 429, "RateLimitError")
                runs.close()
                self.assertEqual([post.result().status for post in waiting], [200, 200])
            self.assertEqual(client.ask(TEXT, {"prompt": "b", "max_tokens": 2})["usage"]["completion_tokens"], 2)

    def test_drain_lets_streams_end_and_refuses_new_ones(self):
        with Service("--shutdown-timeout", "120", ranks=1) as service:
            client = Http(service.http_address)
            stream = OpenStream(service.http_address, {**LONG, "max_tokens": 1500})
            service.process.send_signal(signal.SIGTERM)
            until = time.monotonic() + 20
            while (health := client.send("GET", "/health")).status == 200 and time.monotonic() < until:
                time.sleep(0.01)
            self.assertEqual(health.status, 503)
            self.assertEqual(client.send("GET", "/livez").status, 200)
            refused = client.post(TEXT, {"prompt": "a"})
            self.expect_error(refused, 503, "ServiceUnavailableError")
            self.assertNotIn("retry-after", refused.headers)  # this address takes no more
            self.assertEqual(stream.rest()[-1], "data: [DONE]")
            stream.close()
            self.assertEqual(service.process.wait(60), 0)

    def test_lost_rank_ends_a_stream_with_an_error_event(self):
        with Service(ranks=2) as service:
            stream = OpenStream(service.http_address, LONG)
            os.kill(service.ranks()[1], signal.SIGKILL)
            events = stream.rest()
            self.assertNotIn("data: [DONE]", events)
            error = json.loads(events[-1].removeprefix("data: "))
            bodies.expect(error, bodies.ERROR)
            self.assertEqual((error["error"]["code"], error["error"]["type"]), (503, "ServiceUnavailableError"))
            self.assertIn("rank 1", error["error"]["message"])
            stream.close()


if __name__ == "__main__":
    unittest.main()
