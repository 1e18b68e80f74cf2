"""Files as people have them: every tool counts the same lines, and an edit changes only the bytes it means."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inhouse.agent.checks import syntax_check
from inhouse.agent.desk import Desk
from inhouse.agent.tools import tests as testing
from inhouse.agent.tools.base import Control, read_arguments
from inhouse.agent.tools.edit import edit_tools
from inhouse.agent.tools.symbols import symbols_tool
from inhouse.agent.tools.view import search_tool, view_tool
from inhouse.errors import InhouseError
from inhouse.workspace import Unconfined, files
from inhouse.workspace.checkout import Checkout, apply
from needed import git_program

UTF8, UTF16, UTF16_BE, UTF32 = b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"
Use = Callable[..., str]


@pytest.fixture
def use(tmp_path: Path) -> Iterator[Use]:
    """Calls a tool in the folder `tmp_path`; what goes wrong is what the tool says."""
    desk = Desk(tmp_path, Unconfined(tmp_path), checks=(syntax_check,))
    listed = (*edit_tools(desk), view_tool(desk), search_tool(desk), symbols_tool(desk), testing.tests_tool(desk))
    tools = {tool.name: tool for tool in listed}

    def call(name: str, /, **arguments: Any) -> str:
        try:
            read = read_arguments(tools[name], json.dumps(arguments))
            return tools[name].prepare(read).run(Control()).text
        except InhouseError as error:
            return f"error: {error}"

    yield call
    desk.close()


@dataclass(frozen=True)
class Odd:
    """A file whose line `line` holds "MARK"; its new lines end with `end`."""

    name: str
    path: str
    data: bytes
    line: int
    encoding: str = "utf-8"
    end: str = "\n"


def utf16(text: str) -> bytes:
    return UTF16 + text.encode("utf-16-le")


ODD = [
    Odd("form feeds", "m.py", b"a = 1\n\x0c\nb = 2\n\x0c\ndef MARK(): pass\n", 5),
    Odd("form feed before a definition", "m.py", b"a = 1\n\x0cMARK = 2\n", 2),
    Odd("vertical tab", "m.txt", b"a\x0bb\nMARK\n", 2),
    Odd("separators of files, groups and records", "m.dat", b"a\x1cb\x1dc\x1ed\nMARK\n", 2),
    Odd("U+2028 in a string", "m.js", 'const a = "x\u2028y";\nconst MARK = 1;\n'.encode(), 2),
    Odd("U+2029 at a line's end", "m.md", "one\u2029\nMARK\n".encode(), 2),
    Odd("U+0085", "m.txt", "one\u0085two\nMARK\n".encode(), 2),
    Odd("carriage return inside a line", "log.txt", b"10%\r20%\r30%\nMARK\n", 2),
    Odd("old Macintosh", "m.txt", b"one\rMARK\rthree\r", 1, end="\r"),
    Odd("carriage returns doubled", "m.txt", b"one\r\r\nMARK\r\r\nthree\r\r\n", 2, end="\r\n"),
    Odd("Windows", "m.bat", b"@echo off\r\nMARK\r\nexit\r\n", 2, end="\r\n"),
    Odd("Windows with one Unix line", "m.c", b"int a;\r\nint b;\nint MARK;\r\nint d;\r\n", 3, end="\r\n"),
    Odd("Unix with one Windows line", "m.c", b"int a;\nint MARK;\r\nint c;\nint d;\n", 2),
    Odd("no newline at the end", "m.txt", b"one\nMARK\nthree", 2),
    Odd("one line without an end", "m.txt", b"MARK", 1),
    Odd("empty lines at the end", "m.txt", b"one\nMARK\n\n\n\n", 2),
    Odd("trailing blanks", "m.md", b"one  \nMARK  \nthree \t\n", 2),
    Odd("tabs and blanks", "m.tsv", b"a\tb  c\t\nMARK\t1\t\t2\n", 2),
    Odd("mark of UTF-8", "m.py", UTF8 + b"a = 1\nMARK = 2\n", 2),
    Odd("mark of UTF-8 in the marked line", "m.cs", UTF8 + b"using MARK;\r\nclass A {}\r\n", 1, end="\r\n"),
    Odd("UTF-16 of Windows", "m.reg", utf16("Windows\r\n[MARK]\r\n"), 2, "utf-16-le", "\r\n"),
    Odd("UTF-16, the greater end first", "m.txt", UTF16_BE + "ä\nMARK\n".encode("utf-16-be"), 2, "utf-16-be"),
    Odd("UTF-32", "m.txt", UTF32 + "ä\nMARK\n".encode("utf-32-le"), 2, "utf-32-le"),
    Odd("Latin-1 of Python", "m.py", "# coding: latin-1\nMARK = 'é'\n".encode("latin-1"), 2, "latin-1"),
    Odd("cp1252 that nobody declares", "m.c", "/* Müller */\nint MARK;\n".encode("cp1252"), 2, "cp1252"),
    Odd("Shift-JIS of Python", "m.py", "# coding: cp932\nMARK = '表示'\n".encode("cp932"), 2, "cp932"),
    Odd("EUC-JP of Vim", "m.pl", "# vim: fileencoding=euc-jp\n$MARK='日';\n".encode("euc-jp"), 2, "euc-jp"),
    Odd("GB 18030 of XML", "m.xml", '<?xml version="1.0" encoding="gb18030"?>\n<a>中MARK</a>\n'.encode("gb18030"), 2,
        "gb18030"),
    Odd("KOI8-R of HTML", "m.html", '<meta charset="koi8-r">\n<p>Я MARK\n'.encode("koi8-r"), 2, "koi8-r"),
    Odd("decomposed text", "m.txt", unicodedata.normalize("NFD", "é\nMARK ü\n").encode(), 2),
    Odd("joined and right-to-left text", "m.txt", "👩\u200d👧 \u202eab\nMARK\n".encode(), 2),
    Odd("control characters", "m.txt", b"\x1b[1mbold\x1b[0m \x08\nMARK with much ordinary text around it\n", 2),
    Odd("tabs before lines", "m.go", b"package m\n\nfunc f() {\n\tMARK()\n}\n", 4),
    Odd("blanks before tabs", "m.c", b"int f() {\n  \tMARK();\n}\n", 2),
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=[odd.name for odd in ODD])
def test_all_tools_agree_on_lines_and_keep_the_bytes(tmp_path: Path, use: Use, odd: Odd) -> None:
    file = tmp_path / odd.path
    data = odd.data
    file.write_bytes(data)
    listed = use("view", path=odd.path, start=odd.line, end=odd.line)
    assert listed.startswith(f"{odd.line:5}\t")
    assert "MARK" in listed
    assert use("search", pattern="MARK").startswith(f"{odd.path}:{odd.line}:")

    mark, twice = ("MARK".encode(odd.encoding), "MARK2".encode(odd.encoding))
    said = use("str_replace", path=odd.path, old_str="MARK", new_str="MARK2")
    assert said.startswith(f"edited {odd.path}\n")
    assert f"{odd.line:5}\t" in said
    assert "syntax error" not in said
    assert file.read_bytes() == data.replace(mark, twice)

    file.write_bytes(data)
    use("insert", path=odd.path, line=odd.line, text="NEW\n")
    whole = files.read_bytes(tmp_path, odd.path)
    assert whole.count(f"NEW{odd.end}".encode(odd.encoding)) == 1
    rest = whole.replace(f"NEW{odd.end}".encode(odd.encoding), b"")
    ended = (
        data if data.endswith(odd.end.encode(odd.encoding)) or odd.name != "one line without an end" else data + b"\n"
    )
    assert rest == ended
    if odd.end != "\r":
        assert use("search", pattern="NEW").startswith(f"{odd.path}:{odd.line + 1}:")

    file.write_bytes(data)
    with Checkout(tmp_path) as checkout:
        patch = {odd.path: checkout.text(odd.path).replace("MARK", "MARK2")}
        assert len([line for line in checkout.diff(patch).split("\n") if line.startswith(("+", "-"))]) == 4
        apply(tmp_path, patch, checkout.originals(patch))
    assert file.read_bytes() == data.replace(mark, twice)


MAKEFILE = b"all:\n\tcc -o a a.c\n\nclean:\n\trm -f a\n"
GO = b"package p\n\nfunc F(x int) int {\n\tif x > 1 {\n\t\treturn x\n\t}\n\treturn 1\n}\n"
PYTHON = b"class A:\n\tdef f(self):\n\t\tx = '\t'\n\t\treturn x \n"


@pytest.mark.parametrize(
    ("path", "data", "edit", "expected"),
    [
        ("Makefile", MAKEFILE, ("all:\n    cc -o a a.c\n", "all:\n    cc -O2 -o a a.c\n"),
         MAKEFILE.replace(b"cc -o", b"cc -O2 -o")),
        ("Makefile", MAKEFILE, (2, "    strip a"), MAKEFILE.replace(b"a.c\n", b"a.c\n\tstrip a\n")),
        ("rules.mk", MAKEFILE, ("cc -o a a.c", "cc -c a.c\n    cc -o a a.o"),
         MAKEFILE.replace(b"cc -o a a.c", b"cc -c a.c\n\tcc -o a a.o")),
        ("Makefile", MAKEFILE, (5, "\ntest: a\n        if true; then \\\n          ./a; fi\n"),
         MAKEFILE + b"\ntest: a\n\tif true; then \\\n\t  ./a; fi\n"),
        ("Makefile", MAKEFILE, (0, "SOURCES = a.c \\\n    b.c\n"), b"SOURCES = a.c \\\n    b.c\n" + MAKEFILE),
        ("a.go", GO, ("    if x > 1 {\n        return x\n", "    if x > 2 {\n        x++\n        return x\n"),
         GO.replace(b"x > 1", b"x > 2").replace(b"\t\treturn", b"\t\tx++\n\t\treturn")),
        ("a.go", GO, (4, "        x--"), GO.replace(b"1 {\n", b"1 {\n\t\tx--\n")),
        ("a.go", GO, (3, "  if x < 0 {\n    x = 0\n  }"),
         GO.replace(b"int {\n", b"int {\n\tif x < 0 {\n\t\tx = 0\n\t}\n")),
        ("a.py", PYTHON, ("        x = '    '\n        return x\n",
                          "        x = '    '\n        x += '!'\n        return x\n"),
         PYTHON.replace(b"\t\treturn x ", b"\t\tx += '!'\n\t\treturn x ")),
        ("a.py", PYTHON, (4, "\n    def g(self):\n        return 2"),
         PYTHON + b"\n\tdef g(self):\n\t\treturn 2\n"),
        ("a.js", b"function f() {\n\treturn 1;\n}\n", (
          "return 1;", "if (x) {\n        return 2;\n    }\n    return 1;"),
         b"function f() {\n\tif (x) {\n\t\treturn 2;\n\t}\n\treturn 1;\n}\n"),
        ("a.py", PYTHON, (4, '    def g(self):\n        return """a\n    b\n        """\n'),
         PYTHON + b'\tdef g(self):\n\t\treturn """a\n    b\n        """\n'),
        ("a.tsv", b"name\tage\nann\t31\nbob\t42\n", ("ann    31", "ann    32"), b"name\tage\nann\t32\nbob\t42\n"),
        ("a.yml", b"a:\n  b: 1\n", (2, "  c: 2"), b"a:\n  b: 1\n  c: 2\n"),
        ("a.md", b"text\n\n\tcode\n", (1, "  - item"), b"text\n  - item\n\n\tcode\n"),
        ("a.c", b"/*\n * x\n */\nint f() {\n\treturn 1;\n}\n", (1, " * y"),
         b"/*\n * y\n * x\n */\nint f() {\n\treturn 1;\n}\n"),
        ("a.c", b"int f() {\n\treturn g(1,\n\t         2);\n}\n", ("         2);", "         3);"),
         b"int f() {\n\treturn g(1,\n\t         3);\n}\n"),
    ],
)  # fmt: skip
def test_tabs_that_arrived_as_blanks_are_tabs_again(
    tmp_path: Path, use: Use, path: str, data: bytes, edit: tuple[str | int, str], expected: bytes
) -> None:
    (tmp_path / path).write_bytes(data)
    at, new = edit
    if isinstance(at, int):
        said = use("insert", path=path, line=at, text=new)
    else:
        said = use("str_replace", path=path, old_str=at, new_str=new)
    assert (tmp_path / path).read_bytes() == expected, said


def test_a_new_makefile_gets_its_tabs(tmp_path: Path, use: Use) -> None:
    said = use("create", path="Makefile", content="all:\n    cc a.c\n\nX := 1\n  Y := 2\n")
    assert (tmp_path / "Makefile").read_text() == "all:\n\tcc a.c\n\nX := 1\n  Y := 2\n"
    assert "have tabs now" in said


def test_lines_that_an_edit_repeats_stay_as_they_are(tmp_path: Path, use: Use) -> None:
    (tmp_path / "m.py").write_bytes(b"\x0c\ndef f(x): \r\n    y = 1\t\r\n    return x\n")
    use(
        "str_replace",
        path="m.py",
        old_str="\ndef f(x):\n    y = 1\n    return x",
        new_str="\ndef f(x):\n    y = 1\n    return y",
    )
    assert (tmp_path / "m.py").read_bytes() == b"\x0c\ndef f(x): \r\n    y = 1\t\r\n    return y\n"


def test_a_carriage_return_is_seen_and_can_be_named(tmp_path: Path, use: Use) -> None:
    (tmp_path / "m.txt").write_bytes(b"one\rtwo\rthree\r")
    assert use("view", path="m.txt") == "    1\tone␍two␍three␍"
    use("str_replace", path="m.txt", old_str="one␍two", new_str="one␍2")
    use("str_replace", path="m.txt", old_str="2\nthree", new_str="2\n3")
    assert (tmp_path / "m.txt").read_bytes() == b"one\r2\r3\r"


def test_errors_of_python_have_the_lines_of_view(tmp_path: Path, use: Use) -> None:
    (tmp_path / "m.py").write_bytes(b"a = 1\rb = 2\r# x\nc = 3\n")
    said = use("str_replace", path="m.py", old_str="c = 3", new_str="c = = 3")
    assert "[syntax error in m.py: line 2:" in said
    assert "    2\tc = = 3" in said


def test_failures_have_the_lines_of_view(tmp_path: Path, use: Use) -> None:
    name = unicodedata.normalize("NFD", "modül.py")
    (tmp_path / name).write_bytes(b"a = 1\rb = 2\r# x\nraise ValueError\n")
    said = use("run_tests", command=f"python3 {name}")
    assert f"places: {name}:2" in said
    assert use("view", path=name, start=2) == "    2\traise ValueError"


def test_what_cannot_be_written_is_refused_by_name(tmp_path: Path, use: Use) -> None:
    data = "# coding: latin-1\nname = 'é'\n".encode("latin-1")
    (tmp_path / "m.py").write_bytes(data)
    (tmp_path / "a.c").write_bytes("/* é */\n".encode("latin-1"))
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n\0\0")
    assert "U+65E5" in use("str_replace", path="m.py", old_str="é", new_str="日")
    assert "[encoding iso8859-1, which edits keep]" in use("view", path="m.py")
    assert (tmp_path / "m.py").read_bytes() == data
    assert "encoding is unknown" in use("str_replace", path="a.c", old_str="é", new_str="ü")
    assert "shown as Latin-1" in use("view", path="a.c")
    assert "image: a binary file" in use("view", path="image")
    assert "image: a binary file" in use("insert", path="image", line=0, text="x")


@pytest.mark.parametrize(("there", "given"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_is_found_in_the_other_form(tmp_path: Path, use: Use, there: Any, given: Any) -> None:
    name = unicodedata.normalize(there, "Größe/Café.py")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("x = 1\n")
    other = unicodedata.normalize(given, "Größe/Café.py")
    assert use("view", path=other) == "    1\tx = 1"
    assert "is there already" in use("create", path=other, content="")
    use("str_replace", path=other, old_str="1", new_str="2")
    assert (tmp_path / name).read_text() == "x = 2\n"
    assert use("search", pattern="x = 2", path=other) == f"{name}:1:x = 2"
    assert len(list(tmp_path.iterdir())) == 1


def test_two_names_that_look_alike_are_not_mistaken_for_one(tmp_path: Path, use: Use) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "é.txt")).write_text(form)  # type: ignore[arg-type]
    assert use("view", path=unicodedata.normalize("NFD", "é.txt")) == "    1\tNFD"
    (tmp_path / "Readme.md").write_text("x\n")
    for tool in ({"name": "view"}, {"name": "str_replace", "old_str": "x", "new_str": "y"}):
        assert "did you mean Readme.md?" in use(tool.pop("name"), path="README.md", **tool)


def test_text_is_found_in_the_other_form(tmp_path: Path, use: Use) -> None:
    (tmp_path / "m.txt").write_text(unicodedata.normalize("NFD", "name: José\nage: 3\n"))
    assert use("search", pattern="José").startswith("m.txt:1:")
    use("str_replace", path="m.txt", old_str="name: José\nage: 3", new_str="name: José\nage: 4")
    assert (tmp_path / "m.txt").read_text() == unicodedata.normalize("NFD", "name: José\nage: 4\n")
    use("str_replace", path="m.txt", old_str="José", new_str="Jürgen")
    assert (tmp_path / "m.txt").read_text() == unicodedata.normalize("NFD", "name: Jürgen\nage: 4\n")


def test_symbols_have_the_lines_of_view(tmp_path: Path, use: Use) -> None:
    (tmp_path / "a.py").write_bytes(UTF8 + b"def here(): pass\n\x0c\ndef other():\n    return here()\n")
    (tmp_path / "b.py").write_bytes("# coding: latin-1\ns = 'é\x85'\ndef far(é=1): pass\n".encode("latin-1"))
    (tmp_path / "c.js").write_text("const s = '\u2028'; // \r x\nfunction there() { return here(); }\n")
    assert use("symbols", name="here") == (
        "defined (1):\na.py:1: def here(): pass\nused (2):\na.py:4: return here()\n"
        "c.js:2: function there() { return here(); }"
    )
    assert "b.py:3: def far(é=1): pass" in use("symbols", name="far")
    assert "c.js:2: function there()" in use("symbols", name="there")
    assert use("search", pattern=r"function there\(").startswith("c.js:2:")


def test_what_git_reads_otherwise_is_found_among_many_files_too(tmp_path: Path, use: Use) -> None:
    subprocess.run([git_program(), "init", "-q", tmp_path], check=True)
    for number in range(250):
        (tmp_path / f"m{number:03}.txt").write_text("hay\n")
    (tmp_path / "bom.py").write_bytes(UTF8 + b"needle = 1\n")
    (tmp_path / "dos.txt").write_bytes(b"a needle\r\n")
    (tmp_path / "nfd.txt").write_text(unicodedata.normalize("NFD", "Nädel\n"))
    (tmp_path / "wide.txt").write_bytes(utf16("needle\r\n"))
    assert use("search", pattern="^needle") == "bom.py:1:needle = 1\nwide.txt:1:needle"
    assert use("search", pattern="needle$") == "dos.txt:1:a needle\nwide.txt:1:needle"
    assert use("search", pattern="nädel", ignore_case=True).startswith("nfd.txt:1:")


def test_a_minified_line_is_shown_in_part(tmp_path: Path, use: Use) -> None:
    line = "".join(f"function f{number}(a){{return a+{number}}}" for number in range(40_000))
    (tmp_path / "a.min.js").write_text(line + "\n")
    at = line.index("f31234(")
    said = use("search", pattern="f31234")
    assert said.startswith(f"a.min.js:1:{at + 1}: …")
    assert "function f31234(a){return a+31234}" in said
    assert len(said) < 400
    page = use("view", path="a.min.js")
    assert page.endswith(f"[characters 1-500 of {len(line)}; go on with start_column = 501]")
    assert "f31234(a)" in use("view", path="a.min.js", start_column=at - 20)
    said = use("str_replace", path="a.min.js", old_str="return a+31234}", new_str="return a-31234}")
    assert "a-31234" in said
    assert len(said) < 600
    assert (tmp_path / "a.min.js").read_text() == line.replace("a+31234}", "a-31234}") + "\n"
    assert len(use("str_replace", path="a.min.js", old_str="nowhere", new_str="x")) < 1200


def test_a_very_large_file_is_viewed_by_its_lines(tmp_path: Path, use: Use) -> None:
    with (tmp_path / "big.log").open("w") as file:
        for number in range(300_000):
            file.write(f"{number} {'x' * 60}\n")
        file.write("y" * 40_000_000 + "Z" * 10)
    assert use("view", path="big.log", start=250_001, end=250_001).startswith(f"250001\t250000 {'x' * 60}\n[lines ")
    assert use("view", path="big.log", start=300_001, start_column=40_000_001).startswith("300001\t... ZZZZZZZZZZ ")
    assert "has 300001 lines" in use("view", path="big.log", start=300_002)
    assert "too large" in use("insert", path="big.log", line=0, text="x")
    assert "[not searched, too large: big.log" in use("search", pattern="250000")


def notebook(indent: int | None = 1) -> str:
    cell = {"cell_type": "code", "execution_count": 1, "id": "a1", "metadata": {},
            "source": ["x = 1\n", "print(x)"], "outputs": [
                {"name": "stdout", "output_type": "stream", "text": [f"{n}\n" for n in range(20)]}]}  # fmt: skip
    title = {"cell_type": "markdown", "id": "b2", "metadata": {}, "source": "# Café"}
    whole = {"cells": [title, cell], "metadata": {"x": 1.50}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=indent, ensure_ascii=False) + "\n"


def test_a_notebook_is_seen_as_cells(tmp_path: Path, use: Use) -> None:
    (tmp_path / "n.ipynb").write_text(notebook())
    said = use("view", path="n.ipynb")
    assert said.startswith(
        "[cell 0: markdown, from line 3 of the file]\n# Café\n[cell 1: code, from line 9 of the file]"
    )
    assert "\nx = 1\nprint(x)\n[output of cell 1]\n0\n1\n2\n3\n4\n... 15 more lines" in said
    assert use("view", path="n.ipynb", start=1).startswith('    1\t{\n    2\t "cells": [')


@pytest.mark.parametrize("indent", [1, 4, None])
def test_a_cell_is_edited_by_its_source_and_the_rest_stays(tmp_path: Path, use: Use, indent: int | None) -> None:
    text = notebook(indent)
    (tmp_path / "n.ipynb").write_text(text)
    said = use("str_replace", path="n.ipynb", old_str="x = 1\nprint(x)", new_str='x = "ü"\n\nprint(x)')
    assert said.startswith("edited n.ipynb")
    old = json.loads(text)
    old["cells"][1]["source"] = ['x = "ü"\n', "\n", "print(x)"]
    assert (tmp_path / "n.ipynb").read_text() == json.dumps(old, indent=indent, ensure_ascii=False) + "\n"
    use("str_replace", path="n.ipynb", old_str="# Café", new_str="# Bar")
    assert json.loads((tmp_path / "n.ipynb").read_text())["cells"][0]["source"] == "# Bar"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"print(x)"', '"print(x)', "not valid JSON"),
        ('"outputs"', '"results"', "cell 1: a code cell's `outputs` must be a list"),
        ('"cell_type": "markdown"', '"cell_type": "text"', "cell 0: its `cell_type` must be"),
        ('"source": "# Café"', '"source": 1', "cell 0: its `source` must be"),
        ('"nbformat": 4', '"format": 4', "`nbformat` must be a number"),
        ('"id": "a1"', '"id": "b2"', "two cells have the `id` 'b2'"),
        ('"output_type": "stream"', '"output_type": "text"', "each of its outputs"),
        ('"metadata": {},\n   "source": "# Café"', '"source": "# Café"', "cell 0: its `metadata` must be an object"),
    ],
)  # fmt: skip
def test_an_edit_that_breaks_a_notebook_is_refused(tmp_path: Path, use: Use, old: str, new: str, says: str) -> None:
    (tmp_path / "n.ipynb").write_text(notebook())
    said = use("str_replace", path="n.ipynb", old_str=old, new_str=new)
    assert "no valid notebook any more" in said
    assert says in said
    assert (tmp_path / "n.ipynb").read_text() == notebook()
    assert "no valid notebook" in use("create", path="new.ipynb", content="{}")
    assert not (tmp_path / "new.ipynb").exists()


def test_a_notebook_that_was_broken_may_be_repaired_in_steps(tmp_path: Path, use: Use) -> None:
    (tmp_path / "n.ipynb").write_text('{"cells": [}, "nbformat": 4}\n')
    assert use("str_replace", path="n.ipynb", old_str="[}", new_str="[]").startswith("edited")


def test_a_notebook_of_an_old_format_is_text(tmp_path: Path, use: Use) -> None:
    text = '{"metadata": {}, "nbformat": 3, "nbformat_minor": 0,\n "worksheets": []}\n'
    (tmp_path / "n.ipynb").write_text(text)
    assert use("view", path="n.ipynb").startswith('    1\t{"metadata"')
    use("str_replace", path="n.ipynb", old_str='"nbformat_minor": 0', new_str='"nbformat_minor": 1')
    assert (tmp_path / "n.ipynb").read_text() == text.replace("0", "1")
