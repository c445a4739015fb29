#!/usr/bin/env python3
"""launch/fetch.sh against a stand-in for the hub: layout, resuming, checking, refusing.

    fetch_test.py PATH_OF_FETCH_SH
"""

import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 1000
FILES = {"config.json": b'{"model_type": "qwen2"}', "model.safetensors": WEIGHTS, "README.md": b"not needed",
         "pytorch_model.bin": b"not wanted", "merges.txt": b""}


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.path == "/api/models/Qwen/Tiny/revision/main?blobs=true":
            siblings = [{"rfilename": name, "size": len(data), "blobId": git_hash(data)}
                        | ({"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}}
                           if name.endswith((".safetensors", ".bin")) else {})
                        for name, data in FILES.items()] + self.server.more_files
            return self.answer(json.dumps({"sha": COMMIT, "siblings": siblings}).encode())
        name = self.path.removeprefix(f"/Qwen/Tiny/resolve/{COMMIT}/")
        if name not in FILES:
            return self.send_error(404)
        return self.answer(self.server.corrupt.get(name, FILES[name]))

    def answer(self, data):
        start = self.headers.get("Range")
        begin = int(start.removeprefix("bytes=").removesuffix("-")) if start else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin:])

    def log_message(self, *arguments):
        pass


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        self.hub.requests, self.hub.more_files, self.hub.corrupt = [], [], {}
        threading.Thread(target=self.hub.serve_forever, daemon=True).start()
        self.folder = tempfile.TemporaryDirectory()
        self.cache = pathlib.Path(self.folder.name)
        self.entry = self.cache / "models--Qwen--Tiny"
        self.blob = self.entry / "blobs" / hashlib.sha256(WEIGHTS).hexdigest()

    def tearDown(self):
        self.hub.shutdown()
        self.hub.server_close()
        self.folder.cleanup()

    def fetch(self, model="Qwen/Tiny", **environment):
        environment = {"PATH": os.environ["PATH"], "HF_HUB_CACHE": str(self.cache), "no_proxy": "*",
                       "HF_ENDPOINT": f"http://127.0.0.1:{self.hub.server_port}/"} | environment
        return subprocess.run([FETCH, model], env=environment, capture_output=True, text=True)

    def test_makes_the_cache_layout(self):
        result = self.fetch(HF_TOKEN="secret")
        self.assertEqual(result.returncode, 0, result.stderr)
        snapshot = self.entry / "snapshots" / COMMIT
        self.assertEqual((self.entry / "refs/main").read_text(), COMMIT)
        self.assertEqual(sorted(p.name for p in snapshot.iterdir()),
                         ["config.json", "merges.txt", "model.safetensors"])
        self.assertEqual((snapshot / "model.safetensors").read_bytes(), WEIGHTS)
        self.assertEqual((snapshot / "model.safetensors").resolve(), self.blob.resolve())
        self.assertTrue(all(token == "Bearer secret" for _, _, token in self.hub.requests))

    def test_second_call_downloads_nothing(self):
        self.fetch()
        self.hub.requests.clear()
        self.assertEqual(self.fetch().returncode, 0)
        self.assertEqual(len(self.hub.requests), 1)

    def test_resumes(self):
        self.blob.parent.mkdir(parents=True)
        self.blob.with_name(self.blob.name + ".incomplete").write_bytes(WEIGHTS[:100000])
        result = self.fetch()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("bytes=100000-", [range_ for _, range_, _ in self.hub.requests])
        self.assertEqual(self.blob.read_bytes(), WEIGHTS)

    def test_refuses_what_does_not_match_its_hash(self):
        for name, data in (("config.json", b'{"model_type": "qwen3"}'), ("model.safetensors", b"x" * len(WEIGHTS)),
                           ("model.safetensors", b"short")):
            self.hub.corrupt = {name: data}
            result = self.fetch()
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{name}: has ", result.stderr)
            self.assertFalse((self.entry / "refs/main").exists())
            self.assertEqual(list(self.entry.glob("blobs/*.incomplete")), [])

    def test_ignores_names_that_leave_the_folder(self):
        self.hub.more_files = [{"rfilename": "../../evil.json", "size": 1, "blobId": "0" * 40},
                               {"rfilename": "original/x.safetensors", "size": 1, "blobId": "0" * 40}]
        self.assertEqual(self.fetch().returncode, 0)
        self.assertFalse(any("evil" in path for path, _, _ in self.hub.requests))

    def test_names_what_is_wrong(self):
        for model in ("Qwen", "../x/y", "a/b/c", "-x/..", "Qwen/Tiny@../x"):
            result = self.fetch(model)
            self.assertEqual(result.returncode, 2, model)
            self.assertIn(f"model: is '{model}', allowed: OWNER/NAME", result.stderr)
        self.assertIn("does it exist", self.fetch("Qwen/Other").stderr)


if __name__ == "__main__":
    FETCH = sys.argv.pop(1)
    unittest.main()
