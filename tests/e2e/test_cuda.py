"""The whole service on the CUDA kernels, which an emulated device executes: right answers through mpirun ranks."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import Service, client, generate  # noqa: E402

DEVICE = ("--device", "cuda-emulated", "--max-num-batched-tokens", "128")


class Emulated(unittest.TestCase):
    def test_any_number_of_ranks_answers_sums(self):
        # 16 at once; the bundled model knows these by heart, so rounding to 16 bits changes none.
        sums = [(a, b) for a in (2, 3, 4, 5) for b in (1, 3, 6, 8)]
        requests = "".join(json.dumps({"id": str(i), "temperature": 0, "max_tokens": 16,
                                       "messages": [{"role": "user", "content": f"What is {a} + {b}?"}]}) + "\n"
                           for i, (a, b) in enumerate(sums))
        for ranks in (1, 2, 3):
            with self.subTest(ranks=ranks), Service(*DEVICE, ranks=ranks, start_s=120) as service:
                done = client("batch", "--server", service.address, "--input", "-", "--output", "-",
                              stdin=requests, timeout=400)
                self.assertEqual(done.returncode, 0, done.stderr)
                answers = {int(a["id"]): a["text"] for a in map(json.loads, done.stdout.splitlines())}
                self.assertEqual(answers, {i: f"{a} + {b} = {a + b}." for i, (a, b) in enumerate(sums)})

    def test_company_and_chunks_change_no_token(self):
        flags = ("--prompt", "Once upon a time " * 12, "--temperature", "1", "--seed", "5", "--max-tokens", "6")
        tokens = []
        for step_tokens in ("128", "48"):
            with Service(*DEVICE[:2], "--max-num-batched-tokens", step_tokens, "--max-num-seqs", "8",
                         ranks=1, start_s=120) as service:
                tokens.append(generate(service, *flags)["token_ids"])
        self.assertEqual(tokens[0], tokens[1])

    def test_refuses_what_the_device_cannot(self):
        for flags, message in ((("--dtype", "float32"), "--dtype: is F32, allowed: BF16, F16 on CUDA devices"),
                               (("--kv-cache-dtype", "float32"), "--kv-cache-dtype: is F32, allowed: BF16"),
                               (("--dtype", "float16"), "dtype is BF16, allowed with activations in F16: F16, F32")):
            with self.subTest(flags=flags), self.assertRaises(Exception) as caught:
                with Service(*DEVICE, *flags, ranks=1):
                    pass
            self.assertIn(message, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
