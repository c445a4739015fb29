#!/usr/bin/env python3
"""Compares Phalanx with transformers on random models, prompts and rank counts, fresh each time.

    live_parity.py [--seed S] [--models M] [--seconds T]

Exit code 0: equal; 1: a mismatch (the line says how to repeat it); 77: torch or transformers is missing. Rules:
logits within reference.logit_tolerance; greedy tokens equal over 64 steps wherever the oracle's two best differ by
more than 1e-3 in log-probability; a tie that is decided differently ends that sequence and is counted.
"""

import argparse
import random
import sys
import tempfile
import time

STEPS = 64
RANKS = [1, 2, 3, 4, 5, 7, 8, 9]


def random_config(rng):
    heads, kv_heads = rng.choice([(14, 2), (12, 2), (28, 4), (16, 2), (4, 4), (3, 1), (6, 3), (7, 7), (5, 5), (1, 1)])
    config = {
        "hidden_size": rng.choice([64, 96, 100, 192, 224, 256, 321]),
        "intermediate_size": rng.choice([64, 100, 352, 448, 511, 704]),
        "num_hidden_layers": rng.randint(1, 5),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": rng.choice([64, 64, 128, 128, 32, 80, 6]),
        "vocab_size": rng.choice([70, 512, 1003, 1536, 2048, 4099]),
        "max_position_embeddings": 1024,
        "rms_norm_eps": rng.choice([1e-6, 1e-5]),
        "tie_word_embeddings": rng.random() < 0.5,
    }
    theta = rng.choice([10000.0, 1000000.0])
    scaling = rng.choice([
        None, None, None,
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "dynamic", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
        {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "truncate": False,
         "beta_fast": 16, "mscale": 1.0, "mscale_all_dim": 0.5},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 128},
    ])
    if rng.random() < 0.5:  # as transformers 4 writes it
        config |= {"rope_theta": theta, "rope_scaling": scaling, "torch_dtype": "bfloat16"}
    else:  # as transformers 5 writes it
        config |= {"rope_parameters": {"rope_type": "default", "rope_theta": theta} | (scaling or {}),
                   "dtype": rng.choice(["bfloat16", "float16", "float32"])}
    return config


def compare_model(seed, totals):
    import numpy as np
    import reference

    rng = random.Random(seed)
    config = random_config(rng)
    ranks = [1] + rng.sample(RANKS[1:], 3)
    chunk = rng.choice([1, 7, 64, 512])
    prompts = [[rng.randrange(config["vocab_size"]) for _ in range(n)]
               for n in (1, rng.randint(2, 20), rng.randint(21, 90), rng.randint(100, 300))]
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        reference.write_config(folder, config)
        expected = reference.reference_run(reference.load_reference(folder, seed), prompts, STEPS)
        runs = reference.run_tool(folder, prompts, ranks, STEPS, dummy_seed=seed, chunk=chunk)
    for run in runs:
        for i, want in enumerate(expected):
            tolerance = reference.logit_tolerance(config, want["logits"])
            worst = float(np.max(np.abs(run["logits"][i] - want["logits"])))
            if not worst <= tolerance:  # NaN fails
                failures.append(f"N={run['ranks']} prompt {i}: logits differ by {worst:.3g}, allowed {tolerance:.3g}")
            agreed, ties, mismatch = reference.compare_tokens(want["tokens"], want["margins"], run["tokens"][i])
            if mismatch is not None:
                failures.append(f"N={run['ranks']} prompt {i}: step {mismatch} gives {run['tokens'][i][mismatch]}, "
                                f"expected {want['tokens'][mismatch]}, margin {want['margins'][mismatch]:.3g}")
            totals["logits"] += want["logits"].size
            totals["steps"] += agreed
            totals["ties"] += ties
            totals["worst"] = max(totals["worst"], worst / tolerance)
            totals["worst_abs"] = max(totals["worst_abs"], worst)
    state = "FAILED" if failures else "ok"
    print(f"seed {seed} ranks {ranks} chunk {chunk}: {state}  {config if failures else ''}", flush=True)
    for failure in failures:
        print("  " + failure)
    return not failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="of the first model; each further one adds 1 (default: the clock)")
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}")
        return 77
    first = arguments.seed if arguments.seed is not None else int(time.time()) * 1000
    totals = {"logits": 0, "steps": 0, "ties": 0, "worst": 0.0, "worst_abs": 0.0}
    start = time.monotonic()
    done = failed = 0
    while done < arguments.models and time.monotonic() - start < arguments.seconds:
        failed += not compare_model(first + done, totals)
        done += 1
    print(f"{done} models, {failed} failed; {totals['logits']} logits, largest difference {totals['worst_abs']:.3g} "
          f"({totals['worst']:.2f} of the tolerance); {totals['steps']} greedy steps equal, {totals['ties']} ties")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
