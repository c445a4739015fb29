"""Trains the demo model on the CPU and writes it as a Hugging Face folder.

    python launch/demo/train.py --out launch/demo/model

The text is generated (tasks.py, stories.py, knowledge.py, tools.py) from a seed; held-out questions
are left out by split.py. The loss counts only what the assistant says.
"""

import argparse
import json
import math
import random
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

import conversations
import tokenizer as bpe

HERE = Path(__file__).parent
NUM_TOKENIZER_DOCUMENTS = 30000
IGNORED = -100


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the model to write")
    parser.add_argument("--work", type=Path, default=Path("build/demo-train"),
                        help="folder for the checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=10, help="rows per step")
    parser.add_argument("--row-tokens", type=int, default=512)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--warmup", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=200)
    return parser.parse_args()


def make_tokenizer(seed):
    """Returns the tokenizer, trained on a sample of the corpus without its added tokens."""
    rng = random.Random(f"tokenizer/{seed}")
    added = bpe.SPECIAL_TOKENS + bpe.TAG_TOKENS

    def texts():
        for _ in range(NUM_TOKENIZER_DOCUMENTS):
            text = "".join(segment for segment, _ in conversations.sample_document(rng))
            for token in added:
                text = text.replace(token, "\0")
            yield from text.split("\0")

    return bpe.train(texts())


def model_config(tokenizer):
    end = tokenizer.token_to_id("<|im_end|>")
    return Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        hidden_act="silu",
        max_position_embeddings=4096,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        use_sliding_window=False,
        attention_dropout=0.0,
        bos_token_id=tokenizer.token_to_id("<|endoftext|>"),
        eos_token_id=end,
        initializer_range=0.02,
    )


