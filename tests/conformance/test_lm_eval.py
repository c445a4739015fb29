"""lm-evaluation-harness (local-completions) against the service: the same tasks and scores as with transformers.

Log-likelihoods go as prompts of token ids with echo and logprobs, generations with stop strings. The same harness runs
the bundled model in transformers, and the two must agree sample by sample.
Runs with the packages of tests/requirements.txt and tests/conformance/requirements.txt.
"""

import json
import os
import pathlib
import sys
import tempfile
import unittest

HOME = tempfile.TemporaryDirectory()
os.environ |= {"HF_HOME": HOME.name, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
               "TOKENIZERS_PARALLELISM": "false"}

import lm_eval  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from service import MODEL, Service  # noqa: E402

CITIES = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Germany": "Berlin"}
CHAT = "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"

CAPITALS = [{"prompt": CHAT.format(question=f"What is the capital of {country}?") + f"The capital of {country} is",
             "choices": list(CITIES.values()), "label": label} for label, country in enumerate(CITIES)]
SUMS = [{"prompt": CHAT.format(question=f"What is {a} + {b}?"), "answer": f"{a} + {b} = {a + b}"}
        for a, b in ((3, 4), (17, 25), (8, 9), (12, 30))]

# Of each sum of log-probabilities; the two add up in another order.
TOLERANCE = 1e-2


def tasks(folder: pathlib.Path) -> list[dict]:
    """Two tasks with data in `folder`: one of log-likelihoods, one of generations."""
    def task(name: str, rows: list[dict], **fields) -> dict:
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}},
                "test_split": "test", "doc_to_text": "{{prompt}}", **fields}

    return [task("capitals", CAPITALS, output_type="multiple_choice", doc_to_choice="{{choices}}",
                 doc_to_target="label", metric_list=[{"metric": "acc"}]),
            task("sums", SUMS, output_type="generate_until", doc_to_target="{{answer}}",
                 generation_kwargs={"until": [".", "\n"], "max_gen_toks": 24, "temperature": 0},
                 metric_list=[{"metric": "exact_match"}])]


def evaluate(folder: pathlib.Path, backend: str, **arguments) -> tuple[dict, dict]:
    """The scores, and each task's raw answers by sample."""
    done = lm_eval.simple_evaluate(model=backend, model_args=arguments, tasks=tasks(folder), bootstrap_iters=0,
                                   log_samples=True)
    scores = {"acc": done["results"]["capitals"]["acc,none"], "exact": done["results"]["sums"]["exact_match,none"]}
    answers = {name: [sample["filtered_resps"] for sample in sorted(rows, key=lambda row: row["doc_id"])]
               for name, rows in done["samples"].items()}
    return scores, answers


class LmEval(unittest.TestCase):
    def test_scores_and_answers_are_those_of_transformers(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            want_scores, want = evaluate(folder, "hf", pretrained=str(MODEL), dtype="float32", device="cpu")
            with Service("--served-model-name", "demo", ranks=2) as service:
                scores, answers = evaluate(
                    folder, "local-completions", model="demo", tokenizer=str(MODEL), tokenizer_backend="huggingface",
                    base_url=f"http://{service.http_address}/v1/completions", num_concurrent=4, max_retries=1,
                    batch_size=2)
        self.assertEqual(scores, {"acc": 1.0, "exact": 1.0})
        self.assertEqual(scores, want_scores)
        self.assertEqual(answers["sums"], want["sums"])
        self.assertEqual(len(answers["capitals"]), len(CITIES))
        for ours, theirs in zip(answers["capitals"], want["capitals"], strict=True):
            self.assertEqual(len(ours), len(CITIES))
            for (logprob, greedy), (reference, reference_greedy) in zip(ours, theirs, strict=True):
                self.assertAlmostEqual(logprob, reference, delta=TOLERANCE)
                self.assertEqual(greedy, reference_greedy)


if __name__ == "__main__":
    unittest.main()
