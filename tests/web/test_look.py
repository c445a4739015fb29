"""How the page shows things and how it is used: Markdown, light and dark, phones, the keyboard, its weight.

Runs with the packages of tests/web/requirements.txt: python tests/web/test_look.py
"""

import unittest

from page import ANSWERS, Page
from selenium.webdriver.common.keys import Keys
from service import Service

from front import Front, Scripted, text_stream

CAPITAL = "What is the capital of France?"

# Markdown and what it becomes: tags with their text, attributes left out.
MARKDOWN = [
    ("plain", "<p>plain</p>"),
    ("two\nlines", "<p>two<br>lines</p>"),
    ("one\n\ntwo", "<p>one</p><p>two</p>"),
    ("# One\n\n### Three ###\nx", "<h2>One</h2><h4>Three</h4><p>x</p>"),
    ("Title\n===\nx\n\nb\n---", "<h2>Title</h2><p>x</p><h3>b</h3>"),
    ("#no heading", "<p>#no heading</p>"),
    ("**bold** and *thin* and ***both***",
     "<p><strong>bold</strong> and <em>thin</em> and <em><strong>both</strong></em></p>"),
    ("__bold__ _thin_ snake_case_name 2*3*4", "<p><strong>bold</strong> <em>thin</em> snake_case_name 2<em>3</em>4</p>"),
    ("2 * 3 * 4 and **open", "<p>2 * 3 * 4 and **open</p>"),
    ("**bold *thin* bold** ~~gone~~", "<p><strong>bold <em>thin</em> bold</strong> <del>gone</del></p>"),
    ("**Note:**text and **„Zitat“** da", "<p>**Note:**text and <strong>„Zitat“</strong> da</p>"),
    ("`a*b*` and ``a`b`` and `open", "<p><code>a*b*</code> and <code>a`b</code> and `open</p>"),
    (r"\*not\* \`code\` C:\dir", r"<p>*not* `code` C:\dir</p>"),
    ("[text](https://a.example/x_(y)?a=1&b=2 \"title\") end", "<p><a>text</a> end</p>"),
    ("[**bold** text](https://a.example) [no](relative.md)", "<p><a><strong>bold</strong> text</a> [no](relative.md)</p>"),
    ("see https://a.example/b_c_d. And <https://b.example>", "<p>see <a>https://a.example/b_c_d</a>. And <a>https://b.example</a></p>"),
    ("![alt](https://a.example/x.png)", "<p><a>alt</a></p>"),
    ("&lt;b&gt; &amp; &copy; 5 < 6", "<p>&lt;b&gt; &amp; &amp;copy; 5 &lt; 6</p>"),
    ("<b>no</b>", "<p>&lt;b&gt;no&lt;/b&gt;</p>"),
    ("- a\n- b\n  - c\n\ntext", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>text</p>"),
    ("1. a\n  - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
    ("1. a\n\n   more\n\n2. b", "<ol><li><p>a</p><p>more</p></li><li><p>b</p></li></ol>"),
    ("3) x\n4) y", "<ol><li>x</li><li>y</li></ol>"),
    ("* a\n- b", "<ul><li>a</li></ul><ul><li>b</li></ul>"),
    ("- [x] done\n- [ ] open", "<ul><li><input>done</li><li><input>open</li></ul>"),
    ("- a\n  ```\n  code\n  ```", "<ul><li>a<figure>text|code</figure></li></ul>"),
    ("> quote\ngoes on\n> > deeper", "<blockquote><p>quote<br>goes on</p><blockquote><p>deeper</p></blockquote></blockquote>"),
    ("```python\nx = 1\n\ny\n```\nafter", "<figure>python|x = 1\n\ny</figure><p>after</p>"),
    ("~~~\n```\n~~~", "<figure>text|```</figure>"),
    ("````\n```\ninner\n```\n````", "<figure>text|```\ninner\n```</figure>"),
    ("```c++\nopen", "<figure>c++|open</figure>"),
    ("    indented\n    code", "<figure>text|indented\ncode</figure>"),
    ("***\n---\n_ _ _", "<hr><hr><hr>"),
    ("a | b\n--|:-:\n1 | `x\\|y`\n2", "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td><code>x|y</code></td></tr></table><p>2</p>"),
    ("text\n| a |\n|---|\n| *b* |", "<p>text</p><table><tr><th>a</th></tr><tr><td><em>b</em></td></tr></table>"),
    (r"\(a_1 * b_2\) and \[x\]", "<p><code>a_1 * b_2</code> and <code>x</code></p>"),
    ("Ünïcödé **日本語** 🙂\r\nzwei", "<p>Ünïcödé <strong>日本語</strong> 🙂<br>zwei</p>"),
]

# The shape of a rendered tree in the notation of the table above.
SHAPE = """
    const {MarkdownView} = modules.markdown;
    const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    const skipped = new Set(['DIV', 'THEAD', 'TBODY', 'SPAN']);
    const empty = new Set(['BR', 'HR', 'INPUT']);
    function shape(node) {
      if (node.nodeType === Node.TEXT_NODE) return escape(node.data);
      const tag = node.tagName.toLowerCase();
      if (tag === 'figure') {
        return `<figure>${node.querySelector('.code-language').textContent}|${escape(node.querySelector('code').textContent)}</figure>`;
      }
      const inner = Array.from(node.childNodes, shape).join('');
      if (skipped.has(node.tagName)) return inner;
      return empty.has(node.tagName) ? `<${tag}>` : `<${tag}>${inner}</${tag}>`;
    }
    const render = (pieces) => {
      const element = document.createElement('div');
      const view = new MarkdownView(element);
      let text = '';
      for (const piece of pieces) view.update(text += piece);
      return shape(element);
    };
"""

HOSTILE_SHAPES = ["*", "_", "**a", "a**", "*a_", "`", "``a", "[", "]", "![", "[a](", "](", "<", "<a", "&", "~~", "\\",
                  "> ", "- ", "1. ", "  - a\n", "# ", "|", "|a\n|-\n", "```\n", "~~~", "\n", " ", "\t", "https://", "((",
                  "[a](https://a.example) ", "[[a](x)](y)", "*a **b ", "\\(", "\\[", "- - ", "> - ", "a\n=\n", "\u202e"]


class Look(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = cls.enterClassContext(Service("--served-model-name", "demo", ranks=1))
        cls.front = cls.enterClassContext(Front(cls.service.http_address))
        cls.page = cls.enterClassContext(Page())

    def setUp(self):
        self.front.script.clear()
        self.page.resize(1200, 800)
        self.page.prefer("light")
        self.page.open(self.front.address)

    def show(self, text):
        self.front.script.append(Scripted(pieces=text_stream([text])))
        return self.page.ask("x")

    # --------------------------------------------------------------------------------- Markdown

    def test_markdown(self):
        shapes = self.page.run_module(SHAPE + "return given[0].map((text) => render([text]));",
                                      [text for text, _ in MARKDOWN])
        for (text, expected), shape in zip(MARKDOWN, shapes, strict=True):
            with self.subTest(text):
                self.assertEqual(shape, expected)

    def test_markdown_is_the_same_however_it_comes(self):
        """Letter by letter, as a whole, and all cases behind each other."""
        texts = [text for text, _ in MARKDOWN] + ["\n\n".join(text for text, _ in MARKDOWN)]
        results = self.page.run_module(
            SHAPE + "return given[0].map((text) => [render([text]), render(Array.from(text))]);", texts)
        for text, (whole, pieces) in zip(texts, results, strict=True):
            with self.subTest(text[:80]):
                self.assertEqual(pieces, whole)

    def test_markdown_survives_anything(self):
        """Long repetitions come to an end, as text or otherwise, and lose no letter to markup that is not closed."""
        sizes = self.page.run_module(
            SHAPE + "return given[0].map((part) => render([part.repeat(20000 / part.length)]).length);", HOSTILE_SHAPES)
        self.assertEqual(len(sizes), len(HOSTILE_SHAPES))

    def test_links_are_safe(self):
        addresses = ["https://a.example/x", "http://a.example", "mailto:a@b.example", "javascript:alert(1)",
                     " java\nscript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//a.example", "/path", "",
                     "JAVASCRIPT:x", "blob:x", "https:a.example"]
        found = self.page.run_module(
            "return given[0].filter((address) => modules.inline.safeUrl(address) !== null);", addresses)
        self.assertEqual(found, [addresses[0], addresses[1], addresses[2], addresses[12]])

    def test_code_has_colours_and_its_own_text(self):
        page = self.page
        code = 'def f(x):  # "comment"\n    return "a" + str(0x1F)  # <b>\n'
        self.show(f"```python\n{code}```")
        self.assertEqual(page.run("return document.querySelector('.content code').textContent"), code.rstrip("\n"))
        for name, part in (("keyword", "def"), ("call", "f"), ("comment", '# "comment"'), ("string", '"a"'), ("number", "0x1F")):
            self.assertEqual(page.run("return document.querySelector(`.hl-${arguments[0]}`).textContent", name), part)

    def test_copy_buttons(self):
        page = self.page
        page.driver.execute_cdp_cmd("Browser.grantPermissions", {
            "origin": page.base.rstrip("/"), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
        answer = "Look:\n\n```sh\nls <dir>\n\necho ü\n```"
        self.show(answer)
        clipboard = "return await navigator.clipboard.readText();"
        page.click(page.labelled("Copy code"))
        page.wait(lambda: page.run_module(clipboard) == "ls <dir>\n\necho ü", "the code is not copied")
        page.wait(lambda: page.all(page.labelled("Copied")), "nothing says so")
        page.click(page.labelled("Copy answer"))
        page.wait(lambda: page.run_module(clipboard) == answer, "the answer is not copied")
        page.click(page.labelled("Copy message"))
        page.wait(lambda: page.run_module(clipboard) == "x", "the question is not copied")

    # ------------------------------------------------------------------------------ light and dark

    def brightness(self):
        color = self.page.run("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in color[color.index("(") + 1:-1].split(",")[:3])

    def test_light_and_dark(self):
        page = self.page
        self.assertGreater(self.brightness(), 600)
        page.prefer("dark")
        page.wait(lambda: self.brightness() < 150, "the system's choice does not count")
        page.click("#toggle-theme")
        page.wait(lambda: self.brightness() > 600, "the switch does nothing")
        page.reload()
        self.assertGreater(self.brightness(), 600, "the choice is not kept")
        page.click("#open-settings")
        page.run("document.querySelector('[name=theme][value=system]').click()")
        page.wait(lambda: self.brightness() < 150, "there is no way back to the system's choice")

    def test_contrast(self):
        """4.5 to 1 at least for all text, as WCAG asks."""
        page = self.page
        self.show("# Title\n\nText, `code`, [link](https://a.example)\n\n> quote\n\n```c\nint x = 1; // y\nf(\"s\");\n```\n\n| a |\n|---|\n| b |")
        self.front.script.append(Scripted(429))
        page.send("busy")
        page.wait(lambda: page.all(".problem"))
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            page.wait(lambda: (self.brightness() > 600) == (scheme == "light"))
            with self.subTest(scheme):
                self.assertEqual(page.run(CONTRAST), [])

    # ----------------------------------------------------------------------------------- phones

    def test_phone(self):
        page = self.page
        page.resize(390, 844, mobile=True)
        page.reload()
        wide = "a" * 200
        self.show(f"`{wide}`\n\n```\n{wide}\n```\n\n| {'column | ' * 12}\n|{'---|' * 12}\n| {wide} |\n\n{wide}")
        self.assertEqual(page.run("return document.documentElement.scrollWidth"), 390)
        self.assertLessEqual(page.run("return document.getElementById('scroller').scrollWidth"), 390)
        self.assertFalse(page.one("#sidebar").is_displayed())
        page.click(page.labelled("Open sidebar"))
        page.wait(lambda: page.one("#new-chat").is_displayed())
        page.click("#new-chat")
        page.wait(lambda: not page.one("#sidebar").is_displayed(), "the sidebar stays open")
        self.assertIn("Paris", page.ask(CAPITAL))
        page.click(page.labelled("Open sidebar"))
        page.click("#open-settings")
        page.wait(lambda: page.one("#temperature").is_displayed())
        box = page.one("#settings").rect
        self.assertEqual((box["x"], box["width"]), (0, 390))

    # ------------------------------------------------------------------------------- the keyboard

    def focused(self):
        return self.page.run("const e = document.activeElement; return e.id || e.getAttribute('aria-label') || e.textContent")

    def test_keys(self):
        page = self.page
        self.assertEqual(self.focused(), "message", "one can write at once")
        page.press("one")
        page.chord(Keys.SHIFT, Keys.ENTER)
        page.press("two")
        self.assertEqual(page.field.get_attribute("value"), "one\ntwo")
        page.press(Keys.ENTER)
        page.wait(lambda: page.questions() == ["one\ntwo"])
        page.wait_answer()
        self.assertEqual(self.focused(), "message")
        page.chord(Keys.CONTROL, Keys.SHIFT, Keys.ENTER)
        page.wait_text(f"{ANSWERS} .versions", "2/2")
        page.chord(Keys.CONTROL, Keys.SHIFT, "s")
        page.wait(lambda: not page.one("#sidebar").is_displayed())
        page.chord(Keys.CONTROL, Keys.SHIFT, "s")
        page.wait(lambda: page.one("#sidebar").is_displayed())
        page.chord(Keys.CONTROL, Keys.SHIFT, "o")
        page.wait(lambda: page.questions() == [])
        page.run("document.activeElement.blur()")
        page.press("?")
        page.wait(lambda: page.one("#help").is_displayed())
        page.press(Keys.ESCAPE)
        page.wait(lambda: not page.one("#help").is_displayed())
        page.press("/")
        page.wait(lambda: self.focused() == "message")
        self.assertEqual(page.field.get_attribute("value"), "")

    def test_everything_can_be_reached_and_has_a_name(self):
        page = self.page
        page.ask(CAPITAL)
        wanted = {"Copy answer", "Regenerate", "Probabilities", "Edit message", "Copy message", "message",
                  "new-chat", "open-settings", "open-help", "toggle-theme", f"Options of {CAPITAL}"}
        for _ in range(40):
            page.press(Keys.TAB)
            wanted.discard(self.focused())
            if not wanted:
                break
        self.assertEqual(wanted, set())
        page.click("#open-settings")
        nameless = page.run("""
            const named = (e) => e.ariaLabel || e.labels?.length || e.textContent.trim() || e.title;
            return Array.from(document.querySelectorAll('button, input, textarea, select, a, [role="button"], dialog, nav'))
                .filter((e) => !named(e)).map((e) => e.outerHTML);""")
        self.assertEqual(nameless, [])

    def test_screen_readers(self):
        page = self.page
        page.ask(CAPITAL)
        thread = page.one("#thread")
        self.assertEqual((thread.get_attribute("role"), thread.get_attribute("aria-live")), ("log", "polite"))
        page.wait(lambda: page.run("return document.getElementById('announcer').textContent") == "The answer is complete.")

    def test_reader_who_has_scrolled_up_stays_there(self):
        page = self.page
        text = "\n\n".join(f"Paragraph {i}." for i in range(60))
        answer = Scripted(pieces=text_stream([text, "\n\nThe end."]), paced=True)
        self.front.script.append(answer)
        page.send("x")
        answer.release()
        end = "const s = document.getElementById('scroller'); return s.scrollHeight - s.clientHeight - s.scrollTop"
        page.wait(lambda: "Paragraph 59" in page.answer() and page.run(end) < 3, "it does not follow")
        page.run("document.getElementById('scroller').scrollTop = 0")
        page.wait(lambda: page.one("#jump").is_displayed())
        answer.release(100)
        page.wait_answer()
        self.assertEqual(page.run("return document.getElementById('scroller').scrollTop"), 0)
        page.click("#jump")
        page.wait(lambda: page.run(end) < 3)

    # --------------------------------------------------------------------------------- its weight

    def test_asks_nobody_else_and_weighs_little(self):
        page = self.page
        page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        page.open(self.service.http_address)
        entries = page.run("return performance.getEntries().filter((e) => e.entryType === 'resource' || "
                           "e.entryType === 'navigation').map((e) => [e.name, e.encodedBodySize])")
        self.assertEqual([name for name, _ in entries if not name.startswith(page.base)], [])
        weight = sum(size for name, size in entries if "/web/" in name or name == page.base)
        self.assertLessEqual(weight, 200_000)
        self.assertGreater(weight, 50_000)
        timing = page.run("const [n] = performance.getEntriesByType('navigation'); return [n.domContentLoadedEventEnd, n.loadEventEnd]")
        print(f"the page: {weight} bytes, ready after {timing[0]:.0f} ms, loaded after {timing[1]:.0f} ms")
        page.reload()
        self.assertIn("Paris", page.ask(CAPITAL))
        self.assertEqual(page.complaints(), [])


# Text whose colour is too close to what lies behind it: [ratio, colour, background, text].
CONTRAST = """
    const parse = (color) => {
      const canvas = parse.context ??= new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], back) => [r, g, b].map((c, i) => c * a + back[i] * (1 - a));
    const behind = (node) => {
      if (node === null) return [255, 255, 255];
      const color = parse(getComputedStyle(node).backgroundColor);
      return color[3] === 1 ? color.slice(0, 3) : over(color, behind(node.parentElement));
    };
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const bad = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement;
      if (walker.currentNode.data.trim() === '' || !node.checkVisibility({visibilityProperty: true})) continue;
      if (node.closest(':disabled, .visually-hidden, noscript, .skip')) continue;
      const back = behind(node);
      const front = over(parse(getComputedStyle(node).color), back);
      const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
      const ratio = (high + 0.05) / (low + 0.05);
      if (ratio < 4.5) bad.push([ratio.toFixed(2), front.join(), back.join(), walker.currentNode.data.slice(0, 40)]);
    }
    return bad;
"""

if __name__ == "__main__":
    unittest.main()
