"""Writes heldout.jsonl: questions that training never sees (split.py), with their exact answers."""

import argparse
import json
import random
from pathlib import Path

import conversations as c
import stories as s
import tasks
import tools

HERE = Path(__file__).parent
COUNTS = [
    (tasks.add, 40), (tasks.subtract, 34), (tasks.multiply, 16), (tasks.compare, 12),
    (tasks.count, 12), (tasks.sort, 10), (tasks.reverse, 10), (tasks.repeat, 10),
    (tasks.term, 24), (tasks.capital, 16), (tasks.opposite, 8), (tasks.translate, 10),
    (tasks.emoji, 5), (tasks.spell, 10), (tasks.letters, 8), (tasks.sequence, 10),
    (tasks.story, 12),
]
NUM_TOOL_CALLS, NUM_FOLLOW_UPS, NUM_RECALLS, NUM_COMPLETIONS = 20, 8, 8, 10


def _chat(task, messages, expected, offered=None):
    record = {"task": task, "messages": messages}
    if offered:
        record["tools"] = offered
    record["expected"] = expected
    return record


def build(seed):
    rng = random.Random(f"held out/{seed}")
    records, seen = [], set()

    def append(record):
        identity = json.dumps([record.get("messages"), record.get("prompt")])
        if identity in seen:
            return False
        seen.add(identity)
        records.append(record)
        return True

    def repeat_until(count, make):
        while count:
            count -= append(make())

    for generator, count in COUNTS:
        def question(generator=generator):
            item = tasks.sample_held_out(generator, rng)
            return _chat(item.task, [c.user(item.question)], item.answer)
        repeat_until(count, question)

    def tool_call():
        while True:
            request = tools.sample_request(rng)
            if request.held_out:
                break
        turns = c.tool_turns(request)
        length = rng.choice([1, 1, 3])  # the call itself, or the answer to the tool's response
        return _chat("tool", turns[:length], c.message_text(turns[length]),
                     tools.offer(request, rng))

    def follow_up():
        while True:
            item = tasks.sample_held_out(rng.choice([tasks.add, tasks.subtract]), rng)
            turns = c.follow_up(item, rng, want_held_out=True)
            if turns:
                return _chat("follow_up",
                             [c.user(item.question), c.assistant(item.answer), turns[0]],
                             turns[1]["content"])

    def recall():
        name = rng.choice(list(s.NAMES))
        item = tasks.sample_held_out(rng.choice([tasks.add, tasks.term, tasks.capital]), rng)
        question, answer = c.recall(name, rng)
        return _chat("recall",
                     [*c.introduction(name, rng), c.user(item.question), c.assistant(item.answer),
                      question], answer["content"])

    def completion():
        item = tasks.sample_held_out(rng.choice([tasks.add, tasks.subtract]), rng)
        while item.key.count(",") > 1:  # a small pair, which plain text may have taught
            item = tasks.sample_held_out(rng.choice([tasks.add, tasks.subtract]), rng)
        left, right = item.answer.rstrip(".").split(" = ")
        return {"task": "completion", "prompt": f"{left} =", "expected": f" {right}"}

    repeat_until(NUM_TOOL_CALLS, tool_call)
    repeat_until(NUM_FOLLOW_UPS, follow_up)
    repeat_until(NUM_RECALLS, recall)
    repeat_until(NUM_COMPLETIONS, completion)
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "heldout.jsonl")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    lines = [json.dumps(record, ensure_ascii=False) for record in build(args.seed)]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} questions in {args.out}")


if __name__ == "__main__":
    main()
