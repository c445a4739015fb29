#!/usr/bin/env python3
"""Compares the tokenizer with Hugging Face `tokenizers` on random Unicode text, with a fresh seed each time.

    live_compare.py --tool "build/release/tests/tokenize_tool MODEL_DIR" --model MODEL_DIR [--count N] [--seed S]

TOOL reads one JSON string a line and prints one JSON list of ids a line, as `phalanx tokenize --model DIR --jsonl`
does. Prints the seed and the first strings that differ, and exits 1 if any does. Needs tokenizers 0.23, and
transformers where the model has no tokenizer.json.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import time

import tokenizers


def load_oracle(model_dir):
    if (model_dir / "tokenizer.json").exists():
        return tokenizers.Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(str(model_dir)).backend_tokenizer


def code_points():
    return [cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]


def normalization_alphabet():
    """Everything that NFC changes or moves."""
    nfd = tokenizers.normalizers.NFD().normalize_str
    found = set(range(0x1100, 0x1200)) | set(range(0xAC00, 0xAC00 + 60))
    for cp in code_points():
        text = nfd(chr(cp))
        if text != chr(cp) and not 0xAC00 <= cp < 0xAC00 + 11172:
            found.add(cp)
            found.update(map(ord, text))
        elif nfd(chr(cp) + "\u0334") != text + "\u0334" or nfd("\u0345" + chr(cp)) != "\u0345" + text:
            found.add(cp)
    return [chr(cp) for cp in sorted(found)]


def generators(rng, added):
    every = code_points()
    sensitive = normalization_alphabet()
    bmp_letters = [chr(c) for c in range(0x20, 0x3000)]
    ascii_text = [chr(c) for c in range(9, 127)]
    edges = list("'sStTrReEvVmMlLdD\u017f\u212a \n\r\t\u00a0\u3000\u0085x1!.,\u0301\u00e9\u4e2d") + ["'ll", "  ", "\r\n"]
    words = ("the quick brown fox's jumped don't WE'LL they've 123 4567 3.14 naïve café Ünïcödé 你好世界 こんにちは "
             "안녕하세요 Привет мир मानक हिन्दी العربية עברית ไทย 👩‍👩‍👧 🇩🇪 int main() { return 0; } \t\n\n   "
             "== != ->> /* */ <|im_start|> <| |>").split(" ")
    tokens = added or ["<|x|>"]

    def pick(alphabet, longest):
        return "".join(rng.choices(alphabet, k=rng.randint(1, longest)))

    def with_tokens():
        parts = []
        for _ in range(rng.randint(1, 8)):
            token = rng.choice(tokens)
            parts.append(rng.choice([token, token, token[:-1], token[1:], pick(edges, 4), " ", "a", "é"]))
        return "".join(parts)

    return [
        lambda: "".join(chr(rng.choice(every)) for _ in range(rng.randint(1, 30))),
        lambda: pick(sensitive, 24),
        lambda: pick(sensitive + list("ae \n") * 60, 24),
        lambda: pick(bmp_letters, 40),
        lambda: pick(ascii_text, 60),
        lambda: pick(edges, 30),
        lambda: rng.choice([" ", ""]).join(rng.choices(words, k=rng.randint(1, 30))),
        lambda: rng.choice(edges + words) * rng.randint(1, 400),
        with_tokens,
    ]


def each_code_point():
    """Every code point alone and next to a letter, a space, a digit, an apostrophe, a mark and itself."""
    for cp in code_points():
        c = chr(cp)
        yield c
        yield "a" + c
        yield c + "a"
        yield " " + c
        yield c + " "
        yield f"a{c}b 1{c}2 '{c} {c}{c}\n{c}\n"
        yield f"e\u0301{c}\u0323\u0301 {c}\u1161\u11a8"


def compare(tool, oracle, strings, omit_special):
    lines = "".join(json.dumps(s) + "\n" for s in strings)
    process = subprocess.run(tool, input=lines.encode(), stdout=subprocess.PIPE, check=True)
    answers = process.stdout.decode().splitlines()
    if len(answers) != len(strings):
        sys.exit(f"{len(strings)} strings in, {len(answers)} lines out")
    different = 0
    expected = oracle.encode_batch(strings, add_special_tokens=not omit_special)
    for text, answer, want in zip(strings, answers, expected):
        got = json.loads(answer)
        if got != want.ids:
            different += 1
            if different <= 5:
                print(f"differs: {text!r}\n  expected {want.ids}\n  actual   {got}")
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--each-code-point", action="store_true")
    parser.add_argument("--no-special", action="store_true", help="the tool was told to omit special tokens")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else time.time_ns() % 2**32
    rng = random.Random(seed)
    oracle = load_oracle(args.model)
    tool = args.tool.split()
    total = different = 0

    def run(strings):
        nonlocal total, different
        total += len(strings)
        different += compare(tool, oracle, strings, args.no_special)

    added = [token.content for token in oracle.get_added_tokens_decoder().values()]
    makers = generators(rng, added)
    run([rng.choice(makers)() for _ in range(args.count)])
    if args.each_code_point:
        batch = []
        for text in each_code_point():
            batch.append(text)
            if len(batch) == 500000:
                run(batch)
                batch = []
        run(batch)
    print(f"seed {seed}: {total} strings, {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
