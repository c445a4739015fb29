"""Keys of the real service: every route and method with no key, a wrong one and a right one; making, expiry and reload."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, Service, client, command_of  # noqa: E402

GET_WITH_KEY = ("/v1/models", "/v1/models/demo", "/metrics")
POST_WITH_KEY = ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize")
SECRET = "the password of the cellar is mellon"
OPEN = ("/health", "/livez", "/readyz", "/version")


class Passage:
    """Takes one connection, passes it on, and counts what the client sends."""

    def __init__(self, host, port):
        self.num_bytes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.server = socket.create_connection((host, port))
        self.client = None
        self.threads = [threading.Thread(target=self.upstream), threading.Thread(target=self.downstream)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *exception):
        for each in (self.listener, self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self.threads:
            thread.join()

    def upstream(self):
        self.client, _ = self.listener.accept()
        self.threads[1].start()
        with contextlib.suppress(OSError):
            while piece := self.client.recv(65536):
                self.num_bytes += len(piece)
                self.server.sendall(piece)

    def downstream(self):
        with contextlib.suppress(OSError):
            while piece := self.server.recv(65536):
                self.client.sendall(piece)


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.file = pathlib.Path(cls.folder.name) / "keys"
        cls.alice = cls.make("alice", "--metrics")
        cls.bob = cls.make("bob", "--streams", "1")
        cls.dora = cls.make("dora", "--expires", "2999-01-01")
        cls.file.write_text(cls.file.read_text().replace("expires=2999-01-01", "expires=2020-01-01"))
        cls.service = Service("--served-model-name", "demo", "--api-key-file", str(cls.file), ranks=1)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()
        log = "".join(cls.service.stderr_lines)
        cls.folder.cleanup()
        assert all(secret not in log for secret in (cls.alice, cls.bob, cls.dora)), "a key in the log"
        assert SECRET not in log, "a prompt in the log"
        assert "key=alice" in log, log
        for protocol in ("http", "grpc"):
            assert re.search(rf"W coordinator: refused protocol={protocol} peer=\S*127\.0\.0\.1:\d+ reason=\"an API key that is not known\"", log), log

    @classmethod
    def make(cls, *arguments: str) -> str:
        done = client("key", *arguments, "--add", str(cls.file))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def send(self, method, path, key=None, body=None):
        connection = http.client.HTTPConnection(self.service.http_address, timeout=60)
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text

    def generate(self, key, *arguments):
        environment = {**os.environ, "PHALANX_API_KEY": key}
        return subprocess.run(
            [str(BIN / "phalanx"), "generate", "--server", self.service.address, "--prompt", "Hi", "--max-tokens", "2",
             *arguments], env=environment, capture_output=True, text=True, timeout=60)

    def test_routes_ask_for_a_key(self):
        for method, paths in (("GET", GET_WITH_KEY), ("POST", POST_WITH_KEY)):
            for path in paths:
                for key in (None, "wrong", self.alice + "0"):
                    with self.subTest(path=path, key=key):
                        response, text = self.send(method, path, key, {} if method == "POST" else None)
                        self.assertEqual(response.status, 401, text)
                        self.assertEqual(response.headers["WWW-Authenticate"], "Bearer")
                        error = json.loads(text)["error"]
                        self.assertEqual((error["code"], error["type"]), (401, "AuthenticationError"))
                response, text = self.send(method, path, self.alice, {} if method == "POST" else None)
                self.assertNotEqual(response.status, 401, text)
        for path in OPEN:
            self.assertEqual(self.send("GET", path)[0].status, 200, path)

    def test_no_key_hits_what_another_has_cached(self):
        def cached_tokens(key, **more):
            body = {"model": "demo", "prompt": SECRET * 8, "max_tokens": 1, **more}
            response, text = self.send("POST", "/v1/completions", key, body)
            self.assertEqual(response.status, 200, text)
            return json.loads(text)["usage"]["prompt_tokens_details"]["cached_tokens"]

        self.assertEqual(cached_tokens(self.alice), 0)
        self.assertGreater(cached_tokens(self.alice), 0)
        self.assertEqual(cached_tokens(self.bob), 0)
        self.assertGreater(cached_tokens(self.bob), 0)
        self.assertEqual(cached_tokens(self.alice, cache_salt="a salt of her own"), 0)
        self.assertEqual(cached_tokens(self.bob, cache_salt="a salt of her own"), 0)

    def test_an_expired_key_opens_nothing(self):
        response, text = self.send("POST", "/v1/completions", self.dora, {"model": "demo", "prompt": SECRET})
        self.assertEqual(response.status, 401, text)
        self.assertIn("the key has expired", json.loads(text)["error"]["message"])
        done = self.generate(self.dora)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the key has expired", done.stderr)

    def test_figures_are_for_keys_that_may_read_them(self):
        response, text = self.send("GET", "/metrics", self.bob)
        self.assertEqual(response.status, 403, text)
        error = json.loads(text)["error"]
        self.assertEqual((error["code"], error["type"]), (403, "PermissionDeniedError"))
        self.assertIn("metrics: this key may not read them, allowed: keys whose line", error["message"])
        response, text = self.send("GET", "/metrics", self.alice)
        self.assertEqual(response.status, 200, text)
        self.assertIn("phalanx_requests_refused_total", text)
        for key, code, words in ((self.bob, 1, "PERMISSION_DENIED"), (self.alice, 0, "")):
            done = subprocess.run([str(BIN / "phalanx"), "top", "--once", "--server", self.service.address],
                                  env={**os.environ, "PHALANX_API_KEY": key}, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr)

    def test_bodies_of_strangers_are_not_read(self):
        for path in ("/v1/completions", "/metrics", "/health", "/nowhere"):
            with self.subTest(path=path):
                host, port = self.service.http_address.rsplit(":", 1)
                with socket.create_connection((host, int(port)), timeout=30) as stranger:
                    stranger.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n".encode())
                    answer = b""
                    while piece := stranger.recv(4096):  # until it is closed, and before a byte of the body
                        answer += piece
                self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)
                self.assertIn(b"Connection: close", answer)

    def test_messages_of_strangers_are_not_read(self):
        host, port = self.service.address.rsplit(":", 1)
        passed = {"wrong": 0, self.alice: 0}
        for key in passed:
            with self.subTest(known=key != "wrong"), Passage(host, int(port)) as passage, \
                    tempfile.NamedTemporaryFile("w") as prompt:
                prompt.write("x" * 3_900_000)
                prompt.flush()
                done = subprocess.run(
                    [str(BIN / "phalanx"), "generate", "--server", passage.address, "--file", prompt.name],
                    env={**os.environ, "PHALANX_API_KEY": key}, capture_output=True, text=True, timeout=60)
                self.assertIn("UNAUTHENTICATED" if key == "wrong" else "prompt.text", done.stderr)
                passed[key] = passage.num_bytes
        # What flow control lets in unasked, and what was under way.
        self.assertLess(passed["wrong"], 200_000)
        self.assertGreater(passed[self.alice], 3_900_000)

    def test_lists_of_prompts_beyond_a_keys_limit_are_refused_for_good(self):
        body = {"prompt": ["Hi"] * 17, "max_tokens": 1}
        response, text = self.send("POST", "/v1/completions", self.alice, body)
        self.assertEqual(response.status, 400, text)
        self.assertIn("at most 16 with n = 1", text)

    def test_strangers_are_counted(self):
        def refused():
            page = self.send("GET", "/metrics", self.alice)[1]
            line = next(l for l in page.splitlines() if 'requests_refused_total' in l and "UNAUTHENTICATED" in l)
            return float(line.split()[-1])

        before = refused()
        self.send("POST", "/v1/completions", "wrong", {})
        self.generate("wrong")
        self.assertEqual(refused() - before, 2)

    def test_a_key_with_a_line_end_is_a_mistake_of_usage(self):
        done = self.generate(self.alice + "\r")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("PHALANX_API_KEY", done.stderr)
        self.assertNotIn(self.alice, done.stderr)

    def test_both_protocols_take_the_key(self):
        response, text = self.send("POST", "/v1/completions", self.alice, {"prompt": "Hi", "max_tokens": 2})
        self.assertEqual(response.status, 200, text)
        self.assertEqual(self.generate(self.alice).returncode, 0)
        refused = self.generate("wrong")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("UNAUTHENTICATED", refused.stderr)
        self.assertIn("PHALANX_API_KEY", refused.stderr)

    def test_a_key_has_its_streams(self):
        body = {"prompt": "Hi", "max_tokens": 2, "n": 2}
        response, text = self.send("POST", "/v1/completions", self.bob, body)
        self.assertEqual(response.status, 400, "no retry can cure it: " + text)
        self.assertEqual(json.loads(text)["error"]["param"], "n")
        self.assertEqual(self.send("POST", "/v1/completions", self.alice, body)[0].status, 200)

        connection = http.client.HTTPConnection(self.service.http_address, timeout=60)
        connection.request("POST", "/v1/completions",
                           json.dumps({"prompt": "Hi", "max_tokens": 3000, "ignore_eos": True, "stream": True}),
                           {"Content-Type": "application/json", "Authorization": f"Bearer {self.bob}"})
        connection.getresponse()  # has begun
        response, text = self.send("POST", "/v1/completions", self.bob, {"prompt": "Hi", "max_tokens": 2})
        self.assertEqual(response.status, 429, text)
        self.assertIn("allowed: 1 at once", text)
        self.assertIn("Retry-After", response.headers)
        figures = self.send("GET", "/metrics", self.alice)[1]
        self.assertRegex(figures, r"phalanx_key_limit_refusals_total\S* [1-9]")
        connection.close()  # and the answer that holds its socket
        for _ in range(1000):
            if self.send("POST", "/v1/completions", self.bob, {"prompt": "Hi", "max_tokens": 2})[0].status == 200:
                break
            time.sleep(0.01)
        else:
            self.fail("the key's place is not free after its client has left")

    def test_a_hangup_reads_the_file_again(self):
        coordinator = next(p for p in self.service.pids if command_of(p).startswith(str(BIN / "coordinator")))

        def reload(done):
            os.kill(coordinator, signal.SIGHUP)
            for _ in range(1000):
                if done():
                    return
                time.sleep(0.01)
            self.fail("".join(self.service.stderr_lines[-3:]))

        carol = self.make("carol", "--expires", "2999-01-01")
        self.assertEqual(self.send("GET", "/v1/models", carol)[0].status, 401)
        reload(lambda: self.send("GET", "/v1/models", carol)[0].status == 200)
        self.assertEqual(self.send("GET", "/v1/models", self.alice)[0].status, 200)
        text = self.file.read_text()
        self.file.write_text("nonsense\n")
        reload(lambda: any("keys stay as they were" in line for line in self.service.stderr_lines))
        self.assertEqual(self.send("GET", "/v1/models", self.alice)[0].status, 200)
        self.file.write_text("".join(line for line in text.splitlines(True) if not line.startswith("carol")))
        reload(lambda: self.send("GET", "/v1/models", carol)[0].status == 401)

    def test_wide_files_and_wrong_words_are_refused(self):
        wide = pathlib.Path(self.folder.name) / "wide"
        wide.write_text(self.file.read_text())
        wide.chmod(0o644)
        command = [str(BIN / "coordinator"), "--model", "launch/demo/model", "--api-key-file", str(wide), "--engine",
                   f"{self.folder.name}/engine.sock", "--grpc-port", "0", "--port", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30,
                              cwd=pathlib.Path(__file__).resolve().parents[2])
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("mode 0644, allowed: 0600", done.stderr)
        hand_made = pathlib.Path(self.folder.name) / "hand-made"
        hand_made.write_text("zoe " + "0" * 64)  # no line end
        hand_made.chmod(0o600)
        self.assertEqual(client("key", "yan", "--add", str(hand_made)).returncode, 0)
        self.assertEqual([line.split()[0] for line in hand_made.read_text().splitlines()], ["zoe", "yan"])
        again = client("key", "zoe", "--add", str(hand_made))
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("has a key of zoe already", again.stderr)
        for words in (["key", "a", "--expires", "2027- 1-01"], ["key", "no spaces please"], ["key", "a", "--expires", "tomorrow"], ["key", "a", "--streams", "0"]):
            self.assertEqual(client(*words).returncode, 2, words)
        self.assertEqual(client("key", "a", "--add", str(wide)).returncode, 1)


class Sharing(unittest.TestCase):
    """Two places, and a key that has more long answers than that."""

    def test_long_answers_of_one_key_keep_no_other_waiting(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "keys"
            greedy, polite = (client("key", name, "--metrics", "--add", str(file)).stdout.strip() for name in ("greedy", "polite"))
            with Service("--served-model-name", "demo", "--api-key-file", str(file), "--max-num-seqs", "2", ranks=1) as service:
                def ask(key, **body):
                    connection = http.client.HTTPConnection(service.http_address, timeout=60)
                    connection.request("POST", "/v1/completions", json.dumps({"model": "demo", "temperature": 0, **body}),
                                       {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
                    response = connection.getresponse()
                    text = response.read().decode()
                    connection.close()
                    return response.status, text

                long_answer = {"prompt": SECRET, "max_tokens": 1500, "ignore_eos": True}
                answers = []
                alone = json.loads(ask(greedy, **long_answer)[1])["choices"][0]["text"]
                threads = [threading.Thread(target=lambda: answers.append(ask(greedy, **long_answer))) for _ in range(4)]
                for thread in threads:
                    thread.start()
                self.wait_for_streams(service, greedy, 4)
                for _ in range(3):
                    status, text = ask(polite, prompt="Hi", max_tokens=2)
                    self.assertEqual(status, 200, text)
                self.assertEqual(len(answers), 0, "the polite key had to wait")
                for thread in threads:
                    thread.join()
                self.assertRegex(self.figures(service, greedy), r"phalanx_share_preemptions_total\S* [1-9]")
                self.assertEqual([(status, json.loads(text)["choices"][0]["text"]) for status, text in answers], [(200, alone)] * 4)
                self.hang_up(service, ask, greedy, polite, file)

    def wait_for_streams(self, service, key, count):
        while not re.search(rf"^phalanx_streams_open\S* {count}$", self.figures(service, key), re.MULTILINE):
            time.sleep(0.01)

    @staticmethod
    def figures(service, key):
        connection = http.client.HTTPConnection(service.http_address, timeout=60)
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def hang_up(self, service, ask, greedy, polite, file):
        """serve.sh passes it on, and what runs goes on."""
        self.assertEqual(ask(polite, prompt="Hi", max_tokens=2)[0], 200)
        answers = []
        running = threading.Thread(target=lambda: answers.append(ask(polite, prompt="Hi", max_tokens=1500, ignore_eos=True)))
        running.start()
        self.wait_for_streams(service, greedy, 1)
        file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("polite")))
        service.process.send_signal(signal.SIGHUP)
        for _ in range(1000):
            if any("read again" in line for line in service.stderr_lines):
                break
            time.sleep(0.01)
        else:
            self.fail("".join(service.stderr_lines[-3:]))
        self.assertEqual(ask(polite, prompt="Hi", max_tokens=2)[0], 401)
        running.join()
        self.assertEqual(answers[0][0], 200, answers[0][1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
