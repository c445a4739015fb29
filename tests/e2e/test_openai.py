"""The OpenAI Python client against the whole service with the bundled model.

Runs with the packages of tests/requirements.txt: python tests/e2e/test_openai.py
"""

import concurrent.futures
import http.client
import json
import pathlib
import sys
import time
import unittest

import openai

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import Service  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "launch/demo"))
import tools as demo_tools  # noqa: E402

MODEL_NAME = "demo"
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER_TOOL = demo_tools.SCHEMAS["get_weather"]


class OpenAiClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", MODEL_NAME, ranks=2)
        cls.base = cls.service.http_address
        cls.client = openai.OpenAI(base_url=f"http://{cls.base}/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.service.__exit__()

    def chat(self, messages=None, **fields):
        fields = {"temperature": 0, "max_tokens": 64, **fields}
        return self.client.chat.completions.create(
            model=MODEL_NAME, messages=messages or CAPITAL, **fields)

    def test_models(self):
        models = list(self.client.models.list())
        self.assertEqual([m.id for m in models], [MODEL_NAME])
        self.assertEqual(self.client.models.retrieve(MODEL_NAME).object, "model")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other")

    def test_chat(self):
        answer = self.chat()
        self.assertIn("Paris", answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertEqual(answer.usage.total_tokens,
                         answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertTrue(answer.id.startswith("chatcmpl-"))
        self.assertEqual(answer.object, "chat.completion")
        again = self.chat()
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertEqual(again.system_fingerprint, answer.system_fingerprint)

    def test_chat_stream_equals_whole(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual({c.id for c in chunks}, {chunks[0].id})
        self.assertEqual({c.created for c in chunks}, {chunks[0].created})
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertTrue(chunks[0].choices[0].delta.content)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[-2].choices[0].finish_reason, "stop")
        self.assertIsNone(chunks[-2].choices[0].delta.content)
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))

    def test_content_parts_and_developer(self):
        parts = [{"role": "developer", "content": "You answer."},
                 {"role": "user", "content": [{"type": "text", "text": CAPITAL[0]["content"]}]}]
        plain = [{"role": "system", "content": "You answer."}, *CAPITAL]
        self.assertEqual(self.chat(parts).choices[0].message.content,
                         self.chat(plain).choices[0].message.content)

    def test_tools(self):
        answer = self.chat(WEATHER, tools=[WEATHER_TOOL])
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.name, "get_weather")
        self.assertEqual(json.loads(call.function.arguments), {"city": "Paris"})

        stream = list(self.chat(WEATHER, tools=[WEATHER_TOOL], stream=True))
        deltas = [c.choices[0].delta.tool_calls[0] for c in stream if c.choices[0].delta.tool_calls]
        self.assertEqual(deltas[0].function.name, "get_weather")
        self.assertTrue(deltas[0].id)
        self.assertEqual("".join(d.function.arguments or "" for d in deltas), call.function.arguments)
        self.assertEqual(stream[-1].choices[0].finish_reason, "tool_calls")

        # The answer of the tool leads on to an answer in words.
        result = {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21, "sky": "sunny"}'}
        words = self.chat([*WEATHER, answer.choices[0].message, result], tools=[WEATHER_TOOL])
        self.assertIn("21", words.choices[0].message.content)
        self.assertEqual(words.choices[0].finish_reason, "stop")

        none = self.chat(WEATHER, tools=[WEATHER_TOOL], tool_choice="none")
        self.assertEqual(none.choices[0].message.tool_calls or [], [])

    def test_tools_that_must_be_called(self):
        named = {"type": "function", "function": {"name": "get_weather"}}
        for choice, reason in (("required", "tool_calls"), (named, "stop")):
            fields = {"tools": [WEATHER_TOOL], "tool_choice": choice, "parallel_tool_calls": False}
            answer = self.chat(CAPITAL, **fields)
            self.assertEqual(answer.choices[0].finish_reason, reason)
            (call,) = answer.choices[0].message.tool_calls
            self.assertEqual(call.function.name, "get_weather")
            self.assertIn("city", json.loads(call.function.arguments))
            stream = list(self.chat(CAPITAL, stream=True, **fields))
            deltas = [c.choices[0].delta.tool_calls[0] for c in stream if c.choices[0].delta.tool_calls]
            self.assertEqual("".join(d.function.arguments or "" for d in deltas), call.function.arguments)
            self.assertEqual(stream[-1].choices[0].finish_reason, reason)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(tools=[WEATHER_TOOL], tool_choice={"type": "function", "function": {"name": "other"}})
        self.assertEqual(caught.exception.param, "tool_choice")

    def test_logprobs(self):
        answer = self.chat(logprobs=True, top_logprobs=3)
        content = answer.choices[0].logprobs.content
        self.assertEqual(len(content), answer.usage.completion_tokens)
        text = b"".join(bytes(t.bytes) for t in content).decode()
        self.assertIn(answer.choices[0].message.content, text)
        for token in content:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertLessEqual(token.logprob, 0)
            self.assertAlmostEqual(token.logprob, token.top_logprobs[0].logprob)  # greedy

    def test_several_choices(self):
        answer = self.chat([{"role": "user", "content": "Tell me a story."}], n=3, temperature=1,
                           seed=5, max_tokens=24)
        self.assertEqual([c.index for c in answer.choices], [0, 1, 2])
        self.assertGreater(len({c.message.content for c in answer.choices}), 1)
        again = self.chat([{"role": "user", "content": "Tell me a story."}], n=3, temperature=1,
                          seed=5, max_tokens=24)
        self.assertEqual([c.message.content for c in answer.choices],
                         [c.message.content for c in again.choices])

    def test_completion_echo(self):
        answer = self.client.completions.create(
            model=MODEL_NAME, prompt="Once upon a time", echo=True, logprobs=2, max_tokens=4,
            temperature=0)
        choice = answer.choices[0]
        self.assertTrue(choice.text.startswith("Once upon a time"))
        self.assertEqual(len(choice.logprobs.tokens), answer.usage.total_tokens)
        self.assertEqual("".join(choice.logprobs.tokens), choice.text)
        self.assertIsNone(choice.logprobs.token_logprobs[0])
        self.assertTrue(all(p <= 0 for p in choice.logprobs.token_logprobs[1:]))
        for offset, token in zip(choice.logprobs.text_offset, choice.logprobs.tokens):
            self.assertTrue(choice.text[offset:].startswith(token))

    def test_completion_prompts(self):
        answer = self.client.completions.create(
            model=MODEL_NAME, prompt=["Once upon", "What is"], n=2, temperature=0)
        self.assertEqual([c.index for c in answer.choices], [0, 1, 2, 3])
        self.assertEqual(answer.choices[0].text, answer.choices[1].text)
        self.assertEqual(answer.usage.completion_tokens, 4 * 16)
        chunks = self.client.completions.create(
            model=MODEL_NAME, prompt=["Once upon", "What is"], n=2, temperature=0, stream=True)
        texts = {}
        for chunk in chunks:
            choice = chunk.choices[0]
            texts[choice.index] = texts.get(choice.index, "") + choice.text
        self.assertEqual(texts, {c.index: c.text for c in answer.choices})

    def test_stop(self):
        answer = self.chat(stop=["is"])
        self.assertNotIn("is", answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].model_extra["stop_reason"], "is")

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(temperature=3)
        self.assertEqual(caught.exception.param, "temperature")
        self.assertEqual(caught.exception.status_code, 400)
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="other", messages=CAPITAL)
        with self.assertRaises(openai.BadRequestError):
            self.chat([{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "http://localhost/x.png"}}]}])
        self.chat(extra_body={"not_a_field": 1})  # accepted

    def test_timeout_and_cancel(self):
        slow = self.client.with_options(timeout=0.05)
        with self.assertRaises(openai.APITimeoutError):
            slow.completions.create(model=MODEL_NAME, prompt="Once", max_tokens=4000,
                                    extra_body={"ignore_eos": True})
        stream = self.client.completions.create(
            model=MODEL_NAME, prompt="Once", max_tokens=4000, stream=True,
            extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            outcomes = [l for l in self.service.stderr_lines if "outcome=CANCELLED" in l]
            if len(outcomes) >= 2:
                break
            time.sleep(0.05)
        self.assertGreaterEqual(len(outcomes), 2)

    def test_many_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda _: self.chat().choices[0].message.content, range(64)))
        self.assertEqual(len(set(answers)), 1)

    def test_health_and_keep_alive(self):
        host, port = self.base.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port))
        for path, body in (("/health", b""), ("/livez", b""), ("/readyz", b"")):
            connection.request("GET", path)
            response = connection.getresponse()
            self.assertEqual((response.status, response.read()), (200, body))
        connection.request("POST", "/tokenize", json.dumps({"prompt": "Hello"}),
                           {"Content-Type": "application/json"})
        tokens = json.loads(connection.getresponse().read())["tokens"]
        connection.request("POST", "/detokenize", json.dumps({"tokens": tokens}),
                           {"Content-Type": "application/json"})
        self.assertEqual(json.loads(connection.getresponse().read()), {"prompt": "Hello"})
        connection.close()


if __name__ == "__main__":
    unittest.main()
