"""Health of the real service, over HTTP and gRPC: what turns it unready, how soon, and what does not."""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, MODEL, Service, generate  # noqa: E402

WATCH = BIN / "health_watch"
# What is promised; a stopped rank is forgiven only after it.
NOTICED_WITHIN_S = 5


def get(service: Service, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(service.http_address, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def ready_metric(service: Service) -> float:
    _, page = get(service, "/metrics")
    return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith("phalanx_ready{"))


class GrpcHealth:
    """The last word of grpc.health.v1 on the whole server. Use as a context manager."""

    def __init__(self, service: Service):
        self.process = subprocess.Popen([str(WATCH), service.address], stdout=subprocess.PIPE, text=True)
        self.changed = threading.Condition()
        self.words: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.changed:
                self.words.append(line.strip())
                self.changed.notify_all()

    def wait_for(self, word: str, within_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.words and self.words[-1] == word, within_s)

    def __enter__(self) -> "GrpcHealth":
        return self

    def __exit__(self, *exc) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


class LongStream:
    """A streamed completion that goes on until it is closed or has come whole."""

    def __init__(self, service: Service, max_tokens: int):
        self.connection = http.client.HTTPConnection(service.http_address, timeout=60)
        body = {"prompt": "Once upon a time", "max_tokens": max_tokens, "ignore_eos": True, "stream": True}
        self.connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        self.response.readline()

    def rest(self) -> str:
        return self.response.read().decode()

    def close(self) -> None:
        self.connection.close()


class Health(unittest.TestCase):
    def wait_for_status(self, service: Service, status: int, within_s: float) -> float:
        """Until every path says the same; the seconds that it took."""
        began = time.monotonic()
        while (seen := {path: get(service, path)[0] for path in ("/readyz", "/health")}) and \
                set(seen.values()) != {status}:
            self.assertLess(time.monotonic() - began, within_s, seen)
            time.sleep(0.02)
        return time.monotonic() - began

    def check_stop(self, service: Service, health: GrpcHealth, victim: int) -> None:
        pid = service.ranks()[victim]
        self.assertTrue(health.wait_for("SERVING", 20))
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            took = self.wait_for_status(service, 503, NOTICED_WITHIN_S)
            left = began + NOTICED_WITHIN_S - time.monotonic()
            self.assertTrue(health.wait_for("NOT_SERVING", left), health.words)
            self.assertEqual(ready_metric(service), 0)
            self.assertEqual(get(service, "/livez")[0], 200)
        finally:
            os.kill(pid, signal.SIGCONT)
        back = self.wait_for_status(service, 200, 20)
        self.assertTrue(health.wait_for("SERVING", 20))
        self.assertEqual(ready_metric(service), 1)
        print(f"{len(service.ranks())} ranks, rank {victim} stopped: unready after {took:.2f} s, "
              f"ready {back:.2f} s after it went on")

    def test_any_stopped_rank_makes_it_unready_until_it_goes_on(self):
        for ranks in (1, 2):
            with Service(ranks=ranks) as service, GrpcHealth(service) as health:
                for victim in range(ranks):
                    with self.subTest(ranks=ranks, victim=victim, load="idle"):
                        self.check_stop(service, health, victim)
                    with self.subTest(ranks=ranks, victim=victim, load="busy"):
                        stream = LongStream(service, max_tokens=3000)
                        self.check_stop(service, health, victim)
                        self.assertIn("[DONE]", stream.rest()[-50:])
                        stream.close()
                generate(service, "--prompt", "Hi", "--max-tokens", "4")
                stopped = [line for line in service.stderr_lines if "state=unavailable" in line]
                self.assertEqual(len(stopped), 2 * ranks, service.stderr_lines)
                for line, victim in zip(stopped, (v for v in range(ranks) for _ in range(2))):
                    self.assertIn(f"rank {victim} (", line)
                    self.assertIn("has been silent for", line)

    def test_a_group_that_is_stopped_as_a_whole_is_unready_until_it_goes_on(self):
        with Service(ranks=2) as service:
            for pid in service.ranks():
                os.kill(pid, signal.SIGSTOP)
            self.wait_for_status(service, 503, NOTICED_WITHIN_S)
            for pid in service.ranks():
                os.kill(pid, signal.SIGCONT)
            self.wait_for_status(service, 200, 20)

    def test_a_long_step_is_no_reason(self):
        """One prefill step of more than five seconds, whatever this machine computes in a second."""
        longest = 16384
        shape = {**json.loads((MODEL / "config.json").read_text()), "num_hidden_layers": 6, "hidden_size": 1024,
                 "intermediate_size": 4096, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 64,
                 "max_position_embeddings": longest}
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "config.json").write_text(json.dumps(shape))
            with Service("--load-format", "dummy", "--max-num-batched-tokens", str(longest), "--max-model-len",
                         str(longest), "--max-num-seqs", "1", "--kv-cache-memory-bytes", "512M", ranks=1,
                         model=folder) as service, GrpcHealth(service) as health:

                def prefill(num_tokens: int) -> float:
                    ids = ",".join(str(1 + (num_tokens + i) % 1000) for i in range(num_tokens))
                    answer = generate(service, "--prompt-ids", ids, "--max-tokens", "1", "--ignore-eos")
                    return answer["timings"]["prefill_ms"] / 1000

                sample = 256
                num_tokens = min(longest - 2, int(sample * 1.6 * NOTICED_WITHIN_S / prefill(sample)))
                took: list[float] = []
                asking = threading.Thread(target=lambda: took.append(prefill(num_tokens)))
                asking.start()
                seen = set()
                while asking.is_alive():
                    seen.add(get(service, "/readyz")[0])
                    time.sleep(0.05)
                asking.join()
                print(f"a step of {num_tokens} tokens took {took[0]:.1f} s")
                self.assertGreater(took[0], NOTICED_WITHIN_S)
                self.assertEqual(seen, {200})
                self.assertTrue(health.wait_for("SERVING", 20))
                self.assertNotIn("NOT_SERVING", health.words)

    def test_sigterm_makes_it_unready_at_once_and_lets_streams_end(self):
        with Service(ranks=2) as service, GrpcHealth(service) as health:
            self.assertTrue(health.wait_for("SERVING", 20))
            stream = LongStream(service, max_tokens=3900)
            service.process.send_signal(signal.SIGTERM)
            self.wait_for_status(service, 503, 2)
            self.assertEqual(get(service, "/livez")[0], 200)
            self.assertTrue(health.wait_for("NOT_SERVING", 2))
            connection = http.client.HTTPConnection(service.http_address, timeout=20)
            connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 1}),
                               {"Content-Type": "application/json"})
            refusal = connection.getresponse()
            self.assertEqual(refusal.status, 503, refusal.read())
            connection.close()
            self.assertIn("[DONE]", stream.rest()[-50:])
            stream.close()
            self.assertEqual(service.process.wait(45), 0, "".join(service.stderr_lines))
            self.assertEqual(service.left_over(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
