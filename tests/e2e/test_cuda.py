"""The whole service on the CUDA kernels, which an emulated device executes: right answers through mpirun ranks."""

import json
import pathlib
import re
import struct
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import BIN, Service, client, generate  # noqa: E402

DEVICE = ("--device", "cuda-emulated", "--max-num-batched-tokens", "128")

# What sampling does on the device, alone and together.
SAMPLED = [
    {"temperature": 1.7},
    {"temperature": 1.6, "top_k": 12, "logprobs": 2},
    {"temperature": 1.8, "top_p": 0.7},
    {"temperature": 1.7, "min_p": 0.02},
    {"temperature": 0, "repetition_penalty": 1.5, "logit_bias": {"300": 4, "265": -100}, "logprobs": 1},
    {"temperature": 1.5, "presence_penalty": 1.0, "frequency_penalty": 0.5, "top_p": 0.9},
    {"temperature": 0.9, "structured_outputs": {"regex": "[a-z]{3} [0-9]{3}"}},
    {"temperature": 1.0, "allowed_token_ids": [260, 300, 400, 500, 1900], "min_tokens": 3},
]


def sample_all(service):
    """The answers to SAMPLED, asked at once."""
    requests = "".join(json.dumps({"id": str(i), "prompt": "Once", "seed": 11 + i, "max_tokens": 4,
                                   **parameters}) + "\n" for i, parameters in enumerate(SAMPLED))
    done = client("batch", "--server", service.address, "--input", "-", "--output", "-", stdin=requests, timeout=400)
    if done.returncode != 0:
        raise RuntimeError(f"{done.stderr}{done.stdout}")
    return {int(a["id"]): a["text"] for a in map(json.loads, done.stdout.splitlines())}


PAGE = 4096
UNAVAILABLE = 3
DEVICE_ADDRESSES = 16 << 30


