"""AIPerf, a load tool that knows nothing of this service: every request ends well, with the tokens asked for.

PHALANX_AIPERF names the program (`pip install aiperf` in an environment of its own, 1.2 GB, brings it); without it, and
where none lies beside the interpreter that runs this, the suite is skipped.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from service import MODEL, Service  # noqa: E402

OUTPUT_TOKENS = 16
REQUESTS = 40
STREAMS = 8


def program() -> str | None:
    return os.environ.get("PHALANX_AIPERF") or shutil.which("aiperf", path=pathlib.Path(sys.executable).parent)


class AiPerf(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if program() is None:
            raise unittest.SkipTest("AIPerf is not installed; PHALANX_AIPERF=PROGRAM names it")
        cls.service = Service("--served-model-name", "demo", ranks=2)
        cls.addClassCleanup(cls.service.__exit__)

    def profile(self, *flags: str, requests: int = REQUESTS) -> tuple[dict, list[dict], dict]:
        """AIPerf's report, its records of requests, and what it found in /metrics."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            # Offline, AIPerf takes every tokenizer for one of the hub's, a folder, too.
            environment = {key: value for key, value in os.environ.items() if not key.endswith("_OFFLINE")}
            done = subprocess.run(
                [program(), "profile", "--model", "demo", "--url", f"http://{self.service.http_address}",
                 "--tokenizer", str(MODEL), "--concurrency", str(STREAMS), "--request-count", str(requests),
                 "--synthetic-input-tokens-mean", "64", "--output-tokens-mean", str(OUTPUT_TOKENS),
                 "--extra-inputs", "ignore_eos:true", "--use-server-token-count", "--no-gpu-telemetry",
                 "--ui", "none", "--artifact-dir", str(folder), *flags],
                capture_output=True, text=True, timeout=300, cwd=folder, env={**environment, "HF_HOME": name})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            records = (folder / "profile_export.jsonl").read_text().splitlines()
            return (json.loads((folder / "profile_export_aiperf.json").read_text()),
                    [json.loads(record)["metrics"] for record in records],
                    json.loads((folder / "server_metrics_export.json").read_text()))

    def test_all_requests_succeed_and_are_measured(self):
        for endpoint, *flags in (("chat",), ("chat", "--streaming"), ("chat", "--streaming", "--per-chunk-usage"),
                                 ("completions",), ("completions", "--streaming")):
            with self.subTest(endpoint=endpoint, flags=flags):
                report, records, metrics = self.profile("--endpoint-type", endpoint, *flags)
                self.assertEqual(report["error_summary"], [])
                self.assertEqual(report["request_count"]["avg"], REQUESTS)
                self.assertEqual(len(records), REQUESTS)
                for record in records:
                    self.assertEqual(record["output_sequence_length"]["value"], OUTPUT_TOKENS)
                    self.assertGreaterEqual(record["input_sequence_length"]["value"], 64)
                    self.assertEqual("time_to_first_token" in record, bool(flags))
                    if flags:
                        self.assertGreater(record["time_to_first_token"]["value"], 0)
                        self.assertLessEqual(record["time_to_first_token"]["value"],
                                             record["request_latency"]["value"])
                self.assertTrue(metrics["summary"]["endpoints_successful"])
                self.assertIn("phalanx_generation_tokens", metrics["metrics"])

    def test_turns_of_a_conversation(self):
        report, records, _ = self.profile("--endpoint-type", "chat", "--streaming", "--conversation-turn-mean", "3",
                                          "--conversation-num", "10", requests=30)
        self.assertEqual(report["error_summary"], [])
        lengths = sorted(record["input_sequence_length"]["value"] for record in records)
        self.assertEqual(len(lengths), 30)
        self.assertGreater(lengths[-1], 2 * lengths[0])  # each turn sends the ones before


if __name__ == "__main__":
    unittest.main()
