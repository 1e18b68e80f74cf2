"""The loop: prompts, limits, guards, permissions, compaction, cancelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import FINISH, REPAIR, MakeBench, answer, call, do

from inhouse.agent.asking import repeats_itself
from inhouse.agent.loop import AgentOptions
from inhouse.agent.permissions import Question, Reply
from inhouse.agent.steps import Answered, Changed, Compacted, Printed, Said, Thought, Warned, as_json
from inhouse.client.scripted import Scripted
from inhouse.client.types import Answer, ChatRequest, Message, ToolCall, Usage
from inhouse.errors import ContextLengthError

LOOK = {"path": "shop.py"}


class TestPrompt:
    def test_history_is_only_appended_to_and_tools_never_change(self, bench: MakeBench) -> None:
        one = bench(
            do("view", **LOOK), do("str_replace", **REPAIR), do("run_tests", command="true"), FINISH, "It works."
        )
        one.turn()
        one.turn("Does it work?")
        before: list[Message] = []
        for request in one.client.requests:
            assert list(request.messages[: len(before)]) == before
            assert request.tools == one.client.requests[0].tools
            before = list(request.messages)

    def test_facts_come_with_the_first_message_and_not_in_the_system_prompt(self, bench: MakeBench, root: Path) -> None:
        (root / "AGENTS.md").write_text("Use tabs.\n")
        one = bench("Hello.")
        one.turn("Hi.")
        system, first = one.client.requests[0].messages
        assert str(root) not in system.content
        for fact in (str(root), "Branch main", "A shop", "Use tabs.", "shop.py"):
            assert fact in first.content
        assert first.content.endswith("\n\nHi.")

    def test_steps_are_reported_in_order(self, bench: MakeBench) -> None:
        one = bench(answer(call("view", **LOOK), text="Let me look.", reasoning="hm"), "Done.")
        one.turn()
        kinds = [as_json(step)["event"] for step in one.steps]
        assert kinds == ["thought", "said", "answered", "calling", "called", "said", "answered", "ended"]
        assert one.of(Thought)[0].text == "hm"
        assert one.of(Said)[0].text == "Let me look."

    def test_the_share_of_the_cache_is_reported(self, bench: MakeBench) -> None:
        one = bench(
            answer(call("view", **LOOK), usage=Usage(1000, 900, 20)), answer(text="x", usage=Usage(1100, 1000, 5))
        )
        ended = one.turn()
        assert (ended.prompt_tokens, ended.cached_tokens, ended.completion_tokens) == (2100, 1900, 25)
        assert one.of(Answered)[0].cached_tokens == 900


class TestLimits:
    def test_turns(self, bench: MakeBench) -> None:
        one = bench(*[do("bash", command=f"echo {n}") for n in range(9)], options=AgentOptions(turns=3))
        ended = one.turn()
        assert (ended.reason, ended.answers) == ("max_turns", 3)

    def test_tokens_that_came_from_the_cache_do_not_count(self, bench: MakeBench) -> None:
        steps = [answer(call("bash", command=f"echo {n}"), usage=Usage(1000, 990, 10)) for n in range(9)]
        ended = bench(*steps, options=AgentOptions(tokens=60)).turn()
        assert (ended.reason, ended.answers) == ("max_tokens", 3)

    def test_minutes(self, bench: MakeBench) -> None:
        ended = bench(do("bash", command="echo"), options=AgentOptions(minutes=0.0)).turn()
        assert (ended.reason, ended.answers) == ("max_minutes", 0)

    def test_the_answer_gets_no_more_room_than_the_context_has(self, bench: MakeBench) -> None:
        one = bench("x", options=AgentOptions(context=2000, answer_tokens=8000))
        one.turn()
        assert 256 <= (one.client.requests[0].sampling.max_tokens or 0) < 2000


class TestGuards:
    def test_identical_calls_are_noted_then_stopped(self, bench: MakeBench) -> None:
        one = bench(*[do("view", **LOOK) for _ in range(9)])
        ended = one.turn()
        assert (ended.reason, ended.answers) == ("loop", 5)
        assert "same call with the same result" not in one.results()[1]
        assert "same call with the same result" in one.results()[2]
        assert "5 times in a row" in ended.text

    def test_a_change_between_makes_the_same_call_a_new_one(self, bench: MakeBench) -> None:
        steps: list[Scripted] = []
        for n in range(6):
            steps += [do("bash", command="cat n 2>/dev/null"), do("create", path="n", content=str(n), overwrite=True)]
        ended = bench(*steps, FINISH, FINISH).turn()
        assert ended.reason == "finished"

    def test_circles_are_noted_then_stopped(self, bench: MakeBench) -> None:
        circle = [do("view", **LOOK), do("view", path="test_shop.py"), do("search", pattern="total")]
        one = bench(*(circle * 20))
        ended = one.turn()
        assert (ended.reason, ended.answers) == ("loop", 24)
        assert "went in a circle" in one.results()[11]
        assert "went in a circle" not in one.results()[10]

    def test_malformed_calls_stop_in_the_end(self, bench: MakeBench) -> None:
        one = bench(*[answer(ToolCall(f"c{n}", "bash", "{")) for n in range(9)])
        ended = one.turn()
        assert (ended.reason, ended.answers) == ("malformed", 5)

    def test_malformed_calls_may_recover(self, bench: MakeBench) -> None:
        bad = answer(ToolCall("c", "bash", "{"))
        ended = bench(bad, bad, bad, bad, do("bash", command="echo"), bad, bad, bad, bad, "Done.").turn()
        assert ended.reason == "answered"

    def test_empty_answers_are_asked_again_then_given_up(self, bench: MakeBench) -> None:
        one = bench(answer(), answer(), answer(), "never")
        ended = one.turn()
        assert (ended.reason, ended.answers) == ("silent", 3)
        assert "Your answer was empty" in one.client.requests[1].messages[-1].content

    def test_a_cut_answer_is_asked_to_be_shorter(self, bench: MakeBench) -> None:
        one = bench(Answer(Message("assistant", "Long"), "length", Usage(9, 0, 9)), "Short.")
        assert one.turn().text == "Short."
        assert "too long" in one.client.requests[1].messages[-1].content

    def test_thinking_beyond_its_budget_is_cut(self, bench: MakeBench) -> None:
        thinking = "\n".join(f"perhaps {n} or {n * n}" for n in range(4000))
        one = bench(answer(reasoning=thinking), "So.", options=AgentOptions(thinking_budget=1000))
        assert one.turn().text == "So."
        assert one.client.requests[0].thinking_budget == 1000
        note = one.client.requests[1].messages[-1].content
        assert "Your thinking was cut after 1000 tokens" in note
        assert len(one.agent.messages[2].reasoning) < 8000

    def test_an_answer_that_repeats_itself_is_cut(self, bench: MakeBench) -> None:
        one = bench("I shall look into the file and see what it says about it.\n" * 2000, "Well.")
        assert one.turn().text == "Well."
        assert "repeated itself" in one.client.requests[1].messages[-1].content
        assert not repeats_itself("\n".join(f"line {n} of a long and honest answer" for n in range(900)))

    def test_finish_after_an_unchecked_change_is_challenged_once(self, bench: MakeBench) -> None:
        one = bench(do("str_replace", **REPAIR), FINISH, FINISH)
        assert one.turn().reason == "finished"
        assert "[not finished yet] Nothing was run after your last change" in one.results()[1]
        assert [step.guard for step in one.of(Warned)] == ["evidence"]

    def test_finish_with_failing_tests_is_challenged_with_their_names(self, bench: MakeBench) -> None:
        wrong = {**REPAIR, "new_str": "result *= price"}
        one = bench(do("str_replace", **wrong), do("run_tests"), FINISH, FINISH)
        ended = one.turn()
        assert "The last test run failed (test_shop.py::test_total)" in one.results()[2]
        assert ended.failing == ("test_shop.py::test_total",)

    @pytest.mark.parametrize("command", ["python3 -m unittest -h", "python3 -c 'import shop'"])
    def test_finish_after_a_check_is_accepted(self, bench: MakeBench, command: str) -> None:
        one = bench(do("str_replace", **REPAIR), do("bash", command=command), FINISH)
        assert one.turn().reason == "finished"

    @pytest.mark.parametrize("command", ["cat shop.py", "git diff; ls"])
    def test_looking_is_no_evidence(self, bench: MakeBench, command: str) -> None:
        one = bench(do("str_replace", **REPAIR), do("bash", command=command), FINISH, FINISH)
        one.turn()
        assert "[not finished yet]" in one.results()[2]

    def test_an_answer_in_place_of_finish_is_challenged_as_well(self, bench: MakeBench) -> None:
        one = bench(do("str_replace", **REPAIR), "Done!", "Really.")
        assert one.turn().text == "Really."
        assert "Nothing was run" in one.client.requests[2].messages[-1].content


class TestPermissions:
    def asked(self, reply: Reply) -> tuple[list[Question], object]:
        questions: list[Question] = []

        def approve(question: Question) -> Reply:
            questions.append(question)
            return reply

        return questions, approve

    def test_ask_asks_for_edits_and_commands_and_not_for_reading(self, bench: MakeBench, root: Path) -> None:
        questions, approve = self.asked(Reply("once"))
        bench(
            do("view", **LOOK), do("search", pattern="x"), do("str_replace", **REPAIR), do("bash", command="ls"),
            FINISH, FINISH, mode="ask", approver=approve,
        ).turn()  # fmt: skip
        assert [question.tool for question in questions] == ["str_replace", "bash"]
        assert questions[0].action.targets == (str(root / "shop.py"),)
        assert "+        result += price" in questions[0].action.diff

    def test_a_no_changes_nothing_and_its_reason_reaches_the_model(self, bench: MakeBench, root: Path) -> None:
        _, approve = self.asked(Reply("no", "use sum()"))
        one = bench(do("str_replace", **REPAIR), "Well.", mode="ask", approver=approve)
        one.turn()
        assert one.results() == ["str_replace was not run: the user does not allow it (use sum())"]
        assert "-= price" in (root / "shop.py").read_text()

    def test_always_holds_for_the_kind(self, bench: MakeBench) -> None:
        questions, approve = self.asked(Reply("always"))
        bench(
            do("create", path="a", content="1"), do("create", path="b", content="1"), do("bash", command="true"),
            do("bash", command="echo"), FINISH, FINISH, mode="ask", approver=approve,
        ).turn()  # fmt: skip
        assert [question.tool for question in questions] == ["create", "bash"]

    def test_auto_edit_asks_for_commands_alone(self, bench: MakeBench) -> None:
        questions, approve = self.asked(Reply("once"))
        one = bench(do("str_replace", **REPAIR), do("run_tests"), FINISH, mode="auto-edit", approver=approve)
        assert one.turn().reason == "finished"
        assert [question.tool for question in questions] == ["run_tests"]

    def test_auto_asks_nothing_inside_the_sandbox(self, bench: MakeBench) -> None:
        questions, approve = self.asked(Reply("no"))
        bench(do("str_replace", **REPAIR), do("bash", command="test -e shop.py"), FINISH, approver=approve).turn()
        assert questions == []

    def test_outside_the_sandbox_commands_are_asked_for_in_every_mode(self, bench: MakeBench, root: Path) -> None:
        from inhouse.agent.desk import Desk
        from inhouse.workspace import Unconfined

        questions, approve = self.asked(Reply("no"))
        one = bench(do("bash", command="touch ran"), "Well.", desk=Desk(root, Unconfined(root)), approver=approve)
        one.turn()
        assert questions[0].why == "it would run outside the sandbox"
        assert not (root / "ran").exists()

    def test_plan_changes_nothing(self, bench: MakeBench, root: Path) -> None:
        one = bench(do("str_replace", **REPAIR), do("bash", command="echo looked"), "I would add.", mode="plan")
        one.turn()
        assert "in plan mode nothing may change" in one.results()[0]
        assert one.results()[1] == "looked"
        assert "-= price" in (root / "shop.py").read_text()


class TestCancel:
    def test_while_the_model_answers(self, bench: MakeBench) -> None:
        seen: list[bool] = []

        def slow(request: ChatRequest) -> str:
            seen.append(True)
            return "a\n" * 100

        one = bench(slow, "Again.")
        ended = one.turn(cancelled=lambda: bool(seen))
        assert ended.reason == "cancelled"
        assert one.turn("And now?").text == "Again."

    def test_while_a_command_runs(self, bench: MakeBench) -> None:
        one = bench(answer(call("bash", command="echo begun; sleep 60"), call("bash", command="echo next")), "Again.")
        ended = one.turn(cancelled=lambda: bool(one.of(Printed)))
        assert ended.reason == "cancelled"
        assert "begun" in one.results()[0]
        assert "[stopped by the user]" in one.results()[0]
        assert one.results()[1] == "[not run: the user stopped the turn]"
        roles = [message.role for message in one.agent.messages]
        assert roles[-3:] == ["assistant", "tool", "tool"]


class TestCompaction:
    def test_at_a_share_of_the_context_with_all_that_matters(self, bench: MakeBench, root: Path) -> None:
        big = answer(call("bash", command="echo more"), usage=Usage(7000, 0, 600))
        one = bench(
            do("todo", items=[{"text": "repair total", "status": "in_progress"}]),
            do("str_replace", **{**REPAIR, "new_str": "result *= price"}),
            do("run_tests"),
            big,
            "I found that total() multiplies.",
            "Done.", "Done.",
            options=AgentOptions(context=10_000),
        )  # fmt: skip
        one.turn("Repair total(), please.")
        (compacted,) = one.of(Compacted)
        assert compacted.after < compacted.before
        assert "Write that summary now" in one.client.requests[4].messages[-1].content
        request = one.client.requests[5]
        summary = request.messages[1].content
        for kept in (
            "Repair total(), please.", "[>] repair total", "shop.py", "failing: test_shop.py::test_total",
            "I found that total() multiplies.", "<facts>",
        ):  # fmt: skip
            assert kept in summary
        assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool"]
        assert request.messages[0] == one.client.requests[0].messages[0]

    def test_not_before(self, bench: MakeBench) -> None:
        one = bench(
            answer(call("bash", command="echo"), usage=Usage(6000, 0, 10)), "x", options=AgentOptions(context=10_000)
        )
        one.turn()
        assert one.of(Compacted) == []

    def test_when_the_client_says_that_the_context_is_full(self, bench: MakeBench) -> None:
        def full(request: ChatRequest) -> str:
            raise ContextLengthError("too long")

        one = bench(do("view", **LOOK), full, "Fits.")
        assert one.turn("Look.").text == "Fits."
        assert len(one.of(Compacted)) == 1
        assert "Look." in one.client.requests[2].messages[1].content

    def test_by_hand(self, bench: MakeBench) -> None:
        one = bench("Hello.", "We greeted each other.", "Yes.")
        one.turn("Hi.")
        one.agent.compact()
        assert one.turn("Still there?").text == "Yes."
        assert "We greeted each other." in one.client.requests[2].messages[1].content


def test_changes_are_reported_with_the_paths(bench: MakeBench) -> None:
    one = bench(do("bash", command="echo x > made; rm test_shop.py"), FINISH, FINISH)
    ended = one.turn()
    assert one.of(Changed)[0].paths == ("made", "test_shop.py")
    assert ended.changed == ("made", "test_shop.py")