def check_rendering(folder, rng):
    """The generator's own rendering must be what the chat template renders, token for token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    request = conversations.tools.sample_request(rng)
    examples = [
        conversations.Conversation(conversations.tool_turns(request),
                                   conversations.tools.offer(request, rng)),
        conversations.Conversation([{"role": "system", "content": "Be brief."},
                                    conversations.user("Hi"), conversations.assistant("Hello!")]),
    ]
    for example in examples:
        segments = conversations.render(example)
        expected = tokenizer.apply_chat_template(example.messages, tools=example.tools or None,
                                                 tokenize=False)
        assert "".join(text for text, _ in segments) == expected, expected
        pieces = [i for text, _ in segments
                  for i in tokenizer(text, add_special_tokens=False).input_ids]
        assert pieces == tokenizer(expected, add_special_tokens=False).input_ids, expected


class Packer:
    """Fills rows with whole documents; no token sees another document."""

    def __init__(self, tokenizer, num_rows, row_tokens):
        self.tokenizer, self.num_rows, self.row_tokens = tokenizer, num_rows, row_tokens
        self.tokens_packed = 0  # padding left out

    def encode(self, document):
        ids, labels = [], []
        encoded = self.tokenizer.encode_batch([text for text, _ in document],
                                              add_special_tokens=False)
        for (_, is_target), piece in zip(document, encoded):
            ids += piece.ids
            labels += piece.ids if is_target else [IGNORED] * len(piece.ids)
        return ids, labels

    def batch(self, rng):
        """input_ids, labels (already shifted), position_ids, mask: of one step."""
        shape = (self.num_rows, self.row_tokens)
        input_ids = np.zeros(shape, np.int64)
        labels = np.full(shape, IGNORED, np.int64)
        positions = np.zeros(shape, np.int64)
        documents = np.full(shape, -1, np.int64)
        used = [0] * self.num_rows
        count = failures = 0
        while failures < 6:
            ids, targets = self.encode(conversations.sample_document(rng))
            size = len(ids)
            row = next((r for r in range(self.num_rows) if used[r] + size <= self.row_tokens), None)
            if row is None:
                failures += 1
                continue
            at = slice(used[row], used[row] + size)
            input_ids[row, at] = ids
            labels[row, at] = targets[1:] + [IGNORED]
            positions[row, at] = np.arange(size)
            documents[row, at] = count
            used[row] += size
            count += 1
        self.tokens_packed += sum(used)
        same = documents[:, :, None] == documents[:, None, :]
        mask = same & np.tri(self.row_tokens, dtype=bool)
        return tuple(map(torch.from_numpy, (input_ids, labels, positions, mask[:, None])))


def loss_of(model, batch):
    """Mean cross entropy of the target tokens; logits are made for them only."""
    input_ids, labels, positions, mask = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=input_ids, position_ids=positions,
                             attention_mask={"full_attention": mask},
                             use_cache=False).last_hidden_state
        wanted = labels != IGNORED
        logits = model.lm_head(hidden[wanted])
    return torch.nn.functional.cross_entropy(logits.float(), labels[wanted])


def learning_rate(step, args):
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    progress = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def make_optimizers(model):
    """Muon (Jordan et al., 2024) for the matrices of the layers, AdamW for all else.

    Muon learns to copy and to carry in about half of AdamW's steps here.
    """
    embedding = model.get_input_embeddings().weight
    matrices = [p for p in model.parameters() if p.dim() == 2 and p is not embedding]
    others = [p for p in model.parameters() if p.dim() != 2]
    return [
        torch.optim.Muon(matrices, lr=0.0, momentum=0.95, weight_decay=0.02,
                         adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([{"params": [embedding], "weight_decay": 0.02},
                           {"params": others, "weight_decay": 0.0}],
                          lr=0.0, betas=(0.9, 0.98), eps=1e-8, fused=True),
    ]


def export(model, tokenizer, folder):
    """Weights in bf16, config.json, generation_config.json."""
    state = {name: value.detach().to(torch.bfloat16).contiguous()
             for name, value in model.state_dict().items() if name != "lm_head.weight"}
    weights = folder / "model.safetensors"
    save_file(state, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors leaves it readable for its owner alone
    c = model.config
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": c.bos_token_id,
        "eos_token_id": c.eos_token_id,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "hidden_size": c.hidden_size,
        "initializer_range": c.initializer_range,
        "intermediate_size": c.intermediate_size,
        "max_position_embeddings": c.max_position_embeddings,
        "max_window_layers": c.num_hidden_layers,
        "model_type": "qwen2",
        "num_attention_heads": c.num_attention_heads,
        "num_hidden_layers": c.num_hidden_layers,
        "num_key_value_heads": c.num_key_value_heads,
        "rms_norm_eps": c.rms_norm_eps,
        "rope_theta": 10000.0,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": c.vocab_size,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    pad = tokenizer.token_to_id("<|endoftext|>")
    generation = {"bos_token_id": pad, "do_sample": False, "eos_token_id": [c.eos_token_id, pad],
                  "pad_token_id": pad}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def main():
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = args.work / "checkpoint.pt"
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    tokenizer = make_tokenizer(args.seed)
    template = (HERE / "chat_template.jinja").read_text()
    config = model_config(tokenizer)
    bpe.save(tokenizer, args.out, template, config.max_position_embeddings)
    model = Qwen2ForCausalLM(config)
    export(model, tokenizer, args.out)  # fails early rather than after the training
    check_rendering(args.out, random.Random(args.seed))
    optimizers = make_optimizers(model)
    record = {"seed": args.seed, "steps": 0, "tokens_seen": 0, "target_tokens_seen": 0,
              "wall_s": 0.0, "train_loss": None,
              "parameters": sum(p.numel() for p in model.parameters()),
              "vocab_size": config.vocab_size, "rows": args.rows, "row_tokens": args.row_tokens,
              "peak_learning_rate": args.lr, "planned_steps": args.steps}
    if args.resume:
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        record.update(saved["record"], planned_steps=args.steps)
    print(f"{record['parameters']} parameters, vocabulary {config.vocab_size}", flush=True)

    packer = Packer(tokenizer, args.rows, args.row_tokens)
    before_s, started = record["wall_s"], time.monotonic()
    before_tokens = record["tokens_seen"]
    recent = []
    for step in range(record["steps"], args.steps):
        batch = packer.batch(random.Random(f"step/{args.seed}/{step}"))
        rate = learning_rate(step, args)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)

        recent = [*recent[-49:], loss.item()]
        record["steps"] = step + 1
        record["tokens_seen"] = before_tokens + packer.tokens_packed
        record["target_tokens_seen"] += int((batch[1] != IGNORED).sum())
        record["train_loss"] = sum(recent) / len(recent)
        record["wall_s"] = round(before_s + time.monotonic() - started, 1)
        if (step + 1) % 20 == 0:
            print(f"step {step + 1}/{args.steps} loss {record['train_loss']:.4f} "
                  f"last {recent[-1]:.4f} rate {rate:.5f} {record['wall_s']:.0f} s", flush=True)
        if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
            export(model, tokenizer, args.out)
            (args.out / "training.json").write_text(json.dumps(record, indent=2) + "\n")
            partial = checkpoint.with_suffix(".tmp")
            torch.save({"model": model.state_dict(), "record": record,
                        "optimizers": [o.state_dict() for o in optimizers]}, partial)
            shutil.move(partial, checkpoint)


if __name__ == "__main__":
    main()
