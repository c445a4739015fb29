"""What the page keeps in the browser: conversations, settings, keys. Against the real service.

Runs with the packages of tests/web/requirements.txt: python tests/web/test_keeping.py
"""

import json
import pathlib
import tempfile
import unittest

from page import ANSWERS, Page
from selenium.webdriver.common.keys import Keys
from service import Service

from front import Front, Scripted, text_stream

CAPITAL = "What is the capital of France?"


class Keeping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = cls.enterClassContext(Service("--served-model-name", "demo", ranks=1))
        cls.front = cls.enterClassContext(Front(cls.service.http_address))
        cls.downloads = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.page = cls.enterClassContext(Page(cls.downloads))

    def setUp(self):
        self.front.script.clear()
        self.front.extra = {}
        self.front.key = None
        self.page.open(self.front.address)

    def menu(self, title, action):
        self.page.click(self.page.labelled(f"Options of {title}"))
        self.page.click(f'#conversation-menu [data-action="{action}"]')

    def downloaded(self, name):
        path = self.downloads / name
        self.page.wait(lambda: path.exists() and path.stat().st_size > 0, f"no file {name}")
        text = path.read_text()
        path.unlink()
        return text

    # ----------------------------------------------------------------------------- conversations

    def test_reload_keeps_the_conversation(self):
        page = self.page
        answer = page.ask(CAPITAL)
        page.reload()
        page.wait_text(f"{ANSWERS} .content", answer)
        self.assertEqual(page.questions(), [CAPITAL])
        self.assertEqual(page.titles(), [CAPITAL])
        self.assertIn("Rome", page.ask("What is the capital of Italy?"))

    def test_reload_in_the_middle_of_an_answer(self):
        page = self.page
        page.write("a draft")
        page.reload()
        self.assertEqual(page.field.get_attribute("value"), "a draft")
        page.field.clear()
        answer = Scripted(pieces=text_stream(["The capital ", "of France"]), paced=True)
        self.front.script.append(answer)
        page.send(CAPITAL)
        answer.release()
        page.wait(lambda: page.run_module(
            """const store = await modules.store.openStore();
               const [{nodes}] = await store.all();
               return Object.values(nodes).some(({content}) => content === 'The capital ');"""),
            "what has come is not stored")
        page.reload()
        answer.release(100)
        page.wait_text(f"{ANSWERS} .stats", "interrupted")
        self.assertEqual(page.answer().strip(), "The capital")
        page.click(page.labelled("Continue"))
        page.wait_text(f"{ANSWERS} .content", "Paris")
        page.wait_answer()

    def test_several_conversations(self):
        page = self.page
        page.ask(CAPITAL)
        page.click("#new-chat")
        page.wait(lambda: page.questions() == [])
        page.ask("What is 2 + 3?")
        self.assertEqual(page.titles(), ["What is 2 + 3?", CAPITAL])
        page.click(f'.conversation .open[title="{CAPITAL}"]')
        page.wait_text(f"{ANSWERS} .content", "Paris")
        page.driver.back()
        page.wait_text(f"{ANSWERS} .content", "5")
        self.assertEqual(page.questions(), ["What is 2 + 3?"])

    def test_rename_delete_undo(self):
        page = self.page
        page.ask(CAPITAL)
        self.menu(CAPITAL, "rename")
        page.wait(lambda: page.all(".rename"))
        page.one(".rename").clear()
        page.one(".rename").send_keys("Capitals", Keys.ENTER)
        page.wait(lambda: page.titles() == ["Capitals"], "not renamed")
        page.reload()
        page.wait(lambda: page.titles() == ["Capitals"], "the new name is not kept")
        self.menu("Capitals", "remove")
        page.wait(lambda: page.titles() == [] and page.questions() == [], "not deleted")
        page.wait(lambda: page.stored() == 0)
        page.click("#notice button")
        page.wait(lambda: page.titles() == ["Capitals"] and page.questions() == [CAPITAL], "not undone")
        page.wait(lambda: page.stored() == 1)

    def test_export_and_import(self):
        page = self.page
        page.ask(CAPITAL)
        self.front.script.append(Scripted(pieces=text_stream(["Second *version*."])))
        page.click(page.labelled("Regenerate"))
        page.wait_text(f"{ANSWERS} .versions", "2/2")
        page.wait_answer()
        self.menu(CAPITAL, "exportMarkdown")
        self.assertEqual(self.downloaded("What-is-the-capital-of-France.md"),
                         f"# {CAPITAL}\n\n## You\n\n{CAPITAL}\n\n## Assistant\n\nSecond *version*.\n")
        page.click("#open-settings")
        page.click("#export-all")
        text = self.downloaded("phalanx-conversations.json")
        self.assertEqual(len(json.loads(text)["conversations"]), 1)
        page.click("#delete-all")
        page.wait(lambda: page.stored() == 0, "not deleted")
        file = self.downloads / "kept.json"
        file.write_text(text)
        page.one("#import-file").send_keys(str(file))
        page.wait(lambda: page.questions() == [CAPITAL], "not imported")
        page.wait_text(f"{ANSWERS} .content", "Second version.")
        page.click(page.labelled("Previous version", ANSWERS))
        page.wait_text(f"{ANSWERS} .content", "Paris")
        page.click(page.labelled("Probabilities"))
        self.assertGreater(len(page.all(".token")), 3)

    def test_import_of_something_else(self):
        page = self.page
        for name, text, words in (("a.json", "{", "not JSON"), ("b.json", "[]", "does not hold conversations"),
                                  ("c.json", '{"format": "phalanx-conversations", "conversations": [null, 3, {}]}', "0 ")):
            file = self.downloads / name
            file.write_text(text)
            page.one("#import-file").send_keys(str(file))
            page.wait_text("#notice", words)
        self.assertEqual(page.titles(), [])

    def test_two_tabs(self):
        page = self.page
        page.ask(CAPITAL)
        first = page.driver.current_window_handle
        page.driver.switch_to.new_window("tab")
        try:
            page.driver.get(page.base)
            page.wait_ready()
            self.assertEqual(page.titles(), [CAPITAL])
            page.ask("What is 2 + 3?")
        finally:
            page.driver.close()
            page.driver.switch_to.window(first)
        page.wait(lambda: page.titles() == ["What is 2 + 3?", CAPITAL], "the first tab does not know")

    # --------------------------------------------------------------------------------- settings

    def test_settings_are_sent_and_kept(self):
        page = self.page
        page.ask(CAPITAL)
        for name in ("temperature", "top_p", "max_tokens", "seed"):
            self.assertNotIn(name, self.front.requests[-1], "what is not set is the server's to choose")
        for field, value in (("temperature", "0.5"), ("top-p", "0.9"), ("max-tokens", "3"), ("seed", "7"),
                             ("system", "Be brief.")):
            page.set(field, value)
        page.reload()
        page.ask("Tell me a story.")
        sent = self.front.requests[-1]
        self.assertEqual({name: sent[name] for name in ("temperature", "top_p", "max_tokens", "seed")},
                         {"temperature": 0.5, "top_p": 0.9, "max_tokens": 3, "seed": 7})
        self.assertEqual(sent["messages"][0], {"role": "system", "content": "Be brief."})
        page.wait_text(f"{ANSWERS} .stats", "cut at the limit")
        page.click("#open-settings")
        page.click("#reset-settings")
        page.click(page.labelled("Close settings"))
        page.ask(CAPITAL)
        self.assertNotIn("temperature", self.front.requests[-1])
        self.assertEqual(self.front.requests[-1]["messages"][0]["role"], "user")

    def test_wrong_settings_are_named_and_not_sent(self):
        page = self.page
        page.set("temperature", "1")
        for field, value, words in (("temperature", "3", "from 0 to 2"), ("top-p", "0", "above 0 to 1"),
                                    ("max-tokens", "0", "from 1 on"), ("max-tokens", "1.5", "whole number"),
                                    ("seed", "-1", "from 0 on"), ("tools", "{", "Not JSON")):
            page.click("#open-settings")
            if field == "tools":
                page.click(".more summary")
            element = page.one(f"#{field}")
            element.clear()
            element.send_keys(value)
            page.wait_text(f"#{field}-fault", words)
            self.assertEqual(element.get_attribute("aria-invalid"), "true")
            element.clear()
            if field == "temperature":
                element.send_keys("1")
            self.assertEqual(page.text(f"#{field}-fault"), "")
            page.click(page.labelled("Close settings"))
        page.ask(CAPITAL)
        self.assertEqual(self.front.requests[-1]["temperature"], 1)

    # ------------------------------------------------------------------------------------- keys

    def test_key(self):
        page = self.page
        self.front.key = "secret-1"
        page.reload()
        page.wait_text("#notice", "asks for an API key")
        page.send(CAPITAL)
        page.wait_text(".problem", "asks for an API key")
        page.click(".problem .button", 0)
        page.wait(lambda: page.run("return document.activeElement.id") == "api-key", "the field has no focus")
        page.press("wrong", Keys.ENTER)
        page.click(".problem .button", 1)
        page.wait_text(".problem", "not accepted")
        page.set("api-key", "secret-1")
        page.click(".problem .button", 1)
        page.wait_text(f"{ANSWERS} .content", "Paris")
        kept = "return [localStorage.getItem('phalanx.apiKey'), sessionStorage.getItem('phalanx.apiKey')]"
        self.assertEqual(page.run(kept), [None, "secret-1"])
        page.click("#open-settings")
        page.click("#remember-key")
        page.wait(lambda: page.run(kept) == ["secret-1", None], "not remembered")
        page.reload()
        self.assertIn("Rome", page.ask("What is the capital of Italy?"))
        page.click("#open-settings")
        page.click("#remember-key")
        page.wait(lambda: page.run(kept) == [None, "secret-1"], "not forgotten")

    def test_key_with_letters_that_no_header_carries(self):
        page = self.page
        page.set("api-key", "schlüssel")
        page.wait(lambda: page.text("#api-key-fault") or page.run(
            "return document.getElementById('api-key-fault').textContent"))
        self.assertIn("Paris", page.ask(CAPITAL))


if __name__ == "__main__":
    unittest.main()
