"""Background requests let interactive ones pass and lose nothing by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2

URGENT: Any = {"messages": [{"role": "user", "content": "Quick!"}], "max_tokens": 4, "temperature": 0}
LONG: Any = {
    "messages": [{"role": "user", "content": "patience is a virtue " * 240}],
    "max_tokens": 6,
    "temperature": 0,
    "stream": True,
    "stream_options": {"include_usage": True},
}
BACKGROUND = {"X-Inhouse-Priority": "background"}


def test_an_interactive_request_passes_a_long_prompt(tiny: str) -> None:
    path = f"{tiny}/v1/chat/completions"
    with httpx2.stream("POST", path, json=LONG, headers=BACKGROUND, timeout=120) as slow:
        lines = slow.iter_lines()
        total = next(progress["total"] for line in lines if (progress := _progress(line)))
        answer = httpx2.post(path, json=URGENT, timeout=60).json()
        assert answer["usage"]["completion_tokens"] == 4
        assert httpx2.get(f"{tiny}/stats").json()["engine"]["active_background"] == 1  # it is still being read
        interrupted, usage = _answer(lines)
    assert usage["prompt_tokens"] == total > 3000
    assert usage["prompt_tokens_details"]["cached_tokens"] < total / 2
    with httpx2.stream("POST", path, json=LONG, timeout=120) as alone:
        again, usage = _answer(alone.iter_lines())
    assert again == interrupted
    assert usage["prompt_tokens_details"]["cached_tokens"] == total - 1


def _progress(line: str) -> dict[str, int] | None:
    told = json.loads(line[10:]) if line.startswith(": inhouse ") else {}
    progress: dict[str, int] | None = told.get("prompt")
    return progress


def _answer(lines: Iterator[str]) -> tuple[str, dict[str, Any]]:
    """The text of a stream, and its usage."""
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]), events[-1]["usage"]
