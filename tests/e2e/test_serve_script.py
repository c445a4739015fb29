"""launch/serve.sh itself: its arguments, its last words, and what it leaves behind."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, MODEL, ROOT, Service, client, is_running  # noqa: E402

SCRIPT = str(ROOT / "launch/serve.sh")
FREE_PORTS = ("--grpc-port", "0", "--port", "0")


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PHALANX_BIN_DIR": str(BIN)})


class Arguments(unittest.TestCase):
    def test_wrong_ones_are_refused_by_name(self):
        model = str(MODEL)
        for arguments, message in [
            ((), "--model: is missing"),
            ((model, "-np"), "-np: needs a value"),
            ((model, "-np", "0"), "-np: is '0', allowed: a number of ranks"),
            ((model, "-np", "-2"), "-np: is '-2'"),
            ((model, "-np", "two"), "-np: is 'two'"),
            ((model, "-np=1.5"), "-np: is '1.5'"),
            ((model, "--threads"), "--threads: needs a value"),
            ((model, "--threads", "--insecure"), "--threads: needs a value"),
            ((model, "another"), "unexpected argument 'another'"),
            ((model, "--insecure", "another"), "unexpected argument 'another'"),
            ((model, "--no-such-flag", "1"), "unknown flag --no-such-flag"),
            ((model, "--engine", "x"), "--engine is set by serve.sh itself"),
            ((model, "--shutdown-timeout", "abc"), "--shutdown-timeout: is 'abc', allowed: seconds"),
            ((model, "--shutdown-timeout", "-1"), "--shutdown-timeout: is '-1'"),
            ((model, "--shutdown-timeout=1e9"), "--shutdown-timeout: is '1e9'"),
            ((model, "--shutdown-timeout="), "--shutdown-timeout: is ''"),
        ]:
            with self.subTest(arguments=arguments[1:]):
                done = run_script(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertTrue(done.stderr.startswith("serve.sh: " + message), done.stderr)
                self.assertEqual(done.stdout, "")

    def test_help(self):
        done = run_script("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("launch/serve.sh [--model] MODEL [-np N]", done.stdout)

    def test_the_last_line_repeats_the_first_error(self):
        for arguments, message in [
            (("--grpc-port", "99999", "--port", "0"), "--grpc-port"),
            ((*FREE_PORTS, "--block-size", "17"), "--block-size: is 17"),
            ((*FREE_PORTS, "--max-model-len", "9999999"), "--max-model-len: is 9999999"),
        ]:
            with self.subTest(arguments=arguments):
                done = run_script(str(MODEL), "-np", "2", *arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                last = done.stderr.splitlines()[-1]
                self.assertTrue(last.startswith("serve.sh: first error: "), last)
                self.assertIn(message, last)


def listening_ports(pids: list[int]) -> set[int]:
    """TCP ports on which these processes listen in this process's network."""
    inodes = set()
    for pid in pids:
        for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                pass  # closed meanwhile
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


class Serving(unittest.TestCase):
    def test_listens_nowhere_but_where_it_says(self):
        right = [subprocess.run(["unshare", *how, "--net", "true"], capture_output=True).returncode == 0
                 for how in ((), ("--user",))]
        if not any(right) or shutil.which("ip") is None:
            self.skipTest("no network namespace can be had here")
        with Service(ranks=2) as service:
            said = {int(address.rsplit(":", 1)[1]) for address in (service.address, service.http_address)}
            self.assertEqual(listening_ports(service.pids), said)
            self.assertNotIn("network namespace", "".join(service.stderr_lines))

    def test_takes_names_a_long_timeout_and_costs_nothing_when_idle(self):
        with Service("--served-model-name", "one", "two", "--shutdown-timeout", "08", ranks=1) as service:
            done = client("generate", "--server", service.address, "--model", "two", "--prompt", "Hi",
                          "--max-tokens", "2")
            self.assertEqual(done.returncode, 0, done.stderr)

            def cpu_ticks() -> list[str]:
                stat = pathlib.Path(f"/proc/{service.process.pid}/stat").read_text()
                return stat.rsplit(")", 1)[1].split()[11:15]  # its own and its children's

            before = cpu_ticks()
            time.sleep(2)
            self.assertEqual(cpu_ticks(), before)
            self.assertEqual(service.stop(), 0, "".join(service.stderr_lines))

    def test_a_second_signal_ends_what_is_still_running(self):
        with Service("--shutdown-timeout", "1e2", ranks=1) as service:
            stream = subprocess.Popen(
                [str(BIN / "phalanx"), "generate", "--server", service.address, "--prompt", "Once", "--max-tokens",
                 "4000", "--ignore-eos"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            self.assertIsNone(service.process.poll(), "drains while a stream runs")
            began = time.monotonic()
            service.process.send_signal(signal.SIGINT)
            service.process.wait(15)
            self.assertLess(time.monotonic() - began, 8)
            stream.wait(10)
            self.assertEqual(service.left_over(), [])

    def test_a_stopped_rank_is_ended_too(self):
        with Service("--shutdown-timeout", "1", ranks=2) as service:
            victim = service.ranks()[-1]
            os.kill(victim, signal.SIGSTOP)
            self.assertNotEqual(service.stop(timeout=30), 0)
            self.assertFalse(is_running(victim))
            self.assertEqual(service.left_over(), [])


if __name__ == "__main__":
    unittest.main()
