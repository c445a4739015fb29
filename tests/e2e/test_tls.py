"""TLS of the real service: both protocols, long answers and large bodies, clients with certificates, renewal, and who is refused."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, ROOT, Service, client, command_of  # noqa: E402


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder: pathlib.Path, name: str):
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                f"/CN={name}", "-keyout", str(self.key), "-out", str(self.certificate), "-days", "2")

    def issue(self, name: str, days: str = "2") -> tuple[pathlib.Path, pathlib.Path]:
        key, request, certificate = (self.folder / f"{name}{suffix}" for suffix in (".key", ".csr", ".pem"))
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", str(key), "-out", str(request))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
                "-CAcreateserial", "-days", days, "-extfile", str(extensions), "-out", str(certificate))
        key.chmod(0o600)
        return certificate, key


class Tls(unittest.TestCase):
    flags: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.authority = Authority(cls.folder, "authority")
        cls.certificate, cls.key = cls.authority.issue("server")
        cls.service = Service("--served-model-name", "demo", "--ssl-certfile", str(cls.certificate), "--ssl-keyfile",
                              str(cls.key), *cls.extra_flags(), ranks=1)

    @classmethod
    def extra_flags(cls) -> tuple[str, ...]:
        return ()

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()
        cls.temporary.cleanup()

    def trust(self, **more) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.certificate), **more)

    def connect(self, context=None) -> http.client.HTTPSConnection:
        host, port = self.service.http_address.rsplit(":", 1)
        return http.client.HTTPSConnection(host, int(port), timeout=60, context=context or self.trust())

    def ask(self, connection, body, path="/v1/completions"):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response, response.read().decode()

    def wait_for(self, pattern: str) -> None:
        """Until a line of the coordinator's log fits."""
        until = time.monotonic() + 20
        while not any(re.search(pattern, line) for line in self.service.stderr_lines):
            self.assertLess(time.monotonic(), until, f"no {pattern!r} in the log")
            time.sleep(0.01)

    def raw(self, address: str | None = None) -> socket.socket:
        host, port = (address or self.service.http_address).rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=30)


