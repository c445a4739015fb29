"""`phalanx top` of a real service on a real (pseudo) terminal: what it shows, and that it gives the terminal back."""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, Service, client, command_of, generate  # noqa: E402

ENTER, LEAVE, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
CTRL_C = b"\x03"


class Terminal:
    """`phalanx top` on a pseudo terminal. Use as a context manager."""

    def __init__(self, service: Service, *flags: str, columns: int = 120, rows: int = 24):
        self.controller, self.terminal = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.terminal)
        self.seen = ""
        self.process = subprocess.Popen(
            [str(BIN / "phalanx"), "top", "--server", service.address, "--interval", "0.2", *flags],
            stdin=self.terminal, stdout=self.terminal, stderr=self.terminal, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self.controller], [], [], left)
            if not ready:
                return
            self.seen += os.read(self.controller, 65536).decode()

    def frame(self) -> list[str]:
        """The lines of the last whole frame."""
        frames = re.findall(r"\x1b\[H(.*?)(?=\x1b\[H|\x1b\[J)", self.seen, re.DOTALL)
        return frames[-1].replace("\x1b[K", "").replace("\r", "").split("\n") if frames else []

    def wait_for(self, expression: str, seconds: float = 30) -> list[str]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read(0.1)
            if re.search(expression, "\n".join(self.frame())):
                return self.frame()
        raise AssertionError(f"no {expression!r} in {self.frame()}; seen {self.seen[-500:]!r}")

    def type(self, keys: bytes) -> None:
        os.write(self.controller, keys)

    def end(self) -> int:
        code = self.process.wait(20)
        self.read(0.2)
        return code

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *exc) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.controller)
        os.close(self.terminal)


class Top(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", ranks=2)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()

    def check_given_back(self, terminal: Terminal) -> None:
        self.assertEqual(terminal.seen.count(ENTER), terminal.seen.count(LEAVE))
        self.assertGreater(terminal.seen.rindex(LEAVE), terminal.seen.rindex("\x1b[H"))
        self.assertIn(SHOW_CURSOR, terminal.seen)
        self.assertEqual(termios.tcgetattr(terminal.terminal), terminal.before)

    def test_shows_ranks_and_load(self):
        with Terminal(self.service) as terminal:
            lines = terminal.wait_for(r"\n   1  ")
            self.assertIn("demo", lines[0])
            self.assertEqual(lines[1], "ready")
            self.assertTrue(lines[2].startswith("2 ranks   cpu "), lines)
            stream = subprocess.Popen([str(BIN / "phalanx"), "generate", "--server", self.service.address, "--prompt",
                                       "Once upon a time", "--max-tokens", "4000", "--ignore-eos"],
                                      stdout=subprocess.DEVNULL)
            terminal.wait_for(r"1 of 256 running")
            terminal.wait_for(r"in   [1-9]\d* out")
            stream.kill()
            stream.wait()
            terminal.type(b"q")
            self.assertEqual(terminal.end(), 0)
            self.check_given_back(terminal)

    def test_every_way_out_gives_the_terminal_back(self):
        for way, code in ((CTRL_C, 130), (b"q", 0), (b"Q", 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            with self.subTest(way=way), Terminal(self.service) as terminal:
                terminal.wait_for("ready")
                if isinstance(way, bytes):
                    terminal.type(way)
                else:
                    terminal.process.send_signal(way)
                self.assertEqual(terminal.end(), code)
                self.check_given_back(terminal)

    def test_a_smaller_window_is_painted_anew(self):
        with Terminal(self.service) as terminal:
            terminal.wait_for("rank +steps")
            terminal.resize(30, 5)
            terminal.process.send_signal(signal.SIGWINCH)
            lines = terminal.wait_for("more lines")
            self.assertEqual(len(lines), 5)
            self.assertLessEqual(max(map(len, lines)), 30)
            terminal.type(b"q")
            self.assertEqual(terminal.end(), 0)

    def test_suspended_and_continued(self):
        with Terminal(self.service) as terminal:
            terminal.wait_for("ready")
            os.kill(terminal.process.pid, signal.SIGTSTP)
            pid, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
            self.assertTrue(os.WIFSTOPPED(status))
            terminal.read(0.2)
            self.assertTrue(terminal.seen.endswith(LEAVE), terminal.seen[-50:])
            self.assertEqual(termios.tcgetattr(terminal.terminal), terminal.before)
            os.kill(pid, signal.SIGCONT)
            terminal.seen = ENTER  # of its first time on the screen, before LEAVE
            terminal.seen += LEAVE
            terminal.wait_for("ready")
            terminal.type(b"q")
            self.assertEqual(terminal.end(), 0)
            self.check_given_back(terminal)

    def test_a_stopped_rank_and_a_server_that_goes_and_comes_show(self):
        with tempfile.TemporaryDirectory() as folder:
            socket = ("--grpc-uds", f"{folder}/grpc.sock")
            with Service(*socket, ranks=2) as service, Terminal(service) as terminal:
                terminal.wait_for("ready")
                victim = service.ranks()[1]
                os.kill(victim, signal.SIGSTOP)
                terminal.wait_for(r"unavailable: rank 1 \(host .* has been silent for")
                os.kill(victim, signal.SIGCONT)
                terminal.wait_for(r"\nready")
                # A coordinator that does not answer is no end either.
                coordinator = next(p for p in service.pids if command_of(p).startswith(str(BIN / "coordinator")))
                os.kill(coordinator, signal.SIGSTOP)
                terminal.wait_for(r"unreachable: DEADLINE_EXCEEDED")
                os.kill(coordinator, signal.SIGCONT)
                terminal.wait_for(r"\nready")
                service.stop()
                terminal.wait_for(r"unreachable: UNAVAILABLE(.|\n)*last answer \d+s ago")
                with Service(*socket, ranks=1):
                    terminal.wait_for(r"\n1 rank ")
                terminal.type(b"q")
                self.assertEqual(terminal.end(), 0)
                self.check_given_back(terminal)

    def test_one_plain_snapshot(self):
        generate(self.service, "--prompt", "Hi", "--max-tokens", "4")
        for flags in ((), ("--once",)):
            done = client("top", "--server", self.service.address, "--interval", "0.2", *flags)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertNotIn("\x1b", done.stdout)
            lines = done.stdout.splitlines()
            self.assertEqual(lines[1], "ready")
            self.assertEqual([line.split()[0] for line in lines[-2:]], ["0", "1"])
        with Terminal(self.service, "--once") as terminal:
            self.assertEqual(terminal.end(), 0)
            self.assertNotIn("\x1b", terminal.seen)


if __name__ == "__main__":
    unittest.main(verbosity=2)
