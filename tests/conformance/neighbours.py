"""Streams that run beside a test and must not change by a bit, whatever the test does to the service."""

import threading
import time
from collections.abc import Callable

import bodies
import cases
from http_api import Http

# Sampled, so that any change of a logit may show; with log-probabilities, so that most do.
REQUESTS = [
    (cases.CHAT, {"messages": cases.user("Tell me a story."), "temperature": 1, "seed": 1, "logprobs": True,
                  "top_logprobs": 5, "max_tokens": 160, "ignore_eos": True, "return_token_ids": True}),
    (cases.TEXT, {"prompt": "Once upon a time", "temperature": 1.3, "seed": 2, "top_p": 0.95, "n": 2, "logprobs": 3,
                  "max_tokens": 120, "ignore_eos": True, "return_token_ids": True}),
    (cases.TEXT, {"prompt": [5, 6, 7, 8], "temperature": 0.8, "seed": 3, "repetition_penalty": 1.2, "logprobs": 0,
                  "max_tokens": 200, "ignore_eos": True, "echo": True}),
]

Ask = Callable[[], dict]


def over_http(http: Http) -> list[Ask]:
    def ask(path: str, fields: dict) -> dict:
        chunks = http.stream(path, {**fields, "stream_options": {"include_usage": True}})
        answer = (bodies.join_chat if path == cases.CHAT else bodies.join_text)(chunks)
        answer["usage"].pop("prompt_tokens_details")  # the prefix cache may have the prompt by then
        return answer

    return [lambda path=path, fields=fields: ask(path, fields) for path, fields in REQUESTS]


class Neighbours:
    """Repeats each stream until the end and compares every round with one that had the service to itself."""

    LEAST_ROUNDS = 2

    def __init__(self, asks: list[Ask]):
        self.asks = asks
        self.references = [ask() for ask in asks]
        self.rounds = [0] * len(asks)
        self.differences: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(len(asks))]

    def _run(self, index: int) -> None:
        while not self._stop.is_set():
            try:
                answer = self.asks[index]()
            except Exception as error:  # a stream that failed is what this looks for
                self.differences.append(f"stream {index}: {error!r}")
                return
            if answer != self.references[index]:
                self.differences.append(f"stream {index}, round {self.rounds[index]}: {answer}")
            self.rounds[index] += 1

    def __enter__(self) -> "Neighbours":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *exc) -> None:
        deadline = time.monotonic() + 60
        while min(self.rounds) < self.LEAST_ROUNDS and not self.differences and time.monotonic() < deadline:
            time.sleep(0.05)
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            assert not self.differences, self.differences[0]
            assert min(self.rounds) >= self.LEAST_ROUNDS, self.rounds
