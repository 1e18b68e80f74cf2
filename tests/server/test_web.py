"""The web page, in a real Chromium against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from browser import Page, browser
from stage import WAIT, Stage, playing

from inhouse.engine import Chunk, ToolCall
from inhouse.engine.cache import CacheStats
from inhouse.engine.events import Progress
from inhouse.engine.serving import Stats
from inhouse.server.keys import KeyFile, KeyRing

HOSTILE = """\
<img src="http://evil.invalid/a.png" onerror="alert(1)"> <script>window.hacked = 1</script>

![pixel](http://evil.invalid/b.png) [run](javascript:window.hacked=1) [site](https://example.invalid/x)

| a | b |
|---|--:|
| **1** | `2` |

1. one
   - inner
2. two

```python
def add(a, b):
    return a + b  # <b>sum</b>
```

The end.
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def page(chromium: Page, stage: Stage) -> Iterator[Page]:
    """The page, opened for the first time, with a model at work."""
    with playing(stage) as url:
        chromium.open(url)
        chromium.wait("document.querySelector('#model').textContent === 'stage'")
        chromium.errors.clear()
        chromium.requests.clear()
        yield chromium
        chromium.open("about:blank")


def written(text: str) -> list[Chunk]:
    return [Chunk(text=text[at : at + 7], token_ids=(1,)) for at in range(0, len(text), 7)]


def finished(page: Page, count: int = 1) -> None:
    page.wait(f"document.querySelectorAll('.assistant[aria-busy=false]').length === {count}")


def test_loads_from_nowhere_else_and_without_complaint(chromium: Page, stage: Stage) -> None:
    chromium.errors.clear()
    chromium.requests.clear()
    with playing(stage) as url:
        chromium.open(url)
        chromium.wait("document.querySelector('#status dd')?.textContent === 'stage'")
        assert chromium.requests
        assert all(asked.startswith(url) for asked in chromium.requests)
        assert chromium.errors == []
        assert chromium.run("document.activeElement.id") == "prompt"
        chromium.open("about:blank")


def test_answers_in_a_stream_with_thinking_folded(page: Page, stage: Stage) -> None:
    stage.answers = [
        [Progress(10, 40), Chunk(reasoning="Let me *see*.", token_ids=(1,)), *written("Hello, **you**"), WAIT,
         *written(" there.")]
    ]  # fmt: skip
    page.ask("Hi")
    page.wait("document.querySelector('.assistant .prose strong')?.textContent === 'you'")
    assert page.run("document.querySelector('.assistant').getAttribute('aria-busy')") == "true"
    stage.go.set()
    finished(page)
    assert page.text(".assistant > .prose") == "Hello, you there."
    assert "24 of them remembered" in page.text(".figures")
    assert page.run("document.querySelector('.thinking').open") is False
    assert page.text(".thinking summary").startswith("Thought")
    page.click(".thinking summary")
    assert "Let me see." in page.text(".thinking")
    stage.answers = [written("Again.")]
    page.ask("And now?")
    finished(page, 2)
    assert [(m["role"], m["content"]) for m in stage.asked[1][0]] == [
        ("user", "Hi"),
        ("assistant", "Hello, **you** there."),
        ("user", "And now?"),
    ]
    assert page.errors == []


def test_stops(page: Page, stage: Stage) -> None:
    stage.answers = [[*written("A long story"), WAIT, *written(" that never ends")]]
    page.ask("Tell")
    page.wait("document.querySelector('.assistant > .prose').innerText === 'A long story'")
    page.press("Escape")
    finished(page)
    assert stage.tickets[0].cancelled.wait(10)
    assert page.text(".ending") == "Stopped."
    assert page.text(".assistant > .prose") == "A long story"
    assert page.run("document.querySelector('#stop').hidden") is True


def test_says_why_an_answer_ended(page: Page, stage: Stage) -> None:
    stage.answers, stage.reason = [written("so so so so")], "repetition"
    page.ask("Sing")
    finished(page)
    assert page.text(".ending") == "Ended because the model repeated itself."


def test_shows_the_engines_own_figures(page: Page, stage: Stage) -> None:
    cache = CacheStats(prompt_tokens=50, cached_tokens=30, memory_bytes=1, memory_budget=2)
    stage.figures = Stats(active_interactive=2, waiting_interactive=3, waiting_background=1, cache=cache)
    page.wait("document.querySelector('#status').innerText.includes('60 % of prompts')")
    facts = page.run("[...document.querySelectorAll('#status dt')].map((name) => [name.innerText, "
                     "name.nextSibling.innerText])")  # fmt: skip
    assert ["Waiting", "4"] in facts
    charts = "[...document.querySelectorAll('#status .chart')].map((chart) => chart.innerText)"
    assert any("Requests" in text and "2 at work" in text for text in page.run(charts))
    stage.figures = replace(stage.figures, decode_tokens=1000)
    page.wait(f"{charts}.some((text) => /Writing\\s+[1-9]/.test(text))")


def test_shows_what_it_is_told_and_runs_none_of_it(page: Page, stage: Stage) -> None:
    stage.answers = [written(HOSTILE)]
    page.ask("Attack")
    finished(page)
    assert page.run("window.hacked") is None
    assert not [asked for asked in page.requests if "invalid" in asked]
    assert page.run("document.querySelectorAll('#messages img, #messages script').length") == 0
    links = page.run("[...document.querySelectorAll('.prose a')].map((a) => a.getAttribute('href'))")
    assert links == ["http://evil.invalid/a.png", "http://evil.invalid/b.png", "https://example.invalid/x"]
    assert page.run("document.querySelector('td.end code').textContent") == "2"
    assert page.run("document.querySelector('ol > li > ul > li').textContent") == "inner"
    assert page.run("document.querySelector('.hl-keyword').textContent") == "def"
    assert page.errors == []


def test_copies_code(page: Page, stage: Stage) -> None:
    origin = page.run("location.origin")
    page.call("Browser.grantPermissions", origin=origin, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    stage.answers = [written(HOSTILE)]
    page.ask("Code")
    finished(page)
    page.click("figure.code .copy")
    page.wait("document.querySelector('figure.code .copy').textContent === 'Copied'")
    copied = page.run("navigator.clipboard.readText()")
    assert copied == "def add(a, b):\n    return a + b  # <b>sum</b>"


def test_shows_tool_calls_and_takes_their_results(page: Page, stage: Stage) -> None:
    tools = '[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]'
    page.press("s", modifiers=1)
    page.run(f"document.querySelector('#tools').value = {tools!r}")
    page.click("#settings .primary")
    stage.answers = [[Chunk(tool_calls=(ToolCall("c1", "weather", '{"city": "Oslo"}'),), token_ids=(1,))],
                     written("It snows.")]  # fmt: skip
    page.ask("Weather?")
    page.wait("document.querySelector('.results textarea')")
    assert "weather" in page.text(".call summary")
    assert '"city": "Oslo"' in page.text(".call pre")
    page.run("document.querySelector('.results textarea').value = 'snow'")
    page.click(".results button")
    page.wait("[...document.querySelectorAll('.prose')].some((one) => one.innerText === 'It snows.')")
    messages, offered = stage.asked[1]
    assert offered[0]["function"]["name"] == "weather"
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert (messages[2]["tool_call_id"], messages[2]["content"]) == ("c1", "snow")
    page.run("localStorage.clear()")


def test_survives_a_reload_and_begins_anew(page: Page, stage: Stage) -> None:
    stage.answers = [written("Kept.")]
    page.ask("Keep this")
    finished(page)
    page.open(page.run("location.href") + "?again")
    page.wait("document.querySelector('.assistant > .prose')?.innerText === 'Kept.'")
    page.press("n", modifiers=1)
    page.wait("!document.querySelector('.message') && !document.querySelector('#welcome').hidden")


def test_asks_for_a_key_where_one_is_wanted(chromium: Page, stage: Stage, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.add("me")
    stage.answers = [written("Welcome.")]
    with playing(stage, KeyRing(keys)) as url:
        chromium.open(url)
        chromium.wait("document.querySelector('#key-dialog').open")
        for key, outcome in (("wrong", "document.querySelector('#key-error').textContent.includes('does not know')"),
                             (secret, "!document.querySelector('#key-dialog').open")):  # fmt: skip
            chromium.run(f"document.querySelector('#key').value = {key!r}")
            chromium.click("#key-form .primary")
            chromium.wait(outcome)
        chromium.ask("Hi")
        finished(chromium)
        assert chromium.text(".assistant > .prose") == "Welcome."
        chromium.open("about:blank")


def test_dark_light_and_narrow(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for scheme in ("dark", "light"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen.append(page.run(background))
    assert seen[0] != seen[1]
    page.click("#theme")
    assert page.run(background) == seen[0]
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True)
    assert page.run("document.documentElement.scrollWidth") <= 360
    page.call("Emulation.clearDeviceMetricsOverride")
    page.run("localStorage.clear()")


def test_the_page_trusts_only_its_own_files(stage: Stage) -> None:
    with playing(stage) as url:
        answer = httpx2.get(url)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert httpx2.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        assert httpx2.get(f"{url}/assets/../web.py").status_code == 404
