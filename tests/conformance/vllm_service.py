"""vLLM's server on the bundled model, as a reference. Standard library only."""

import importlib.util
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MODEL = pathlib.Path(__file__).resolve().parents[2] / "launch/demo/model"

# In 32 bits, so that greedy answers and log-probabilities are those of the same model; without compilation, which takes
# minutes; with its options for what this service always does.
FLAGS = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "4096", "--enable-auto-tool-choice",
         "--tool-call-parser", "hermes", "--enable-prompt-tokens-details", "--scheduling-policy", "priority"]


def interpreter() -> str | None:
    """The Python that has vLLM: PHALANX_VLLM_PYTHON, or the one that runs this, or none."""
    if named := os.environ.get("PHALANX_VLLM_PYTHON"):
        return named
    return sys.executable if importlib.util.find_spec("vllm") else None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Vllm:
    """PHALANX_VLLM_URL names one that runs already, with FLAGS. Use as a context manager."""

    def __init__(self, name: str, start_s: float = 900):
        self.process = None
        if url := os.environ.get("PHALANX_VLLM_URL"):
            self.http_address = url.removeprefix("http://").rstrip("/")
            return
        port = free_port()
        self.http_address = f"127.0.0.1:{port}"
        self.log = tempfile.NamedTemporaryFile("w+", prefix="vllm-", suffix=".log")
        self.process = subprocess.Popen(
            [interpreter(), "-m", "vllm.entrypoints.cli.main", "serve", str(MODEL), "--host", "127.0.0.1", "--port",
             str(port), "--served-model-name", name, *FLAGS],
            stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True,
            env={"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **os.environ})
        deadline = time.monotonic() + start_s
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"vLLM did not start; the end of its log:\n{self._log_end()}")
            time.sleep(1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.http_address}/health", timeout=5) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def _log_end(self) -> str:
        self.log.seek(0)
        return self.log.read()[-4000:]

    def stop(self) -> None:
        """The engine is a process of its own in the same group, which the server ends; if not, this does."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __enter__(self) -> "Vllm":
        return self

    def __exit__(self, *exc) -> None:
        self.stop()
        if self.process is not None:
            self.log.close()
