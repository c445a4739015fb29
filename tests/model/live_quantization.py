#!/usr/bin/env python3
"""Compares --quantization with transformers on the weights that its integers stand for, and says what it costs.

    live_quantization.py

Random models: logits and greedy tokens as in live_parity.py, at N = 1, 2, 3 and 5, where shards cut groups. The bundled
model: perplexity of the answers to its held-out questions and the KL divergence from its own weights stay within the limits
below; and the folders that `phalanx quantize` makes of it are to transformers, whose reader of compressed-tensors is not ours,
the model that we serve from them.
Exit code 0: so it is; 1: it is not; 77: torch, transformers or compressed-tensors is missing.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

STEPS = 24
PROMPTS = [[5, 250, 17, 99, 123], [1], [(i * 31 + 7) % 2000 for i in range(70)]]
RANKS = [1, 2, 3, 5]
MOST_PERPLEXITY = {"int8": 1.001, "int4": 1.003}
MOST_DIVERGENCE = {"int8": 1e-5, "int4": 5e-4}
SHAPES = [
    {"num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": 32, "hidden_size": 224, "intermediate_size": 517,
     "dtype": "bfloat16", "tie_word_embeddings": True},
    {"num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 80, "hidden_size": 100, "intermediate_size": 448,
     "dtype": "float32", "tie_word_embeddings": False},
]
BASE = {"num_hidden_layers": 2, "vocab_size": 1003, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0}


def compare_runs(config, expected, runs, what):
    """What is wrong with model_tool's runs beside the reference's, in words."""
    import numpy as np
    import reference

    failures = []
    worst = 0.0
    for run in runs:
        for i, want in enumerate(expected):
            allowed = reference.logit_tolerance(config, want["logits"])
            differ = float(np.max(np.abs(run["logits"][i] - want["logits"])))
            worst = max(worst, differ / allowed)
            if not differ <= allowed:  # NaN fails
                failures.append(f"{what}, N={run['ranks']} prompt {i}: logits differ by {differ:.3g}, allowed {allowed:.3g}")
            _, _, mismatch = reference.compare_tokens(want["tokens"], want["margins"], run["tokens"][i])
            if mismatch is not None:
                failures.append(f"{what}, N={run['ranks']} prompt {i}: another token at step {mismatch}")
    print(f"{what}: logits differ by at most {worst:.2f} of what is allowed")
    return failures


def compare_shape(config, seed, mode):
    import quantization
    import reference

    prompts = [[(seed * 7919 + i * i * 31 + i) % config["vocab_size"] for i in range(n)] for n in (1, 9, 70)]
    with tempfile.TemporaryDirectory() as folder:
        reference.write_config(folder, config)
        oracle = quantization.quantize_model(reference.load_reference(folder, seed), mode)
        expected = reference.reference_run(oracle, prompts, STEPS)
        runs = reference.run_tool(folder, prompts, RANKS, STEPS, dummy_seed=seed, chunk=48, quantization=mode)
    return compare_runs(config, expected, runs, f"{mode}, hidden {config['hidden_size']}")


def log_softmax(logits):
    import numpy as np

    logits = logits.astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def held_out(folder):
    """(tokens, number of them that are the question) of each held-out question and its answer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for line in (folder.parent / "heldout.jsonl").read_text().splitlines():
        record = json.loads(line)
        prompt = record.get("prompt") or tokenizer.apply_chat_template(
            record["messages"], tools=record.get("tools"), tokenize=False, add_generation_prompt=True)
        question = tokenizer(prompt, add_special_tokens=False).input_ids
        yield question + tokenizer(record["expected"], add_special_tokens=False).input_ids, len(question)


def measure_bundled(folder):
    import numpy as np
    import reference

    texts = list(held_out(folder))

    def log_p(mode, narrow):
        run = reference.run_tool(folder, [ids for ids, _ in texts], [1], 0, quantization=mode, narrow=narrow)[0]
        return [log_softmax(logits[begin - 1:-1]) for logits, (_, begin) in zip(run["logits"], texts)]

    def perplexity(rows):
        chosen = [p for row, (ids, begin) in zip(rows, texts) for p in row[np.arange(len(ids) - begin), ids[begin:]]]
        return math.exp(-float(np.mean(chosen)))

    failures = []
    plain = log_p("none", False)
    base = perplexity(plain)
    print(f"bundled model, answers to {len(texts)} held-out questions: perplexity {base:.4f}")
    for mode, most in MOST_PERPLEXITY.items():
        for narrow in (False, True):
            rows = log_p(mode, narrow)
            ratio = perplexity(rows) / base
            divergence = float(np.mean([kl for a, b in zip(plain, rows) for kl in (np.exp(a) * (a - b)).sum(-1)]))
            name = f"{mode}, {'bfloat16' if narrow else 'float32'}"
            print(f"  {name}: perplexity {ratio:.4f} times that, at most {most}; "
                  f"mean KL divergence {divergence:.6f}, at most {MOST_DIVERGENCE[mode]}")
            if not ratio <= most:
                failures.append(f"{name}: perplexity is {ratio:.4f} times that of the model's own weights, at most {most}")
            if not divergence <= MOST_DIVERGENCE[mode]:
                failures.append(f"{name}: KL divergence is {divergence:.3g}, at most {MOST_DIVERGENCE[mode]}")
    return failures


def compare_folder(folder, mode):
    import reference
    from compressed_tensors.quantization import disable_quantization

    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch, "made")
        tool = pathlib.Path(reference.tool_path()).parents[1] / "bin/phalanx"
        subprocess.run([tool, "quantize", "--model", folder, "--output", made, "--scheme", mode], check=True)
        config = json.loads((made / "config.json").read_text())
        runs = reference.run_tool(made, PROMPTS, RANKS, STEPS, chunk=48)
        oracle = reference.load_reference(made)
        oracle.apply(disable_quantization)  # of activations; the weights are what they are
        expected = reference.reference_run(oracle, PROMPTS, STEPS)
    return compare_runs(config, expected, runs, f"folder of {mode}, read by transformers")


def main():
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    try:
        import compressed_tensors  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as missing:
        print(f"skipped: {missing}")
        return 77
    torch.set_grad_enabled(False)
    import reference

    failures = []
    for seed, shape in enumerate(SHAPES, 1):
        for mode in ("int8", "int4"):
            failures += compare_shape(BASE | shape, seed, mode)
    failures += measure_bundled(reference.ROOT / "launch/demo/model")
    for mode in ("int8", "int4"):
        failures += compare_folder(reference.ROOT / "launch/demo/model", mode)
    print("\n".join(failures) or "equal")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
