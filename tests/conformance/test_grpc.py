"""What only gRPC has: health, reflection, zeros that are no absent fields, ids, timings, deadlines and cancellation.

Runs with the packages of tests/conformance/requirements.txt.
"""

import pathlib
import sys
import time
import unittest

import grpc

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from grpc_api import Grpc, protos  # noqa: E402
from service import Service  # noqa: E402

SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse with status SERVING
LONG = {"max_tokens": 3000, "ignore_eos": True, "temperature": 0}


def named(name: str) -> bytes:
    """A message whose field 1 is the string; these fit a byte of length."""
    return b"\x0a" + bytes([len(name)]) + name.encode()


class GrpcAlone(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Without the model's own defaults, which are greedy.
        cls.service = Service("--served-model-name", "demo", "--generation-config", "vllm", "--enable-reflection",
                              "--max-num-seqs", "1", ranks=1)
        cls.client = Grpc(cls.service.address)
        cls.stub = cls.client.stub

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.service.__exit__()

    def generate(self, text="Tell me a story.", **sampling):
        return self.stub.Generate(protos.GenerateRequest(
            text=text, sampling=protos.SamplingParams(**{"max_tokens": 24, "ignore_eos": True, **sampling})))

    def ids(self, **sampling) -> list[int]:
        return list(self.generate(**sampling).choices[0].token_ids)

    def test_health(self):
        check = self.client.channel.unary_unary("/grpc.health.v1.Health/Check")
        for service in ("", "phalanx.v1.Inference"):
            self.assertEqual(check(named(service)), SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            check(named("no.such.Service"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        watch = self.client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        self.assertEqual(next(watch), SERVING)
        watch.cancel()

    def test_reflection_lists_the_service(self):
        list_services = b"\x3a\x01*"  # ServerReflectionRequest.list_services
        for version in ("v1", "v1alpha"):
            method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            try:
                answer = b"".join(self.client.channel.stream_stream(method)(iter([list_services])))
            except grpc.RpcError as error:  # gRPC 1.51 has the older name alone
                self.assertEqual((version, error.code()), ("v1", grpc.StatusCode.UNIMPLEMENTED))
                continue
            self.assertIn(b"phalanx.v1.Inference", answer)

    def test_zero_is_not_absent(self):
        greedy = self.ids(temperature=0)
        self.assertEqual([self.ids(temperature=0, seed=seed) for seed in (1, 2)], [greedy, greedy])
        self.assertGreater(len({tuple(self.ids(seed=seed)) for seed in range(4)}), 1)  # absent: 1
        self.assertEqual(self.ids(seed=0), self.ids(seed=0, temperature=1, top_p=1, top_k=-1, min_p=0, n=1))
        alone = self.generate(logprobs=0).choices[0].logprobs
        self.assertEqual([len(token.top) for token in alone], [0] * 24)
        self.assertEqual(len(self.generate().choices[0].logprobs), 0)

    def test_drawn_seed_is_reported_and_gives_the_tokens_again(self):
        drawn = [self.generate(temperature=1.5) for _ in range(2)]
        self.assertNotEqual(drawn[0].usage.seed, drawn[1].usage.seed)
        for answer in drawn:
            again = self.generate(temperature=1.5, seed=answer.usage.seed)
            self.assertEqual(again.choices[0].token_ids, answer.choices[0].token_ids)

    def test_ids_model_and_timings(self):
        request = protos.GenerateRequest(text="Hi.", request_id="mine", model="demo")
        first, second = self.stub.Generate(request), self.stub.Generate(request)
        self.assertEqual((first.request_id, first.model), ("mine", "demo"))
        self.assertTrue(first.id and first.id != second.id)
        self.assertGreater(first.timings.prefill_ms, 0)
        messages = list(self.stub.GenerateStream(request))
        self.assertEqual([message.HasField("timings") for message in messages],
                         [False] * (len(messages) - 1) + [True])
        self.assertGreater(messages[-1].timings.decode_ms, 0)
        self.assertEqual((messages[0].request_id, messages[0].num_prompt_tokens), ("mine", first.usage.prompt_tokens))

    def load(self):
        info = self.stub.GetServerInfo(protos.GetServerInfoRequest())
        return info.num_running, info.num_waiting, info.state

    def test_deadline_and_cancel_end_the_work(self):
        request = protos.GenerateRequest(text="Once", sampling=protos.SamplingParams(**LONG))
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Generate(request, timeout=0.2)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        hog = self.stub.GenerateStream(request)
        next(hog)
        # One runs at a time: the next one's deadline drops it from the queue, or it is refused at once where what was
        # served before lets the service foresee that.
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Generate(request, timeout=0.1)
        self.assertIn(caught.exception.code(),
                      (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED))
        hog.cancel()
        with self.assertRaises(grpc.RpcError) as caught:
            list(hog)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
        self.assertEqual(len(self.ids()), 24)
        # What is reported is rank 0's last statistics, which may be older than the end of the last request.
        idle = (0, 0, "ready")
        until = time.monotonic() + 10
        while (seen := self.load()) != idle and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(seen, idle)


if __name__ == "__main__":
    unittest.main()
