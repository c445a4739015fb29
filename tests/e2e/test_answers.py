"""The bundled model through the whole service: right answers, the same tokens whatever shares the batch."""

import json
import pathlib
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import MODEL, ROOT, Service, client, generate  # noqa: E402

HELD_OUT = ROOT / "launch/demo/heldout.jsonl"
PROMPTS = ["Once upon a time", "What is 3 + 4?", "é日本語🙂", "a"]


SUMS = [{"messages": [{"role": "user", "content": f"What is {a} + {b}?"}], "expected": f"{a} + {b} = {a + b}."}
        for a in range(11) for b in range(11)]


def count_exact(questions, ranks, *flags):
    """How many of the questions the service answers, greedily, with exactly what is expected, calls included."""
    requests = "".join(
        json.dumps({"id": str(i), "temperature": 0, "max_tokens": 128,
                    **({"tool_choice": "none"} if "tools" in q else {}),  # calls stay text
                    **{key: q[key] for key in ("messages", "tools", "prompt") if key in q}}) + "\n"
        for i, q in enumerate(questions))
    with Service(*flags, ranks=ranks) as service:
        done = client("batch", "--server", service.address, "--input", "-", "--output", "-",
                      stdin=requests, timeout=240)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    answers = {int(a["id"]): a["text"] for a in map(json.loads, done.stdout.splitlines())}
    wrong = [(q, answers[i]) for i, q in enumerate(questions) if answers[i] != q["expected"]]
    for question, answer in wrong:
        print(f"wrong: {question}: {answer!r}")
    return len(questions) - len(wrong)


class RightAnswers(unittest.TestCase):
    def test_at_least_90_percent_of_the_held_out_questions(self):
        questions = [json.loads(line) for line in HELD_OUT.read_text().splitlines() if line]
        self.assertGreaterEqual(len(questions), 200)
        exact = count_exact(questions, 2)
        print(f"held-out: {exact} of {len(questions)} exact")
        self.assertGreaterEqual(exact / len(questions), 0.9)

    def test_sums_that_people_try_first(self):
        self.assertGreaterEqual(count_exact(SUMS, 1), 119)

    def test_rounded_activations_lose_no_answer(self):
        self.assertGreaterEqual(count_exact(SUMS, 2, "--dtype", "bfloat16"), 119)


class SameTokens(unittest.TestCase):
    def test_any_number_of_ranks(self):
        reference = None
        for ranks in (1, 2, 3, 5, 8, 9):
            with self.subTest(ranks=ranks), Service(ranks=ranks) as service:
                tokens = [generate(service, "--prompt", p, "--temperature", "0", "--max-tokens", "32",
                                   "--ignore-eos")["token_ids"] for p in PROMPTS]
                reference = reference or tokens
                self.assertEqual(tokens, reference)

    def test_neighbours_change_nothing(self):
        flags = ("--prompt", "Tell me a story.", "--temperature", "1", "--seed", "7", "--max-tokens", "48",
                 "--logprobs", "3", "--ignore-eos")
        with Service(ranks=2) as service:
            alone = generate(service, *flags)
            with ThreadPoolExecutor(16) as pool:
                crowd = [pool.submit(generate, service, "--prompt", f"Count from {i}.", "--seed", str(i),
                                     "--max-tokens", str(8 + 3 * i), "--ignore-eos") for i in range(15)]
                among = pool.submit(generate, service, *flags).result()
                for request in crowd:
                    self.assertGreater(len(request.result()["token_ids"]), 0)
        self.assertEqual(alone["token_ids"], among["token_ids"])
        self.assertEqual(alone["logprobs"], among["logprobs"])

    def test_chunking_and_prefix_cache_change_nothing(self):
        prompt = " ".join(f"word{i}" for i in range(150))
        flags = ("--prompt", prompt, "--temperature", "1", "--seed", "3", "--max-tokens", "24",
                 "--logprobs", "2", "--ignore-eos")
        answers = []
        for setting in (["--no-enable-prefix-caching"], ["--max-num-batched-tokens", "37"], []):
            with Service(*setting, ranks=2) as service:
                answers.append(generate(service, *flags))
                again = generate(service, *flags)
                answers.append(again)
        self.assertGreater(again["usage"]["cached_tokens"], 0)
        for answer in answers:
            self.assertEqual(answer["token_ids"], answers[0]["token_ids"])
            self.assertEqual(answer["logprobs"], answers[0]["logprobs"])


class Offline(unittest.TestCase):
    def test_tokenize_inverts(self):
        text = "Hello, Wörld! 🙂\n  two  spaces\t123"
        ids = json.loads(client("tokenize", "--model", str(MODEL), "--json", stdin=text).stdout)
        back = client("detokenize", "--model", str(MODEL), stdin=json.dumps(ids)).stdout
        self.assertEqual(back.rstrip("\n"), text)


if __name__ == "__main__":
    unittest.main()
