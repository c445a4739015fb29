#!/usr/bin/env python3
"""Compares 16-bit activations with transformers in the same type: the CUDA kernels' on an emulated device, the CPU's
on its best instruction set and without SIMD.

    live_16_bit.py                  what computes here without a GPU
    live_16_bit.py --device cuda    a device of the build whose model_tool $PHALANX_MODEL_TOOL names

Both are measured against transformers in float32 on the same weights: over all logits of the prompts, the kernels'
root-mean-square error is at most twice that of transformers in the 16-bit type. Greedy tokens are equal wherever the
oracle's two best differ by more than four times the largest error of transformers; a closer choice that is made
differently ends that sequence. A prompt of more than 64 tokens beside 16 short ones, in one batch, at N = 1, 2 and 3.
Exit code 0: so it is; 1: it is not; 77: torch or transformers is missing.
"""

import argparse
import pathlib
import random
import sys
import tempfile

STEPS = 4
RANKS = [1, 2, 3]
CHUNK = 48
SHAPES = [  # of dummy weights: head_dim 64 with groups of 7, head_dim 128; uneven shards
    {"num_attention_heads": 7, "num_key_value_heads": 1, "head_dim": 64, "hidden_size": 128, "intermediate_size": 328,
     "dtype": "bfloat16", "tie_word_embeddings": True},
    {"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 128, "hidden_size": 100, "intermediate_size": 192,
     "dtype": "float16", "tie_word_embeddings": False},
]
BASE = {"num_hidden_layers": 2, "vocab_size": 515, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0}


def backends(dtype, device):
    """(name, arguments of run_tool) of what computes in this type: the named device, or what needs no GPU."""
    if device:
        yield device, {"device": device}
        return
    yield "emulated device", {"device": "cuda-emulated"}
    if dtype == "bfloat16":  # the only 16-bit type of CPUs
        yield "CPU", {}
        yield "CPU without SIMD", {"isa": "portable"}


def compare(name, folder, seed, dtype, device):
    import numpy as np
    import reference
    import torch

    rng = random.Random(7)
    vocab_size = min(515, reference.load_reference(folder, seed).config.vocab_size)
    prompts = [[rng.randrange(vocab_size) for _ in range(n)] for n in [70] + [1 + i % 6 for i in range(16)]]
    oracle = reference.load_reference(folder, seed)
    expected = reference.reference_run(oracle, prompts, STEPS)
    theirs = [reference.narrow(oracle, getattr(torch, dtype))(torch.tensor([p])).logits[0].float().numpy() for p in prompts]

    def errors(logits):
        return np.concatenate([(got - want["logits"]).ravel() for got, want in zip(logits, expected, strict=True)])

    allowed = 2 * np.sqrt(np.mean(errors(theirs) ** 2))
    margin = 4 * float(np.abs(errors(theirs)).max())
    failures = []
    for backend, run in ((backend, run) for backend, arguments in backends(dtype, device)
                         for run in reference.run_tool(folder, prompts, RANKS, STEPS, dummy_seed=seed, chunk=CHUNK,
                                                       narrow=True, **arguments)):
        where = f"{backend}, N={run['ranks']}"
        error = np.sqrt(np.mean(errors(run["logits"]) ** 2))
        agreed = ties = 0
        for i, want in enumerate(expected):
            for step, (token, got) in enumerate(zip(want["tokens"], run["tokens"][i], strict=True)):
                if token == got:
                    agreed += 1
                    continue
                ties += 1
                if want["margins"][step] > margin:
                    failures.append(f"{where} prompt {i}: step {step} gives {got}, expected {token}, "
                                    f"margin {want['margins'][step]:.3g}, binding from {margin:.3g} on")
                break
        if not error <= allowed:  # NaN fails
            failures.append(f"{where}: error {error:.3g}, allowed {allowed:.3g}")
        print(f"{name}, {dtype}, {where}: error {error:.3g}, transformers' {allowed / 2:.3g}; "
              f"{agreed} greedy steps equal, {ties} close choices made differently", flush=True)
    for failure in failures:
        print("  " + failure)
    return not failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cuda-emulated"), help="this one alone")
    device = parser.parse_args().device
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}")
        return 77
    import reference

    good = compare("bundled model", reference.ROOT / "launch/demo/model", None, "bfloat16", device)
    for seed, shape in enumerate(SHAPES):
        with tempfile.TemporaryDirectory() as folder:
            reference.write_config(pathlib.Path(folder), BASE | shape)
            good &= compare(f"heads of {shape['head_dim']}", folder, seed, shape["dtype"], device)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
