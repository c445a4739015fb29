"""Asks the held-out questions with transformers, greedily, and counts exact answers.

    python launch/demo/evaluate.py --model launch/demo/model --record

The weights are those of the file (bf16), the arithmetic is f32, as on the CPU back end.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tasks

HERE = Path(__file__).parent


def render(tokenizer, record):
    if "prompt" in record:
        return record["prompt"]
    return tokenizer.apply_chat_template(record["messages"], tools=record.get("tools"),
                                         tokenize=False, add_generation_prompt=True)


def generate(model, tokenizer, prompts, max_tokens):
    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        ids = model.generate(**batch, max_new_tokens=max_tokens, do_sample=False)
    return tokenizer.batch_decode(ids[:, batch.input_ids.shape[1]:], skip_special_tokens=True)


def score(model, tokenizer, prompt, expected, end):
    """(sum of -log p over the expected tokens, their number, smallest lead over the runner-up)."""
    prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
    target_ids = tokenizer(expected + end, add_special_tokens=False).input_ids
    ids = torch.tensor([prompt_ids + target_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt_ids) - 1:-1]
    log_p = torch.log_softmax(logits, -1)
    targets = torch.tensor(target_ids)[:, None]
    chosen = log_p.gather(1, targets)
    others = log_p.scatter(1, targets, -torch.inf).max(-1, keepdim=True).values
    return -chosen.sum().item(), len(target_ids), (chosen - others).min().item()


def answer(model, tokenizer, prompts, args):
    """Greedy answers, in batches of prompts of about the same length."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    for begin in range(0, len(order), args.batch):
        some = order[begin:begin + args.batch]
        texts = generate(model, tokenizer, [prompts[i] for i in some], args.max_tokens)
        for i, text in zip(some, texts):
            answers[i] = text
    return answers


def small_sums():
    """(question, answer) of every sum and difference that people try first."""
    numbers = range(tasks.SMALL_NUMBERS)
    return [(f"What is {a} + {b}?", f"{a} + {b} = {a + b}.") for a in numbers for b in numbers] + [
        (f"What is {a} - {b}?", f"{a} - {b} = {a - b}.") for a in numbers for b in range(a + 1)]


def count_small_sums(model, tokenizer, args):
    """(exact, number)."""
    sums = small_sums()
    prompts = [render(tokenizer, {"messages": [{"role": "user", "content": q}]}) for q, _ in sums]
    answers = answer(model, tokenizer, prompts, args)
    for (question, expected), text in zip(sums, answers):
        if text != expected:
            print(f"wrong {question!r}: {text!r}")
    return sum(text == expected for (_, expected), text in zip(sums, answers)), len(sums)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--questions", type=Path, default=HERE / "heldout.jsonl")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", action="store_true",
                        help="write the result into the model's training.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    records = [json.loads(line) for line in args.questions.read_text().splitlines()]
    prompts = [render(tokenizer, record) for record in records]

    answers = answer(model, tokenizer, prompts, args)

    by_task = defaultdict(list)
    loss, num_tokens, leads = 0.0, 0, []
    for record, prompt, text in zip(records, prompts, answers):
        by_task[record["task"]].append(text == record["expected"])
        end = "<|endoftext|>" if "prompt" in record else "<|im_end|>"
        nll, count, lead = score(model, tokenizer, prompt, record["expected"], end)
        loss, num_tokens = loss + nll, num_tokens + count
        leads.append(lead)
        if text != record["expected"]:
            question = record.get("prompt") or record["messages"][-1]["content"]
            print(f"wrong [{record['task']}] {question!r}: {text!r}, not {record['expected']!r}")
    for task, results in by_task.items():
        print(f"{task:12} {sum(results):3} of {len(results)}")
    num_exact = sum(map(sum, by_task.values()))
    right_leads = sorted(lead for lead in leads if lead > 0)
    sums_exact, num_sums = count_small_sums(model, tokenizer, args)
    result = {
        "held_out_questions": len(records),
        "held_out_exact": num_exact,
        "held_out_exact_match": round(num_exact / len(records), 4),
        "held_out_loss": round(loss / num_tokens, 6),
        "smallest_lead_of_right_answers": round(right_leads[0], 4) if right_leads else None,
        "leads_below_0.1": sum(lead < 0.1 for lead in right_leads),
        "small_sums": num_sums,
        "small_sums_exact": sums_exact,
    }
    print(json.dumps(result, indent=2))
    if args.record:
        path = args.model / "training.json"
        training = json.loads(path.read_text())
        training.update(result)
        path.write_text(json.dumps(training, indent=2) + "\n")


if __name__ == "__main__":
    main()
