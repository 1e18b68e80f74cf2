"""A real Chromium without a window, driven over a pipe with its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 30
# The browser reads commands from descriptor 3 and answers on 4.
_LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3); os.dup2(write, 4); os.close(read); os.close(write)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One tab. `errors` are what its console complained about, `requests` the addresses it asked for."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._numbers = itertools.count(1)
        self._replies: dict[int, Queue[dict[str, Any]]] = {}
        self._session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(os.fdopen(answers, "rb"),), daemon=True)
        self._reader.start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _read(self, stream: Any) -> None:
        with stream:
            rest = b""
            while data := stream.read1(1 << 16):
                *messages, rest = (rest + data).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if (number := message.get("id")) in self._replies:
            self._replies.pop(number).put(message)
            return
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.errors.append(json.dumps(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url')}")
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol and its result."""
        number = next(self._numbers)
        self._replies[number] = reply = Queue(1)
        session = {"sessionId": self._session} if self._session else {}
        self._commands.write(json.dumps({"id": number, "method": method, "params": params, **session}).encode() + b"\0")
        try:
            answer = reply.get(timeout=_SECONDS)
        except Empty:
            raise AssertionError(f"the browser does not answer {method}") from None
        assert "error" not in answer, f"{method}: {answer}"
        return dict(answer["result"])

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, awaited."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, f"{script}: {result}"
        return result["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Waits until an expression is true, looking at every change of the page."""
        script = (
            "new Promise((done, fail) => {"
            f"const look = () => {{ const value = ({condition}); if (value) {{ over(); done(value); }} }};"
            "const watch = new MutationObserver(look);"
            "const beat = setInterval(look, 50);"
            f"const end = setTimeout(() => {{ over(); fail(new Error('never came')); }}, {(_SECONDS - 5) * 1000});"
            "const over = () => { watch.disconnect(); clearInterval(beat); clearTimeout(end); };"
            "watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});"
            "look(); })"
        )
        return self.run(script)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def press(self, key: str, modifiers: int = 0, text: str | None = None) -> None:
        """A key with its name as in KeyboardEvent.key; modifiers: 1 Alt, 2 Control, 8 Shift."""
        code = f"Key{key.upper()}" if len(key) == 1 else key
        event = {"key": key, "code": code, "modifiers": modifiers, "windowsVirtualKeyCode": _CODES.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def ask(self, text: str) -> None:
        """Types a message into the page's prompt and sends it."""
        self.run("document.querySelector('#prompt').focus()")
        self.type(text)
        self.press("Enter", text="\r")

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


_CODES = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38}


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser with an empty profile. Skips the test where there is none."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: apt install chromium")
    commands, our_commands = os.pipe()
    our_answers, answers = os.pipe()
    flags = [
        "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "--disable-gpu",
        "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--window-size=1280,860", *(["--no-sandbox"] if os.getuid() == 0 else []),
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, str(commands), str(answers), program, *flags],
        pass_fds=(commands, answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    page = None
    try:
        page = Page(our_commands, our_answers)
        yield page
    finally:
        if page is not None:
            page._session = None
            page.call("Browser.close")
            page._commands.close()
            page._reader.join(_SECONDS)
        else:
            process.kill()
        process.wait(_SECONDS)
