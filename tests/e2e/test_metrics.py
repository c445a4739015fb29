"""GET /metrics of the real service: what is counted, that every rank shows, and that board and documents name what is there."""

import http.client
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import ROOT, Service, generate  # noqa: E402

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)')
# Only of a service that has a certificate: tests/e2e/test_tls.py looks at it.
WITH_TLS = {"phalanx_tls_certificate_expiry_timestamp_seconds"}
# Only of ranks whose device has a memory of its own: tests/e2e/test_cuda.py looks at them.
WITH_DEVICE = {f"phalanx_rank_device_memory_{what}_bytes" for what in ("reserved", "used", "free")}
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(page: str):
    """Families {name: type} and samples {(name, labels): value} of Prometheus' text format."""
    families, samples = {}, {}
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in families, f"{name} twice"
            families[name] = kind
        elif not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            key = (match[1], tuple(sorted(LABEL.findall(match[2] or ""))))
            assert key not in samples, f"{key} twice"
            samples[key] = float(match[3])
    return families, samples


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", "--metrics-compat", "vllm", ranks=2)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()

    def scrape(self):
        connection = http.client.HTTPConnection(self.service.http_address, timeout=20)
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        page = response.read().decode()
        connection.close()
        self.assertEqual(response.status, 200, page)
        self.assertEqual(response.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        return parse(page)

    def value(self, samples, name, **labels):
        if not name.startswith("process_"):
            labels = {"model_name": "demo", **labels}
        return samples[(name, tuple(sorted(labels.items())))]

    def test_a_request_shows_in_every_place(self):
        _, before = self.scrape()
        answer = generate(self.service, "--prompt", "Once upon a time", "--max-tokens", "24", "--ignore-eos")
        connection = http.client.HTTPConnection(self.service.http_address, timeout=20)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "temperature": 9}),
                           {"Content-Type": "application/json"})
        self.assertEqual(connection.getresponse().status, 400)
        connection.close()
        for _ in range(1000):  # a client may have its answer before the server has put it away
            _, after = self.scrape()
            ended = {"name": "phalanx_requests_finished_total", "outcome": "length"}
            if self.value(after, **ended) > self.value(before, **ended):
                break

        def gained(name, **labels):
            return self.value(after, name, **labels) - self.value(before, name, **labels)

        self.assertEqual(gained("phalanx_generation_tokens_total"), 24)
        self.assertEqual(gained("phalanx_prompt_tokens_total"), answer["usage"]["prompt_tokens"])
        self.assertEqual(gained("phalanx_requests_finished_total", outcome="length"), 1)
        self.assertEqual(gained("phalanx_requests_refused_total", status="INVALID_ARGUMENT"), 1)
        self.assertEqual(gained("phalanx_time_to_first_token_seconds_count"), 1)
        self.assertEqual(gained("phalanx_inter_token_latency_seconds_count"), 23)
        self.assertEqual(gained("phalanx_request_generation_tokens_sum"), 24)
        self.assertEqual(gained("vllm:generation_tokens_total"), 24)
        self.assertEqual(gained("vllm:request_success_total", finished_reason="length"), 1)
        self.assertEqual(self.value(after, "phalanx_ready"), 1)
        seconds = gained("phalanx_request_decode_seconds_sum")
        self.assertAlmostEqual(seconds, answer["timings"]["decode_ms"] / 1000, places=6)

    def test_every_rank_shows(self):
        def steps(samples):
            return [self.value(samples, "phalanx_rank_steps_total", rank=str(rank)) for rank in (0, 1)]

        _, before = self.scrape()
        generate(self.service, "--prompt", "Tell me", "--max-tokens", "40", "--ignore-eos")
        for _ in range(1000):  # a group reports twice a second
            _, after = self.scrape()
            if min(b - a for a, b in zip(steps(before), steps(after))) >= 40:
                break
        self.assertGreaterEqual(min(b - a for a, b in zip(steps(before), steps(after))), 40)
        for rank in ("0", "1"):
            spent = self.value(after, "phalanx_rank_step_seconds_total", rank=rank)
            inside = self.value(after, "phalanx_rank_collective_seconds_total", rank=rank)
            self.assertTrue(0 < inside < spent, (inside, spent))
            self.assertGreater(self.value(after, "phalanx_rank_resident_memory_bytes", rank=rank), 1 << 20)
            kept = {state: self.value(after, "phalanx_rank_kv_cache_bytes", rank=rank, state=state)
                    for state in ("used", "cached", "empty")}
            block = sum(kept.values()) / self.value(after, "phalanx_kv_cache_blocks")
            self.assertGreater(block, 0)
            self.assertAlmostEqual(kept["cached"] / block, self.value(after, "phalanx_kv_cache_cached_blocks"))
            self.assertGreater(kept["cached"], 0, "the prompt's blocks are kept")
        counted = self.value(after, "phalanx_step_tokens_count")
        self.assertGreaterEqual(counted, 40)
        self.assertEqual(self.value(after, "phalanx_step_tokens_bucket", le="+Inf"), counted)

    def test_histograms_add_up(self):
        families, samples = self.scrape()
        histograms = [name for name, kind in families.items() if kind == "histogram"]
        self.assertGreater(len(histograms), 16)
        for name in histograms:
            buckets = [(float(dict(labels)["le"]), value) for (sample, labels), value in samples.items()
                       if sample == f"{name}_bucket"]
            buckets.sort()
            counts = [count for _, count in buckets]
            self.assertEqual(counts, sorted(counts), name)
            self.assertEqual(buckets[-1], (float("inf"), self.value(samples, f"{name}_count")))

    def test_board_and_documents_name_what_is_there(self):
        families, _ = self.scrape()
        own = {name for name in families if name.startswith(("phalanx_", "process_"))}
        board = (ROOT / "launch/grafana/phalanx.json").read_text()
        named = set(re.findall(r"\b(?:phalanx|process)_[a-z_]+\b", board))
        queried = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
        self.assertEqual(queried - own, WITH_DEVICE, "queried by the board and not there")
        self.assertGreater(len(queried), 20)
        page = (ROOT / "docs/metrics.md").read_text()
        documented = set(re.findall(r"`((?:phalanx|process)_[a-z_]+)`", page))
        self.assertEqual(documented, own | WITH_TLS | WITH_DEVICE, "docs/metrics.md and the page differ")
        operations = (ROOT / "docs/operations.md").read_text()
        self.assertEqual(set(re.findall(r"`(phalanx_[a-z_]+)[`{ ]", operations)) - own - WITH_TLS - WITH_DEVICE, set())
        alerts = (ROOT / "launch/prometheus/alerts.yml").read_text()
        rules = re.split(r"- alert: ", alerts)[1:]
        self.assertGreater(len(rules), 5)
        anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", operations, re.MULTILINE)}
        for rule in rules:
            with self.subTest(alert=rule.split()[0]):
                expression = re.search(r"expr:(.*?)\n {8}\w", rule, re.DOTALL)[1]
                queried = set(re.findall(r"\b(?:phalanx|process)_[a-z_]+\b", expression))
                self.assertEqual(queried - own - WITH_TLS, set(), "queried and not there")
                self.assertTrue(queried or "up{" in expression)
                self.assertIn(re.search(r"runbook: docs/operations.md#(\S+)", rule)[1], anchors)
        for alias in (name for name in families if name.startswith("vllm:")):
            self.assertIn(f"`{alias}`", page)


if __name__ == "__main__":
    unittest.main(verbosity=2)
