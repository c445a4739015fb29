"""gRPC and HTTP give the same answer to the same request: every row of cases.py, whole and as a stream.

What HTTP must say is derived here from gRPC's answer, so each field of the one is held to the other.
Runs with the packages of tests/conformance/requirements.txt.
"""

import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import bodies  # noqa: E402
import cases  # noqa: E402
from grpc_api import Grpc, chat_request, protos  # noqa: E402
from http_api import Http  # noqa: E402
from service import Service  # noqa: E402


def as_float32(value):
    """JSON as gRPC would carry it: log-probabilities in 32 bits."""
    return json.loads(json.dumps(value), parse_float=lambda text: protos.TokenLogprob(logprob=float(text)).logprob)


class Agreement(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.service = Service("--served-model-name", "demo", ranks=2)
        cls.http = Http(cls.service.http_address)
        cls.grpc = Grpc(cls.service.address)

    @classmethod
    def tearDownClass(cls):
        cls.grpc.close()
        cls.service.__exit__()

    def test_all_cases(self):
        for case in [*cases.CASES, *cases.WHOLE_CASES]:
            with self.subTest(case.name):
                answer = self.http.ask(case.path, {**case.fields, "cache_salt": "http"})
                want = as_float32(bodies.without_head(answer))
                for stream in (False, True):
                    fields = {**case.fields, "cache_salt": f"grpc {stream}"}
                    self.assertEqual(self.grpc.ask(case.path, fields, stream), want)

    def test_tokenize(self):
        talk = [*cases.user("Hi. 🙂"), {"role": "assistant", "content": "Hello"}]
        for fields in ({}, {"add_generation_prompt": False}, {"continue_final_message": True},
                       {"tools": [cases.WEATHER_TOOL]}):
            request = chat_request({"messages": talk, **fields})
            ours = self.grpc.stub.Tokenize(protos.TokenizeRequest(chat=request))
            theirs = self.http.ask("/tokenize", {"messages": talk, **fields})
            self.assertEqual((list(ours.token_ids), ours.max_model_len), (theirs["tokens"], theirs["max_model_len"]))
        for text in ("", "a", "é 🙂 <|im_end|>"):
            ours = self.grpc.stub.Tokenize(protos.TokenizeRequest(text=text))
            self.assertEqual(list(ours.token_ids), self.http.ask("/tokenize", {"prompt": text})["tokens"])
            self.assertEqual(b"".join(ours.tokens).decode(), text)
            back = self.grpc.stub.Detokenize(protos.DetokenizeRequest(token_ids=ours.token_ids))
            self.assertEqual(back.text, self.http.ask("/detokenize", {"tokens": list(ours.token_ids)})["prompt"])

    def test_model(self):
        ours = self.grpc.stub.GetModelInfo(protos.GetModelInfoRequest())
        theirs = self.http.send("GET", "/v1/models").json()["data"][0]
        self.assertEqual((ours.id, ours.max_model_len), (theirs["id"], theirs["max_model_len"]))
        version = self.grpc.stub.GetServerInfo(protos.GetServerInfoRequest()).version
        self.assertEqual(self.http.send("GET", "/version").json(), {"version": version})


if __name__ == "__main__":
    unittest.main()
