#!/usr/bin/env python3
"""Compares the template interpreter with jinja2 as transformers sets it up.

    jinja_compare.py --tool build/release/tests/jinja_tool [--templates FOLDER] [--chats N] [--snippets N] [--seed S]

Every *.jinja of FOLDER with N conversations each, and N random snippets: equal bytes, or an error in both. Exits 1 where one differs.
"""

import argparse
import collections
import copy
import json
import pathlib
import random
import subprocess
import sys
import time
import warnings

from transformers.utils import chat_template_utils

import jinja_chats
import jinja_snippets

warnings.filterwarnings("ignore")


class NotComparable(Exception):
    """The text shows an address, or the like."""


def compile_template(source):
    return chat_template_utils._cached_compile_jinja_template(source)


def expected(compiled, context):
    """The text, or None for an error."""
    try:
        # A copy: += in one of jinja2's filters changes a list.
        text = compiled.render(**copy.deepcopy(context))
        text.encode()
    except Exception:  # noqa: BLE001: whatever it is, it is an error
        return None
    if " at 0x" in text.lower() or "<class" in text:
        raise NotComparable
    return text


def cases_of_templates(folder, count, rng):
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        compiled = compile_template(source)
        for _ in range(count):
            context = jinja_chats.context(rng)
            yield path.name, source, context, expected(compiled, context)


def cases_of_snippets(count, seed):
    for i in range(count):
        source = jinja_snippets.template(f"{seed}-{i}")
        try:
            want = expected(compile_template(source), jinja_snippets.CONTEXT)
        except NotComparable:
            continue
        except Exception:  # noqa: BLE001: it does not compile
            want = None
        yield f"snippet {seed}-{i}", source, jinja_snippets.CONTEXT, want


def run(tool, cases):
    lines = "".join(json.dumps({"template": source, "context": context}) + "\n" for _, source, context, _ in cases)
    answers = subprocess.run([tool], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")[:-1]
    assert len(answers) == len(cases), (len(answers), len(cases))
    return [json.loads(answer) for answer in answers]


def compare(tool, cases, show):
    counts = collections.defaultdict(lambda: [0, 0, 0])
    shown = 0
    for (name, source, context, want), got in zip(cases, run(tool, cases)):
        count = counts[name.split()[0]]
        count[0] += 1
        count[1] += want is None
        is_error = isinstance(got, dict)
        if (want is None) != is_error or (want is not None and got != want):
            count[2] += 1
            shown += 1
            if shown <= show:
                brief = "" if name.startswith("snippet") else f"\n  context  {json.dumps(context, ensure_ascii=False)[:1500]}"
                print(f"differs: {name}\n  template {source[:1500]!r}{brief}\n  expected {want!r}\n  actual   {got!r}")
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--templates", type=pathlib.Path)
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--snippets", type=int, default=2000)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--show", type=int, default=10)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else str(time.time_ns() % 2 ** 32)
    cases = list(cases_of_snippets(args.snippets, seed))
    if args.templates:
        cases += cases_of_templates(args.templates, args.chats, random.Random(seed))
    different = 0
    for name, (total, errors, differ) in compare(args.tool, cases, args.show).items():
        print(f"{name}: {total} cases, {errors} of them errors, {differ} differ")
        different += differ
    print(f"seed {seed}: {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
