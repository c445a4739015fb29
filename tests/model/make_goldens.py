#!/usr/bin/env python3
"""Writes tests/model/goldens/*.json: what transformers (float32) answers on small models.

    make_goldens.py [NAME ...]        needs torch 2.13.0 and transformers; the names are those of MODELS below

Each file holds a config, the seed of its dummy weights (or the folder of a checkpoint, relative to the repository),
prompts, greedy tokens with the margin of each choice, and the logits of each prompt's last row. Where devices that
compute in 16 bits know the head size, "narrow" says how far transformers in that type is from itself in float32: of
those logits together the root mean square and the largest. No weights are stored: model/dummy_weights.h and
dummy_weights.py make the same ones.
"""

import json
import pathlib
import random
import sys
import tempfile

import reference

STEPS = 64
DEVICE_HEAD_SIZES = (64, 128)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}


def config(hidden, heads, kv_heads, head_dim, ffn, vocab, layers, tied, dtype="bfloat16", theta=1e6, **more):
    return {"hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "head_dim": head_dim, "intermediate_size": ffn, "vocab_size": vocab, "num_hidden_layers": layers,
            "tie_word_embeddings": tied, "torch_dtype": dtype, "rope_theta": theta, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 512, **more}


MODELS = {
    "tied_14_2": config(192, 14, 2, 64, 352, 1003, 4, True),
    "tied_12_2_head128": config(256, 12, 2, 128, 512, 1024, 3, True),
    "untied_28_4": config(224, 28, 4, 64, 448, 777, 3, False),
    "untied_12_2_head128": config(192, 12, 2, 128, 100, 1003, 3, False, theta=10000.0),
    "untied_3_1_f16": config(100, 3, 1, 64, 100, 130, 4, False, "float16"),
    "tied_7_7_f32": config(63, 7, 7, 6, 64, 70, 3, True, "float32"),
    "yarn_8_2": config(128, 8, 2, 64, 192, 500, 3, True, theta=10000.0, rope_scaling=YARN),
    "llama3_5_5": config(160, 5, 5, 32, 130, 300, 3, False, "float32", rope_scaling=LLAMA3),
    "linear_6_3": config(96, 6, 3, 16, 200, 257, 2, True, "float32",
                         rope_scaling={"type": "linear", "factor": 2.0}),
}
CHECKPOINTS = {"bundled": "launch/demo/model"}


def rounded(values):
    return [float(f"{v:.6g}") for v in values]


def narrow_errors(oracle, shape, prompts, answers):
    import numpy as np
    import torch

    dtype = shape.get("dtype", shape.get("torch_dtype"))
    dtype = "bfloat16" if dtype == "float32" else dtype
    model = reference.narrow(oracle, getattr(torch, dtype))
    errors = np.concatenate([model(torch.tensor([prompt])).logits[0, -1].float().numpy() - answer["logits"][-1]
                             for prompt, answer in zip(prompts, answers, strict=True)])
    return {"dtype": dtype, "error": float(f"{np.sqrt(np.mean(errors ** 2)):.4g}"),
            "largest_error": float(f"{np.abs(errors).max():.4g}")}


def golden(name):
    rng = random.Random(name)
    with tempfile.TemporaryDirectory() as scratch:
        if name in CHECKPOINTS:
            folder, seed = reference.ROOT / CHECKPOINTS[name], None
            shape = json.loads((folder / "config.json").read_text())
            result = {"checkpoint": CHECKPOINTS[name]}
        else:
            folder, seed, shape = scratch, len(name), MODELS[name]
            reference.write_config(folder, shape)
            shape = json.loads(pathlib.Path(folder, "config.json").read_text())
            result = {"dummy_seed": seed, "config": shape}
        vocab = min(shape["vocab_size"], 2000)  # beyond lie the bundled model's special tokens
        prompts = [[rng.randrange(vocab) for _ in range(n)] for n in (1, 9, 70, 130)]
        oracle = reference.load_reference(folder, seed)
        answers = reference.reference_run(oracle, prompts, STEPS)
        if shape.get("head_dim", shape["hidden_size"] // shape["num_attention_heads"]) in DEVICE_HEAD_SIZES:
            result["narrow"] = narrow_errors(oracle, shape, prompts, answers)
    result["runs"] = [{"prompt": prompt, "tokens": answer["tokens"], "margins": rounded(answer["margins"]),
                       "tolerance": reference.logit_tolerance(shape, answer["logits"]),
                       "last_logits": rounded(answer["logits"][-1])}
                      for prompt, answer in zip(prompts, answers, strict=True)]
    return result


def main():
    folder = pathlib.Path(__file__).parent / "goldens"
    folder.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*MODELS, *CHECKPOINTS]:
        path = folder / f"{name}.json"
        path.write_text(json.dumps(golden(name), separators=(",", ":")).replace('{"prompt"', '\n{"prompt"') + "\n")
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
