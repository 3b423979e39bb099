"""A headless Chromium over its DevTools pipe; needs no package, and opens no port.

>>> with Browser(find()) as browser:
...     page = browser.open(path, width=390)
...     page.evaluate("document.title"), page.errors, page.requests
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120


def find() -> str | None:
    """The browser's path, ``None`` where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser process with a profile of its own."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        flags = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--disable-extensions", "--hide-scrollbars"),
            *(f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe", "about:blank"),
        )
        # Chromium reads commands from descriptor 3 and answers on 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *flags],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self.events: deque[dict[str, Any]] = deque()
        self._watch = threading.Timer(SECONDS, self._process.kill)  # a hang becomes an error
        self._watch.daemon = True
        self._watch.start()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, EOFError):
            self.call("Browser.close")
        self._watch.cancel()
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._profile.cleanup()

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait(self, event: str) -> None:
        """Until ``event`` has come."""
        while not any(each.get("method") == event for each in self.events):
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 1 << 20)
            if not data:
                raise EOFError("the browser has gone")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, path: Path, width: int, height: int = 900, before: str = "") -> Page:
        """A page opened from a file, loaded to its end.

        Args:
            width, height: of the window, in CSS pixels.
            before: a script to run before the page's own.
        """
        self.events.clear()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        if before:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.events.clear()
        page.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("Page.loadEventFired")
        page.evaluate("document.fonts.ready.then(() => 0)")
        return page


@dataclass
class Page:
    """One tab."""

    browser: Browser
    session: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to this tab."""
        return self.browser.call(method, self.session, **params)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, as JSON has it; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Make the window so large, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def _params(self, method: str) -> list[dict[str, Any]]:
        events = [e for e in self.browser.events if e.get("sessionId") == self.session]
        return [e["params"] for e in events if e["method"] == method]

    @property
    def errors(self) -> list[str]:
        """What the console heard of: exceptions, blocked resources, violated policies."""
        thrown = [p["exceptionDetails"]["text"] for p in self._params("Runtime.exceptionThrown")]
        logged = [p["entry"]["text"] for p in self._params("Log.entryAdded")]
        called = [str(p["args"]) for p in self._params("Runtime.consoleAPICalled")]
        return thrown + logged + called

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for, that of the page itself first."""
        return [p["request"]["url"] for p in self._params("Network.requestWillBeSent")]

    def pdf(self) -> bytes:
        """The page as it is printed, on A4."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(answer["data"])

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])
