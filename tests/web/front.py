"""Stands between the browser and the service: passes everything on, except what a test has scripted. So the page can be
shown answers that the bundled model does not give, and a service that is busy, dead or back again."""

import http.client
import http.server
import json
import threading


class Scripted:
    """One answer to POST /v1/chat/completions: `status` and `headers`, and for 200 the pieces of a stream. `paced`: each
    piece waits until the test releases it. `cut`: the connection ends without an end of the body."""

    def __init__(self, status=200, pieces=(), headers=None, paced=False, cut=False, message=""):
        self.status, self.pieces, self.headers = status, list(pieces), headers or {}
        self.encoding = "utf-8"
        self.cut, self.message = cut, message
        self._released = threading.Semaphore(0 if paced else 1 << 20)

    def release(self, count=1):
        self._released.release(count)

    def wait(self):
        return self._released.acquire(timeout=30)


def chunk(delta=None, finish=None, usage=None, logprobs=None):
    choices = [] if delta is None else [
        {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": choices, "usage": usage}
    return f"data: {json.dumps(body)}\n\n"


def text_stream(parts, finish="stop", logprobs=None):
    """The pieces of an answer that consists of these parts."""
    usage = {"prompt_tokens": 10, "completion_tokens": len(parts), "total_tokens": 10 + len(parts)}
    deltas = [chunk({"content": part}, logprobs=logprobs[i] if logprobs else None, usage=usage)
              for i, part in enumerate(parts)]
    return [*deltas, chunk({}, finish, usage), "data: [DONE]\n\n"]


class Front:
    """Use as a context manager. `upstream`: HOST:PORT, or None while the service is away."""

    def __init__(self, upstream=None):
        self.upstream = upstream
        self.script = []  # of Scripted, taken from the front
        self.health = None  # a status instead of the service's
        self.key = None  # if set, what is not open needs it
        self.requests = []  # bodies of chat completions
        self.extra = {}  # fields that are added to those that reach the service
        self.after_first_piece = None  # called once, when the first piece of a service's stream is passed on
        handler = type("Handler", (_Handler,), {"front": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

    def page(self, path):
        """(status, headers, body) of a file of the page, where it does not come from the service."""
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self._serve(b"")

    def do_POST(self):
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body):
        front = self.front
        try:
            if self.path == "/health" and front.health is not None:
                return self._send(front.health, {}, b"")
            page = front.page(self.path)
            if page is not None:
                return self._send(*page)
            if self.path.startswith("/v1/") and front.key is not None:
                if self.headers.get("Authorization") != f"Bearer {front.key}":
                    return self._error(401, "no such key")
            if self.path == "/v1/chat/completions":
                front.requests.append(json.loads(body))
                if front.script:
                    return self._play(front.script.pop(0))
                body = json.dumps({**front.requests[-1], **front.extra}).encode()
            self._pass_on(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status, message, headers=None):
        body = json.dumps({"error": {"message": message, "type": "", "param": None, "code": status}}).encode()
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, body)

    def _play(self, scripted):
        if scripted.status != 200:
            return self._error(scripted.status, scripted.message, scripted.headers)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in scripted.pieces:
            if not scripted.wait():
                break
            self._write_chunk(piece.encode(scripted.encoding))
        self.close_connection = True
        if not scripted.cut:
            self.wfile.write(b"0\r\n\r\n")

    def _write_chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _pass_on(self, body):
        if self.front.upstream is None:  # as a dead service: no answer at all
            self.close_connection = True
            return
        upstream = http.client.HTTPConnection(self.front.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ("host", "connection", "content-length")}
        try:
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            self._copy(answer)
        except OSError:
            self.close_connection = True
        finally:
            upstream.close()

    def _copy(self, answer):
        self.send_response(answer.status)
        chunked = answer.getheader("Transfer-Encoding") == "chunked"
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not chunked:
            self.wfile.write(answer.read())
            return
        try:
            while piece := answer.read1(65536):
                self._write_chunk(piece)
                if self.front.after_first_piece is not None:
                    self.front.after_first_piece()
                    self.front.after_first_piece = None
        except (http.client.HTTPException, OSError):  # the service has died
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")
