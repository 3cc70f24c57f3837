"""The page of `explore` in a headless Chromium: draw, drag, sample, compare, with mouse, touch and keys.

The browser is driven by its debugging protocol over a pipe, so that no driver and no package is needed.
"""

import base64
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from minivae import explorer
from tests.test_explorer import KINDS, untrained

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
FLAGS += " --disable-component-update --disable-quic --remote-debugging-pipe"
MEASURED = "const wait = () => views.every(v => v.means) ? done() : setTimeout(wait, 20); wait();"
MEASURED = f"new Promise(done => {{ {MEASURED} }})"  # the mean loss is computed, a few images at a time


class Browser:
    """One page; `errors` collects what it writes to the console as an error, and every exception."""

    def __init__(self, folder):
        (read, self.out), (self.into, write) = os.pipe(), os.pipe()  # the browser reads from 3, writes to 4
        script = f'exec "$@" 3<&{read} 4>&{write}'
        command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder}", "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command], pass_fds=(read, write), **quiet
        )
        os.close(read), os.close(write)
        self.reader, self.number, self.errors, self.session = os.fdopen(self.into, "rb"), 0, [], None
        self.buffer = b""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        """One command -> its result; events on the way are looked at for errors."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _next(self):
        while b"\0" not in self.buffer:
            part = self.reader.read1(1 << 20)
            assert part, "the browser has ended"
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        params, method = event.get("params", {}), event.get("method")
        bad = method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        bad = bad or (method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"))
        if bad or method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params)[:1000])

    def open(self, path, width=1920, height=1400, dark=False, touch=False):
        """Load a file and wait until it is painted."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=f"file://{path}")
        self.run("new Promise(r => document.readyState == 'complete' ? r() : addEventListener('load', r))")
        self.painted()

    def run(self, script):
        """The value of a JavaScript expression, or of its promise."""
        given = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", **given)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def painted(self):
        """Wait for two frames: the page paints in the first."""
        self.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r())))")

    def drag(self, selector, *points, touch=False):
        """Press, move and release at points of an element, as fractions of its box."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"Object.values(document.querySelector({selector!r}).getBoundingClientRect().toJSON())"
        )
        places = [{"x": box[0] + x * box[2], "y": box[1] + y * box[3]} for x, y in points]
        for i, place in enumerate(places):
            if touch:
                kind = "touchMove" if i else "touchStart"
                self.send("Input.dispatchTouchEvent", type=kind, touchPoints=[place])
            else:
                kind, buttons = "mouseMoved" if i else "mousePressed", {"button": "left", "buttons": 1}
                self.send("Input.dispatchMouseEvent", type=kind, clickCount=1, **place, **buttons)
        if touch:
            self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            self.send(
                "Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **places[-1]
            )
        self.painted()

    def key(self, key, code=0, text=""):
        """Press and release a key."""
        given = {"key": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        self.send("Input.dispatchKeyEvent", type="keyDown", **given)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.painted()

    def screenshot(self, path, whole=True):
        """A PNG of the page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        """End the browser."""
        self.send("Browser.close")
        self.process.wait(20)
        self.reader.close()
        os.close(self.out)


# ------------------------------------------------------------------------------ what a user does


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(digits, tmp_path_factory):
    """One page of every kind, and one of two runs."""
    folder = tmp_path_factory.mktemp("pages")
    runs_of = {name: [untrained(digits, **settings)] for name, settings in KINDS.items()}
    runs_of["two"] = runs_of["autoencoder"] + runs_of["gaussian"]
    for name, group in runs_of.items():
        html = explorer.page(group, [f"runs/{i}" for i in range(len(group))], np.arange(0, 100, 5))
        (folder / f"{name}.html").write_text(html)
    return folder


