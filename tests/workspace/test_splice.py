"""A function replaced in a file: only the lines that differ change, and what is new looks like the file."""

from __future__ import annotations

import difflib

import pytest

from inhouse.errors import WorkspaceError
from inhouse.repair.patching import rewritten_function, rewritten_lines
from inhouse.workspace.splice import replace_function
from inhouse.workspace.text import decode

TABS = '''\
import re


class Table:
\t"""A table."""

\tWIDTH = "a\tb"

\t@property
\tdef rows(self):
\t\t"""The rows.

\t\tNot the columns.
\t\t"""
\t\tif self.x:   
\t\t\treturn [row for row in self.x
\t\t\t        if row]
\t\ttext = """
\tone\ttwo
"""
\t\treturn text + "\t"

\tdef other(self):
\t\treturn 1
'''  # noqa: W291
ROWS = '''\
def rows(self):
    """The rows.

    Not the columns.
    """
    if self.x:
        return [row for row in self.x
                if row]
    text = """
one    two
"""
    return text + "    "
'''  # as a model writes it: at the left margin, with blanks


def changed(old: str, new: str) -> list[str]:
    return [line for line in difflib.ndiff(old.split("\n"), new.split("\n")) if line[0] in "+-"]


def test_the_same_function_with_blanks_changes_nothing() -> None:
    assert replace_function(TABS, "Table.rows", ROWS) == TABS


def test_one_changed_line_is_one_changed_line() -> None:
    text = TABS
    new = replace_function(text, "Table.rows", ROWS.replace("if self.x:", "if self.x is not None:"))
    assert changed(text, new) == ["- \t\tif self.x:   ", "+ \t\tif self.x is not None:"]


def test_new_lines_have_the_files_tabs() -> None:
    code = ROWS.replace(
        "    text = ",
        "    for one in self.y:\n        if one:\n            return (one,\n                2)\n    text = ",
    )
    text = TABS
    new = replace_function(text, "Table.rows", code)
    assert [line[2:] for line in changed(text, new)] == [
        "\t\tfor one in self.y:", "\t\t\tif one:", "\t\t\t\treturn (one,", "\t\t\t\t\t2)",
    ]  # fmt: skip


def test_tabs_in_strings_of_the_answer_stay() -> None:
    new = replace_function("def f():\n    return 1\n", "f", 'def f():\n    return \'\t\' + """\n\tx\n"""\n')
    assert new == 'def f():\n    return \'\t\' + """\n\tx\n"""\n'


def test_a_string_whose_blanks_are_the_repair_is_taken_as_it_is() -> None:
    text = 'def f():\n\treturn """\na b\n""" + "x y"\n'
    new = replace_function(text, "f", 'def f():\n    return """\na  b\n""" + "x  y"\n')
    assert new == 'def f():\n\treturn """\na  b\n""" + "x  y"\n'


def test_a_line_that_moves_to_another_level_moves() -> None:
    text = "def f(xs):\n\tfor x in xs:\n\t\ty = x\n\t\treturn y\n"
    new = replace_function(text, "f", "def f(xs):\n    for x in xs:\n        y = x\n    return y\n")
    assert new == "def f(xs):\n\tfor x in xs:\n\t\ty = x\n\treturn y\n"


def test_two_blanks_stay_two() -> None:
    text = "def f(x):\n  if x:\n    return 1\n  return 2\n\n\ndef g():\n  return 3\n"
    new = replace_function(text, "f", "def f(x):\n    if x:\n        return 1\n    return 3\n")
    assert new == text.replace("return 2", "return 3")


def test_a_form_feed_before_a_function_stays() -> None:
    text = "a = 1\n\x0cdef f():\n    return 1\n\x0c\ndef g():\n    return 2\n"
    assert replace_function(text, "f", "def f():\n    return 0\n") == text.replace("return 1", "return 0")
    new = replace_function(text, "f", "def f(x=1):\n    return x\n")
    assert new == text.replace("f():\n    return 1", "f(x=1):\n    return x")


def test_helpers_that_come_along_have_the_files_tabs() -> None:
    text = "class A:\n\tdef f(self):\n\t\treturn 1\n"
    answer = "```python\ndef half(self):\n    if self:\n        return 2\n\ndef f(self):\n    return self.half()\n```"
    assert rewritten_function("a.py", text, "A.f", answer) == (
        "class A:\n\tdef half(self):\n\t\tif self:\n\t\t\treturn 2\n\n\tdef f(self):\n\t\treturn self.half()\n"
    )


@pytest.mark.parametrize("answer", ["x = 2\nif x:\n    y = 3\n", "\tx = 2\n\tif x:\n\t\ty = 3\n"])
def test_lines_of_a_file_with_tabs_are_replaced_by_lines_with_tabs(answer: str) -> None:
    text = "void f() {\n\tx = 1 \n\tif x:\n\t\ty = 3 \n}\n"
    new = rewritten_lines(text, 2, 4, f"```\n{answer}```")
    assert new == "void f() {\n\tx = 2\n\tif x:\n\t\ty = 3 \n}\n"


def test_a_block_that_mixes_tabs_and_blanks_is_understood() -> None:
    code = "\tdef f(x):\n        if x:\n\t\t\treturn 1\n"
    assert replace_function("def f(x):\n    pass\n", "f", code) == "def f(x):\n    if x:\n        return 1\n"
    with pytest.raises(WorkspaceError, match="not valid Python"):
        replace_function("def f(x):\n    pass\n", "f", "def f(x):\n    if x\n")


@pytest.mark.parametrize(
    ("data", "name", "code", "expected"),
    [
        (b"a = 1\r\ndef f():\r\n    return 1 \n\r\nb = 2\n", "f", "def f():\n    return 2\n",
         b"a = 1\r\ndef f():\r\n    return 2\n\r\nb = 2\n"),
        (b"\xef\xbb\xbfdef f():\r    return 1\rb = 2\r", "f", "def f():\n    return 2\n",
         b"\xef\xbb\xbfdef f():\r    return 2\rb = 2\r"),
        (b"# coding: latin-1\nn = '\xe9'\n\x0cx = 1\ndef f():\n\treturn '\xe8'\nlast = '\xe7'", "f",
         "def f():\n    return 'é'\n",
         b"# coding: latin-1\nn = '\xe9'\n\x0cx = 1\ndef f():\n\treturn '\xe9'\nlast = '\xe7'"),
        ("s = '''\u2028\x85\x1c'''  \ndef f(x):\n    y = 'a\u2028b'\n    return x \n".encode(), "f",
         "def f(x):\n    y = 'a\u2028b'\n    return y\n",
         "s = '''\u2028\x85\x1c'''  \ndef f(x):\n    y = 'a\u2028b'\n    return y\n".encode()),
    ],
)  # fmt: skip
def test_bytes_in_and_out(data: bytes, name: str, code: str, expected: bytes) -> None:
    file = decode("m.py", data, universal=True)
    assert file.edited(replace_function(file.text, name, code)).data == expected
