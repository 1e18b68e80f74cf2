"""From answers to new text: what is taken, what is refused, and how it fits in."""

from __future__ import annotations

import pytest

from inhouse.repair.patching import edited, rewritten_file, rewritten_function, rewritten_lines
from inhouse.workspace.edits import EditError

TEXT = """\
import re


class Box:
    size = 1

    @property
    def area(self):
        return self.size

    def grow(self, by):
        self.size += by


def outer(x):
    return x
"""


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}```\nDone."


def test_a_function_is_replaced_and_nothing_else() -> None:
    new = rewritten_function("box.py", TEXT, "outer", fenced("def outer(x):\n    return x + 1\n"))
    assert new == TEXT.replace("    return x\n", "    return x + 1\n")


def test_a_method_is_indented_and_keeps_its_decorators() -> None:
    new = rewritten_function("box.py", TEXT, "Box.area", fenced("def area(self):\n    return self.size ** 2\n"))
    assert new == TEXT.replace("return self.size\n", "return self.size ** 2\n")


def test_a_whole_class_around_the_method_is_understood() -> None:
    code = "class Box:\n    def grow(self, by):\n        self.size *= by\n"
    assert rewritten_function("box.py", TEXT, "Box.grow", fenced(code)) == TEXT.replace("+= by", "*= by")


def test_helpers_and_imports_come_along() -> None:
    code = "import math\nimport re\n\ndef half(x):\n    return x / 2\n\ndef outer(x):\n    return math.floor(half(x))\n"
    new = rewritten_function("box.py", TEXT, "outer", fenced(code))
    assert new.startswith("import re\nimport math\n")
    assert new.count("import re\n") == 1
    assert new.index("def half") < new.index("def outer")
    compile(new, "x.py", "exec")


def test_another_function_of_the_file_is_replaced_as_well() -> None:
    code = "def outer(x):\n    return Box().grow(x)\n\ndef grow(self, by):\n    self.size = by\n"
    new = rewritten_function("box.py", TEXT, "Box.grow", fenced(code))
    assert "self.size = by" in new
    assert "return Box().grow(x)" in new
    compile(new, "x.py", "exec")


def test_the_last_block_that_defines_it_counts() -> None:
    answer = fenced("def outer(x):\n    return 1\n") + fenced("def outer(x):\n    return 2\n") + fenced("outer(1)\n")
    assert "return 2" in rewritten_function("box.py", TEXT, "outer", answer)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("no code", "no code block that defines outer"),
        (fenced("def inner(x):\n    return 1\n"), "no code block that defines outer"),
        (fenced("def outer(x:\n    return 1\n"), "not valid Python"),
    ],
)
def test_what_cannot_be_used_is_said(answer: str, says: str) -> None:
    with pytest.raises(EditError, match=says):
        rewritten_function("box.py", TEXT, "outer", answer)


def test_lines_get_the_margin_of_those_they_replace() -> None:
    assert rewritten_lines("a:\n    b\n    c\nd\n", 2, 3, fenced("x\n  y\n")) == "a:\n    x\n      y\nd\n"
    with pytest.raises(EditError, match="no code block"):
        rewritten_lines("a\n", 1, 1, "x")


def test_search_and_replace_blocks() -> None:
    answer = "<<<<<<< SEARCH\nreturn x\n=======\nreturn -x\n>>>>>>> REPLACE"
    assert edited(TEXT, answer) == TEXT.replace("return x", "return -x")
    with pytest.raises(EditError, match="no SEARCH/REPLACE block"):
        edited(TEXT, "return -x")


def test_standard_modules_that_an_answer_only_uses_are_imported() -> None:
    answer = "```python\ndef outer(x):\n    return math.floor(re.sub('a', x.b, x))\n```"
    new = rewritten_function("box.py", TEXT, "outer", answer)
    assert new.startswith("import re\nimport math\n\n\nclass Box")


def test_names_that_the_file_gives_a_value_are_no_modules() -> None:
    text = "def outer(string):\n    return string\n"
    answer = fenced("def outer(string):\n    return string.strip()\n")
    assert rewritten_function("box.py", text, "outer", answer).startswith("def")


@pytest.mark.parametrize(
    "answer",
    [
        fenced("def outer(x):\n    return 2 * x\n"),
        "def outer(x):\n    return 2 * x\n",
        fenced(TEXT.replace("    return x\n", "    return 2 * x\n")),
        fenced("def outer(x):\n    return 3 * x\n") + "\nNo:\n" + fenced("def outer(x):\n    return 2 * x\n"),
    ],
    ids=["function", "no fence", "whole file", "corrected itself"],
)
def test_functions_of_an_answer_replace_those_of_the_file(answer: str) -> None:
    assert rewritten_file("box.py", TEXT, answer) == TEXT.replace("    return x\n", "    return 2 * x\n")


def test_an_answer_without_any_function_of_the_file_is_refused() -> None:
    with pytest.raises(EditError, match="no function of the file"):
        rewritten_file("box.py", TEXT, "I cannot find it.")
