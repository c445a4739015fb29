"""The service's HTTP side as a client sees it: whole answers, streams, and raw bytes. Standard library only."""

import dataclasses
import http.client
import json
import socket


@dataclasses.dataclass
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self):
        return json.loads(self.body)


class Http:
    def __init__(self, address: str, timeout_s: float = 60):
        self.address = address
        self.timeout_s = timeout_s

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection(self.address, timeout=self.timeout_s)
        try:
            return self.send_on(connection, method, path, body, **headers)
        finally:
            connection.close()

    @staticmethod
    def send_on(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None,
                **headers: str) -> Reply:
        """On a connection of the caller's, which is left open."""
        words = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            words.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, words)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())

    def post(self, path: str, fields, **headers: str) -> Reply:
        return self.send("POST", path, json.dumps(fields).encode(), **headers)

    def ask(self, path: str, fields) -> dict:
        """The JSON of an answer that must be a good one."""
        reply = self.post(path, fields)
        assert reply.status == 200, f"{path} {fields}: {reply.status} {reply.body!r}"
        assert reply.headers["content-type"] == "application/json", reply.headers
        return reply.json()

    def stream(self, path: str, fields) -> list[dict]:
        """The chunks of a stream that must end well."""
        reply = self.post(path, {**fields, "stream": True})
        assert reply.status == 200, f"{path} {fields}: {reply.status} {reply.body!r}"
        assert reply.headers["content-type"].startswith("text/event-stream"), reply.headers
        events = reply.body.decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""], events[-3:]
        assert all(event.startswith("data: ") and "\n" not in event for event in events[:-1]), events
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]

    def raw(self) -> "RawConnection":
        host, port = self.address.rsplit(":", 1)
        return RawConnection(socket.create_connection((host, int(port)), timeout=self.timeout_s))


class RawConnection:
    """Bytes out, responses in: for what an HTTP library would not send."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self.file = connection.makefile("rb")

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_head(self) -> tuple[int, dict[str, str]]:
        status = self.file.readline()
        assert status.startswith(b"HTTP/1.1 "), status
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return int(status.split()[1]), headers

    def read(self, has_body: bool = True) -> Reply:
        status, headers = self.read_head()
        length = int(headers.get("content-length", 0)) if has_body else 0
        return Reply(status, headers, self.file.read(length))

    def at_end(self) -> bool:
        """Whether the server has closed its side and sent nothing more; waits for that."""
        return self.file.read(1) == b""

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *exc) -> None:
        self.file.close()
        self.socket.close()
