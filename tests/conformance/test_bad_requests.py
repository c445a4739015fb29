"""Every bad request of the table over HTTP: status, field and shape, while neighbours' streams keep every bit."""

import dataclasses
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import bodies  # noqa: E402
from bad_requests import JSON_ONLY, RANGES, of_rows  # noqa: E402
from http_api import Http  # noqa: E402
from neighbours import Neighbours, over_http  # noqa: E402
from service import Service  # noqa: E402


class BadRequests(unittest.TestCase):
    def test_all_are_refused_by_name_and_others_keep_their_bits(self):
        whole = of_rows(RANGES)
        streamed = [dataclasses.replace(bad, fields={**bad.fields, "stream": True}) for bad in whole]
        requests = whole + streamed + of_rows(JSON_ONLY)
        self.assertGreaterEqual(len(requests), 300)
        with Service("--served-model-name", "demo", ranks=2) as service:
            http = Http(service.http_address)
            with Neighbours(over_http(http)) as neighbours:
                for bad in requests:
                    with self.subTest(str(bad)):
                        self.expect_refusal(http, bad)
            print(f"{len(requests)} bad requests over HTTP, {sum(neighbours.rounds)} neighbour streams equal")

    def expect_refusal(self, http, bad):
        reply = http.post(bad.path, bad.fields)
        self.assertEqual(reply.status, 400, reply.body)
        answer = reply.json()
        bodies.expect(answer, bodies.ERROR)
        error = answer["error"]
        self.assertEqual((error["code"], error["type"], error["param"]), (400, "BadRequestError", bad.param), answer)
        self.assertTrue(error["message"].startswith(bad.param), answer)
        self.assertIn(bad.says, error["message"])
        self.assertLess(len(error["message"]), 500)


if __name__ == "__main__":
    unittest.main()
