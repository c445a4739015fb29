"""HTTP/1.1 as clients, proxies and load tools use it: methods, connections, framing, ids, and errors' shape."""

import http.client
import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import bodies  # noqa: E402
from http_api import Http  # noqa: E402
from service import Service  # noqa: E402

POSTS = ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize")
GETS = ("/v1/models", "/v1/models/demo", "/health", "/livez", "/readyz", "/version")
JSON = "Content-Type: application/json\r\n"


def request(line: str, body: bytes = b"", headers: str = JSON) -> bytes:
    return f"{line} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def tokenize(text: str) -> bytes:
    return request("POST /tokenize", json.dumps({"prompt": text}).encode())


class Transport(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", ranks=1)
        cls.http = Http(cls.service.http_address, timeout_s=20)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()

    def expect_error(self, reply, status: int, param=None):
        self.assertEqual(reply.status, status, reply.body)
        self.assertEqual(reply.headers["content-type"], "application/json")
        error = reply.json()
        bodies.expect(error, bodies.ERROR)
        self.assertEqual((error["error"]["code"], error["error"]["param"]), (status, param))

    def test_head_is_get_without_a_body(self):
        for path in GETS:
            with self.subTest(path), self.http.raw() as connection:
                connection.write(request(f"GET {path}", headers=""))
                got = connection.read()
                connection.write(request(f"HEAD {path}", headers=""))
                head = connection.read(has_body=False)
                self.assertEqual((got.status, head.status), (200, 200))
                self.assertEqual(head.headers.get("content-length"), str(len(got.body)))
                connection.write(request("GET /health", headers=""))  # no stray body before it
                self.assertEqual(connection.read().status, 200)

    def test_options_names_the_methods(self):
        for paths, allowed in ((GETS, "GET, HEAD, OPTIONS"), (POSTS, "POST, OPTIONS")):
            for path in paths:
                with self.subTest(path):
                    reply = self.http.send("OPTIONS", path)
                    self.assertEqual((reply.status, reply.headers["allow"], reply.body), (204, allowed, b""))
                    self.assertNotIn("access-control-allow-origin", reply.headers)
        self.assertEqual(self.http.send("OPTIONS", "*").status, 204)

    def test_other_methods_are_405(self):
        for methods, paths, allowed in ((("POST", "PUT", "DELETE", "PATCH"), GETS, "GET, HEAD, OPTIONS"),
                                        (("GET", "HEAD", "PUT", "DELETE"), POSTS, "POST, OPTIONS")):
            for method in methods:
                for path in paths:
                    with self.subTest(method=method, path=path):
                        reply = self.http.send(method, path)
                        self.assertEqual((reply.status, reply.headers["allow"]), (405, allowed))
                        if method != "HEAD":
                            self.expect_error(reply, 405)

    def test_nothing_there_is_404(self):
        for path in ("/v1", "/v1/chat", "/v1/completions/", "/nothing", "/v1/embeddings", "//health",
                     "/v1/models/none"):
            with self.subTest(path):
                self.expect_error(self.http.send("GET", path), 404, "model" if path.endswith("none") else None)

    def test_query_does_not_change_the_route(self):
        self.assertEqual(self.http.send("GET", "/health?deep=1").status, 200)

    def test_keep_alive(self):
        connection = http.client.HTTPConnection(self.http.address, timeout=20)
        self.addCleanup(connection.close)
        connection.connect()
        first = connection.sock.getsockname()
        for i in range(50):
            body = json.dumps({"prompt": f"Hello {i}"}).encode()
            self.assertEqual(Http.send_on(connection, "POST", "/tokenize", body).status, 200)
            bad = Http.send_on(connection, "POST", "/tokenize", b"{")  # a refusal costs no connection
            self.expect_error(bad, 400)
        stream = json.dumps({"prompt": "a", "stream": True, "max_tokens": 3}).encode()
        for _ in range(3):
            reply = Http.send_on(connection, "POST", "/v1/completions", stream)
            self.assertTrue(reply.body.endswith(b"data: [DONE]\n\n"))
        self.assertEqual(connection.sock.getsockname(), first)

    def test_connection_close(self):
        with self.http.raw() as connection:
            connection.write(request("GET /health", headers="Connection: close\r\n"))
            reply = connection.read()
            self.assertEqual((reply.status, reply.headers["connection"]), (200, "close"))
            self.assertTrue(connection.at_end())

    def test_http_1_0_closes(self):
        with self.http.raw() as connection:
            connection.write(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertEqual(connection.read().status, 200)
            self.assertTrue(connection.at_end())

    def test_http_1_0_stays_where_asked(self):
        with self.http.raw() as connection:
            for _ in range(3):
                connection.write(b"GET /version HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
                reply = connection.read()
                self.assertEqual((reply.status, reply.headers["connection"]), (200, "keep-alive"))

    def test_pipelining_answers_in_order(self):
        texts = [f"word {'x' * i}" for i in range(20)]
        with self.http.raw() as connection:
            connection.write(b"".join(tokenize(text) for text in texts))
            for text in texts:
                self.assertEqual(connection.read().json(), self.http.ask("/tokenize", {"prompt": text}))

    def test_expect_100_continue(self):
        body = json.dumps({"prompt": "Hello"}).encode()
        head = f"POST /tokenize HTTP/1.1\r\nHost: x\r\n{JSON}Expect: 100-continue\r\n".encode()
        with self.http.raw() as connection:
            connection.write(head + f"Content-Length: {len(body)}\r\n\r\n".encode())
            self.assertEqual(connection.read_head()[0], 100)
            connection.write(body)
            self.assertEqual(connection.read().json(), self.http.ask("/tokenize", {"prompt": "Hello"}))
        with self.http.raw() as connection:  # what is refused anyhow is refused before the upload
            connection.write(head + b"Content-Length: 99999999\r\n\r\n")
            self.assertEqual(connection.read().status, 413)

    def test_chunked_upload(self):
        body = json.dumps({"prompt": "Hello, 🙂 chunks"}).encode()
        head = f"POST /tokenize HTTP/1.1\r\nHost: x\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n".encode()
        want = self.http.ask("/tokenize", {"prompt": "Hello, 🙂 chunks"})
        for size in (1, 3, len(body)):
            pieces = [body[i:i + size] for i in range(0, len(body), size)]
            chunks = b"".join(f"{len(piece):X};a=\"b\"\r\n".encode() + piece + b"\r\n" for piece in pieces)
            with self.subTest(size), self.http.raw() as connection:
                connection.write(head + chunks + b"0\r\nTrailer: x\r\n\r\n" + tokenize("next"))
                self.assertEqual(connection.read().json(), want)
                self.assertEqual(connection.read().status, 200)
        for broken, status in ((b"zz\r\n", 400), (b"5\r\nabcdefgh\r\n", 400), (b"-1\r\n", 400), (b"1;a=\n", 400),
                               (b"FFFFFFFFFFFFFFFFF\r\n", 413)):
            with self.subTest(broken), self.http.raw() as connection:
                connection.write(head + broken)
                self.expect_error(connection.read(), status)
                self.assertTrue(connection.at_end())

    def test_framing_that_proxies_disagree_about_is_refused(self):
        body = json.dumps({"prompt": "Hello"}).encode()
        for headers in (f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked\r\n",
                        f"Content-Length: {len(body)}\r\nContent-Length: {len(body) + 1}\r\n",
                        "Content-Length: -1\r\n", "Content-Length: 1e1\r\n", "Content-Length : 5\r\n"):
            with self.subTest(headers), self.http.raw() as connection:
                connection.write(f"POST /tokenize HTTP/1.1\r\nHost: x\r\n{JSON}{headers}\r\n".encode() + body)
                self.expect_error(connection.read(), 400)
                self.assertTrue(connection.at_end())

    def test_content_type_and_encoding(self):
        body = json.dumps({"prompt": "Hello"}).encode()
        for content_type in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
            self.assertEqual(self.http.send("POST", "/tokenize", body, Content_Type=content_type).status, 200)
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonl"):
            self.expect_error(self.http.send("POST", "/tokenize", body, Content_Type=content_type), 400)
        self.expect_error(self.http.send("POST", "/tokenize", body, Content_Encoding="gzip"), 415)

    def test_limits(self):
        with self.http.raw() as connection:
            connection.write(request("POST /tokenize", headers=JSON).replace(b"Length: 0", b"Length: 2097153"))
            self.expect_error(connection.read(), 413)
        for headers in ("".join(f"x-{i}: 1\r\n" for i in range(70)), f"x: {'y' * 9000}\r\n"):
            with self.http.raw() as connection:
                connection.write(request("GET /health", headers=headers))
                self.expect_error(connection.read(), 431)

    def test_bodies_that_are_no_object(self):
        deep = b'{"a":' * 40 + b"1" + b"}" * 40
        for body in (b"", b"[]", b"1", b'"x"', b"null", b"{", b'{"a":1,}', b'{"prompt":"\xff"}',
                     b'{"prompt":"\\ud800"}', b'{"prompt":"a","prompt":"b"}', b"{'prompt':'a'}", b'{"n":NaN}',
                     b'{"prompt":"a"} x', deep):
            for path in POSTS:
                with self.subTest(body=body[:40], path=path):
                    self.expect_error(self.http.send("POST", path, body), 400)

    def test_request_id(self):
        chat = {"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 2}
        for path, fields in (("/v1/chat/completions", chat), ("/v1/completions", {"prompt": "a", "max_tokens": 2}),
                             ("/v1/completions", {"prompt": "a", "max_tokens": 2, "stream": True})):
            named = self.http.post(path, fields, X_Request_Id="client-1")
            self.assertEqual(named.headers["x-request-id"], "client-1")
            unnamed = self.http.post(path, fields)
            first = json.loads(unnamed.body.removeprefix(b"data: ").split(b"\n")[0])
            self.assertEqual(first["id"].split("-", 1)[1], unnamed.headers["x-request-id"])
            # The server's own id stays in the answer: a client's is a label.
            self.assertNotIn(b"client-1", named.body)
            refused = self.http.post(path, {}, X_Request_Id="client-2")
            self.assertEqual((refused.status, refused.headers["x-request-id"]), (400, "client-2"))
        self.assertEqual(self.http.send("GET", "/v1/models", X_Request_Id="m").headers["x-request-id"], "m")
        long = self.http.send("POST", "/tokenize", b"", X_Request_Id="l", Content_Length="2097153")
        self.assertEqual((long.status, long.headers["x-request-id"]), (413, "l"))
        zipped = self.http.send("POST", "/tokenize", b"{}", X_Request_Id="z", Content_Encoding="gzip")
        self.assertEqual((zipped.status, zipped.headers["x-request-id"]), (415, "z"))
        dirty = self.http.send("GET", "/version", X_Request_Id="a b\tc" + "d" * 300)
        self.assertEqual(dirty.headers["x-request-id"], "abc" + "d" * 123)

    def test_unknown_model(self):
        for path, fields in (("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
                             ("/v1/completions", {"prompt": "x"}), ("/tokenize", {"prompt": "x"}),
                             ("/detokenize", {"tokens": [1]})):
            with self.subTest(path):
                reply = self.http.post(path, {**fields, "model": "gpt-4"})
                self.expect_error(reply, 404, "model")
                self.assertEqual(reply.json()["error"]["type"], "NotFoundError")


if __name__ == "__main__":
    unittest.main()
