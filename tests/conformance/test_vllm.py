"""vLLM's server and this one on the bundled model: the same requests, answers compared field by field.

PHALANX_VLLM_PYTHON names the interpreter of an environment with vLLM's CPU build (install_vllm.sh makes one); without
it, and where the one that runs this has no vLLM, the suite is skipped. What differs on purpose is in
vllm_differences.py, each with its reason. Names of tests as arguments run some of them.
"""

import json
import os
import pathlib
import re
import secrets
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import cases  # noqa: E402
import differences  # noqa: E402
import streams  # noqa: E402
import vllm_requests  # noqa: E402
from differences import OURS_ALONE, THEIRS_ALONE, VALUE, Difference  # noqa: E402
from http_api import Http, Reply  # noqa: E402
from service import Service  # noqa: E402
from vllm_differences import DELIBERATE  # noqa: E402
from vllm_service import Vllm, interpreter  # noqa: E402

SERVED = "demo"
USAGE = {"include_usage": True}


def without_chance(value, key: str = ""):
    """What no two answers share, replaced by what they must share: prefixes of ids, and that there is a time."""
    if isinstance(value, dict):
        return {name: without_chance(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_chance(inner) for inner in value]
    if key == "id" and isinstance(value, str):
        prefix = re.match(r"[a-z]+[-_]", value)
        return prefix[0] if prefix else value
    if key in ("created", "system_fingerprint"):
        return type(value).__name__
    return value


def events(reply: Reply) -> list[dict]:
    """The chunks of a stream; the text of a marker stays what it is."""
    parts = [part.removeprefix("data: ") for part in reply.body.decode().split("\n\n") if part]
    assert parts[-1] == "[DONE]", parts[-1]
    return [without_chance(json.loads(part)) for part in parts[:-1]]


def is_json(reply: Reply) -> bool:
    return reply.headers.get("content-type", "").startswith("application/json") and bool(reply.body)


def field_of(param: str | None) -> str:
    """vLLM's name of a field in our words: body.stop.0 is stop[0]."""
    words = (param or "").removeprefix("body.").split(".")
    return "".join(f"[{word}]" if word.isdigit() else f".{word}" for word in words).lstrip(".")


def of_errors(ours: dict, theirs: dict) -> list[Difference]:
    """Keys, type and code; and the field that both name has to be the same, or the one a part of the other."""
    if "error" not in theirs or set(ours["error"]) != set(theirs["error"]):
        return [Difference("", VALUE, ours, theirs)]
    ours, theirs = ours["error"], theirs["error"]
    found = [Difference(f"error.{key}", VALUE, ours[key], theirs[key]) for key in ("code", "type")
             if ours[key] != theirs[key]]
    mine, named = field_of(ours["param"]), field_of(theirs["param"])
    if bool(mine) != bool(named):
        found.append(Difference("error.param", OURS_ALONE if mine else THEIRS_ALONE, mine, named))
    elif not (mine.startswith(named) or named.startswith(mine)):
        found.append(Difference("error.param", VALUE, mine, named))
    return found


class AgainstVllm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if interpreter() is None and "PHALANX_VLLM_URL" not in os.environ:
            why = "no vLLM: PHALANX_VLLM_PYTHON names no interpreter, and this one cannot import it"
            print("skipped:", why)
            raise unittest.SkipTest(why)
        cls.vllm = cls.enterClassContext(Vllm(SERVED))
        cls.theirs = Http(cls.vllm.http_address, timeout_s=300)
        cls.service = cls.enterClassContext(Service("--served-model-name", SERVED, ranks=1))
        cls.ours = Http(cls.service.http_address)
        cls.used: set = set()
        cls.salt_of_run = secrets.token_hex(4)
        cls.salts = 0

    def salt(self) -> str:
        """A new one, so that nothing is cached, however large the blocks and however old the servers."""
        type(self).salts += 1
        return f"{self.salt_of_run}{self.salts}"

    def expect(self, request: str, view: str, found: list[Difference]) -> None:
        """Fails for each difference that is not on purpose."""
        others = []
        for difference in found:
            rows = [row for row in DELIBERATE if row.explains(request, view, difference)]
            self.used.update(rows)
            if not rows:
                others.append(f"{view} {difference}")
        self.assertFalse(others, "\n".join([f"{len(others)} differences nobody explained:", *others]))

    def ask_both(self, request: str, method: str, path: str, fields) -> tuple[Reply, Reply] | None:
        """Null, where the statuses differ on purpose: then there is nothing else to compare."""
        body = fields if isinstance(fields, bytes) else None if fields is None else json.dumps(fields).encode()
        ours, theirs = (http.send(method, path, body) for http in (self.ours, self.theirs))
        if ours.status == theirs.status:
            return ours, theirs
        statuses = f"{ours.status} against {theirs.status}"
        self.expect(request, "status", [Difference(statuses, VALUE, ours.body, theirs.body)])
        return None

    def test_whole_answers(self):
        for case in [*vllm_requests.of_cases(), *vllm_requests.whole_only()]:
            with self.subTest(case.name):
                both = self.ask_both(case.name, "POST", case.path, {**case.fields, "cache_salt": self.salt()})
                if both is None:
                    continue
                ours, theirs = (without_chance(reply.json()) for reply in both)
                compare = differences.of_shapes if vllm_requests.is_sampled(case.fields) else differences.of_values
                self.expect(case.name, "whole", compare(ours, theirs))

    def compare_streams(self, name: str, fields: dict, both: tuple[Reply, Reply]) -> None:
        ours, theirs = (events(reply) for reply in both)
        if any("error" in chunk for chunk in [*ours, *theirs]):
            self.expect(name, "stream", [Difference("error", VALUE, ours[-1], theirs[-1])])
            return
        is_sampled = vllm_requests.is_sampled(fields)
        compare = differences.of_shapes if is_sampled else differences.of_values
        self.expect(name, "stream", compare(streams.join(ours), streams.join(theirs)))
        self.expect(name, "chunk", differences.of_shapes(streams.keys(ours), streams.keys(theirs)))
        if not is_sampled:
            self.expect(name, "order", differences.of_values(streams.order(ours), streams.order(theirs)))

    def test_streams(self):
        for case in vllm_requests.of_cases():
            with self.subTest(case.name):
                fields = {**case.fields, "cache_salt": self.salt(), "stream": True, "stream_options": USAGE}
                both = self.ask_both(case.name, "POST", case.path, fields)
                if both is not None:
                    self.compare_streams(case.name, fields, both)

    def test_stream_options(self):
        for path, fields in ((cases.CHAT, {"messages": cases.user("Hi.")}), (cases.TEXT, {"prompt": "Hi."})):
            for options in vllm_requests.STREAM_OPTIONS:
                name = f"stream_options {json.dumps(options)} at {path}"
                with self.subTest(name):
                    asked = {**fields, **vllm_requests.GREEDY, "cache_salt": self.salt(), "stream": True,
                             "stream_options": options}
                    both = self.ask_both(name, "POST", path, asked)
                    if both is not None:
                        self.compare_streams(name, asked, both)

    def test_bad_requests(self):
        for bad in [*vllm_requests.of_bad_rows(), *vllm_requests.own_bad()]:
            with self.subTest(bad.name):
                both = self.ask_both(bad.name, "POST", bad.path, bad.fields)
                if both is not None:
                    ours, theirs = (reply.json() for reply in both)
                    self.assertEqual(both[0].status, 400, ours)
                    self.expect(bad.name, "error", of_errors(ours, theirs))

    def test_small_endpoints(self):
        for ask in vllm_requests.SMALL:
            with self.subTest(ask.name):
                both = self.ask_both(ask.name, ask.method, ask.path, ask.fields)
                if both is None:
                    continue
                bodies = [reply.json() if is_json(reply) else reply.body.decode() for reply in both]
                if both[0].status == 200:
                    self.expect(ask.name, "small", differences.of_values(*map(without_chance, bodies)))
                else:
                    self.expect(ask.name, "error", of_errors(*bodies))

    def test_zz_every_explanation_is_needed(self):
        """A row that explains nothing any more hides what comes next. Runs last, and only where all has run."""
        unused = [row for row in DELIBERATE if row not in self.used and not row.comes_and_goes]
        self.assertFalse(unused, "\n".join(map(str, unused)))


if __name__ == "__main__":
    unittest.main()
