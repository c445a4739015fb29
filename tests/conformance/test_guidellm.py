"""guidellm, a load tool that knows nothing of this service: every request ends well, with the tokens asked for.

Runs with the packages of tests/conformance/requirements.txt.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from service import MODEL, Service  # noqa: E402

OUTPUT_TOKENS = 16
REQUESTS = 48
STREAMS = 16


class GuideLlm(unittest.TestCase):
    def run_benchmark(self, target: str, request_format: str, folder: str) -> dict:
        report = pathlib.Path(folder) / "report.json"
        command = [
            str(pathlib.Path(sys.executable).parent / "guidellm"), "run", "--disable-console",
            "--backend", f"kind=openai_http,target=http://{target},model=demo,request_format={request_format}",
            "--profile", f"kind=concurrent,streams={STREAMS}", "--constraint", f"kind=max_requests,count={REQUESTS}",
            "--tokenizer", f"kind=hf_auto,model={MODEL}",
            "--data", f"kind=synthetic_text,prompt_tokens=64,output_tokens={OUTPUT_TOKENS}",
            "--output", f"kind=json,path={report}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": folder})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        benchmarks = json.loads(report.read_text())["benchmarks"]
        self.assertEqual(len(benchmarks), 1)
        return benchmarks[0]

    def test_all_requests_succeed_and_are_measured(self):
        for request_format in ("/v1/chat/completions", "/v1/completions"):
            with self.subTest(request_format), Service("--served-model-name", "demo", ranks=2) as service, \
                    tempfile.TemporaryDirectory() as folder:
                benchmark = self.run_benchmark(service.http_address, request_format, folder)
                metrics = benchmark["metrics"]
                self.assertEqual(metrics["request_totals"],
                                 {"successful": REQUESTS, "errored": 0, "incomplete": 0, "total": REQUESTS})
                outputs = metrics["output_token_count"]["successful"]
                self.assertEqual((outputs["min"], outputs["max"]), (OUTPUT_TOKENS, OUTPUT_TOKENS))
                for request in benchmark["requests"]["successful"]:
                    self.assertTrue(request["output"])
                    self.assertGreaterEqual(request["prompt_tokens"], 64)
                    self.assertGreater(request["time_to_first_token_ms"], 0)
                    self.assertLessEqual(request["time_to_first_token_ms"], 1000 * request["request_latency"])
                # What the tool counted is what the service says that it did.
                service.stop()
                service.finish_collecting()
                logged = [line for line in service.stderr_lines if f"completion_tokens={OUTPUT_TOKENS} " in line]
                self.assertGreaterEqual(len(logged), REQUESTS)


if __name__ == "__main__":
    unittest.main()
