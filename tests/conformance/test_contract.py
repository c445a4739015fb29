"""The HTTP API against its contract: every row of cases.py whole and as a stream, defaults, and the small endpoints."""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import bodies  # noqa: E402
import cases  # noqa: E402
from http_api import Http  # noqa: E402
from service import Service  # noqa: E402

WHOLE = {cases.CHAT: bodies.CHAT_ANSWER, cases.TEXT: bodies.TEXT_ANSWER}
JOIN = {cases.CHAT: bodies.join_chat, cases.TEXT: bodies.join_text}
WITH_USAGE = {"stream_options": {"include_usage": True}}


def ask(http: Http, case: cases.Case, salt: str) -> dict:
    body = http.ask(case.path, {**case.fields, "cache_salt": salt})
    bodies.expect(body, WHOLE[case.path])
    return bodies.without_head(body)


def ask_stream(http: Http, case: cases.Case, salt: str) -> dict:
    return JOIN[case.path](http.stream(case.path, {**case.fields, "cache_salt": salt, **WITH_USAGE}))


def as_streamed(body: dict) -> dict:
    """What a stream has a place for: no prompt_logprobs, and beside calls no content that is empty instead of null."""
    choices = [{k: v for k, v in c.items() if k != "prompt_logprobs"} for c in body["choices"]]
    for choice in choices:
        if choice.get("message", {}).get("tool_calls"):
            choice["message"]["content"] = choice["message"]["content"] or None
    return {**body, "choices": choices}


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", "--served-model-name", "other", ranks=2)
        cls.http = Http(cls.service.http_address)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()

    def test_whole_answers_and_streams(self):
        for case in cases.CASES:
            with self.subTest(case.name):
                # Each under a salt of its own, so that cached_tokens agree, too.
                whole = ask(self.http, case, f"{case.name} whole")
                self.assertTrue(case.check(whole), whole)
                self.assertEqual(ask_stream(self.http, case, f"{case.name} stream"), as_streamed(whole))

    def test_whole_answers_alone(self):
        for case in cases.WHOLE_CASES:
            with self.subTest(case.name):
                whole = ask(self.http, case, case.name)
                self.assertTrue(case.check(whole), whole)

    def test_defaults(self):
        for path, base, own in ((cases.CHAT, cases.chat("default").fields, cases.CHAT_DEFAULTS),
                                (cases.TEXT, {"prompt": "Once upon a time"}, cases.TEXT_DEFAULTS)):
            want = ask(self.http, cases.Case("", path, base), "default")
            for field, value in (cases.DEFAULTS | own).items():
                for given in (value, None):
                    with self.subTest(path=path, field=field, given=given):
                        case = cases.Case("", path, {**base, field: given})
                        self.assertEqual(ask(self.http, case, f"default {field} {given is None}"), want)

    def test_stream_options(self):
        for path, prompt in ((cases.CHAT, {"messages": cases.user("Hi.")}), (cases.TEXT, {"prompt": "Hi."})):
            fields = {**prompt, "max_tokens": 5, "ignore_eos": True, "n": 2, "temperature": 1, "seed": 1}

            def chunks(options):
                return self.http.stream(path, {**fields, "stream_options": options})

            with self.subTest(path=path):
                for plain in (chunks(None), chunks({}), chunks({"continuous_usage_stats": True})):
                    self.assertTrue(all("usage" not in chunk and chunk["choices"] for chunk in plain))
                every = chunks({"include_usage": True, "continuous_usage_stats": True})
                self.assertEqual(every[-1]["choices"], [])
                seen = {0: 0, 1: 0}
                for chunk in every[:-1]:
                    bodies.expect(chunk["usage"], bodies.USAGE)
                    index = chunk["choices"][0]["index"]
                    self.assertGreaterEqual(chunk["usage"]["completion_tokens"], seen[index])
                    seen[index] = chunk["usage"]["completion_tokens"]
                    self.assertEqual(chunk["usage"]["prompt_tokens"], every[-1]["usage"]["prompt_tokens"])
                self.assertEqual(seen, {0: 5, 1: 5})
                self.assertEqual(every[-1]["usage"]["completion_tokens"], 10)

    def test_first_chunk_waits_for_the_first_token(self):
        chunks = self.http.stream(cases.CHAT, {"messages": cases.user("What is the capital of France?")})
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertTrue(chunks[0]["choices"][0]["delta"]["content"])

    def test_cached_tokens(self):
        for path, prompt in ((cases.CHAT, {"messages": cases.user("word " * 60)}), (cases.TEXT, {"prompt": "w " * 60})):
            fields = {**prompt, "max_tokens": 2, "cache_salt": path}
            cached = [self.http.ask(path, fields)["usage"]["prompt_tokens_details"]["cached_tokens"] for _ in range(2)]
            again = self.http.stream(path, {**fields, **WITH_USAGE})[-1]["usage"]
            self.assertEqual(cached[0], 0)
            self.assertGreater(cached[1], 0)
            self.assertEqual(again["prompt_tokens_details"]["cached_tokens"], cached[1])
            self.assertLess(cached[1], again["prompt_tokens"])

    def test_tokenize(self):
        plain = self.http.ask("/tokenize", {"prompt": "Hello, 🙂!"})
        bodies.expect(plain, {"count": int, "max_model_len": 4096, "tokens": [int], "token_strs": None})
        self.assertEqual(plain["count"], len(plain["tokens"]))
        self.assertEqual(self.http.ask("/detokenize", {"tokens": plain["tokens"]}), {"prompt": "Hello, 🙂!"})
        named = self.http.ask("/tokenize", {"prompt": "Hello", "return_token_strs": True, "model": "other",
                                            "add_special_tokens": False})
        self.assertEqual(len(named["token_strs"]), named["count"])
        self.assertEqual(self.http.ask("/detokenize", {"tokens": []}), {"prompt": ""})
        self.assertEqual(self.http.ask("/tokenize", {"prompt": ""})["tokens"], [])

    def test_tokenize_messages(self):
        """What /tokenize says of messages is what a chat with them has as its prompt."""
        talk = [*cases.user("Hi."), {"role": "assistant", "content": "Hello, my"}]
        for fields in ({}, {"add_generation_prompt": False}, {"add_generation_prompt": True},
                       {"continue_final_message": True}, {"tools": [cases.WEATHER_TOOL]},
                       {"continue_final_message": True, "add_generation_prompt": False}):
            with self.subTest(fields):
                tokens = self.http.ask("/tokenize", {"messages": talk, **fields})["tokens"]
                asked = {"messages": talk, "max_tokens": 1, "return_token_ids": True, **fields}
                chat = self.http.ask(cases.CHAT, asked)
                self.assertEqual(chat["prompt_token_ids"], tokens)
                text = self.http.ask("/detokenize", {"tokens": tokens})["prompt"]
                self.assertEqual(text.endswith("<|im_start|>assistant\n"),
                                 fields.get("add_generation_prompt", "continue_final_message" not in fields))
                self.assertEqual(text.endswith("Hello, my"), "continue_final_message" in fields)

    def test_models_and_version(self):
        listed = self.http.send("GET", "/v1/models").json()
        bodies.expect(listed, bodies.MODEL_LIST)
        self.assertEqual([(m["id"], m["root"]) for m in listed["data"]], [("demo", "demo"), ("other", "demo")])
        for entry in listed["data"]:
            self.assertEqual(self.http.send("GET", f"/v1/models/{entry['id']}").json(), entry)
        bodies.expect(self.http.send("GET", "/version").json(), {"version": str})
        for path in ("/health", "/livez", "/readyz"):
            reply = self.http.send("GET", path)
            self.assertEqual((reply.status, reply.body), (200, b""))


if __name__ == "__main__":
    unittest.main()
