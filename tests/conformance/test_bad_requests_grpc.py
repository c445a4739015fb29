"""Bad requests over gRPC: the status, the field in google.rpc.BadRequest, and neighbours' streams that keep every bit.

Runs with the packages of tests/conformance/requirements.txt.
"""

import pathlib
import sys
import unittest

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import cases  # noqa: E402
from bad_requests import RANGES, of_rows  # noqa: E402
from grpc_api import Grpc, chat_request, generate_requests, protos  # noqa: E402
from http_api import Http  # noqa: E402
from neighbours import REQUESTS, Neighbours, over_http  # noqa: E402
from service import Service  # noqa: E402

INVALID = grpc.StatusCode.INVALID_ARGUMENT
Sampling = protos.SamplingParams


def over_grpc(client: Grpc) -> list:
    def ask(path: str, fields: dict) -> dict:
        answer = client.ask(path, fields, stream=True)
        answer["usage"].pop("prompt_tokens_details")
        return answer

    return [lambda path=path, fields=fields: ask(path, fields) for path, fields in REQUESTS]


def text(sampling=None, **fields):
    return protos.GenerateRequest(**{"text": "Hi.", "sampling": sampling, **fields})


def chat(*messages, **fields):
    return protos.ChatRequest(messages=[protos.ChatMessage(**message) for message in messages], **fields)


def talk(**fields):
    return chat({"role": "user", "content": "Hi."}, **fields)


def call(arguments: str):
    return chat({"role": "assistant", "tool_calls": [protos.ToolCall(name="f", arguments_json=arguments)]})


def structured(**fields):
    return Sampling(structured_outputs=protos.StructuredOutputs(**fields))


# Method, request, status, the field. What HTTP has no way to say, or says otherwise.
OWN = [
    *((method, request(sampling=Sampling(**{field: value})), INVALID, f"sampling.{field}")
      for method, request in (("Generate", text), ("Chat", talk))
      for field in ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
      for value in (float("nan"), float("inf"), -float("inf"))),
    ("Generate", text(Sampling(logit_bias={5: float("nan")})), INVALID, "sampling.logit_bias"),
    ("Generate", protos.GenerateRequest(), INVALID, "prompt"),
    ("Generate", protos.GenerateRequest(token_ids=protos.TokenIds()), INVALID, "prompt.token_ids"),
    ("Generate", text(structured()), INVALID, "sampling.structured_outputs"),
    ("Generate", text(structured(json_object=False)), INVALID, "sampling.structured_outputs.json_object"),
    ("Generate", text(structured(json_schema="")), INVALID, "sampling.structured_outputs.json_schema"),
    ("Generate", text(structured(json_schema='{"uniqueItems": true}')), INVALID,
     "sampling.structured_outputs.json_schema"),
    ("Generate", text(structured(regex="(")), INVALID, "sampling.structured_outputs.regex"),
    ("Generate", text(structured(choice=protos.ChoiceConstraint())), INVALID, "sampling.structured_outputs.choice"),
    ("Generate", text(model="gpt-4"), grpc.StatusCode.NOT_FOUND, "model"),
    ("Chat", talk(model="gpt-4"), grpc.StatusCode.NOT_FOUND, "model"),
    ("Chat", protos.ChatRequest(), INVALID, "messages"),
    ("Chat", chat({"role": "developer", "content": "x"}), INVALID, "messages[0].role"),
    *(("Chat", call(arguments), INVALID, "messages[0].tool_calls[0].arguments_json") for arguments in ("[]", "x", "1")),
    *(("Chat", talk(tools_json=[tool]), INVALID, "tools_json[0]") for tool in ("", "[]", "x", '{"a":1,"a":2}')),
    ("Tokenize", protos.TokenizeRequest(), INVALID, "input"),
    ("Tokenize", protos.TokenizeRequest(text="x", model="gpt-4"), grpc.StatusCode.NOT_FOUND, "model"),
    ("Tokenize", protos.TokenizeRequest(chat=protos.ChatRequest()), INVALID, "chat.messages"),
    ("Tokenize", protos.TokenizeRequest(chat=chat({"role": "x", "content": "x"})), INVALID, "chat.messages[0].role"),
    *(("Detokenize", protos.DetokenizeRequest(token_ids=[0, token]), INVALID, "token_ids") for token in (-1, 10**6)),
    ("Detokenize", protos.DetokenizeRequest(model="gpt-4"), grpc.StatusCode.NOT_FOUND, "model"),
    ("GetModelInfo", protos.GetModelInfoRequest(model="gpt-4"), grpc.StatusCode.NOT_FOUND, "model"),
]


class BadRequests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", ranks=2)
        cls.grpc = Grpc(cls.service.address)

    @classmethod
    def tearDownClass(cls):
        cls.grpc.close()
        cls.service.__exit__()

    def expect_refusal(self, method: str, request, status, violation: str):
        with self.assertRaises(grpc.RpcError) as caught:
            answer = getattr(self.grpc.stub, method)(request)
            if method.endswith("Stream"):
                list(answer)
        error = caught.exception
        self.assertEqual(error.code(), status, error.details())
        self.assertTrue(error.details().startswith(violation), error.details())
        details = rpc_status.from_call(error)
        self.assertEqual((details.code, details.message), (status.value[0], error.details()))
        bad = error_details_pb2.BadRequest()
        self.assertTrue(details.details[0].Unpack(bad))
        self.assertEqual([v.field for v in bad.field_violations], [violation])

    def test_all_are_refused_by_name_and_others_keep_their_bits(self):
        calls = []
        for bad in of_rows(RANGES):
            method, request = (("Chat", chat_request(bad.fields)) if bad.path == cases.CHAT else
                               ("Generate", generate_requests(bad.fields)[0]))
            calls += [(kind, request, INVALID, bad.violation) for kind in (method, method + "Stream")]
        calls += OWN
        self.assertGreaterEqual(len(calls), 300)
        asks = over_grpc(self.grpc) + over_http(Http(self.service.http_address))
        with Neighbours(asks) as neighbours:
            for method, request, status, violation in calls:
                with self.subTest(method=method, violation=violation, request=str(request)[:200]):
                    self.expect_refusal(method, request, status, violation)
        print(f"{len(calls)} bad requests over gRPC, {sum(neighbours.rounds)} neighbour streams equal")

    def raw(self, method: str, message: bytes):
        return self.grpc.channel.unary_unary(f"/phalanx.v1.Inference/{method}")(message)

    def expect_code(self, code, method: str, message: bytes, words: str):
        with self.assertRaises(grpc.RpcError) as caught:
            self.raw(method, message)
        self.assertEqual(caught.exception.code(), code)
        self.assertIn(words, caught.exception.details())

    def test_bytes_that_are_no_message(self):
        for method in ("Generate", "Chat", "Tokenize", "Detokenize"):
            with self.subTest(method):
                self.expect_code(INVALID, method, b"\xff\xff\xff", "no valid phalanx.v1.")
        self.expect_code(INVALID, "Generate", b"\x12\x02\xc3\x28", "text: is no UTF-8")
        self.expect_code(INVALID, "Chat", b"\x12\x03\x0a\x01\xff", "messages.role: is no UTF-8")
        self.expect_code(grpc.StatusCode.UNIMPLEMENTED, "NoSuchMethod", b"", "")
        self.expect_code(grpc.StatusCode.RESOURCE_EXHAUSTED, "Generate",
                         text(text="x" * (5 << 20)).SerializeToString(), "")


if __name__ == "__main__":
    unittest.main()
