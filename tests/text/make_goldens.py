#!/usr/bin/env python3
"""Writes goldens/ from tokenizers 0.23 and transformers.

    python3 tests/text/make_goldens.py [--shared DIR]

DIR holds qwen2/tokenizer/ (Qwen2's vocab.json, merges.txt, tokenizer_config.json) and chat-templates/*.jinja as published.

  goldens/tokenizers/NAME/   small tokenizers, each with another pipeline
  goldens/NAME.jsonl         {"text", "ids", "plain_ids", "decoded", "decoded_plain"} for each, for the demo model's
                             tokenizer ("demo") and for Qwen2's ("qwen2"; ids only, its files are not here)
  goldens/chats.jsonl        {"template", "messages", "tools", "add_generation_prompt", "rendered"}
"""

import argparse
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

import chat_oracle
import live_compare

HERE = pathlib.Path(__file__).resolve().parent
GOLDENS = HERE / "goldens"
DEMO = HERE.parent.parent / "launch" / "demo" / "model"

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
TRAINING_TEXT = ["the cat sat on the mat, and then the other cat's hat was there too 123 456 789 1234567\n\n",
                 "naïve café déjà vu — über größe ñandú; Привет мир, 你好世界 こんにちは 안녕하세요 😀😀\n", "    if (x == 10) { return y; }\n",
                 "aaaa bbbb abab the there their them then they're we'll I'd it's don't\t\t\r\n"] * 4


def small_tokenizer(regex, merges=160, ignore_merges=False):
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex is None)
    tokenizer.pre_tokenizer = byte_level if regex is None else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(regex), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAINING_TEXT, trainers.BpeTrainer(
        vocab_size=256 + merges, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def small_tokenizers():
    bos = small_tokenizer(QWEN2)  # as DeepSeek-R1-Distill's: a BOS in front
    bos.normalizer = normalizers.Sequence([])
    bos.add_special_tokens([AddedToken("<｜begin▁of▁sentence｜>", normalized=False), AddedToken("<｜User｜>", normalized=False)])
    name = "<｜begin▁of▁sentence｜>"
    bos.post_processor = processors.TemplateProcessing(
        single=f"{name} $A", pair=f"{name} $A {name} $B", special_tokens=[(name, bos.token_to_id(name))])
    yield "bos", bos

    flags = small_tokenizer(QWEN2)  # every flag of added tokens
    flags.normalizer = normalizers.NFC()
    flags.add_tokens([
        AddedToken("<l>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False),
        AddedToken("<lr>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
        AddedToken("<n>", normalized=True), AddedToken("cafe\u0301", normalized=True),
        AddedToken("<l><r>", normalized=False), AddedToken("  ", normalized=False), AddedToken("é", normalized=False),
        AddedToken("the", normalized=False)])
    flags.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("<sn>", normalized=True),
                              AddedToken("xe\u0301y", normalized=True)])
    yield "flags", flags

    gpt2 = small_tokenizer(None)
    gpt2.add_special_tokens([AddedToken("<|endoftext|>", normalized=False)])
    yield "gpt2", gpt2

    llama3 = small_tokenizer(LLAMA3, ignore_merges=True)
    llama3.add_special_tokens([AddedToken("<|begin_of_text|>", normalized=False), AddedToken("<|eot|>", normalized=False)])
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A <|eot|>", special_tokens=[
            ("<|begin_of_text|>", llama3.token_to_id("<|begin_of_text|>")), ("<|eot|>", llama3.token_to_id("<|eot|>"))])])
    yield "llama3", llama3


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8")
    print(path.relative_to(HERE), len(rows))


def write_goldens(name, tokenizer, count):
    rng = random.Random(name)
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    makers = live_compare.generators(rng, added)
    rows = []
    texts = ["", " ", "\n", "it's", "'", "\u017f'\u017f"] + [rng.choice(makers)()[:120] for _ in range(count)]
    for text in texts:
        ids = tokenizer.encode(text).ids
        rows.append({"text": text, "ids": ids, "plain_ids": tokenizer.encode(text, add_special_tokens=False).ids,
                     "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                     "decoded_plain": tokenizer.decode(ids, skip_special_tokens=True)})
    # Ids in an order that no text gives: broken characters.
    known = list(tokenizer.get_vocab(with_added_tokens=True).values())
    for _ in range(count // 3):
        ids = rng.choices(known, k=rng.randint(1, 12))
        rows.append({"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                     "decoded_plain": tokenizer.decode(ids, skip_special_tokens=True)})
    write_lines(GOLDENS / f"{name}.jsonl", rows)


def published_templates(shared):
    qwen25 = (shared / "chat-templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text(encoding="utf-8")
    deepseek = (shared / "chat-templates" / "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja").read_text(encoding="utf-8")
    config = json.loads((shared / "qwen2" / "tokenizer" / "tokenizer_config.json").read_text(encoding="utf-8"))
    # The form in which the smaller distilled models were first published.
    early = deepseek.replace("<think>\\n'}}", "'}}")
    assert early != deepseek
    return {"qwen2.5": qwen25, "chatml": config["chat_template"], "deepseek-r1": deepseek, "deepseek-r1-early": early}


def write_chats(templates):
    rng = random.Random("chats")
    rows = []
    for name, text in templates.items():
        for _ in range(50):
            chat = chat_oracle.random_chat(rng, may_call_tools="tool" in text)
            rendered = chat_oracle.render(text, "<bos>", chat, arguments_are_objects="<｜User｜>" not in text)
            rows.append({"template": name, **chat, "rendered": rendered})
    write_lines(GOLDENS / "chats.jsonl", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=pathlib.Path)
    args = parser.parse_args()
    GOLDENS.mkdir(exist_ok=True)
    for name, tokenizer in small_tokenizers():
        folder = GOLDENS / "tokenizers" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
        # Read back, so that the goldens are what the file says.
        write_goldens(name, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")), 150)
    if (DEMO / "tokenizer.json").exists():
        write_goldens("demo", live_compare.load_oracle(DEMO), 200)
    if args.shared:
        write_goldens("qwen2", live_compare.load_oracle(args.shared / "qwen2" / "tokenizer"), 250)
        write_chats(published_templates(args.shared))


if __name__ == "__main__":
    main()