class ServerCertificate(Tls):
    def test_a_connection_serves_many_requests(self):
        connection = self.connect()
        for _ in range(5):
            response, text = self.ask(connection, {"prompt": "Hi", "max_tokens": 2})
            self.assertEqual(response.status, 200, text)
        # Larger than what TLS and the parser take at once.
        response, text = self.ask(connection, {"prompt": "word " * 60_000}, path="/tokenize")
        self.assertEqual(response.status, 200, text[:200])
        self.assertGreater(json.loads(text)["count"], 50_000)
        connection.close()

    def test_streams_come_whole(self):
        connection = self.connect()
        body = {"prompt": "Once upon a time", "max_tokens": 300, "ignore_eos": True, "temperature": 0}
        _, whole = self.ask(connection, body)
        response, text = self.ask(connection, {**body, "stream": True})
        events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        self.assertEqual(events[-1], "[DONE]")
        pieces = [choice["text"] for event in events[:-1] for choice in json.loads(event)["choices"]]
        self.assertEqual("".join(pieces), json.loads(whole)["choices"][0]["text"])
        connection.close()

    def test_old_versions_and_plain_words_are_refused(self):
        old = self.trust()
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        with self.assertRaises(OSError):
            self.connect(old).request("GET", "/health")
        with self.raw() as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"this port speaks TLS", plain.recv(4096))
        self.wait_for(r'W coordinator: refused protocol=http peer=127\.0\.0\.1:\d+ reason="the TLS handshake failed" detail=')
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(ssl.create_default_context()).request("GET", "/health")

    def test_a_refusal_ends_as_tls_does(self):
        host, port = self.service.http_address.rsplit(":", 1)
        with self.trust().wrap_socket(self.raw(), server_hostname=host, suppress_ragged_eofs=False) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
            answer = b""
            while piece := connection.recv(4096):  # a cut connection would raise
                answer += piece
        self.assertTrue(answer.startswith(b"HTTP/1.1 400"), answer)
        self.assertTrue(answer.endswith(b"}"), answer)

    def test_half_open_handshakes_end_and_hurt_nobody(self):
        idle = [self.raw(address) for address in (self.service.http_address, self.service.address) for _ in range(50)]
        for connection in idle[::2]:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")
        connection = self.connect()
        self.assertEqual(self.ask(connection, {"prompt": "Hi", "max_tokens": 2})[0].status, 200)
        connection.close()
        self.assertEqual(self.generate().returncode, 0)
        for waiting in idle:
            try:
                self.assertEqual(waiting.recv(1), b"", "cut after the time for headers")
            except ConnectionResetError:
                pass  # what was sent had not been read
            waiting.close()
        for protocol in ("http", "grpc"):
            self.wait_for(rf"W coordinator: refused protocol={protocol} .*the TLS handshake did not end in time")

    def generate(self):
        return client("generate", "--server", self.service.address, "--prompt", "Hi", "--max-tokens", "2",
                      "--ssl-ca-certs", str(self.authority.certificate))

    def test_grpc_speaks_it_too(self):
        words = ("generate", "--server", self.service.address, "--prompt", "Hi", "--max-tokens", "2")
        good = self.generate()
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertNotEqual(client(*words, timeout=60).returncode, 0)
        other = Authority(self.folder, "other")
        wrong = client(*words, "--ssl-ca-certs", str(other.certificate), "--timeout", "20")
        self.assertEqual(wrong.returncode, 3, wrong.stderr)
        missing = client(*words, "--ssl-ca-certs", "/no/such/file")
        self.assertEqual(missing.returncode, 2, missing.stderr)

    def shown(self, address: str) -> dict:
        """The certificate that a new connection is shown."""
        host, port = address.rsplit(":", 1)
        context = self.trust()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with socket.create_connection((host, int(port)), timeout=30) as plain, \
                context.wrap_socket(plain, server_hostname=host) as connection:
            return connection.getpeercert()

    def serials(self) -> list[str]:
        return [self.shown(address)["serialNumber"] for address in (self.service.http_address, self.service.address)]

    def logged(self, words: str) -> int:
        return sum(words in line for line in self.service.stderr_lines)

    def reload(self, words: str) -> None:
        """SIGHUP, until the coordinator has said what came of it."""
        before = self.logged(words)
        os.kill(next(p for p in self.service.pids if command_of(p).startswith(str(BIN / "coordinator"))), signal.SIGHUP)
        until = time.monotonic() + 20
        while self.logged(words) == before:
            self.assertLess(time.monotonic(), until, f"no {words!r} in the log")
            time.sleep(0.01)

    def expiry(self) -> float:
        connection = self.connect()
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        return float(re.search(r"^phalanx_tls_certificate_expiry_timestamp_seconds (\S+)$", page, re.MULTILINE)[1])

    def check_expiry(self) -> None:
        self.assertEqual(self.expiry(), ssl.cert_time_to_seconds(self.shown(self.service.address)["notAfter"]))

    def test_a_renewed_certificate_is_taken_while_streams_run(self):
        before = self.serials()
        self.assertEqual(before[0], before[1])
        self.check_expiry()
        connection = self.connect()
        body = {"prompt": "Once", "max_tokens": 1500, "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(100)
        self.authority.issue("server")
        self.reload("certificates: read again")
        after = self.serials()
        self.assertEqual(after[0], after[1])
        self.assertNotEqual(after[0], before[0])
        self.check_expiry()
        self.assertIn("[DONE]", response.read().decode()[-50:])
        connection.close()

    def test_what_is_wrong_changes_nothing_for_either_protocol(self):
        other, other_key = self.authority.issue("pair")
        expired, expired_key = self.authority.issue("expired", days="-1")
        good = (self.certificate.read_text(), self.key.read_text())
        before = self.serials()
        for name, pair in (("nonsense", ("nonsense", good[1])),
                           ("a key of another certificate", (good[0], other_key.read_text())),
                           ("half renewed", (other.read_text(), good[1])),
                           ("expired", (expired.read_text(), expired_key.read_text())),
                           ("empty", ("", ""))):
            with self.subTest(name):
                self.certificate.write_text(pair[0])
                self.key.write_text(pair[1])
                self.reload("certificates stay as they were")
                time.sleep(1.5)  # longer than it would take anybody who looks at the files each second
                self.assertEqual(self.serials(), before)
                self.assertEqual(self.generate().returncode, 0)
        self.certificate.write_text(good[0])
        self.key.write_text(good[1])
        self.reload("certificates: read again")
        self.assertEqual(self.serials(), before)

    def test_an_end_that_is_near_is_warned_of(self):
        warning = f"--ssl-certfile: {self.certificate}: expires in "
        self.assertGreater(self.logged(warning + "1 days and 23 hours"), 0)
        for days, warns in (("29", 1), ("31", 0)):
            before = self.logged(warning)
            self.authority.issue("server", days=days)
            self.reload("certificates: read again")
            self.check_expiry()
            time.sleep(0.2)
            self.assertEqual(self.logged(warning) - before, warns)


class ClientCertificate(Tls):
    @classmethod
    def extra_flags(cls):
        return ("--ssl-ca-certs", str(cls.authority.certificate))

    def test_clients_show_one(self):
        certificate, key = self.authority.issue("client")
        known = self.trust()
        known.load_cert_chain(str(certificate), str(key))
        connection = self.connect(known)
        self.assertEqual(self.ask(connection, {"prompt": "Hi", "max_tokens": 2})[0].status, 200)
        connection.close()
        stranger = self.connect()
        with self.assertRaises(OSError):
            stranger.request("GET", "/health")
            stranger.getresponse()
        words = ("generate", "--server", self.service.address, "--prompt", "Hi", "--max-tokens", "2", "--ssl-ca-certs",
                 str(self.authority.certificate), "--timeout", "20")
        good = client(*words, "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertNotEqual(client(*words).returncode, 0)
        for protocol in ("http", "grpc"):
            self.wait_for(rf'refused protocol={protocol} .*detail="peer did not return a certificate"')

    def test_why_a_certificate_is_bad_is_logged(self):
        foreign = Authority(self.folder, "foreign").issue("mallory")
        expired = self.authority.issue("late", days="-1")
        for pair, why in ((foreign, "unable to get (local )?issuer certificate"), (expired, "certificate has expired")):
            with self.subTest(why):
                time.sleep(1.1)  # a line a second
                context = self.trust()
                context.load_cert_chain(*map(str, pair))
                with self.assertRaises(OSError):
                    connection = self.connect(context)
                    connection.request("GET", "/health")
                    connection.getresponse()
                self.wait_for(rf'refused protocol=http peer=127.* detail="{why}"')
        words = ("generate", "--server", self.service.address, "--prompt", "Hi", "--ssl-ca-certs",
                 str(self.authority.certificate), "--timeout", "20", "--ssl-certfile", str(foreign[0]), "--ssl-keyfile",
                 str(foreign[1]))
        self.assertNotEqual(client(*words).returncode, 0)
        self.wait_for(r'refused protocol=grpc .*detail="certificate verify failed"')


class WrongFiles(unittest.TestCase):
    def start(self, *flags: str) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(BIN / "coordinator"), "--model", str(ROOT / "launch/demo/model"), "--engine",
                       f"{folder}/engine.sock", "--grpc-port", "0", "--port", "0", *flags]
            return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def test_each_is_named(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            authority = Authority(folder, "authority")
            certificate, key = authority.issue("server")
            other, other_key = authority.issue("other")
            expired, expired_key = authority.issue("expired", days="-1")
            wide = folder / "wide.key"
            wide.write_text(key.read_text())
            wide.chmod(0o644)
            both = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
            for flags, message in (
                    (("--ssl-certfile", str(certificate)), "--ssl-keyfile"),
                    (("--ssl-ca-certs", str(authority.certificate)), "--ssl-certfile"),
                    (("--ssl-certfile", "/no/such", "--ssl-keyfile", str(key)), "--ssl-certfile: /no/such"),
                    (("--ssl-certfile", str(certificate), "--ssl-keyfile", str(wide)), "mode 0644, allowed: 0600"),
                    (("--ssl-certfile", str(certificate), "--ssl-keyfile", str(other_key)), f"--ssl-keyfile: {other_key}: "),
                    (("--ssl-certfile", str(expired), "--ssl-keyfile", str(expired_key)), "has expired, on 20"),
                    ((*both, "--ssl-ca-certs", str(key)), "--ssl-ca-certs"),
                    (("--host", "0.0.0.0", *both), "--api-key-file or --ssl-ca-certs"),
                    (("--host", "0.0.0.0", "--api-key", "x"), "--ssl-certfile and --ssl-keyfile")):
                with self.subTest(flags=flags):
                    done = self.start(*flags)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
