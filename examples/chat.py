"""A Python client of a few lines: streams one chat answer. Needs grpcio and grpcio-tools.

    python examples/chat.py HOST:PORT "What is a rank?"
"""

import pathlib
import sys

import grpc

# Compiles the .proto file when it is imported, so that there is nothing to generate or to keep up to date.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "proto"))
protos, services = grpc.protos_and_services("phalanx/v1/inference.proto")


def main() -> None:
    address, question = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        stub = services.InferenceStub(channel)
        request = protos.ChatRequest(
            messages=[protos.ChatMessage(role="user", content=question)],
            sampling=protos.SamplingParams(temperature=0, max_tokens=96))
        for message in stub.ChatStream(request):
            print(message.text_delta, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
