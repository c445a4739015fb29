"""The page when something is wrong: a service that is busy, not ready, cut off, dead and back; and hostile text.

Runs with the packages of tests/web/requirements.txt: python tests/web/test_trouble.py
"""

import json
import pathlib
import signal
import tempfile
import threading
import unittest

from page import ANSWERS, Page
from selenium.webdriver.common.keys import Keys
from service import Service

from front import Front, Scripted, chunk, text_stream

CAPITAL = "What is the capital of France?"

HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<svg onload='window.hit = 1'>",
    "</div></article><iframe srcdoc='<script>parent.hit = 1</script>'></iframe>",
    "[link](javascript:window.hit=1) [data](data:text/html,<script>1</script>)",
    "[x](JaVaScRiPt&#58;window.hit=1) <javascript:window.hit=1> [y](vbscript:1)",
    "![image](https://example.invalid/x.png) ![image](javascript:1)",
    '[t](https://example.invalid/"onmouseover="window.hit=1)',
    "```<script>window.hit = 1</script>\n<b>bold</b>\n```",
    "```html\n<script>window.hit = 1</script>\n```",
    "| <b>a</b> | <script>window.hit = 1</script> |\n|---|---|\n| <img src=x onerror=window.hit=1> | b |",
    "`<b>code</b>` **<i>bold</i>** &lt;b&gt; &#60;script&#62;",
    "\u202e\u0000\ufeff\ud83d\ude42 right to left",
    "<style>* { display: none }</style><base href='https://example.invalid/'><meta http-equiv=refresh content=0>",
]


