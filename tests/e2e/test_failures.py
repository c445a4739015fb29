"""What goes wrong, goes wrong visibly, alone and without leaving anything behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, MODEL, ROOT, Service, client, generate  # noqa: E402

UNAVAILABLE = 3
LONG = ("--prompt", "Once upon a time", "--max-tokens", "3000", "--ignore-eos", "--seed", "1")


def start_client(service: Service, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([str(BIN / "phalanx"), "generate", "--server", service.address, *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Endings(unittest.TestCase):
    def test_sigterm_drains_and_leaves_no_process(self):
        with Service(ranks=2) as service:
            stream = start_client(service, "--prompt", "Once upon a time", "--max-tokens", "200",
                                  "--ignore-eos", "--json")
            time.sleep(0.3)
            self.assertEqual(service.stop(signal.SIGTERM), 0, "".join(service.stderr_lines))
            out, err = stream.communicate(timeout=20)
            self.assertEqual(stream.returncode, 0, err)
            self.assertIn('"length"', out)
            self.assertEqual(service.left_over(), [])

    def test_drain_that_runs_out_of_time_is_no_failure(self):
        for timeout in ("0", "0.5"):
            with self.subTest(timeout=timeout), Service("--shutdown-timeout", timeout, ranks=2) as service:
                stream = start_client(service, *LONG)
                time.sleep(0.3)
                self.assertEqual(service.stop(signal.SIGTERM), 0, "".join(service.stderr_lines))
                _, err = stream.communicate(timeout=20)
                self.assertEqual(stream.returncode, UNAVAILABLE, err)
                self.assertEqual([line for line in service.stderr_lines if " C " in line], [])
                self.assertEqual(service.left_over(), [])

    def test_dead_rank_ends_streams_with_unavailable(self):
        for victim in (0, -1):
            with self.subTest(victim=victim), Service(ranks=3) as service:
                stream = start_client(service, *LONG)
                time.sleep(0.3)
                ranks = service.ranks()
                self.assertEqual(len(ranks), 3)
                os.kill(ranks[victim], signal.SIGKILL)
                _, err = stream.communicate(timeout=20)
                self.assertEqual(stream.returncode, UNAVAILABLE, err)
                self.assertNotEqual(service.process.wait(timeout=20), 0)
                self.assertEqual(service.left_over(), [])

    def test_killed_launcher_leaves_no_process(self):
        with Service(ranks=2) as service:
            service.stop(signal.SIGKILL)
            self.assertEqual(service.left_over(within_s=5), [])

    def test_killed_client_frees_its_place(self):
        with Service("--max-num-seqs", "1", ranks=1) as service:
            hog = start_client(service, *LONG)
            time.sleep(0.3)
            hog.kill()
            hog.communicate()
            began = time.monotonic()
            generate(service, "--prompt", "What is 1 + 1?", "--max-tokens", "4")
            self.assertLess(time.monotonic() - began, 3)


class BadInput(unittest.TestCase):
    def test_bad_requests_name_the_field_and_others_go_on(self):
        table = [
            (("--prompt", "x", "--temperature", "-1"), "temperature"),
            (("--prompt", "x", "--temperature", "nan"), "temperature"),
            (("--prompt", "x", "--top-p", "0"), "top_p"),
            (("--prompt", "x", "--top-p", "1.5"), "top_p"),
            (("--prompt", "x", "--max-tokens", "0"), "max_tokens"),
            (("--prompt", "x", "--max-tokens", "1000000"), "max_tokens"),
            (("--prompt", "x", "--logprobs", "21"), "logprobs"),
            (("--prompt", ""), "prompt"),
            (("--prompt-ids", "1,2,99999999"), "token_ids"),
            (("--prompt", "word " * 20000,), "prompt"),
        ]
        with Service(ranks=2) as service:
            before = generate(service, "--prompt", "Hi", "--temperature", "0", "--max-tokens", "8")
            for arguments, field in table:
                with self.subTest(field=field, arguments=arguments[2:]):
                    done = client("generate", "--server", service.address, *arguments)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(field, done.stderr)
            after = generate(service, "--prompt", "Hi", "--temperature", "0", "--max-tokens", "8")
            self.assertEqual(before["token_ids"], after["token_ids"])

    def test_wrong_flags_are_refused_before_serving(self):
        table = [
            (["--model", "no/such/folder"], "no/such/folder"),
            (["--model", str(MODEL), "--no-such-flag"], "--no-such-flag"),
            (["--model", str(MODEL), "--tensor-parallel-size", "3"], "tensor-parallel-size"),
            (["--model", str(MODEL), "--block-size", "17"], "block-size"),
            (["--model", str(MODEL), "--device", "tpu"], "device"),
            (["--model", str(MODEL), "--max-model-len", "99999999"], "max-model-len"),
        ]
        for flags, name in table:
            with self.subTest(flag=name):
                done = subprocess.run([str(ROOT / "launch/serve.sh"), *flags, "-np", "2", "--grpc-port", "0",
                                       "--port", "0"],
                                      capture_output=True, text=True, timeout=60,
                                      env={**os.environ, "PHALANX_BIN_DIR": str(BIN)})
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(name, done.stderr)
                self.assertNotIn("ready", done.stdout)

    def test_port_in_use(self):
        with Service(ranks=1) as service:
            port = service.address.rsplit(":", 1)[1]
            done = subprocess.run([str(ROOT / "launch/serve.sh"), "--model", str(MODEL), "-np", "1",
                                   "--grpc-port", port, "--port", "0"], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "PHALANX_BIN_DIR": str(BIN)})
            self.assertEqual(done.returncode, 2)
            self.assertIn(port, done.stderr)


if __name__ == "__main__":
    unittest.main()
