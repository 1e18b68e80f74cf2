"""Bytes in, bytes out: what an edit of a text file leaves as it was, and what it refuses."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.errors import WorkspaceError
from inhouse.workspace.checkout import Checkout
from inhouse.workspace.edits import EditError
from inhouse.workspace.lines import Span, line_number, lines_of
from inhouse.workspace.text import TextFile, decode, new_file, unified_diff
from needed import git_program

SOURCE = Path(__file__).parents[2] / "src" / "inhouse"
ODD = "ab \t\f\v\x1c\x1d\x1e\x85\u2028\u2029é日\ufeff"
LINES = st.lists(st.tuples(st.text(ODD + "\r", max_size=4), st.sampled_from(["\n", "\r\n"])), max_size=8)
QUIETLY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
ENCODINGS = [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")]


def encoded(lines: list[tuple[str, str]], encoding: str, bom: bytes) -> list[bytes]:
    """Each line's bytes, its end included; a line never ends with a carriage return of its own."""
    return [bom, *((content.rstrip("\r") + end).encode(encoding) for content, end in lines)]


@QUIETLY
@given(LINES, st.sampled_from(ENCODINGS), st.booleans(), st.data())
def test_lines_that_an_edit_does_not_touch_keep_their_bytes(
    lines: list[tuple[str, str]], kind: tuple[str, bytes], closed: bool, data: st.DataObject
) -> None:
    pieces = encoded([("x", "\n"), *lines], *kind)
    if not closed:
        pieces[-1] = (pieces[-1].decode(kind[0]).rstrip("\r\n") + "!").encode(kind[0])
    file = decode("f.txt", b"".join(pieces))
    whole = file.text.split("\n")
    count = len(lines_of(file.text))
    first = data.draw(st.integers(0, count), "first")
    last = data.draw(st.integers(first, count), "last")
    new = data.draw(st.lists(st.text("xyz ", min_size=1, max_size=3), max_size=3), "new")
    start = sum(len(line) + 1 for line in whole[:first])
    end = min(len(file.text), sum(len(line) + 1 for line in whole[:last]))
    start = min(start, end)
    text = "".join(f"{line}\n" for line in new)
    if start == len(file.text) and start and not file.text.endswith("\n"):
        text = "\n" + text
        first -= 1
    out = file.spliced([Span(start, end, text)]).data
    before, after = b"".join(pieces[: 1 + first]), b"".join(pieces[1 + last :])
    assert out.startswith(before)
    assert out.endswith(after)
    middle = out[len(before) : len(out) - len(after)]
    assert decode("f.txt", kind[1] + middle).text.endswith(text)


@QUIETLY
@given(LINES, st.sampled_from(ENCODINGS), st.booleans())
def test_a_file_that_is_not_edited_is_the_same_file(
    lines: list[tuple[str, str]], kind: tuple[str, bytes], universal: bool
) -> None:
    data = b"".join(encoded([("x", "\n"), *lines], *kind))
    file = decode("f.py", data, universal=universal)
    assert file.data == data
    assert file.edited(file.text).data == data
    assert file.edited(file.text + "more\n").data.startswith(data)
    assert file.edited("more\n" + file.text).data.endswith(data[len(kind[1]) :])


PYTHON = st.lists(
    st.tuples(st.sampled_from(["a", "bb", "c\x0c", ""]), st.sampled_from(["\n", "\r\n", "\r"])), max_size=9
)


@QUIETLY
@given(PYTHON, st.integers(0, 9))
def test_lines_are_numbered_as_pythons_syntax_trees_number_them(lines: list[tuple[str, str]], place: int) -> None:
    text = "".join(
        ("\n" if not content else f"{content}\n") if end == "\n" else content + end for content, end in lines
    )
    text += "last = 1"
    (node,) = [one for one in ast.parse(text).body if isinstance(one, ast.Assign)]
    number = line_number("m.py", text, node.lineno)
    assert text.split("\n")[number - 1].endswith("last = 1")
    assert line_number("m.c", text, place) == place


def test_new_lines_end_as_most_of_the_file_do() -> None:
    file = decode("f", b"a\r\nb\nc\r\n")
    assert file.edited("a\nb\nnew\nc\n").data == b"a\r\nb\nnew\r\nc\r\n"
    assert file.edited("a\nB\nc\n").data == b"a\r\nB\nc\r\n"
    assert file.edited("a\nb\nc").data == b"a\r\nb\nc"


def test_in_python_a_carriage_return_ends_a_line_where_its_numbers_count() -> None:
    file = decode("m.py", b"a = 1\rb = 2\rc = 3\r", universal=True)
    assert file.text == "a = 1\nb = 2\nc = 3\n"
    assert file.edited("a = 1\nb = 5\nx = 0\nc = 3\n").data == b"a = 1\rb = 5\rx = 0\rc = 3\r"