def device_memory(pid: int) -> tuple[int, int]:
    """Where a rank's emulated device has its memory: many addresses, few of them touched."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        begin, end = (int(word, 16) for word in line.split()[0].split("-"))
        # What the race detector remembers lies below it, and may be shown as one range with it.
        if end - begin >= DEVICE_ADDRESSES:
            return end - DEVICE_ADDRESSES, end
    raise RuntimeError(f"process {pid} has no emulated device")


def touched(pid: int, begin: int, end: int) -> list[tuple[int, int]]:
    """Its touched pages, as ranges of addresses."""
    found: list[tuple[int, int]] = []
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(begin // PAGE * 8)
        for first in range(begin, end, PAGE << 16):
            words = pagemap.read(8 << 16)
            if not words.strip(b"\0"):
                continue
            for i, (word,) in enumerate(struct.iter_unpack("<Q", words)):
                address = first + i * PAGE
                if word >> 62 == 0:
                    continue
                if found and found[-1][1] == address:
                    found[-1] = (found[-1][0], address + PAGE)
                else:
                    found.append((address, address + PAGE))
    return found


def break_positions(pid: int, num_tokens: int, until: float) -> None:
    """As a fault of a device's memory would: waits for a step's positions and changes one of them."""
    begin, end = device_memory(pid)
    positions = struct.pack(f"<{num_tokens}i", *range(num_tokens))
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        while time.monotonic() < until:
            for low, high in touched(pid, begin, end):
                memory.seek(low)
                at = memory.read(high - low).find(positions)
                if at >= 0:
                    memory.seek(low + at + 4 * (num_tokens - 1))
                    memory.write(struct.pack("<i", 0x40000000))
                    return
    raise RuntimeError("no step with these positions")


class Emulated(unittest.TestCase):
    def test_any_number_of_ranks_answers_sums(self):
        # 16 at once; the bundled model knows these by heart, so rounding to 16 bits changes none.
        sums = [(a, b) for a in (2, 3, 4, 5) for b in (1, 3, 6, 8)]
        requests = "".join(json.dumps({"id": str(i), "temperature": 0, "max_tokens": 16,
                                       "messages": [{"role": "user", "content": f"What is {a} + {b}?"}]}) + "\n"
                           for i, (a, b) in enumerate(sums))
        sampled = []
        for ranks in (1, 2, 3):
            with self.subTest(ranks=ranks), Service(*DEVICE, ranks=ranks, start_s=120) as service:
                done = client("batch", "--server", service.address, "--input", "-", "--output", "-",
                              stdin=requests, timeout=400)
                self.assertEqual(done.returncode, 0, done.stderr)
                answers = {int(a["id"]): a["text"] for a in map(json.loads, done.stdout.splitlines())}
                self.assertEqual(answers, {i: f"{a} + {b} = {a + b}." for i, (a, b) in enumerate(sums)})
                sampled.append(sample_all(service))
                self.check_memory(service, ranks)
        # Sums over ranks differ in their last bits, which decides between none of these tokens.
        self.assertEqual(sampled[1:], sampled[:1] * 2)
        self.assertRegex(sampled[0][6], "^[a-z]{1,3}( [0-9]{0,3})?$")

    def check_memory(self, service, ranks):
        with urllib.request.urlopen(f"http://{service.http_address}/metrics", timeout=20) as answer:
            page = answer.read().decode()

        def values(name):
            return [float(value) for value in re.findall(rf"^{name}{{.*}} (\S+)$", page, re.MULTILINE)]

        reserved, used, free = (values(f"phalanx_rank_device_memory_{what}_bytes") for what in ("reserved", "used", "free"))
        self.assertEqual([len(reserved), len(used), len(free)], [ranks] * 3)
        for a, b, c in zip(reserved, used, free):
            self.assertTrue(0 < b < a, (b, a))
            self.assertEqual(a + c, reserved[0] + free[0], "all devices are alike")

    def test_company_and_chunks_change_no_token(self):
        flags = ("--prompt", "Once upon a time " * 12, "--temperature", "1", "--seed", "5", "--max-tokens", "6")
        tokens = []
        for step_tokens in ("128", "48"):
            with Service(*DEVICE[:2], "--max-num-batched-tokens", step_tokens, "--max-num-seqs", "8",
                         "--log-level", "debug", "--profile-ops", ranks=1, start_s=120) as service:
                tokens.append(generate(service, *flags)["token_ids"])
            log = "".join(service.stderr_lines)
            # What is held is known by name, and where the time went.
            self.assertRegex(log, r"memory: +\d+ bytes on the device: KV cache, 1 of them\n")
            self.assertRegex(log, r"memory: +\d+ bytes on the device are free\n")
            self.assertRegex(log, r"profile: step +\d+ calls .* 100\.0 %\n")
            self.assertRegex(log, r"profile: linear model\.layers\.\*\.mlp\.down_proj\.weight +\d+ calls ")
        self.assertEqual(tokens[0], tokens[1])

    def test_refuses_what_the_device_cannot(self):
        for flags, message in ((("--dtype", "float32"), "--dtype: is F32, allowed: BF16, F16 on CUDA devices"),
                               (("--kv-cache-dtype", "float32"), "--kv-cache-dtype: is F32, allowed: BF16"),
                               (("--dtype", "float16"), "dtype is BF16, allowed with activations in F16: F16, F32"),
                               (("--emulated-memory-bytes", "2M"), " of 2097152 are free"),
                               (("--emulated-memory-bytes", "48M", "--kv-cache-memory-bytes", "48M"),
                                "--kv-cache-memory-bytes: is 50331648, allowed: at most the")):
            with self.subTest(flags=flags), self.assertRaises(Exception) as caught:
                with Service(*DEVICE, *flags, ranks=1):
                    pass
            self.assertIn(message, str(caught.exception))

    def test_a_failed_kernel_ends_the_group_and_is_named(self):
        # With peers it shows in the forward pass, where they sum; alone, where tokens are sampled.
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                self.fail_a_kernel(ranks)

    def fail_a_kernel(self, ranks):
        # 100 tokens of one step; what the rest of the service sends has other positions.
        num_tokens = 100
        with Service(*DEVICE, ranks=ranks, start_s=120) as service:
            stream = subprocess.Popen(
                [str(BIN / "phalanx"), "generate", "--server", service.address, "--prompt-ids",
                 ",".join(str(20 + i % 50) for i in range(num_tokens)), "--max-tokens", "8"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            victim = service.ranks()[-1]
            break_positions(victim, num_tokens, until=time.monotonic() + 30)
            began = time.monotonic()
            _, err = stream.communicate(timeout=60)
            self.assertEqual(stream.returncode, UNAVAILABLE, err)
            service.process.wait(timeout=60)
            ended_s = time.monotonic() - began
            print(f"a broken position: the group has ended after {ended_s:.2f} s")
            self.assertLess(ended_s, 5)
            self.assertEqual(service.left_over(), [])
            service.finish_collecting()
            log = "".join(service.stderr_lines)
            # Positions that two rows share are a race, found before or after what lies behind the table.
            fault = r"step \d+: kernel qkv_rope_append, block .*, thread \d+: (reads 16 bytes|writes global memory)"
            # Rank 0's last words to the coordinator do not say whose they are.
            rank = f"rank {ranks - 1}: " if ranks > 1 else ""
            self.assertRegex(log, f" C worker: INTERNAL: rank {ranks - 1}: " + fault)
            self.assertRegex(log, " E coordinator: worker group lost: " + rank + fault)
            self.assertRegex(err, rank + fault)


if __name__ == "__main__":
    unittest.main()