def state(browser, script):
    """A value from the page's variables, arrays as lists."""
    return json.loads(browser.run(f"JSON.stringify({script}, (k, v) => ArrayBuffer.isView(v) ? [...v] : v)"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
class TestBrowser:
    @pytest.mark.parametrize("kind", [*KINDS, "two"])
    def test_every_kind_opens_at_both_widths(self, browser, pages, kind):
        """Nothing in the console, nothing wider than the screen, and the mean loss is finite."""
        for width, dark in ((1920, False), (360, True)):
            browser.open(pages / f"{kind}.html", width, dark=dark)
            browser.run(MEASURED)
            for box in ("manifold", "again", "prior", "next", "centre"):
                browser.run(f"byId({box!r}).click()")
            browser.painted()
            assert browser.run("document.documentElement.scrollWidth") <= width
            assert not re.search("NaN|undefined|null|Infinity", browser.run("document.body.innerText"))
        assert not browser.errors

    def test_draw_drag_sample_and_compare(self, browser, pages):
        browser.open(pages / "two.html")
        walked, codes = "views.map(v => v.z)", state(browser, "views.map(v => v.model.code(v.seen, v.c))")
        browser.run("byId('clear').click()")
        browser.drag("#draw", (0.3, 0.3), (0.7, 0.3), (0.5, 0.9))
        assert sum(state(browser, "state.grey")) > 20
        moved = state(browser, "views.map(v => v.model.code(v.seen, v.c))")
        assert all(a != b for a, b in zip(codes, moved, strict=True))
        before = state(browser, "views[1].eps")
        browser.run("document.querySelector('.map').focus()")
        browser.key("Enter", 13, "\r")
        assert state(browser, "views[1].eps") != before
        mu, logvar = state(browser, "views[1].heads")
        eps, z = state(browser, "[views[1].eps, views[1].z]")
        np.testing.assert_allclose(z, mu + np.exp(np.divide(logvar, 2)) * eps, atol=1e-9)
        browser.drag(".map", (0.5, 0.5), (0.25, 0.75))  # on the first map: both answer, at the same place
        for view in ("views[0]", "views[1]"):
            place = "(v => v.plane.pixel(project(v, v.z)).map(p => p / v.parts.map('.map').clientWidth))"
            np.testing.assert_allclose(state(browser, f"{place}({view})"), [0.25, 0.75], atol=0.01)
        at = state(browser, walked)
        browser.key("ArrowRight", 39)
        assert all(a != b for a, b in zip(at, state(browser, walked), strict=True))
        total = "sum(views[1].nll) + sum(views[1].kl)"
        shown = browser.run("document.querySelectorAll('.total b')[1].textContent")
        assert float(shown.split()[0]) == pytest.approx(browser.run(total), abs=0.006)
        browser.run("byId('b').click()")
        browser.run("byId('t').value = 1; byId('t').dispatchEvent(new Event('input'))")
        browser.painted()
        assert "t = 1.00" in browser.run("document.querySelector('.way').textContent")
        assert browser.run("document.querySelectorAll('.strip .here').length") == 2
        assert not browser.errors

    def test_touch_and_labels(self, browser, pages):
        browser.open(pages / "conditional.html", width=360, touch=True)
        before, mean = state(browser, "state.grey"), state(browser, "views[0].outputs")
        browser.drag("#draw", (0.2, 0.8), (0.8, 0.8), touch=True)
        assert state(browser, "state.grey") != before
        z = state(browser, "views[0].z")
        browser.drag(".map", (0.2, 0.8), (0.6, 0.4), touch=True)
        assert state(browser, "views[0].z") != z
        browser.run("byId('label').value = '3'; byId('label').dispatchEvent(new Event('input'))")
        browser.painted()
        assert state(browser, "views[0].c") == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        assert state(browser, "views[0].outputs") != mean
        assert not browser.errors

    def test_bars_change_one_latent(self, browser, pages):
        for kind in ("gaussian", "bernoulli", "categorical"):
            browser.open(pages / f"{kind}.html")
            before = state(browser, "views[0].z")
            browser.drag(".bars", (0.5, 0.2))
            after = state(browser, "views[0].z")
            changed = [l for l, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
            assert len(changed) <= (2 if kind == "categorical" else 1)
            assert changed or kind == "categorical"
        assert not browser.errors