class Trouble(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = cls.enterClassContext(Service("--served-model-name", "demo", ranks=1))
        cls.front = cls.enterClassContext(Front(cls.service.http_address))
        cls.downloads = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.page = cls.enterClassContext(Page())

    def setUp(self):
        self.front.script.clear()
        self.front.health = None
        self.front.upstream = self.service.http_address
        self.page.open(self.front.address)

    # ---------------------------------------------------------------------------------- statuses

    def test_busy(self):
        page = self.page
        self.front.script += [Scripted(429, headers={"Retry-After": "2"}, message="the queue is full")]
        page.send(CAPITAL)
        page.wait_text(".problem", "The server is busy")
        self.assertRegex(page.text(".problem .button"), "Try again")
        page.wait(lambda: page.text(".problem .button") == "Try again", "the countdown does not end")
        page.click(".problem .button")
        page.wait_text(f"{ANSWERS} .content", "Paris")
        page.wait_answer()
        self.assertEqual(page.all(".problem"), [])
        self.assertEqual(len(page.all(ANSWERS)), 1)
        self.assertEqual(page.all(".versions"), [], "an answer without a word is no version")

    def test_a_keys_own_limit_is_no_crowd(self):
        page = self.page
        self.front.script += [Scripted(429, headers={"Retry-After": "1"},
                                       message="this key has 16 sequences under way and asks for 1 more, allowed: 16 at once")]
        page.send(CAPITAL)
        page.wait_text(".problem", "This API key has too many answers under way")
        self.assertNotIn("busy", page.text(".problem"))

    def test_countdown_keeps_the_button_closed(self):
        page = self.page
        self.front.script += [Scripted(429, headers={"Retry-After": "3600"})]
        page.send(CAPITAL)
        page.wait_text(".problem .button", "Try again in 3")
        self.assertFalse(page.one(".problem .button").is_enabled())
        page.reload()
        page.wait_text(".problem .button", "Try again in 3")

    def test_every_status_has_words(self):
        page = self.page
        for status, words, detail in (
                (400, "refused this request", "temperature: is 3"), (404, "does not know this model", "no such model"),
                (413, "too long to send", "body: has"), (500, "failed (status 500)", "req-7"),
                (503, "not ready", "It is starting"), (504, "took too long", "deadline")):
            with self.subTest(status):
                self.front.script += [Scripted(status, message=detail, headers={"Retry-After": "1"})]
                page.click("#new-chat")
                page.send(CAPITAL)
                page.wait_text(".problem", words)
                self.assertIn(detail, page.text(".problem"))
                self.assertEqual(page.one(".problem").get_attribute("role"), "alert")

    def test_a_server_without_probabilities(self):
        page = self.page
        self.front.extra = {"top_logprobs": 21}  # what --max-logprobs 0 does to any number
        page.send(CAPITAL)
        page.wait_text(".problem", "refused this request")
        self.front.extra = {}
        self.assertEqual(["logprobs" in request for request in self.front.requests[-2:]], [True, False])

    def test_readiness(self):
        page = self.page
        page.wait_text("#health", "Ready")
        self.front.health = 503
        page.reload()
        page.wait_text("#health", "Not ready")
        self.front.health = None
        page.wait_text("#health", "Ready")

    # ----------------------------------------------------------------------------------- streams

    def test_error_within_a_stream(self):
        page = self.page
        error = {"error": {"message": "the worker group is lost", "type": "", "param": None, "code": 503}}
        pieces = [*text_stream(["Half an answer"])[:1], f"data: {json.dumps(error)}\n\n"]
        self.front.script += [Scripted(pieces=pieces)]
        page.send(CAPITAL)
        page.wait_text(".problem", "The answer broke off")
        self.assertIn("the worker group is lost", page.text(".problem"))
        self.assertEqual(page.answer(), "Half an answer", "what has come stays")
        page.click(page.labelled("Regenerate"))
        page.wait_text(f"{ANSWERS} .content", "Paris")
        page.wait_text(f"{ANSWERS} .versions", "2/2")

    def test_streams_that_are_cut(self):
        page = self.page
        for pieces, cut in ((text_stream(["Half"])[:1], True), (text_stream(["Half"])[:2], False),
                            (["data: {not json\n\n"], False)):
            with self.subTest(pieces=pieces, cut=cut):
                self.front.script += [Scripted(pieces=pieces, cut=cut)]
                page.click("#new-chat")
                page.send(CAPITAL)
                page.wait_text(".problem", "unexpected" if "not json" in pieces[0] else "broke off")
                self.assertFalse(page.is_busy())

    def test_events_cut_anywhere(self):
        page = self.page
        stream = "".join(text_stream(["Zürich ", "🙂 ", "1 < 2"])).replace("\n", "\r\n").encode()
        pieces = [stream[i:i + 7].decode("latin-1") for i in range(0, len(stream), 7)]
        answer = Scripted(pieces=pieces)
        answer.encoding = "latin-1"
        self.front.script += [answer]
        page.send("x")
        page.wait_text(f"{ANSWERS} .content", "Zürich 🙂 1 < 2")

    def test_thinking_is_folded(self):
        page = self.page
        thinking = [chunk({"reasoning_content": "Let me **think**."}), *text_stream(["Done."])]
        self.front.script += [Scripted(pieces=thinking)]
        page.send("x")
        page.wait_text(f"{ANSWERS} .content", "Done.")
        page.wait_text(".reasoning summary", "Thought for")
        self.assertFalse(page.one(".reasoning strong").is_displayed())
        page.click(".reasoning summary")
        page.wait(lambda: page.one(".reasoning strong").is_displayed())

    # ------------------------------------------------------------------------------ dead and back

    def test_service_dies_and_comes_back(self):
        page = self.page
        with Service("--served-model-name", "demo", ranks=1) as doomed:
            self.front.upstream = doomed.http_address
            self.front.extra = {"ignore_eos": True}
            # Nothing more is passed on until the page shows the first piece and the service is dead.
            killed = threading.Event()
            self.front.after_first_piece = lambda: killed.wait(60)
            page.send("Tell me a story.")
            page.wait(lambda: page.answer() != "", "no text yet")
            doomed.process.send_signal(signal.SIGKILL)
            killed.set()
            page.wait_text(".problem", "The answer broke off")
            self.front.extra = {}
            self.front.upstream = None
            self.assertNotEqual(page.answer(), "", "what has come stays")
            page.wait_text("#health", "No connection")
            page.click("#new-chat")
            page.send(CAPITAL)
            page.wait_text(".problem", "No connection to the server")
            self.assertEqual(page.questions(), [CAPITAL])
        with Service("--served-model-name", "demo", ranks=1) as again:
            self.front.upstream = again.http_address
            page.wait_text("#health", "Ready")
            page.click(".problem .button")
            page.wait_text(f"{ANSWERS} .content", "Paris")
            self.assertEqual(page.all(".problem"), [])

    # -------------------------------------------------------------------------------- hostile text

    def assert_harmless(self):
        page = self.page
        found = page.run("""
            const bad = 'script, iframe, object, embed, style, base, meta, link, form[action], svg script, img';
            const inside = Array.from(document.querySelectorAll('#thread, #sidebar, .popover, dialog'))
                .flatMap((root) => Array.from(root.querySelectorAll(bad)))
                .filter((node) => !node.matches('.brand img'));
            const handlers = Array.from(document.querySelectorAll('*'))
                .filter((node) => node.getAttributeNames().some((name) => name.startsWith('on')));
            const links = Array.from(document.links)
                .filter(({protocol, hash}) => !/^https?:$|^mailto:$/.test(protocol));
            return [...inside, ...handlers, ...links].map((node) => node.outerHTML);""")
        self.assertEqual(found, [])
        self.assertIsNone(page.run("return window.hit ?? null"))
        self.assertEqual(page.complaints(), [])

    def test_hostile_answers(self):
        page = self.page
        text = "\n\n".join(HOSTILE)
        pieces = [text[i:i + 5] for i in range(0, len(text), 5)]
        logprob = [{"content": [{"token": piece, "logprob": -0.5, "bytes": list(piece.encode("utf-8", "replace")),
                                 "top_logprobs": [{"token": HOSTILE[0], "logprob": -1, "bytes": None}]}]}
                   for piece in pieces]
        self.front.script += [Scripted(pieces=text_stream(pieces, logprobs=logprob))]
        page.send("x")
        page.wait_text(f"{ANSWERS} .stats", "token")
        page.wait_answer()
        for part in ("<script>window.hit = 1</script>", "<img src=x onerror='window.hit = 1'>", "<b>bold</b>"):
            self.assertIn(part, page.answer())
        self.assert_harmless()
        page.click(page.labelled("Probabilities"))
        page.click(".token", 2)
        page.wait_text("#alternatives", "<script>")
        self.assert_harmless()
        for link in page.run("return Array.from(document.querySelectorAll('.content a'), (a) => [a.rel, a.target])"):
            self.assertEqual(link, ["noopener noreferrer nofollow", "_blank"])

    def test_hostile_questions_titles_and_problems(self):
        page = self.page
        for text in HOSTILE[:4]:
            page.click("#new-chat")
            page.wait(lambda: page.questions() == [])
            self.front.script += [Scripted(400, message=text)]
            page.send(text)
            page.wait_text(".problem", text[:20])
            self.assertEqual(page.questions(), [text])
        self.assertEqual(len(page.titles()), 4)
        self.assert_harmless()

    def test_hostile_file(self):
        page = self.page
        deep = {"role": "user", "content": "one", "children": ["a"], "selected": "b"}
        nodes = {"root": {"children": ["a", "a", "constructor", "__proto__", "missing"], "selected": "a"},
                 "a": {"role": "user", "content": HOSTILE[0], "children": ["b"]},
                 "b": {"role": "assistant", "content": HOSTILE[1], "children": ["c", "a"], "toolCalls": [None, 3],
                       "tokens": [None, {"text": 3, "top": "x"}], "stats": {"promptTokens": "<b>"}, "problem": "x"},
                 "c": deep, "d": {"role": "root"}}
        text = json.dumps({"format": "phalanx-conversations", "conversations": [
            {"title": HOSTILE[1], "nodes": nodes, "__proto__": {"hit": 1}}, {"nodes": []}, {"nodes": None}]})
        file = self.downloads / "hostile.json"
        file.write_text(text)
        page.one("#import-file").send_keys(str(file))
        page.wait_text("#notice", "1 conversation imported")
        page.wait(lambda: page.questions() == [HOSTILE[0], "one"], "not shown")
        self.assert_harmless()

    def test_policy_holds(self):
        page = self.page
        page.open(self.service.http_address)
        page.run("""const script = document.createElement('script');
                    script.textContent = 'window.hit = 1';
                    document.body.append(script);
                    const image = new Image();
                    image.src = 'https://example.invalid/x.png';
                    document.body.append(image);""")
        self.assertIsNone(page.run("return window.hit ?? null"))
        page.wait(lambda: sum("Content Security Policy" in line for line in self.logged()) >= 2,
                  "the policy does not refuse them")

    def logged(self):
        self.lines = getattr(self, "lines", []) + self.page.complaints()
        return self.lines


if __name__ == "__main__":
    unittest.main()
