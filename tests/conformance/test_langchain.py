"""LangChain's ChatOpenAI against the service with the bundled model: invoke, batch, stream, tools, structured output.

Runs with the packages of tests/conformance/requirements.txt.
"""

import asyncio
import json
import pathlib
import sys
import unittest
from typing import Literal

import pydantic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import cases  # noqa: E402
from service import Service  # noqa: E402

FRANCE = "What is the capital of France?"
WEATHER = "What is the weather in Paris?"


class Pet(pydantic.BaseModel):
    """A pet."""

    kind: Literal["cat", "dog"]
    age: int = pydantic.Field(ge=0, le=99)


class LangChain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", ranks=2)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()

    def model(self, **fields) -> ChatOpenAI:
        return ChatOpenAI(base_url=f"http://{self.service.http_address}/v1", api_key="none", model="demo",
                          max_retries=0, timeout=60, **{"temperature": 0, "max_tokens": 64, **fields})

    def test_invoke(self):
        answer = self.model().invoke([SystemMessage("You answer."), HumanMessage(FRANCE)])
        self.assertIn("Paris", answer.content)
        self.assertEqual(answer.response_metadata["finish_reason"], "stop")
        self.assertEqual(answer.response_metadata["model_name"], "demo")
        usage = answer.usage_metadata
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
        self.assertGreater(usage["output_tokens"], 0)
        parts = self.model().invoke([HumanMessage([{"type": "text", "text": FRANCE}])])
        self.assertEqual(parts.content, self.model().invoke(FRANCE).content)

    def test_stream_equals_invoke(self):
        model = self.model(stream_usage=True)
        whole = model.invoke(FRANCE)
        chunks = list(model.stream(FRANCE))
        self.assertGreater(len(chunks), 2)
        joined = sum(chunks[1:], chunks[0])
        self.assertEqual(joined.content, whole.content)
        self.assertEqual(joined.response_metadata["finish_reason"], "stop")
        for count in ("input_tokens", "output_tokens", "total_tokens"):
            self.assertEqual(joined.usage_metadata[count], whole.usage_metadata[count])

    def test_async_and_batch(self):
        model = self.model()
        want = model.invoke(FRANCE).content
        self.assertEqual([answer.content for answer in model.batch([FRANCE] * 8)], [want] * 8)

        async def both():
            pieces = [chunk.content async for chunk in model.astream(FRANCE)]
            return (await model.ainvoke(FRANCE)).content, "".join(pieces)

        self.assertEqual(asyncio.run(both()), (want, want))

    def test_logprobs(self):
        answer = self.model(logprobs=True, top_logprobs=2).invoke(FRANCE)
        tokens = answer.response_metadata["logprobs"]["content"]
        self.assertEqual(len(tokens), answer.usage_metadata["output_tokens"])
        self.assertTrue(all(len(token["top_logprobs"]) == 2 for token in tokens))

    def test_stop_and_several_choices(self):
        stopped = self.model().invoke(FRANCE, stop=["France"])
        self.assertNotIn("France", stopped.content)
        story = self.model(n=3, temperature=1, seed=5).generate([[HumanMessage("Tell me a story.")]])
        self.assertEqual(len({choice.text for choice in story.generations[0]}), 3)

    def test_tools(self):
        model = self.model().bind_tools([cases.WEATHER_TOOL])
        answer = model.invoke(WEATHER)
        self.assertEqual(answer.response_metadata["finish_reason"], "tool_calls")
        call = answer.tool_calls[0]
        self.assertEqual((call["name"], call["args"]), ("get_weather", {"city": "Paris"}))
        self.assertEqual(answer.invalid_tool_calls, [])
        chunks = list(model.stream(WEATHER))
        joined = sum(chunks[1:], chunks[0])
        self.assertEqual([(c["name"], c["args"]) for c in joined.tool_calls], [(call["name"], call["args"])])
        words = model.invoke([HumanMessage(WEATHER), answer,
                              ToolMessage('{"degrees": 21, "sky": "sunny"}', tool_call_id=call["id"])])
        self.assertIn("21", words.content)
        self.assertEqual(words.tool_calls, [])

    def test_tools_that_must_be_called(self):
        get_time = cases.demo_tools.SCHEMAS["get_time"]
        for choice in ("any", "required", "get_weather", {"type": "function", "function": {"name": "get_weather"}}):
            with self.subTest(choice):
                model = self.model().bind_tools([get_time, cases.WEATHER_TOOL], tool_choice=choice)
                answer = model.invoke(WEATHER)
                self.assertEqual([(call["name"], call["args"]) for call in answer.tool_calls],
                                 [("get_weather", {"city": "Paris"})])
                self.assertEqual((answer.content, answer.invalid_tool_calls), ("", []))
                unasked = self.model(max_tokens=400).bind_tools([cases.WEATHER_TOOL], tool_choice=choice).invoke(FRANCE)
                self.assertEqual({call["name"] for call in unasked.tool_calls}, {"get_weather"})
        silent = self.model().bind_tools([cases.WEATHER_TOOL], tool_choice="none").invoke(WEATHER)
        self.assertEqual(silent.tool_calls, [])

    def test_streamed_tool_calls(self):
        """The name comes once and first; the pieces of the arguments are one call's, and say what the whole says."""
        for choice in ("auto", "required", "get_weather"):
            with self.subTest(choice):
                model = self.model(stream_usage=True).bind_tools([cases.WEATHER_TOOL], tool_choice=choice)
                whole = model.invoke(WEATHER)
                chunks = list(model.stream(WEATHER))
                pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
                self.assertEqual([bool(piece["name"]) for piece in pieces], [True] + [False] * (len(pieces) - 1))
                self.assertEqual([bool(piece["id"]) for piece in pieces], [True] + [False] * (len(pieces) - 1))
                self.assertEqual({piece["index"] for piece in pieces}, {0})
                self.assertEqual(json.loads("".join(piece["args"] for piece in pieces)), whole.tool_calls[0]["args"])
                joined = sum(chunks[1:], chunks[0])
                self.assertEqual([(call["name"], call["args"]) for call in joined.tool_calls],
                                 [(call["name"], call["args"]) for call in whole.tool_calls])
                self.assertEqual((joined.content, joined.invalid_tool_calls), ("", []))
                self.assertEqual(joined.response_metadata["finish_reason"], whole.response_metadata["finish_reason"])
                self.assertEqual(joined.usage_metadata["output_tokens"], whole.usage_metadata["output_tokens"])

    def test_structured_output(self):
        model = self.model(temperature=1, seed=3, max_tokens=400)
        for method in ("json_schema", "function_calling"):
            with self.subTest(method):
                pet = model.with_structured_output(Pet, method=method).invoke("Describe a pet.")
                self.assertIsInstance(pet, Pet)
                raw = model.with_structured_output(Pet, method=method, include_raw=True).invoke("Describe a pet.")
                self.assertEqual((raw["parsed"], raw["parsing_error"]), (pet, None))
                streamed = list(model.with_structured_output(Pet, method=method).stream("Describe a pet."))
                self.assertEqual(streamed[-1], pet)
                as_dict = model.with_structured_output(Pet.model_json_schema(), method=method).invoke("Describe a pet.")
                self.assertEqual(set(as_dict), {"kind", "age"})

    def test_completions(self):
        model = OpenAI(base_url=f"http://{self.service.http_address}/v1", api_key="none", model="demo", temperature=0,
                       max_tokens=16, max_retries=0)
        whole = model.invoke("Once upon a time")
        self.assertTrue(whole)
        self.assertEqual("".join(model.stream("Once upon a time")), whole)
        self.assertEqual(model.batch(["Once upon a time"] * 3), [whole] * 3)

    def test_errors(self):
        with self.assertRaisesRegex(Exception, "temperature: is 3") as caught:
            self.model(temperature=3).invoke(FRANCE)
        self.assertEqual((caught.exception.status_code, caught.exception.param), (400, "temperature"))


if __name__ == "__main__":
    unittest.main()
