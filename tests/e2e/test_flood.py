"""Strangers who send gRPC much and finish nothing: what they may hold is bounded, and others are served."""

import os
import pathlib
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, Service, command_of, generate  # noqa: E402

MIB = 1 << 20
QUOTA = 32 * MIB
CONNECTIONS, CALLS = 60, 20
MESSAGE_BYTES = 4 * MIB
# HTTP/2, RFC 9113.
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


CALL = b"".join(literal(name, value) for name, value in (
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/phalanx.v1.Inference/Generate"), (b":authority", b"x"),
    (b"content-type", b"application/grpc"), (b"te", b"trailers")))
# All of a message of the largest size but its end.
MESSAGE = struct.pack(">BI", 0, MESSAGE_BYTES) + bytes(MESSAGE_BYTES - 1000)


class Stranger:
    """A connection with many calls, each of which sends as much as it is let and never ends."""

    def __init__(self, address: str):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._read)]
        for thread in self.threads:
            thread.start()

    def _send(self) -> None:
        try:
            for stream in range(1, 2 * CALLS, 2):
                self.socket.sendall(frame(HEADERS, END_HEADERS, stream, CALL))
                for at in range(0, len(MESSAGE), 16384):
                    self.socket.sendall(frame(DATA, 0, stream, MESSAGE[at:at + 16384]))
        except OSError:
            pass  # cut off, as it should be

    def _read(self) -> None:
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass

    def is_sending(self) -> bool:
        return self.threads[0].is_alive()

    def close(self) -> None:
        self.socket.close()


class Flood(unittest.TestCase):
    def test_unfinished_messages_hold_a_bounded_amount(self):
        with Service("--max-grpc-memory-bytes", str(QUOTA), ranks=1) as service:
            coordinator = next(p for p in service.pids if command_of(p).startswith(str(BIN / "coordinator")))

            def resident() -> int:
                pages = int(pathlib.Path(f"/proc/{coordinator}/statm").read_text().split()[1])
                return pages * os.sysconf("SC_PAGESIZE")

            generate(service, "--prompt", "Hi", "--max-tokens", "2")
            before = most = resident()
            strangers = [Stranger(service.address) for _ in range(CONNECTIONS)]
            until = time.monotonic() + 20
            while any(stranger.is_sending() for stranger in strangers) and time.monotonic() < until:
                most = max(most, resident())
                time.sleep(0.01)
            generate(service, "--prompt", "Hi", "--max-tokens", "2")  # while they are there
            for stranger in strangers:
                stranger.close()
            generate(service, "--prompt", "Hi", "--max-tokens", "2")
            print(f"{CONNECTIONS} connections that offer {CONNECTIONS * CALLS * MESSAGE_BYTES // MIB} MiB: "
                  f"{(most - before) // MIB} MiB more at most")
            # What is counted is less than what lies in the heap for it.
            self.assertLess(most - before, 4 * QUOTA)


if __name__ == "__main__":
    unittest.main(verbosity=2)
