"""The chat page in headless Chromium, as a user sees it: what tests do and wait for. Every wait is for a condition."""

import pathlib
import sys

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

PATIENCE_S = 60
ANSWERS = ".message.assistant"


class Page:
    """One tab. Use as a context manager."""

    def __init__(self, downloads=None):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "lang=en",
                     "disable-background-networking"):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if downloads is not None:
            options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(PATIENCE_S)
        self.resize(1200, 800)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.driver.quit()

    # ------------------------------------------------------------------------------ the browser

    def open(self, address, keep=False):
        """The page, unless `keep` with nothing stored from before."""
        self.base = f"http://{address}/"
        if not keep:
            self.driver.get("about:blank")
            self.driver.execute_cdp_cmd("Storage.clearDataForOrigin",
                                        {"origin": self.base.rstrip("/"), "storageTypes": "all"})
            self.driver.get(self.base + "version")  # sessionStorage is this tab's
            self.run("sessionStorage.clear(); localStorage.clear();")
        self.driver.get(self.base)
        self.wait_ready()
        self.driver.get_log("browser")

    def reload(self):
        self.driver.refresh()
        self.wait_ready()

    def wait_ready(self):
        self.wait(lambda: self.run("return document.body?.dataset.ready") == "true")

    def resize(self, width, height, mobile=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile})

    def prefer(self, scheme):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme},
                         {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def run_module(self, body, *arguments):
        """What `body` returns, run in an async function; it sees the page's `modules` and what is `given`."""
        script = """const done = arguments[arguments.length - 1];
            (async (...given) => {const {modules} = await import('/web/app.js'); %s})(...Array.from(arguments).slice(0, -1))
                .then((value) => done([value, null]), (error) => done([null, String(error.stack)]));""" % body
        value, error = self.driver.execute_async_script(script, *arguments)
        if error is not None:
            raise AssertionError(error)
        return value

    def complaints(self):
        """What the browser logged as errors, but for answers that are not 200."""
        return [line["message"] for line in self.driver.get_log("browser")
                if line["level"] == "SEVERE" and "Failed to load resource" not in line["message"]]

    def wait(self, condition, what=""):
        """Until the condition gives something; what a redraw takes away between two looks is looked for again."""
        ignored = (Exception,)
        message = what or getattr(condition, "__doc__", None) or ""
        return WebDriverWait(self.driver, PATIENCE_S, 0.05, ignored).until(lambda _: condition(), message)

    # ---------------------------------------------------------------------------------- elements

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def labelled(self, label, within=""):
        return f'{within} [aria-label="{label}"]'.strip()

    def click(self, selector, index=-1):
        """Clicks once it is there, visible and enabled."""
        def try_click():
            element = self.all(selector)[index]
            if not element.is_enabled():
                return False
            element.click()
            return True
        self.wait(try_click, f"cannot click {selector}")

    def text(self, selector, index=-1):
        found = self.run("return Array.from(document.querySelectorAll(arguments[0]), (e) => e.innerText)", selector)
        return found[index] if found else ""

    def wait_text(self, selector, part, index=-1):
        self.wait(lambda: part in self.text(selector, index),
                  f"no {part!r} in {selector}; last seen: {self.text(selector, index)!r}")
        return self.text(selector, index)

    # -------------------------------------------------------------------------------- a chat

    @property
    def field(self):
        return self.one("#message")

    def write(self, text):
        self.field.send_keys(text)

    def send(self, text):
        self.write(text)
        self.field.send_keys(Keys.ENTER)

    def ask(self, text):
        """Sends and waits for the whole answer."""
        count = len(self.all(ANSWERS))
        self.send(text)
        self.wait(lambda: len(self.all(ANSWERS)) > count, "no answer")
        return self.wait_answer()

    def is_busy(self):
        return self.run("return document.getElementById('thread').getAttribute('aria-busy') !== 'false'")

    def wait_answer(self):
        self.wait(lambda: not self.is_busy(), "the answer does not end")
        return self.answer()

    def answer(self, index=-1):
        return self.text(f"{ANSWERS} .content", index)

    def questions(self):
        return self.run("return Array.from(document.querySelectorAll('.message.user .bubble'), (e) => e.textContent)")

    def titles(self):
        return self.run("return Array.from(document.querySelectorAll('.conversation .open'), (e) => e.textContent)")

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def chord(self, *keys):
        chain = webdriver.ActionChains(self.driver)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()

    def stored(self):
        """How many conversations the database has."""
        return self.run_module("return (await (await modules.store.openStore()).heads()).length;")

    def set(self, field, value):
        """Enters a setting, the dialog being closed before and after."""
        self.click("#open-settings")
        element = self.wait(lambda: self.one(f"#{field}"))
        element.clear()
        element.send_keys(value)
        self.click(self.labelled("Close settings"))
