"""`fix` in working trees of other shapes than one plain repository; only the model is scripted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from confined import problem
from shop import Repository

from inhouse.workspace import copy_plan
from inhouse.workspace.checkout import apply

CALC = '''\
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "vendor_lib"))
from helper import helper


def total(xs):
    """Sum of xs."""
    result = 1
    for x in xs:
        result += helper(x)
    return result
'''
TEST = "from calc import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
RIGHT = "    result = 0\n    for x in xs:\n        result += helper(x)\n    return result\n"
SUMS = "exports.total = function (xs) {\n  return xs.reduce((a, b) => a + b, 1);\n};\n"


@pytest.fixture
def made(tmp_path: Path, scratch: Path) -> Repository:
    """An empty repository."""
    if problem():
        pytest.skip(problem())
    repository = Repository(tmp_path / "repository")
    repository.root.mkdir()
    repository.git("init", "--quiet")
    return repository


def test_tests_that_need_a_submodule(made: Repository, tmp_path: Path) -> None:
    library = Repository(tmp_path / "library")
    library.write("helper.py", "def helper(x):\n    return x\n")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "first")):
        library.git(*command)
    made.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.root), "vendor_lib")
    made.write("calc.py", CALC)
    made.write("test_calc.py", TEST)
    result = made.fix([RIGHT] * 8, problem="total([1, 2]) gives 4 instead of 3")
    assert (result.status, list(result.patch)) == ("verified", ["calc.py"])


def test_a_fault_in_a_submodule_is_repaired_there(made: Repository, tmp_path: Path) -> None:
    library = Repository(tmp_path / "library")
    library.write("helper.py", "def helper(x):\n    return x + 1\n")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "first")):
        library.git(*command)
    made.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.root), "vendor_lib")
    made.write("calc.py", CALC.replace("result = 1", "result = 0"))
    made.write("test_calc.py", TEST)
    result = made.fix(["    return x\n"] * 8, problem="helper adds one")
    assert (result.status, list(result.patch)) == ("verified", ["vendor_lib/helper.py"])
    apply(made.root, result.patch, result.originals)
    assert (made.root / "vendor_lib/helper.py").read_text() == "def helper(x):\n    return x\n"


@pytest.mark.parametrize("large", [False, True])
def test_installed_packages_that_git_ignores(made: Repository, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones are mounted: what is written there is gone the next time, and never reaches the user's."""
    monkeypatch.setattr(copy_plan, "_SMALL_FILES", 0 if large else 100)
    made.write(".gitignore", "node_modules/\n_version.py\n")
    made.write("_version.py", "BASE = 0\n")
    made.write("node_modules/three/index.txt", "3")
    made.write("calc.py", "from _version import BASE\n\n\ndef total(xs):\n    return sum(xs) + BASE + 1\n")
    made.write(
        "test_calc.py",
        "import os\nfrom calc import total\n\n\ndef test_total():\n"
        "    assert total([1, 2]) == int(open('node_modules/three/index.txt').read())\n"
        "    try:\n        os.makedirs('node_modules/.cache')\n    except OSError as error:\n"
        "        assert error.errno == 30  # read-only: no layer to be had here\n",
    )
    before = made.snapshot()
    result = made.fix(["    return sum(xs) + BASE\n"] * 8, problem="total is one too large")
    assert (result.status, list(result.patch)) == ("verified", ["calc.py"])
    assert made.snapshot() == before
    assert not (made.root / "node_modules/.cache").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_package_of_npm(made: Repository) -> None:
    made.write("package.json", '{"name": "sums", "scripts": {"test": "node test.js"}}\n')
    made.write(".gitignore", "node_modules/\n")
    made.write(
        "node_modules/tiny-assert/index.js",
        'module.exports = (a, b) => { if (a !== b) { console.log("not ok 1 - " + a); process.exit(1) } };\n',
    )
    made.write("index.js", SUMS)
    made.write("test.js", 'const same = require("tiny-assert");\nsame(require("./index.js").total([1, 2]), 3);\n')
    right = SUMS.replace("1);", "0);")
    result = made.fix(
        [lambda request: right if request.prefill else f"```js\n{right}```"] * 8,
        test="node test.js",
        problem="total([1, 2]) is 4 instead of 3",
    )
    assert (result.status, list(result.patch)) == ("verified", ["index.js"])


def test_a_folder_of_a_larger_repository(made: Repository) -> None:
    made.write(
        "conftest.py",
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent / 'shared'))\n",
    )
    made.write("pytest.ini", "[pytest]\n")
    made.write("shared/helper.py", "def helper(x):\n    return x\n")
    made.write("packages/calc/calc.py", CALC)
    made.write("packages/calc/test_calc.py", TEST)
    made.git("add", ".")
    made.git("commit", "--quiet", "-m", "first")
    package = Repository(made.root / "packages/calc")
    result = package.fix([RIGHT] * 8, problem="total([1, 2]) gives 4 instead of 3")
    assert (result.status, list(result.patch)) == ("verified", ["calc.py"])
    apply(package.root, result.patch, result.originals)
    assert made.git("status", "--porcelain") == " M packages/calc/calc.py\n"


def test_names_that_are_no_utf8(made: Repository) -> None:
    made.write("calc.py", "def total(xs):\n    return sum(xs) + 1\n")
    made.write("test_calc.py", TEST)
    (made.root / os.fsdecode(b"m\xfcll.py")).write_text("def unused():\n    return 1\n")
    result = made.fix(["    return sum(xs)\n"] * 8, problem="total is one too large")
    assert (result.status, list(result.patch)) == ("verified", ["calc.py"])
