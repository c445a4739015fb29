"""launch/gpu-check.sh from end to end: on the emulated device at toy sizes, and without any device."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, ROOT, descendants, is_running  # noqa: E402

SCRIPT = str(ROOT / "launch/gpu-check.sh")
STAGES = ("facts host limits kernels models determinism ops decode prefill load scaling hf profile sanitizer").split()


def run_script(*arguments, bin_dir=BIN, timeout=400, **environment):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env={**os.environ, "PHALANX_BIN_DIR": str(bin_dir), **environment})


def stages_of(output):
    """{stage: {key: value}} of a run's records; of several commands the last."""
    return {path.stem: dict(line.split("=", 1) for line in path.read_text().splitlines())
            for path in (pathlib.Path(output) / "raw").glob("*.stage")}


def states_of(output):
    return {name: record["state"] for name, record in stages_of(output).items()}


class Scratch(unittest.TestCase):
    def setUp(self):
        self.output = pathlib.Path(tempfile.mkdtemp()) / "run"
        self.addCleanup(shutil.rmtree, self.output.parent)

    def emulated(self, *arguments, **more):
        return run_script("--device", "cuda-emulated", "--output", self.output, *arguments, **more)


class Arguments(unittest.TestCase):
    def test_wrong_ones_are_refused_by_name(self):
        for arguments, message in [
            (("--device", "tpu"), "--device: is 'tpu', allowed: cuda, cuda-emulated"),
            (("--device",), "--device: needs a value"),
            (("--time-limit", "0"), "--time-limit: is '0', allowed: seconds"),
            (("--output", "/proc/nowhere"), "--output: is '/proc/nowhere', allowed: a folder that can be written"),
            (("kernel",), "stage: is 'kernel', allowed: facts host limits"),
            (("--compare",), "--compare: needs OLD"),
        ]:
            with self.subTest(arguments=arguments):
                done = run_script(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertTrue(done.stderr.startswith("gpu-check.sh: " + message), done.stderr)

    def test_a_folder_without_programs_is_named(self):
        with tempfile.TemporaryDirectory() as empty:
            done = run_script("facts", bin_dir=empty)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{empty}/worker is missing", done.stderr)


class Emulated(Scratch):
    def test_every_stage_runs_and_the_report_has_it_all(self):
        done = self.emulated("--time-limit", "3000", timeout=900)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        stages = stages_of(self.output)
        self.assertEqual(sorted(stages), sorted(STAGES))
        self.assertEqual(stages["sanitizer"]["state"], "skipped")
        for name, record in stages.items():
            if name == "hf" and record["state"] == "skipped":
                self.assertIn("cannot import torch", record["reason"])
            elif name != "sanitizer":
                self.assertEqual(record["state"], "passed", f"{name}: {record}\n{done.stdout}")
            self.assertGreaterEqual(float(record["seconds"]), 0)
        raw = self.output / "raw"
        self.assertGreater(json.loads((raw / "limits.json").read_text())["read_gb_per_s"], 0)
        self.assertGreater(json.loads((raw / "kernels.json").read_text())["tests"], 20)
        self.assertGreater(json.loads((raw / "load.json").read_text())["cold_first_token_s"], 0)
        ops = json.loads((raw / "ops.json").read_text())
        self.assertEqual(ops["failures"], [])
        self.assertGreater(len({case["op"] for case in ops["cases"]}), 7)
        decode = [json.loads(line) for line in (raw / "decode.jsonl").read_text().splitlines()]
        self.assertEqual([run["batch"] for run in decode], [1, 3])
        scaling = [json.loads(line) for line in (raw / "scaling.jsonl").read_text().splitlines()]
        self.assertEqual([run["ranks"] for run in scaling], [1, 2])
        self.assertIn("linear", (raw / "profile.txt").read_text())
        report = json.loads((self.output / "report.json").read_text())
        self.assertTrue(report)
        page = (self.output / "report.html").read_text()
        text = (self.output / "report.md").read_text()
        for words in (page, text):
            self.assertIn("cuda-emulated", words)
            for name in STAGES:
                self.assertIn(name, words)
        self.assertIn("<svg", page)
        self.assertNotIn("<script", page)
        # The same run beside itself: nothing became faster or slower.
        compared = run_script("--compare", self.output, self.output)
        self.assertEqual(compared.returncode, 0, compared.stderr)

    def test_an_interrupted_run_is_taken_up_where_it_stopped(self):
        process = subprocess.Popen(
            [SCRIPT, "--device", "cuda-emulated", "--output", str(self.output), "--time-limit", "60"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PHALANX_BIN_DIR": str(BIN)})
        until = time.monotonic() + 120
        while states_of(self.output).get("models") != "running" and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(states_of(self.output).get("models"), "running")
        below = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 130)
        time.sleep(0.5)
        self.assertEqual([pid for pid in below if is_running(pid)], [])
        before = stages_of(self.output)
        self.assertEqual(before["kernels"]["state"], "passed")
        self.assertTrue((self.output / "report.md").exists(), "what was seen until then is reported")
        # Later stages are skipped for want of time, which is not what is looked at here.
        done = self.emulated("--time-limit", "1")
        self.assertIn("gpu-check: kernels: passed before", done.stdout)
        after = stages_of(self.output)
        self.assertEqual(after["kernels"], before["kernels"])
        self.assertIn(after["models"]["state"], ("timeout", "skipped"))
        self.assertEqual(after["profile"]["state"], "skipped")
        self.assertIn("--time-limit", after["profile"]["reason"])

    def test_a_failed_stage_is_reported_and_the_rest_goes_on(self):
        with tempfile.TemporaryDirectory() as programs:
            bin_dir, tests = pathlib.Path(programs, "bin"), pathlib.Path(programs, "tests")
            for folder, source in ((bin_dir, BIN), (tests, BIN.parent / "tests")):
                folder.mkdir()
                for program in source.iterdir():
                    if os.access(program, os.X_OK) and program.is_file():
                        (folder / program.name).symlink_to(program)
            (bin_dir / "bench_limits").unlink()
            (bin_dir / "bench_limits").write_text("#!/bin/sh\necho 'the device <fell> off the bus' >&2\nexit 3\n")
            (bin_dir / "bench_limits").chmod(0o755)
            done = self.emulated("limits", "facts", bin_dir=bin_dir)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        stages = stages_of(self.output)
        self.assertEqual(stages["limits"]["state"], "failed")
        self.assertEqual(stages["limits"]["reason"], "exit code 3: the device <fell> off the bus")
        self.assertEqual(stages["facts"]["state"], "passed")
        self.assertIn("limits", done.stderr)
        page = (self.output / "report.html").read_text()
        self.assertIn("the device &lt;fell&gt; off the bus", page)


@unittest.skipIf(pathlib.Path("/dev/nvidiactl").exists(), "this host has a GPU")
class WithoutDevice(Scratch):
    def test_what_needs_none_runs_and_the_rest_says_why_not(self):
        done = run_script("--output", self.output)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        stages = stages_of(self.output)
        self.assertEqual(stages["host"]["state"], "passed", stages["host"])
        self.assertEqual(stages["facts"]["state"], "passed")
        for name in STAGES[2:]:
            self.assertEqual(stages[name]["state"], "skipped", name)
            self.assertIn("--device: is cuda, allowed: cpu", stages[name]["reason"])
        self.assertIn("not yet measured", (self.output / "report.md").read_text())


if __name__ == "__main__":
    unittest.main()
