"""What the agent knows of a repository: the map in its first message, and the `symbols` tool."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from agent_kit import Bench, MakeBench, do, say, shop

from inhouse.agent.desk import Desk
from inhouse.agent.loop import AgentOptions
from inhouse.agent.session import Session
from inhouse.agent.steps import Warned
from inhouse.workspace import Unconfined
from inhouse.workspace.overview import map_tokens, mentioned, overview
from needed import git_program

HEAD = "The definitions that most of the code leans on"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A shop with enough files for a map."""
    root = shop(tmp_path)
    (root / "lib").mkdir()
    (root / "lib" / "money.py").write_text("class Money:\n    def rounded(self):\n        return self\n")
    for number in range(15):
        (root / "lib" / f"till{number}.py").write_text(
            f"from lib.money import Money\n\n\ndef till{number}():\n    # Money\n    return Money().rounded()\n"
        )
    return root


def first(one: Bench) -> str:
    return one.client.requests[0].messages[1].content


class TestMap:
    def test_it_comes_with_the_first_message_after_what_does_not_depend_on_the_task(self, bench: MakeBench) -> None:
        one = bench("Hello.", "Again.")
        one.turn("Look at till7.")
        one.turn("Look at till8.")
        said = first(one)
        assert said.index("In the workspace:") < said.index(HEAD) < said.index("</facts>") < said.index("Look at")
        assert "lib/money.py:\n    1 class Money:" in said
        assert HEAD not in one.client.requests[1].messages[-1].content
        assert one.client.requests[1].messages[1].content == said

    def test_it_is_drawn_towards_the_task(self, bench: MakeBench) -> None:
        one = bench("Hello.", options=AgentOptions(map_tokens=20))
        one.turn("till11 is wrong")
        assert "def till11" in first(one)

    def test_it_takes_its_share_of_the_context(self, bench: MakeBench) -> None:
        assert [map_tokens(context) for context in (4096, 32_768, 1 << 20)] == [128, 1024, 4096]
        small = bench("Hello.", options=AgentOptions(context=640))
        small.turn("Hi.")
        large = bench("Hello.", options=AgentOptions(context=32_768))
        large.turn("Hi.")
        assert len(first(small)) < len(first(large))

    def test_none_where_none_is_wanted_or_a_listing_says_as_much(self, bench: MakeBench, root: Path) -> None:
        one = bench("Hello.", options=AgentOptions(map_tokens=0))
        one.turn("Hi.")
        assert HEAD not in first(one)
        for number in range(15):
            (root / "lib" / f"till{number}.py").unlink()
        assert overview(root, "Hi.", 1000, len, None) == ""

    def test_a_failure_is_a_note(self, root: Path) -> None:
        (root.parent / "file").write_text("")
        desk = Desk(root, Unconfined(root), pythons=[Path(sys.executable)], maps=root.parent / "file" / "maps")
        one = Bench(root, ["Hello."], desk=desk)
        assert one.turn("Hi.").reason == "answered"
        (note,) = one.of(Warned)
        assert note.text.startswith("there is no map of the repository")
        assert HEAD not in first(one)
        one.close()

    def test_it_stays_the_same_after_a_compaction_and_in_a_resumed_session(self, bench: MakeBench, root: Path) -> None:
        one = bench("Hello.", "notes")
        one.turn("Hi.")
        drawn = one.agent.journal.state.overview
        assert drawn
        assert drawn in first(one)
        (root / "lib" / "money.py").write_text("class Coins:\n    pass\n")
        one.agent.compact()
        assert drawn in one.agent.messages[1].content
        folder = one.session.folder
        one.close()
        again = Bench(root, ["Hello."], session=Session(folder))
        assert again.agent.journal.state.overview == drawn
        again.close()

    def test_names_that_a_task_mentions(self) -> None:
        said = mentioned("In `lib/money.py`, Money.rounded() of the ledger-app is off by 1; see test_total.")
        assert said[:2] == ["lib/money.py", "Money.rounded"]
        assert "test_total" in said


class TestSymbols:
    def test_definitions_and_uses_with_places(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("symbols", name="rounded")])
        lines = said.splitlines()
        assert lines[:3] == ["defined (1):", "lib/money.py:2: def rounded(self):", "used (15):"]
        assert lines[3] == "lib/till0.py:6: return Money().rounded()"

    def test_comments_are_no_uses_and_a_path_narrows(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("symbols", name="Money", path="lib/till3.py")])
        assert said.splitlines() == [
            "not defined in lib/till3.py", "used in lib/till3.py (2):", "lib/till3.py:1: from lib.money import Money",
            "lib/till3.py:6: return Money().rounded()",
        ]  # fmt: skip

    def test_definitions_only_and_qualified_names(self, bench: MakeBench) -> None:
        said = say(bench, [do("symbols", name="Money.rounded()", definitions_only=True)])
        assert said == ["defined (1):\nlib/money.py:2: def rounded(self):"]

    def test_many_places_are_folded(self, bench: MakeBench, root: Path) -> None:
        (root / "many.py").write_text("".join(f"one{n} = total([{n}])\n" for n in range(200)))
        said = say(bench, [do("symbols", name="total")])[0].splitlines()
        assert said[2] == "used (203):"
        assert said[-1] == "[123 further places in 2 files; narrow it with path]"

    def test_files_are_seen_as_they_are_now(self, bench: MakeBench) -> None:
        made = do("create", path="lib/new.py", content="def fresh():\n    return 1\n")
        said = say(bench, [do("symbols", name="fresh"), made, do("symbols", name="fresh")])
        assert "neither defined nor used" in said[0]
        assert "lib/new.py:1: def fresh():" in said[2]

    def test_what_is_no_name_is_said_to_be_none(self, bench: MakeBench) -> None:
        said = say(bench, [do("symbols", name="def total("), do("symbols", name="x", path="no"), do("symbols")])
        assert "is no name of a definition" in said[0]
        assert "no such file or folder" in said[1]
        assert "Call it exactly like this: symbols" in said[2]

    @pytest.mark.parametrize("path", ["../other", "/etc"])
    def test_nothing_outside(self, bench: MakeBench, path: str) -> None:
        assert "outside the workspace" in say(bench, [do("symbols", name="total", path=path)])[0]

    def test_what_is_kept_is_kept_where_the_desk_says(self, root: Path) -> None:
        maps = root.parent / "maps"
        desk = Desk(root, Unconfined(root), pythons=[Path(sys.executable)], maps=maps)
        one = Bench(root, [do("symbols", name="total"), "done", "done"], desk=desk)
        one.turn()
        one.close()
        assert [path.suffix for path in maps.iterdir()] == [".sqlite"]
        changed = subprocess.run(
            [git_program(), "status", "--short"], cwd=root, capture_output=True, text=True, check=True
        )
        assert "sqlite" not in changed.stdout
