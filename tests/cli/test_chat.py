"""`inhouse chat` at a terminal: answers stream, Ctrl-C stops one of them, Ctrl-D leaves."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Inhouse, Terminal


@pytest.fixture
def terminal(environment: dict[str, str], tiny: Path) -> Iterator[Terminal]:
    end = Terminal(environment, "chat", str(tiny), "--temperature", "1", "--seed", "1")
    yield end
    end.close()


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Terminal) -> None:
    terminal.wait_for("> ")
    terminal.type("Hello\n")
    terminal.wait_for("Hello\r\n.{8}")  # an answer has begun; unstopped it would go on for thousands of tokens
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for(r"\[stopped; \d+ tokens, [\d.]+ tok/s")
    terminal.wait_for("> ")
    terminal.type("/exit\n")
    assert terminal.process.wait(10) == 0


def test_ctrl_c_at_the_prompt_drops_the_line_and_ctrl_d_leaves(terminal: Terminal) -> None:
    terminal.wait_for("> ")
    terminal.type("half a line")
    terminal.wait_for("half a line")
    terminal.interrupt_until("Ctrl-D or /exit to leave")
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.process.wait(10) == 0


def test_what_was_entered_is_remembered_by_the_next_session(
    terminal: Terminal, environment: dict[str, str], tiny: Path
) -> None:
    terminal.wait_for("> ")
    terminal.type("/system Be brief.\n")
    terminal.wait_for("system prompt: Be brief.")
    terminal.wait_for("> ")
    terminal.type("/exit\n")
    assert terminal.process.wait(10) == 0
    history = Path(environment["INHOUSE_HOME"]) / "chat_history"
    assert "/system Be brief." in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_a_conversation_from_a_script(inhouse: Inhouse, tiny: Path) -> None:
    done = inhouse(
        "chat", tiny, "--max-tokens", 5, input="/help\nHello\nand\\\nagain\n/clear\nHello\n/nonsense\n/system\n"
    )
    assert done.returncode == 0
    assert "/clear" in done.stdout
    figures = re.findall(r"\[5 tokens, [\d.]+ tok/s, first after [\d.]+ s \((\d+) new tokens read\)\]", done.stderr)
    assert len(figures) == 3
    assert "forgotten" in done.stderr
    assert "there is no command /nonsense" in done.stderr
    assert "system prompt: none" in done.stderr


def test_a_conversation_that_outgrows_the_context_goes_on_after_clear(inhouse: Inhouse, tiny: Path) -> None:
    done = inhouse("chat", tiny, "--context", 256, "--max-tokens", 4, input=f"{'word ' * 200}\n/clear\nHello\n")
    assert done.returncode == 0
    assert "do not fit the context of 256" in done.stderr
    assert "[4 tokens" in done.stderr
