"""What goes wrong, goes wrong visibly, alone and without leaving anything behind."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, MODEL, ROOT, Service, client, command_of, descendants, generate  # noqa: E402

UNAVAILABLE = 3
LEAST_STEP_TIMEOUT = 5
LONG = ("--prompt", "Once upon a time", "--max-tokens", "3000", "--ignore-eos", "--seed", "1")


def start_client(service: Service, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([str(BIN / "phalanx"), "generate", "--server", service.address, *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Endings(unittest.TestCase):
    def assert_logged(self, service: Service, words: str) -> None:
        """Of a service that has ended: that one of the ranks said so."""
        service.finish_collecting()
        lines = [line for line in service.stderr_lines if " C worker: " in line and words in line]
        self.assertTrue(lines, f"no {words!r} in the log:\n" + "".join(service.stderr_lines))

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
        for victim in (0, 1, 2):
            with self.subTest(victim=victim), Service(ranks=3) as service:
                stream = start_client(service, *LONG)
                stream.stdout.read(1)
                ranks = service.ranks()
                self.assertEqual(len(ranks), 3)
                began = time.monotonic()
                os.kill(ranks[victim], signal.SIGKILL)
                _, err = stream.communicate(timeout=20)
                known_s = time.monotonic() - began
                self.assertEqual(stream.returncode, UNAVAILABLE, err)
                self.assertIn(f"rank {victim} (", err)
                self.assertIn(f"pid {ranks[victim]})", err)
                self.assertEqual(service.process.wait(timeout=20), 137)
                print(f"killed rank {victim}: client knows after {known_s:.3f} s, "
                      f"serve.sh ends after {time.monotonic() - began:.2f} s")
                # The ranks see a peer's death themselves; waiting for mpirun would take two seconds.
                self.assertLess(known_s, 1.0)
                self.assertEqual(service.left_over(), [])
                self.assert_logged(service, f"rank {victim} (host {socket.gethostname()}, pid {ranks[victim]}) died")

    def test_dead_rank_ends_an_idle_group(self):
        with Service(ranks=3) as service:
            pid = service.ranks()[1]
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(service.process.wait(timeout=20), 137)
            self.assertEqual(service.left_over(), [])
            self.assert_logged(service, f"rank 1 (host {socket.gethostname()}, pid {pid}) died")

    def test_stopped_rank_ends_the_group_at_the_deadline(self):
        for victim, load in ((0, "streaming"), (1, "streaming"), (1, "idle"), (2, "asked while stopped")):
            with self.subTest(victim=victim, load=load), \
                    Service("--step-timeout", str(LEAST_STEP_TIMEOUT), ranks=3) as service:
                pid = service.ranks()[victim]
                if load == "streaming":
                    stream = start_client(service, *LONG)
                    stream.stdout.read(1)
                began = time.monotonic()
                os.kill(pid, signal.SIGSTOP)
                if load == "asked while stopped":
                    stream = start_client(service, *LONG)
                silence = f"pid {pid}) has been silent for"
                if load != "idle":
                    _, err = stream.communicate(timeout=30)
                    print(f"stopped rank {victim}, {load}: client knows after {time.monotonic() - began:.2f} s")
                    self.assertEqual(stream.returncode, UNAVAILABLE, err)
                    # The deadline, less the time that passed since the last sign of life.
                    self.assertGreater(time.monotonic() - began, LEAST_STEP_TIMEOUT - 2)
                    self.assertIn(f"rank {victim} (", err)
                    self.assertIn(silence, err)
                    self.assertIn("its process is stopped", err)
                self.assertEqual(service.process.wait(timeout=30), 1)
                self.assertLess(time.monotonic() - began, 4 * LEAST_STEP_TIMEOUT)
                self.assertEqual(service.left_over(), [])
                self.assert_logged(service, f"rank {victim} (host {socket.gethostname()}, {silence}")

    def test_idle_group_outlives_the_shortest_deadline(self):
        with Service("--step-timeout", str(LEAST_STEP_TIMEOUT), ranks=3) as service:
            time.sleep(1.5 * LEAST_STEP_TIMEOUT)
            generate(service, "--prompt", "Hi", "--max-tokens", "4")

    def test_rank_stopped_for_a_moment_is_forgiven(self):
        with Service("--step-timeout", "10", ranks=2) as service:
            want = generate(service, "--prompt", "Hi", "--temperature", "0", "--max-tokens", "64", "--ignore-eos")
            stream = start_client(service, "--prompt", "Hi", "--temperature", "0", "--max-tokens", "64",
                                  "--ignore-eos", "--json")
            os.kill(service.ranks()[1], signal.SIGSTOP)
            time.sleep(1)
            os.kill(service.ranks()[1], signal.SIGCONT)
            out, err = stream.communicate(timeout=20)
            self.assertEqual(stream.returncode, 0, err)
            self.assertEqual(json.loads(out)["token_ids"], want["token_ids"])

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


class Starts(unittest.TestCase):
    """Ranks without a coordinator."""

    def start(self, ranks: int, *flags: str, model: os.PathLike = MODEL) -> subprocess.Popen:
        self.runtime = tempfile.TemporaryDirectory()
        self.addCleanup(self.runtime.cleanup)
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), str(BIN / "worker"),
                   "--model", str(model), "--threads", "1", "--engine", f"{self.runtime.name}/engine.sock", *flags]
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **root})
        self.addCleanup(process.kill)
        self.log = ""
        return process

    def wait_for(self, process: subprocess.Popen, words: str) -> None:
        for line in process.stderr:
            self.log += line
            if words in line:
                return
        self.fail(f"no {words!r} in the log:\n{self.log}")

    def ranks(self, process: subprocess.Popen) -> list[int]:
        return [p for p in descendants(process.pid) if command_of(p).startswith(str(BIN / "worker"))]

    def check_stop(self, process: subprocess.Popen, victims: list[int]) -> None:
        began = time.monotonic()
        for pid in victims:
            os.kill(pid, signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
        self.assertLess(time.monotonic() - began, 5)  # a wait that does not see the signal lasts a minute
        self.assertEqual(process.returncode, 0, self.log + rest)

    def test_sigterm_ends_the_wait_for_a_coordinator(self):
        for flags in ((), ("--communicator", "mpi")):
            for victim in (0, 2):
                with self.subTest(flags=flags, victim=victim):
                    process = self.start(3, *flags)
                    self.wait_for(process, "warm-up")
                    self.check_stop(process, [self.ranks(process)[victim]])

    def test_sigterm_ends_the_loading(self):
        shape = {**json.loads((MODEL / "config.json").read_text()), "num_hidden_layers": 48, "hidden_size": 2048,
                 "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 2}
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "config.json").write_text(json.dumps(shape))
            process = self.start(2, "--load-format", "dummy", model=pathlib.Path(folder))
            self.wait_for(process, "loading: ")
            self.check_stop(process, self.ranks(process))

    def test_rank_that_dies_while_loading_or_waiting_is_named(self):
        process = self.start(2)
        self.wait_for(process, "warm-up")
        pid = self.ranks(process)[1]
        os.kill(pid, signal.SIGKILL)
        _, rest = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 137)
        self.assertIn(f"rank 1 (host {socket.gethostname()}, pid {pid}) died", rest)


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
            (["--model", str(MODEL), "--step-timeout", "4.9"], "step-timeout"),
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

    def test_a_coordinator_that_ends_at_once_ends_the_launcher(self):
        with tempfile.TemporaryDirectory() as folder:
            programs = pathlib.Path(folder)
            for name, ends in (("coordinator", "exit 3"), ("worker", "sleep 60")):
                program = programs / name
                program.write_text(f'#!/bin/sh\n[ "$1" = --help ] && exec {BIN / name} --help\n{ends}\n')
                program.chmod(0o755)
            for _ in range(5):
                done = subprocess.run([str(ROOT / "launch/serve.sh"), "--model", str(MODEL), "-np", "2"],
                                      capture_output=True, text=True, timeout=30,
                                      env={**os.environ, "PHALANX_BIN_DIR": str(programs)})
                self.assertEqual(done.returncode, 3, done.stderr)

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
