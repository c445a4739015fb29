"""Chatting on the page against the real service with the bundled model: sending, streaming, stopping, asking again,
branches, probabilities, tools.

Runs with the packages of tests/web/requirements.txt: python tests/web/test_chat.py
"""

import json
import unittest

from page import ANSWERS, Page
from selenium.webdriver.common.keys import Keys
from service import Service

from front import Front, Scripted, chunk, text_stream

CAPITAL = "What is the capital of France?"
WEATHER_TOOL = [{"type": "function", "function": {
    "name": "get_weather", "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = cls.enterClassContext(Service("--served-model-name", "demo", ranks=1))
        cls.front = cls.enterClassContext(Front(cls.service.http_address))
        cls.page = cls.enterClassContext(Page())

    def setUp(self):
        self.front.script.clear()
        self.front.extra = {}
        self.page.open(self.service.http_address)

    def open_through_front(self):
        self.page.open(self.front.address)

    def test_question_and_answer(self):
        page = self.page
        self.assertIn("Paris", page.ask(CAPITAL))
        self.assertRegex(page.text(f"{ANSWERS} .stats"),
                         r"^\d+ tokens · [\d.]+ tokens/s · first token after [\d.]+ m?s$")
        self.assertEqual(page.questions(), [CAPITAL])
        self.assertEqual(page.titles(), [CAPITAL])
        self.assertEqual(page.text("#model-name"), "demo")
        self.assertEqual(page.text("#health"), "Ready")
        self.assertRegex(page.text("#context"), r"^\d+ of 4,096 tokens$")
        self.assertEqual(page.field.get_attribute("value"), "")
        self.assertIn("42", page.ask("What is 17 + 25?"))
        self.assertEqual(len(page.all(ANSWERS)), 2)
        self.assertEqual(page.complaints(), [])

    def test_follow_up_sees_what_was_said(self):
        self.open_through_front()
        self.page.ask("My name is Lena.")
        self.assertIn("Lena", self.page.ask("What is my name?"))
        roles = [message["role"] for message in self.front.requests[-1]["messages"]]
        self.assertEqual(roles, ["user", "assistant", "user"])

    def test_shows_each_piece_when_it_comes(self):
        page = self.page
        self.open_through_front()
        answer = Scripted(pieces=text_stream(["First block.\n\n", "Second ", "**block**"]), paced=True)
        self.front.script.append(answer)
        page.send("Go")
        page.wait(lambda: page.all(".waiting"))
        answer.release()
        page.wait_text(f"{ANSWERS} .content", "First block.")
        page.run("document.querySelector('.content p').mark = 'kept'")
        answer.release()
        page.wait_text(f"{ANSWERS} .content", "Second")
        self.assertTrue(page.is_busy())
        answer.release(100)
        page.wait_answer()
        self.assertEqual(page.run("return document.querySelector('.content p').mark"), "kept",
                         "a block that was complete is not made again")
        self.assertEqual(page.text(f"{ANSWERS} .content strong"), "block")

    def test_stop_ends_the_request_at_the_service(self):
        page = self.page
        self.open_through_front()
        self.front.extra = {"ignore_eos": True}
        # At the first text, so that even a slow test is not too late.
        page.run("""const stop = new MutationObserver(() => {
                     if (!document.querySelector('.content')?.textContent) return;
                     stop.disconnect();
                     document.querySelector('[aria-label="Stop"]').click();
                   });
                   stop.observe(document.getElementById('thread'), {childList: true, subtree: true});""")
        page.send("Tell me a story.")
        page.wait(lambda: page.answer() != "", "no text yet")
        part = page.wait_answer()
        self.assertIn("stopped", page.text(f"{ANSWERS} .stats"))
        page.wait(lambda: any("outcome=CANCELLED" in line for line in self.service.stderr_lines),
                  "the service does not know that it was stopped")
        self.assertTrue(page.one(page.labelled("Send")).is_displayed())
        self.front.extra = {}
        page.click(page.labelled("Continue"))
        page.wait(lambda: len(page.answer()) > len(part) and not page.is_busy(), "it does not go on")
        self.assertTrue(page.answer().startswith(part.rstrip()[:200]))
        self.assertEqual(len(page.all(ANSWERS)), 1)
        self.assertTrue(self.front.requests[-1]["continue_final_message"])

    def test_escape_stops(self):
        page = self.page
        self.open_through_front()
        answer = Scripted(pieces=text_stream(["It ", "goes ", "on"]), paced=True)
        self.front.script.append(answer)
        page.send("Tell me a story.")
        answer.release()
        page.wait(lambda: page.answer() != "", "no text yet")
        page.click(page.labelled("Copy message"))  # from wherever the focus is
        page.press(Keys.ESCAPE)
        page.wait_answer()
        self.assertIn("stopped", page.text(f"{ANSWERS} .stats"))

    def test_regenerate_keeps_both_versions(self):
        page = self.page
        self.open_through_front()
        page.ask(CAPITAL)
        self.front.script.append(Scripted(pieces=text_stream(["Another answer."])))
        page.click(page.labelled("Regenerate"))
        page.wait_text(f"{ANSWERS} .content", "Another answer.")
        page.wait_text(f"{ANSWERS} .versions", "2/2")
        page.click(page.labelled("Previous version", ANSWERS))
        page.wait_text(f"{ANSWERS} .content", "Paris")
        page.wait_text(f"{ANSWERS} .versions", "1/2")
        self.assertEqual(page.run("return document.activeElement.getAttribute('aria-label')"), "Next version")
        page.reload()
        page.wait_text(f"{ANSWERS} .versions", "1/2")

    def test_edit_makes_a_branch(self):
        page = self.page
        self.open_through_front()
        page.ask(CAPITAL)
        page.ask("What is 2 + 3?")
        page.click(page.labelled("Edit message"), 0)
        field = page.one(page.labelled("Edit message", "form"))
        field.clear()
        field.send_keys("What is the capital of Italy?", Keys.ENTER)
        page.wait_text(f"{ANSWERS} .content", "Rome")
        page.wait_answer()
        self.assertEqual(page.questions(), ["What is the capital of Italy?"])
        self.assertEqual(len(self.front.requests[-1]["messages"]), 1)
        page.wait_text(".message.user .versions", "2/2")
        page.click(page.labelled("Previous version", ".user"))
        page.wait(lambda: page.questions() == [CAPITAL, "What is 2 + 3?"], "the first branch is not back")
        page.click(page.labelled("Next version", ".user"))
        page.wait(lambda: page.questions() == ["What is the capital of Italy?"])

    def test_edit_while_an_answer_comes(self):
        page = self.page
        self.open_through_front()
        first = Scripted(pieces=text_stream(["It ", "goes ", "on"]), paced=True)
        second = Scripted(pieces=text_stream(["So ", "does ", "this"]), paced=True)
        self.front.script += [first, second]
        page.send("Tell me a story.")
        first.release()
        page.wait(lambda: page.answer() != "", "no text yet")
        page.click(page.labelled("Edit message"), 0)
        page.one(page.labelled("Edit message", "form")).send_keys(" A long one.", Keys.ENTER)
        second.release()
        page.wait_text(f"{ANSWERS} .content", "So")
        first.release(100)  # the end of the first comes while the second is under way
        second.release()
        page.wait_text(f"{ANSWERS} .content", "does")
        self.assertTrue(page.one(page.labelled("Stop")).is_displayed())
        page.press(Keys.ESCAPE)
        page.wait_answer()
        self.assertIn("stopped", page.text(f"{ANSWERS} .stats"))

    def test_edit_can_be_left(self):
        page = self.page
        page.ask(CAPITAL)
        page.press(Keys.ARROW_UP)
        page.wait(lambda: page.all(".edit-text"), "the arrow does not edit the last message")
        page.press(Keys.ESCAPE)
        page.wait(lambda: not page.all(".edit-text"))
        self.assertEqual(page.questions(), [CAPITAL])
        self.assertEqual(len(page.all(ANSWERS)), 1)

    def test_probabilities_of_a_clicked_token(self):
        page = self.page
        answer = page.ask(CAPITAL)
        page.click(page.labelled("Probabilities"))
        tokens = page.run("return Array.from(document.querySelectorAll('.token'), (e) => e.textContent)")
        self.assertTrue("".join(tokens).strip().startswith(answer.strip()))
        page.click(".token", 0)
        page.wait(lambda: page.one("#alternatives").is_displayed(), "no alternatives")
        rows = page.run("return Array.from(document.querySelectorAll('.bars li'), (e) => "
                        "[e.className, parseFloat(e.querySelector('.bar-percent').textContent.replace('<', ''))])")
        self.assertGreaterEqual(len(rows), 5)
        self.assertEqual([name for name, _ in rows].count("chosen"), 1)
        shares = [share for _, share in rows]
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertLessEqual(sum(shares), 100.1)
        page.press(Keys.ESCAPE)
        page.wait(lambda: not page.one("#alternatives").is_displayed())
        page.press(Keys.ARROW_RIGHT, Keys.ENTER)
        page.wait(lambda: page.one("#alternatives").is_displayed(), "no alternatives from the keyboard")
        self.assertIn(tokens[1].strip(), page.text("#alternatives h2"))
        page.press(Keys.ESCAPE)
        page.click(page.labelled("Probabilities"))
        self.assertEqual(page.answer(), answer)

    def test_without_probabilities(self):
        page = self.page
        self.open_through_front()
        page.click("#open-settings")
        page.click("#probabilities")
        page.click(page.labelled("Close settings"))
        page.ask(CAPITAL)
        self.assertNotIn("logprobs", self.front.requests[-1])
        self.assertEqual(page.all(page.labelled("Probabilities")), [])

    def test_tools(self):
        page = self.page
        self.open_through_front()
        page.click("#open-settings")
        page.click(".more summary")
        page.one("#tools").send_keys(json.dumps(WEATHER_TOOL))
        page.click(page.labelled("Close settings"))
        page.send("What is the weather in Paris?")
        page.wait_text(".tool-call h3", "get_weather")
        page.wait_answer()
        self.assertIn("Paris", page.text(".tool-call pre"))
        page.one(page.labelled("Result of get_weather")).send_keys('{"temperature": 18}', Keys.ENTER)
        page.wait(lambda: len(page.all(ANSWERS)) == 2)
        page.wait_answer()
        messages = self.front.requests[-1]["messages"]
        self.assertEqual([message["role"] for message in messages], ["user", "assistant", "tool"])
        self.assertEqual(messages[1]["tool_calls"][0]["id"], messages[2]["tool_call_id"])
        self.assertEqual(messages[2]["content"], '{"temperature": 18}')
        self.assertEqual(page.text(".message.tool .bubble"), '{"temperature": 18}')

    def test_several_calls_at_once(self):
        page = self.page
        self.open_through_front()
        calls = [{"index": i, "id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": "{}"}}
                 for i, name in enumerate(("first", "second"))]
        self.front.script.append(Scripted(pieces=[chunk({"tool_calls": calls[:1]}), chunk({"tool_calls": calls[1:]}),
                                                  chunk({}, "tool_calls"), "data: [DONE]\n\n"]))
        page.send("x")
        page.wait(lambda: len(page.all(".tool-result")) == 2, "no two calls")
        page.one(page.labelled("Result of second")).send_keys("two", Keys.ENTER)
        page.wait(lambda: len(page.all(".tool-result")) == 1)
        self.front.script.append(Scripted(pieces=text_stream(["Both."])))
        page.one(page.labelled("Result of first")).send_keys("one", Keys.ENTER)
        page.wait_text(f"{ANSWERS} .content", "Both.")
        page.wait_answer()
        messages = self.front.requests[-1]["messages"][2:]
        self.assertEqual([(message["tool_call_id"], message["content"]) for message in messages],
                         [("call_1", "two"), ("call_0", "one")])
        self.front.script.append(Scripted(pieces=text_stream(["Edited."])))
        page.click(page.labelled("Edit message"), -1)
        page.one(".edit-text").send_keys("!", Keys.ENTER)
        page.wait_text(f"{ANSWERS} .content", "Edited.")
        self.assertEqual(self.front.requests[-1]["messages"][-1],
                         {"role": "tool", "tool_call_id": "call_0", "content": "one!"})

    def test_two_conversations_at_once(self):
        page = self.page
        self.open_through_front()
        slow = Scripted(pieces=text_stream(["slow ", "but ", "sure"]), paced=True)
        self.front.script.append(slow)
        page.send("Slowly")
        slow.release()
        page.wait_text(f"{ANSWERS} .content", "slow")
        page.click("#new-chat")
        page.wait(lambda: page.questions() == [])
        self.assertIn("Paris", page.ask(CAPITAL))
        slow.release(100)
        page.click('.conversation .open[title="Slowly"]')
        page.wait_text(f"{ANSWERS} .content", "slow but sure")
        page.wait_answer()


if __name__ == "__main__":
    unittest.main()
