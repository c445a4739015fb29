"""Runs the real service (launch/serve.sh) for end-to-end tests. Standard library only."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PHALANX_BIN_DIR", ROOT / "build/release/bin"))
MODEL = ROOT / "launch/demo/model"


def descendants(pid: int) -> list[int]:
    """All live processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        parent = int(stat.rsplit(")", 1)[1].split()[1])
        children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def command_of(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


class Service:
    """`launch/serve.sh` with its output collected. Use as a context manager."""

    def __init__(self, *flags: str, ranks: int = 2, model: os.PathLike = MODEL, start_s: float = 60):
        command = [str(ROOT / "launch/serve.sh"), "--model", str(model), "-np", str(ranks)]
        command += ["--threads", "1", "--grpc-port", "0", "--port", "0", *flags]
        self.stderr_lines: list[str] = []
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PHALANX_BIN_DIR": str(BIN)}, start_new_session=True)
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()
        lines: queue.Queue = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=start_s)
        except queue.Empty:
            line = ""
        if not line.startswith("ready grpc="):
            self.stop(signal.SIGKILL)
            raise RuntimeError(f"no ready line but {line!r}; stderr:\n" + "".join(self.stderr_lines))
        addresses = dict(word.split("=", 1) for word in line.split()[1:])
        self.address = addresses["grpc"]
        self.http_address = addresses["http"]
        self.pids = descendants(self.process.pid)

    def _collect(self) -> None:
        for line in self.process.stderr:
            self.stderr_lines.append(line)

    def ranks(self) -> list[int]:
        worker = str(BIN / "worker")
        return [p for p in self.pids if command_of(p).startswith(worker)]

    def stop(self, how: int = signal.SIGTERM, timeout: float = 45) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout)

    def finish_collecting(self) -> None:
        """Of a service that has ended: takes what is left of its standard error."""
        self._collector.join(5)

    def left_over(self, within_s: float = 3) -> list[str]:
        """Processes of the service that are still there `within_s` after its end."""
        deadline = time.monotonic() + within_s
        while True:
            left = [p for p in self.pids if is_running(p)]
            if not left or time.monotonic() > deadline:
                return [command_of(p) for p in left]
            time.sleep(0.05)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *exc) -> None:
        self.stop()
        self.finish_collecting()
        self.process.stdout.close()
        self.process.stderr.close()


def client(*arguments: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess:
    return subprocess.run([str(BIN / "phalanx"), *arguments], input=stdin, capture_output=True, text=True,
                          timeout=timeout)


def generate(service: Service, *arguments: str) -> dict:
    done = client("generate", "--server", service.address, "--json", *arguments)
    if done.returncode != 0:
        raise RuntimeError(f"generate exited with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)
