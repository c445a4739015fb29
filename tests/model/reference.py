"""The oracle: transformers in float32 on a model folder or on dummy weights, and the comparison rules."""

import copy
import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

TIE_MARGIN = 1e-3  # in log-probability: below it the oracle's choice is not binding
ROOT = pathlib.Path(__file__).resolve().parents[2]


def tool_path():
    """model_tool of the release build, or the one that PHALANX_MODEL_TOOL names."""
    return os.environ.get("PHALANX_MODEL_TOOL", str(ROOT / "build/release/tests/model_tool"))


def write_config(folder, config):
    base = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu"}
    pathlib.Path(folder, "config.json").write_text(json.dumps(base | config, indent=1))


def load_reference(folder, dummy_seed=None):
    """Qwen2ForCausalLM in float32; with a seed the dummy weights, rounded to the config's dtype and widened."""
    import torch
    from transformers import AutoConfig, Qwen2ForCausalLM

    from dummy_weights import dummy_tensor

    torch.set_grad_enabled(False)
    torch.set_num_threads(1)  # small products: more threads only wait for each other
    if dummy_seed is None:
        return Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    config = AutoConfig.from_pretrained(folder)
    raw = json.loads(pathlib.Path(folder, "config.json").read_text())
    dtype = getattr(torch, raw.get("dtype", raw.get("torch_dtype", "bfloat16")))
    config.dtype = torch.float32
    config._attn_implementation = "eager"
    model = Qwen2ForCausalLM(config).float().eval()
    for name, parameter in model.named_parameters():  # a tied head is listed once, as the embedding
        values = torch.from_numpy(dummy_tensor(dummy_seed, name, tuple(parameter.shape)))
        parameter.copy_(values.to(dtype).float())
    return model


def narrow(model, dtype):
    """The model in a 16-bit type, as from_pretrained loads it: rotary frequencies stay in float32."""
    frequencies = model.model.rotary_emb.inv_freq.clone()
    model = copy.deepcopy(model).to(dtype)
    model.model.rotary_emb.inv_freq = frequencies
    return model


def reference_run(model, prompts, max_tokens):
    """Per prompt: logits of the prompt's rows [tokens, vocab], greedy tokens, margins of each choice."""
    import torch

    results = []
    for prompt in prompts:
        output = model(torch.tensor([prompt]), use_cache=True)
        prompt_logits = output.logits[0].numpy()
        tokens, margins = [], []
        while len(tokens) < max_tokens:
            top = torch.topk(output.logits[0, -1].double(), 2)
            tokens.append(int(top.indices[0]))
            margins.append(float(top.values[0] - top.values[1]))  # the normalizer cancels
            if len(tokens) < max_tokens:
                output = model(torch.tensor([[tokens[-1]]]), past_key_values=output.past_key_values, use_cache=True)
        results.append({"logits": prompt_logits, "tokens": tokens, "margins": margins})
    return results


def logit_tolerance(config, logits):
    """How far two float32 evaluations may differ.

    Each of the 2 L sublayers and the head is a chain of K products whose rounding errors add up like a random walk,
    eps sqrt(K) of the result's norm; the residual stream adds the sublayers' errors, again at random. Eight such
    deviations bound the largest of some 10^6 compared logits, whose scale is the largest logit.
    """
    width = max(config["hidden_size"], config["intermediate_size"])
    deviation = 2.0**-24 * np.sqrt(width) * np.sqrt(2 * config["num_hidden_layers"] + 1)
    return 8 * deviation * max(1.0, float(np.abs(logits).max()))


def compare_tokens(expected, margins, actual):
    """(steps that agree, ties, step of a real mismatch or None). A tie decided differently ends the comparison."""
    for step, (want, got) in enumerate(zip(expected, actual, strict=True)):
        if want != got:
            return (step, 1, None) if margins[step] <= TIE_MARGIN else (step, 0, step)
    return len(expected), 0, None


def run_tool(folder, prompts, ranks, max_tokens, dummy_seed=None, chunk=512, isa="", trace=False, out_dir=None,
             device="cpu", narrow=False, quantization="none"):
    """model_tool's runs, with activations of the model's own type where narrow; each gains "logits", per prompt [tokens, vocab]."""
    config = json.loads(pathlib.Path(folder, "config.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(out_dir or scratch)
        request = {"model": str(folder), "ranks": ranks, "prompts": prompts, "max_tokens": max_tokens,
                   "chunk": chunk, "isa": isa, "device": device, "narrow": narrow, "trace": trace,
                   "quantization": quantization}
        if dummy_seed is not None:
            request["dummy_seed"] = dummy_seed
        request_path = out / "request.json"
        request_path.write_text(json.dumps(request))
        subprocess.run([tool_path(), str(request_path), str(out)], check=True)
        runs = json.loads((out / "result.json").read_text())["runs"]
        for i, run in enumerate(runs):
            run["logits"] = [np.fromfile(out / f"logits.{i}.{j}.f32", np.float32).reshape(-1, config["vocab_size"])
                             for j in range(len(prompts))]
    return runs
