"""`fix` on files as people have them: the model sees the whole function, the patch holds what it means alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from shop import RIGHT, TESTS, Repository, text_of

from inhouse.repair.line_edits import changed
from inhouse.repair.localise import Suspect
from inhouse.workspace.checkout import apply
from needed import git_program

HEAD = '"""Prices."""\n\nRATE = 10\n\n\n'
DISCOUNT = "def discount(price):\n    return price * RATE // 100\n"
TOTAL = 'def total(prices):\n    """The sum of the prices."""\n    return sum(prices) - 1\n\n\n'
PROGRAMS = {
    "form feeds": (HEAD + "\x0c\nB = 2\n\n\x0c\n" + DISCOUNT + "\x0c\n\x0c\n" + TOTAL).encode(),
    "byte order mark": b"\xef\xbb\xbf" + (HEAD + TOTAL + DISCOUNT).encode(),
    "both line ends": (HEAD + (TOTAL + DISCOUNT).replace("\n", "\r\n")).encode(),
    "old Macintosh": (HEAD + TOTAL + DISCOUNT).replace("\n", "\r").encode(),
    "tabs": (HEAD + (TOTAL + DISCOUNT).replace("    ", "\t")).encode(),
    "Latin-1": ("# coding: latin-1\nN = 'é'\n" + HEAD + TOTAL + DISCOUNT).encode("latin-1"),
    "no end": (HEAD + DISCOUNT + "\n\n" + TOTAL.rstrip("\n")).encode(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_repair_changes_the_bytes_it_means(tmp_path: Path, scratch: Path, name: str) -> None:
    shop = Repository.made(tmp_path, TESTS)
    path, data = shop.root / "shop/prices.py", PROGRAMS[name]
    path.write_bytes(data)
    result = shop.fix([RIGHT, RIGHT])
    assert result.status == "verified"
    told = text_of(shop.requests[0].messages)
    assert "sum(prices) - 1" in told
    assert "def total(prices):" in told + shop.requests[0].prefill
    expected = data.replace(b"sum(prices) - 1", b"sum(prices)")
    if name == "tabs":
        assert "\t\treturn" not in result.diff
    (tmp_path / "repair.patch").write_bytes(result.diff.encode())
    apply(shop.root, result.patch, result.originals)
    assert path.read_bytes() == expected
    if name not in ("old Macintosh", "Latin-1"):  # git knows one line of the first, and the second's patch is UTF-8
        path.write_bytes(data)
        subprocess.run([git_program(), "apply", tmp_path / "repair.patch"], cwd=shop.root, check=True)
        assert path.read_bytes() == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("2|        return 2", "\t\treturn 2"), ("2|    return 2", "\treturn 2"), ("2|return 2", "\t\treturn 2"),
        ("2|\t\treturn 2", "\t\treturn 2"),
    ],
)  # fmt: skip
def test_a_corrected_line_has_the_tabs_of_its_file(answer: str, expected: str) -> None:
    text = "func f() {\n\t\treturn 1\n}\n"
    new = changed(Suspect("a.go", "f", "function", 1, 3, 1.0), text, answer)
    assert new.split("\n")[1] == expected
