"""The whole service against transformers on fresh random models, greedy, at several numbers of ranks.

Equal wherever the reference's two best tokens differ by more than 1e-3 in log-probability; where a tie is decided
differently the comparison of that sequence ends. Ties are counted and printed.

So on CPUs in float32. On an emulated GPU in bfloat16, 17 prompts at once, one of them longer than 64 tokens: there a tie
is whatever differs by less than four times the largest error of transformers in bfloat16.
"""

import json
import math
import pathlib
import random
import secrets
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "model"))
from reference import narrow  # noqa: E402
from service import MODEL, Service, client, generate  # noqa: E402

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM  # noqa: E402

TIE = 1e-3
STEPS = 64
EMULATED = ("--device", "cuda-emulated", "--max-num-batched-tokens", "128")
EMULATED_STEPS = 6


def random_model(seed: int, folder: pathlib.Path, vocab_size: int) -> Qwen2ForCausalLM:
    rng = random.Random(seed)
    kv_heads = rng.choice([1, 2, 4])
    head_dim = rng.choice([64, 128])
    heads = kv_heads * rng.choice([1, 3, 7])
    config = Qwen2Config(
        hidden_size=rng.choice([192, 320, 448]), intermediate_size=rng.choice([100, 352, 704]), num_hidden_layers=3,
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_dim, vocab_size=vocab_size,
        max_position_embeddings=2048, rope_theta=rng.choice([1e4, 1e6]), tie_word_embeddings=rng.random() < 0.5,
        initializer_range=0.08)
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    model.to(torch.bfloat16).save_pretrained(folder)  # rounds the rope frequencies, too, so the oracle is loaded anew
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / file, folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def compare(model, prompt: list[int], tokens: list[int], tie: float = TIE) -> tuple[int, int]:
    """Returns (tokens compared, ties decided differently); raises where they differ beyond a tie."""
    logits = model(torch.tensor([prompt + tokens])).logits[0].float()
    for i, token in enumerate(tokens):
        top = torch.log_softmax(logits[len(prompt) + i - 1], -1).topk(2)
        if token == top.indices[0].item():
            continue
        if (top.values[0] - top.values[1]).item() > tie:
            raise AssertionError(f"token {i}: {token}, reference {top.indices.tolist()} {top.values.tolist()}")
        return i, 1
    return len(tokens), 0


@torch.no_grad()
def largest_error(model, prompts: list[list[int]]) -> float:
    """Of the log-probabilities of transformers in bfloat16, whose rotary frequencies stay in float32."""
    narrowed = narrow(model, torch.bfloat16)

    def log_probabilities(which, prompt):
        return torch.log_softmax(which(torch.tensor([prompt])).logits[0].float(), -1)

    return max((log_probabilities(narrowed, prompt) - log_probabilities(model, prompt)).abs().max().item()
               for prompt in prompts)


def compare_emulated(seed: int, vocab: int) -> None:
    """17 prompts at once through ranks that each have an emulated GPU."""
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(seed, pathlib.Path(folder), vocab)
        rng = random.Random(seed)
        prompts = [[rng.randrange(vocab) for _ in range(length)] for length in [70] + [1 + i % 6 for i in range(16)]]
        requests = "".join(json.dumps({"id": str(i), "prompt_ids": prompt, "temperature": 0, "ignore_eos": True,
                                       "max_tokens": EMULATED_STEPS}) + "\n"
                           for i, prompt in enumerate(prompts))
        tie = 4 * largest_error(model, prompts)
        for ranks in (1, 2, 3):
            with Service(*EMULATED, ranks=ranks, model=folder, start_s=120) as service:
                done = client("batch", "--server", service.address, "--input", "-", "--output", "-", stdin=requests,
                              timeout=400)
            assert done.returncode == 0, done.stderr
            answers = {int(answer["id"]): answer["token_ids"] for answer in map(json.loads, done.stdout.splitlines())}
            assert all(len(answers[i]) == EMULATED_STEPS for i in range(len(prompts))), answers
            found = [compare(model, prompt, answers[i], tie) for i, prompt in enumerate(prompts)]
            equal, ties = (sum(column) for column in zip(*found))
            print(f"emulated GPUs, N={ranks}: {equal} tokens equal, {ties} choices closer than {tie:.3g} made differently")
            assert equal > EMULATED_STEPS * len(prompts) // 2, "close choices must not hide the rest"


@torch.no_grad()
def compare_perplexity() -> None:
    """`phalanx eval perplexity` of this project's description, beside the sum of log-probabilities over the same windows."""
    length, stride = 200, 90
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    text = (MODEL.parents[2] / "README.md").read_text()[:6000]
    ids = AutoTokenizer.from_pretrained(MODEL)(text)["input_ids"]
    total, count, scored_to, begin = 0.0, 0, 0, 0
    while scored_to < len(ids):
        window = ids[begin:begin + length]
        log_probabilities = torch.log_softmax(model(torch.tensor([window])).logits[0].double(), -1)
        for i in range(max(scored_to, begin + 1) - begin, len(window)):
            total -= log_probabilities[i - 1, window[i]].item()
            count += 1
        scored_to = begin + len(window)
        begin += stride
    with Service(ranks=2) as service:
        done = client("eval", "perplexity", "--server", service.address, "--file", "-", "--max-length", str(length),
                      "--stride", str(stride), "--json", stdin=text, timeout=120)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    print(f"perplexity {got['perplexity']:.6f}, transformers' {math.exp(total / count):.6f}, {count} tokens")
    assert (got["tokens"], got["scored_tokens"]) == (len(ids), count), got
    assert abs(got["negative_log_likelihood"] - total) < 1e-5 * total, (got, total)


def main() -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    compared = ties = 0
    vocab = AutoModelForCausalLM.from_pretrained(MODEL).config.vocab_size
    compare_perplexity()
    compare_emulated(seed, vocab)
    for number, ranks in enumerate((1, 2, 3, 4, 5, 7, 8)):
        with tempfile.TemporaryDirectory() as folder:
            model = random_model(seed + number, pathlib.Path(folder), vocab)
            rng = random.Random(seed + number)
            with Service(ranks=ranks, model=folder) as service:
                for length in (1, 17, 130):
                    prompt = [rng.randrange(vocab) for _ in range(length)]
                    answer = generate(service, "--prompt-ids", ",".join(map(str, prompt)), "--temperature", "0",
                                      "--max-tokens", str(STEPS), "--ignore-eos")
                    assert len(answer["token_ids"]) == STEPS, answer
                    equal, tie = compare(model, prompt, answer["token_ids"])
                    compared += equal
                    ties += tie
    print(f"{compared} tokens equal, {ties} ties decided differently")
    assert ties <= 2, "ties must be rare"


if __name__ == "__main__":
    main()
