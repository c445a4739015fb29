"""Structured output through the whole service with the bundled model: what comes fits, over gRPC and HTTP."""

import http.client
import json
import pathlib
import re
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import MODEL, Service, client, generate  # noqa: E402

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["cat", "dog"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["name", "age", "kind", "tags"],
    "additionalProperties": False,
}
HOT = ("--prompt", "Describe a pet.", "--temperature", "1", "--max-tokens", "2500")


class StructuredOutput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", ranks=2)
        cls.schema_file = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump(SCHEMA, cls.schema_file)
        cls.schema_file.flush()

    @classmethod
    def tearDownClass(cls):
        cls.schema_file.close()
        cls.service.__exit__()

    def post(self, path="/v1/chat/completions", **fields):
        connection = http.client.HTTPConnection(self.service.http_address, timeout=120)
        body = {"model": "demo", "temperature": 1, "max_tokens": 2500, **fields}
        if path == "/v1/chat/completions":
            body.setdefault("messages", [{"role": "user", "content": "Describe a pet."}])
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def expect_pet(self, text):
        pet = json.loads(text)
        self.assertEqual(sorted(pet), sorted(SCHEMA["required"]), text)
        self.assertLessEqual(len(pet["name"]), 8)
        self.assertIs(type(pet["age"]), int)
        self.assertTrue(0 <= pet["age"] <= 150)
        self.assertIn(pet["kind"], ("cat", "dog"))
        self.assertIn(len(pet["tags"]), (1, 2, 3))
        self.assertTrue(all(type(tag) is bool for tag in pet["tags"]))

    def test_schema_over_grpc(self):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(
                lambda seed: generate(self.service, *HOT, "--json-schema", self.schema_file.name,
                                      "--seed", str(seed)), range(8)))
        for answer in answers:
            choice = answer["choices"][0] if "choices" in answer else answer
            self.assertEqual(choice["finish_reason"], "stop")
            self.expect_pet(choice["text"])
        self.assertGreater(len({json.dumps(answer["token_ids"]) for answer in answers}), 1)

    def test_schema_over_http(self):
        wrapped = {"type": "json_schema", "json_schema": {"name": "pet", "strict": True, "schema": SCHEMA}}
        for seed, fields in enumerate(({"response_format": wrapped}, {"guided_json": SCHEMA},
                                       {"structured_outputs": {"json": json.dumps(SCHEMA)}})):
            status, answer = self.post(seed=seed, **fields)
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
            self.expect_pet(answer["choices"][0]["message"]["content"])

    def test_several_choices_fit(self):
        _, answer = self.post(n=3, seed=5, guided_json=SCHEMA)
        self.assertEqual(len(answer["choices"]), 3)
        for choice in answer["choices"]:
            self.expect_pet(choice["message"]["content"])

    def test_json_object(self):
        # Any object may be long: what was cut short is the beginning of one.
        _, answer = self.post(response_format={"type": "json_object"}, max_tokens=60)
        choice = answer["choices"][0]
        self.assertTrue(choice["message"]["content"].lstrip().startswith("{"))
        if choice["finish_reason"] == "stop":
            self.assertIs(type(json.loads(choice["message"]["content"])), dict)

    def test_choice_and_regex(self):
        for seed in range(4):
            flags = ("--prompt", "Yes or no?", "--temperature", "1", "--seed", str(seed))
            answer = generate(self.service, *flags, "--choice", "yes", "--choice", "no")
            self.assertIn(answer["text"], ("yes", "no"))
            answer = generate(self.service, *flags, "--regex", r"\d{4}-\d{2}-\d{2}")
            self.assertRegex(answer["text"], r"\A\d{4}-\d{2}-\d{2}\Z")
            _, answer = self.post("/v1/completions", prompt="When?", seed=seed,
                                  structured_outputs={"regex": "[ab]{3}c?"})
            self.assertTrue(re.fullmatch("[ab]{3}c?", answer["choices"][0]["text"]))
            _, answer = self.post(seed=seed, guided_choice=["left", "right"])
            self.assertIn(answer["choices"][0]["message"]["content"], ("left", "right"))

    def test_neighbours_change_nothing(self):
        plain = ("--prompt", "Tell me a story.", "--temperature", "1", "--seed", "7", "--max-tokens", "40",
                 "--logprobs", "2", "--ignore-eos")
        bound = (*HOT, "--json-schema", self.schema_file.name, "--seed", "11", "--logprobs", "2")
        alone = [generate(self.service, *flags) for flags in (plain, bound)]
        with ThreadPoolExecutor(12) as pool:
            crowd = [pool.submit(generate, self.service, *HOT, "--regex", f"[a-z]{{{20 + i}}}",
                                 "--seed", str(i)) for i in range(10)]
            among = [pool.submit(generate, self.service, *flags) for flags in (plain, bound)]
            for request in crowd:
                request.result()
            for want, got in zip(alone, among):
                self.assertEqual(want["token_ids"], got.result()["token_ids"])
                self.assertEqual(want["logprobs"], got.result()["logprobs"])

    def test_grammar(self):
        text = 'root ::= sum "=" number\nsum ::= number ("+" number){1,2}\nnumber ::= [1-9] [0-9]?\n'
        with tempfile.NamedTemporaryFile("w", suffix=".ebnf") as file:
            file.write(text)
            file.flush()
            for seed in range(3):
                answer = generate(self.service, *HOT, "--grammar", file.name, "--seed", str(seed))
                self.assertRegex(answer["text"], r"\A[1-9]\d?(\+[1-9]\d?){1,2}=[1-9]\d?\Z")
        for fields in ({"guided_grammar": text}, {"structured_outputs": {"grammar": text}}):
            _, answer = self.post(seed=4, **fields)
            self.assertRegex(answer["choices"][0]["message"]["content"], r"\A[1-9]\d?(\+[1-9]\d?){1,2}=[1-9]\d?\Z")

    def test_structural_tag(self):
        pet = {"begin": "<pet>", "end": "</pet>"}
        formats = {"type": "structural_tag", "format": {
            "type": "tag", **pet, "content": {"type": "json_schema", "json_schema": SCHEMA}}}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(formats, file)
            file.flush()
            texts = [generate(self.service, *HOT, "--structural-tag", file.name, "--seed", "1")["text"]]
        for fields in ({"response_format": formats}, {"structured_outputs": {"structural_tag": json.dumps(formats)}}):
            _, answer = self.post(seed=2, **fields)
            texts.append(answer["choices"][0]["message"]["content"])
        for text in texts:
            self.assertTrue(text.startswith("<pet>") and text.endswith("</pet>"), text)
            self.expect_pet(text[len("<pet>"):-len("</pet>")])
        # Free text until a trigger: what follows one fits.
        older = {"type": "structural_tag", "triggers": ["a"], "structures": [
            {"begin": "a", "schema": {"enum": [7]}, "end": "!"}]}
        status, answer = self.post(seed=3, response_format=older, max_tokens=200)
        self.assertEqual(status, 200, answer)
        text = answer["choices"][0]["message"]["content"]
        self.assertTrue(re.fullmatch("([^a]|a7!)*(a7?)?", text, re.DOTALL), text)

    def test_tools_that_must_be_called(self):
        tools = [{"type": "function", "function": {"name": name, "parameters": {
            "type": "object", "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 99}},
            "required": ["count"], "additionalProperties": False}}} for name in ("feed", "walk")]
        for seed in range(3):
            for choice, names, reason in (
                    ("required", ("feed", "walk"), "tool_calls"),
                    ({"type": "function", "function": {"name": "walk"}}, ("walk",), "stop")):
                status, answer = self.post(seed=seed, tools=tools, tool_choice=choice, parallel_tool_calls=False)
                self.assertEqual(status, 200, answer)
                self.assertEqual(answer["choices"][0]["finish_reason"], reason)
                message = answer["choices"][0]["message"]
                self.assertEqual(message["content"], "")
                self.assertEqual(len(message["tool_calls"]), 1, answer)
                function = message["tool_calls"][0]["function"]
                self.assertIn(function["name"], names)
                arguments = json.loads(function["arguments"])
                self.assertEqual(list(arguments), ["count"])
                self.assertIn(arguments["count"], range(100))
            _, answer = self.post(seed=seed, tools=tools, tool_choice="required", max_tokens=400)
            self.assertGreaterEqual(len(answer["choices"][0]["message"]["tool_calls"]), 1, answer)
        # The same over gRPC.
        line = {"id": 1, "messages": [{"role": "user", "content": "Hi"}], "tools": tools, "max_tokens": 400,
                "tool_choice": {"type": "function", "function": {"name": "feed"}}}
        done = client("batch", "--server", self.service.address, "--input", "-", "--output", "-",
                      stdin=json.dumps(line) + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["text"], answer["finish_reason"]), ("", "stop"), answer)
        (call,) = answer["tool_calls"]
        self.assertEqual(call["function"]["name"], "feed")
        self.assertIn(json.loads(call["function"]["arguments"])["count"], range(100))

    def test_refusals_name_the_field(self):
        refused = client("generate", "--server", self.service.address, "--prompt", "x", "--regex", "a(?<!b)")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("structured_outputs.regex", refused.stderr)
        for fields, param in (
                ({"guided_json": {"type": "text"}}, "guided_json"),
                ({"guided_json": {"type": "array", "uniqueItems": True}}, "guided_json"),
                ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}}},
                 "response_format.json_schema.schema"),
                ({"guided_regex": "(" * 40}, "guided_regex"),
                ({"guided_grammar": "start: \"a\""}, "guided_grammar"),
                ({"guided_grammar": "root ::= missing"}, "guided_grammar"),
                ({"structured_outputs": {"structural_tag": '{"format": {"type": "token", "token": 1}}'}},
                 "structured_outputs.structural_tag"),
                ({"tool_choice": "required"}, "tool_choice"),
                ({"tools": [{"type": "function", "function": {"name": "f"}}],
                  "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
                ({"guided_choice": ["a"], "ignore_eos": True}, "ignore_eos")):
            status, answer = self.post(**fields)
            self.assertEqual(status, 400, answer)
            self.assertEqual(answer["error"]["param"], param, answer)


class ThinkingModel(unittest.TestCase):
    """The bundled model with <think> and </think> in place of its tags of tool calls; and with limits of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        for file in MODEL.iterdir():
            target = pathlib.Path(cls.folder.name, file.name)
            if file.suffix == ".json":
                target.write_text(file.read_text().replace("tool_call>", "think>"))
            else:
                target.symlink_to(file)
        cls.service = Service("--served-model-name", "demo", "--reasoning-parser", "deepseek_r1",
                              "--max-grammar-bytes", "100", model=cls.folder.name, ranks=1)

    @classmethod
    def tearDownClass(cls):
        cls.service.__exit__()
        cls.folder.cleanup()

    def chat(self, **fields):
        connection = http.client.HTTPConnection(self.service.http_address, timeout=120)
        body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 1, "seed": 1, "max_tokens": 60, **fields}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def test_thinking_is_apart_and_free(self):
        _, answer = self.chat(guided_regex="[ab]{4}")
        message = answer["choices"][0]["message"]
        self.assertTrue(message["reasoning_content"])  # the model knows of no end of thinking
        self.assertIsNone(message["content"])
        # It is made to end it: what follows fits.
        end = client("tokenize", "--model", self.folder.name, "--json", stdin="</think>").stdout
        (end,) = json.loads(end)
        _, answer = self.chat(guided_regex="[ab]{4}", logit_bias={str(end): 100})
        message = answer["choices"][0]["message"]
        self.assertRegex(message["content"], r"\A[ab]{4}\Z")

    def test_the_limits_are_flags(self):
        status, answer = self.chat(guided_regex="a" * 101)
        self.assertEqual(status, 400)
        self.assertIn("up to 100 bytes", answer["error"]["message"])


if __name__ == "__main__":
    unittest.main()
