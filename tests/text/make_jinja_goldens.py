#!/usr/bin/env python3
"""Writes the goldens of the template interpreter from jinja2 as transformers sets it up.

    python3 tests/text/make_jinja_goldens.py --templates FOLDER

  goldens/jinja_context.json     what every snippet sees
  goldens/jinja_snippets.jsonl   {"template", "expected"}: random snippets, "expected" null where they fail
  goldens/jinja_chats.jsonl      {"template", "context", "expected"}: conversations for FOLDER's *.jinja, by their names
"""

import argparse
import json
import pathlib
import random

import jinja_chats
import jinja_compare
import jinja_snippets

GOLDENS = pathlib.Path(__file__).resolve().parent / "goldens"
SNIPPETS = 700
CHATS = 16
LONGEST = 4000
MOST_ERRORS = 0.2


def write(name, rows):
    text = "".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n" for row in rows)
    (GOLDENS / name).write_text(text, encoding="utf-8")
    print(name, len(rows), "rows", len(text), "bytes")


def few_errors(cases, count):
    """The first `count` of them, of which only so many fail."""
    rows, errors = [], 0
    for case in cases:
        if case["expected"] is None:
            if errors >= MOST_ERRORS * count:
                continue
            errors += 1
        if len(json.dumps(case)) > LONGEST:
            continue
        rows.append(case)
        if len(rows) == count:
            return rows
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=pathlib.Path, required=True)
    args = parser.parse_args()
    (GOLDENS / "jinja_context.json").write_text(json.dumps(jinja_snippets.CONTEXT, indent=1) + "\n", encoding="utf-8")
    snippets = ({"template": source, "expected": want} for _, source, _, want in jinja_compare.cases_of_snippets(4 * SNIPPETS, "goldens"))
    write("jinja_snippets.jsonl", few_errors(snippets, SNIPPETS))
    rows = []
    for path in sorted(args.templates.glob("*.jinja")):
        compiled = jinja_compare.compile_template(path.read_text(encoding="utf-8"))
        rng = random.Random(path.name)
        contexts = (jinja_chats.context(rng) for _ in range(40 * CHATS))
        rows += few_errors(({"template": path.name, "context": context, "expected": jinja_compare.expected(compiled, context)} for context in contexts), CHATS)
    write("jinja_chats.jsonl", rows)


if __name__ == "__main__":
    main()