@pytest.mark.parametrize(
    ("path", "data", "encoding"),
    [
        ("m.py", "# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"), "iso8859-1"),
        ("m.py", "#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nname = '€'\n".encode("cp1252"), "cp1252"),
        ("m.py", "# coding: shift_jis\nname = '日本'\n".encode("shift_jis"), "shift_jis"),
        ("m.py", "# coding: euc-kr\nname = '한'\n".encode("euc-kr"), "euc_kr"),
        ("m.rb", "# encoding: gbk\nname = '中文'\n".encode("gbk"), "gbk"),
        ("i.html", '<html><meta charset="windows-1252"><p>é</p>\n'.encode("cp1252"), "cp1252"),
        ("i.html", '<meta content="text/html; charset=iso-8859-15"><p>€\n'.encode("iso-8859-15"), "iso8859-15"),
        ("i.xml", "<?xml version='1.0' encoding='iso-8859-2'?><a>ł</a>\n".encode("iso-8859-2"), "iso8859-2"),
        ("s.css", '@charset "latin1";\n.é {}\n'.encode("latin-1"), "iso8859-1"),
        ("m.py", "name = 'é'\n".encode(), "utf-8"),
        ("i.html", '<meta charset="latin1"><p>é</p>\n'.encode(), "utf-8"),  # it says so, but is not
        ("m.py", b"# coding: no-such-thing\n", "utf-8"),
        ("m.py", b"# coding: utf-16\n", "utf-8"),  # then this line could not have been read
        ("m.py", b"x = 1\n\n# coding: latin-1\n", "utf-8"),  # in the third line it means nothing
    ],
)
def test_a_declared_encoding_is_read_and_written(path: str, data: bytes, encoding: str) -> None:
    file = decode(path, data)
    assert (file.encoding, file.known, file.data) == (encoding, True, data)
    changed = file.edited(file.text + "# more\n")
    assert changed.data == data + b"# more\n"


def test_what_an_encoding_does_not_have_is_refused_by_name() -> None:
    file = decode("m.py", "# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert file.edited(file.text.replace("é", "ü")).data == "# coding: latin-1\nname = 'ü'\n".encode("latin-1")
    with pytest.raises(EditError, match=r"m.py: line 2 has 'π' \(U\+03C0\), which the file's encoding iso8859-1"):
        file.edited(file.text.replace("é", "π"))


def test_a_changed_declaration_changes_the_encoding() -> None:
    file = decode("m.py", "# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert file.edited("# coding: utf-8\nname = 'é'\n").data == "# coding: utf-8\nname = 'é'\n".encode()
    assert new_file("m.py", "# coding: latin-1\nn = 'é'\n").data == "# coding: latin-1\nn = 'é'\n".encode("latin-1")


def test_a_file_in_no_known_encoding_may_be_edited_in_ascii_alone() -> None:
    data = "/* J. Müller */\nint a = 1;\n".encode("cp1252")
    file = decode("a.c", data)
    assert not file.known
    assert file.text == "/* J. Müller */\nint a = 1;\n"
    assert file.edited(file.text.replace("1", "2")).data == data.replace(b"1", b"2")
    assert file.edited(file.text.replace("J. ", "Jo ")).data == data.replace(b"J. ", b"Jo ")
    with pytest.raises(EditError, match=r"a\.c: its encoding is unknown"):
        file.edited(file.text.replace("= 1", "= 'ß'"))


@pytest.mark.parametrize("data", [b"a\0b", b"\xff\xfe\x00", bytes(range(1, 256)) * 4], ids=["NUL", "half", "noise"])
def test_binary_files_are_no_text(data: bytes) -> None:
    with pytest.raises(WorkspaceError, match="f: a binary file"):
        decode("f", data)


@pytest.mark.parametrize(
    ("data", "old", "new"),
    [
        (b"\xef\xbb\xbfdef f():\r\n\x0creturn 1 \n", "f():", "g():"),
        (b"a\x0c\nb\xe2\x80\xa8c\nd\xc2\x85\n\te", "\te", "\tf"),
        (b"one\r\ntwo\nthree\r\n", "three", "four"),
        (b"one\rtwo\n three", "three", "four\n"),
    ],
)
def test_git_takes_the_patch_and_makes_the_same_bytes(tmp_path: Path, data: bytes, old: str, new: str) -> None:
    subprocess.run([git_program(), "init", "-q", tmp_path], check=True)
    (tmp_path / "f.txt").write_bytes(data)
    file = decode("f.txt", data)
    changed = file.edited(file.text.replace(old, new))
    diff = unified_diff(file, changed)
    subprocess.run([git_program(), "apply", "--whitespace=nowarn"], cwd=tmp_path, input=diff.encode(), check=True)
    assert (tmp_path / "f.txt").read_bytes() == changed.data


def test_the_working_copy_gives_each_line_its_own_end_back(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfa = 1\r\nb = 2 \nc = 3\r\n"
    (tmp_path / "m.py").write_bytes(data)
    with Checkout(tmp_path) as checkout:
        text = checkout.text("m.py")
        assert text == "a = 1\nb = 2 \nc = 3\n"
        checkout.put({"m.py": text.replace("3", "4")})
        assert (checkout.root / "m.py").read_bytes() == data.replace(b"3", b"4")
        assert checkout.diff({"m.py": text.replace("a = 1", "a = 0")}).count("\ufeff") == 2


def test_lines_of_files_are_never_counted_by_splitlines() -> None:
    """It breaks at form feeds, U+2028 and more, so it is for what commands print alone."""
    works_on_files = {"calls", "checks", "linters", "localise", "mutations", "patching", "prompts"}
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        if path.stem in works_on_files or path.parent.name in ("index", "tools", "workspace")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "splitlines"
    ]
    assert found == [], "use workspace.lines.lines_of"


def test_frozen_files_compare_by_what_they_hold() -> None:
    assert decode("f", b"a\n") == TextFile("f", "a\n")
    assert decode("f", b"a\r\n") != decode("f", b"a\n")
