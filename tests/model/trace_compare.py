#!/usr/bin/env python3
"""Shows the first layer whose activations differ from transformers'.

    trace_compare.py MODEL_DIR [--dummy-seed S] [--ranks N] [--prompt-ids 1,2,3] [--isa NAME] [--all]

Runs the prompt through both, prints for each module the largest difference and the allowed one, and exits 1 at the
first module that is outside (--all goes on). Needs torch and transformers; PHALANX_MODEL_TOOL names the tool.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import reference


def module_names(num_layers):
    yield "model.embed_tokens"
    for i in range(num_layers):
        yield from (f"model.layers.{i}.self_attn", f"model.layers.{i}.mlp", f"model.layers.{i}")
    yield "model.norm"


def reference_trace(model, prompt, names):
    import torch

    trace = {}

    def keep(name):
        def hook(_module, _inputs, output):
            trace[name] = (output[0] if isinstance(output, tuple) else output).detach()[0].numpy()
        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    trace["lm_head"] = model(torch.tensor([prompt])).logits[0].numpy()
    for handle in handles:
        handle.remove()
    return {name: value.reshape(len(prompt), -1) for name, value in trace.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--dummy-seed", type=int, help="compare dummy weights instead of the checkpoint")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--prompt-ids", default="1,2,3,4,5,6,7,8")
    parser.add_argument("--isa", default="")
    parser.add_argument("--all", action="store_true", help="go on after the first difference")
    arguments = parser.parse_args()
    prompt = [int(token) for token in arguments.prompt_ids.split(",")]
    config = json.loads(pathlib.Path(arguments.model, "config.json").read_text())
    names = [*module_names(config["num_hidden_layers"])]
    model = reference.load_reference(arguments.model, arguments.dummy_seed)
    expected = reference_trace(model, prompt, names)
    with tempfile.TemporaryDirectory() as scratch:
        run = reference.run_tool(arguments.model, [prompt], [arguments.ranks], 0, dummy_seed=arguments.dummy_seed,
                                 isa=arguments.isa, trace=True, out_dir=scratch)[0]
        actual = {name: np.fromfile(f"{scratch}/trace.0.0.{name}.f32", np.float32).reshape(len(prompt), -1)
                  for name in names}
    actual["lm_head"] = run["logits"][0]
    for name in [*names, "lm_head"]:
        tolerance = reference.logit_tolerance(config, expected[name])
        difference = np.abs(actual[name] - expected[name])
        token, column = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)),
                                         difference.shape)
        same = bool(difference[token, column] <= tolerance)
        print(f"{name:32s} largest difference {difference[token, column]:9.3g}  allowed {tolerance:9.3g}  "
              f"scale {np.abs(expected[name]).max():9.3g}")
        if not same:
            print(f"DIFFERS at token {token}, column {column}: {actual[name][token, column]:.9g}, "
                  f"expected {expected[name][token, column]:.9g}")
            if not arguments.all:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
