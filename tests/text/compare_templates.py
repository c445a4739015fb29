#!/usr/bin/env python3
"""Compares chat templates with transformers on random chats, with a fresh seed each time.

    compare_templates.py --tool build/release/tests/render_tool --templates FOLDER [--count N] [--seed S]

FOLDER holds *.jinja; templates that the tool calls unknown are named and skipped. Exits 1 if a chat differs.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import time

import chat_oracle


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--templates", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=2000, help="chats for each template")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else time.time_ns() % 2**32
    rng = random.Random(seed)
    bos = "<｜begin▁of▁sentence｜>"
    total = different = 0
    for path in sorted(args.templates.glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        is_deepseek = "<｜User｜>" in template
        chats = [chat_oracle.random_chat(rng, may_call_tools="tool" in template) for _ in range(args.count)]
        lines = "".join(json.dumps({**chat, "template": template, "bos_token": bos}) + "\n" for chat in chats)
        answers = subprocess.run([args.tool], input=lines.encode(), stdout=subprocess.PIPE,
                                 check=True).stdout.decode("utf-8").split("\n")[:-1]
        assert len(answers) == len(chats)
        if "unknown template" in answers[0]:
            print(f"{path.name}: not supported")
            continue
        bad = 0
        for chat, answer in zip(chats, answers):
            want = chat_oracle.render(template, bos, chat, arguments_are_objects=not is_deepseek)
            if json.loads(answer) != want:
                bad += 1
                if bad <= 3:
                    print(f"differs: {json.dumps(chat)}\n  expected {want!r}\n  actual   {json.loads(answer)!r}")
        print(f"{path.name}: {len(chats)} chats, {bad} differ")
        total += len(chats)
        different += bad
    print(f"seed {seed}: {total} chats, {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
