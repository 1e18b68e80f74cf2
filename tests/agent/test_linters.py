"""The project's linters after an edit, in the sandbox: ruff itself, and stand-ins that speak as eslint and gofmt do."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from confined import needs_sandbox

from inhouse.agent import linters
from inhouse.agent.checks import project_checks
from inhouse.agent.desk import Check
from inhouse.agent.linters import LINTERS
from inhouse.workspace import Sandbox, Unconfined

pytestmark = needs_sandbox

# Objects to every `var`, in the form of `eslint --format json`, with eslint's exit codes.
ESLINT = """\
#!/usr/bin/env node
const args = process.argv.slice(2);
const name = args[args.indexOf("--stdin-filename") + 1];
if (args.join(" ") !== `--format json --stdin --stdin-filename ${name}`) process.exit(2);
const text = require("fs").readFileSync(0, "utf8");
const messages = text.split("\\n").flatMap((line, index) => line.includes("var ")
  ? [{ruleId: "no-var", severity: 2, message: "Unexpected var, use let or const instead.", line: index + 1, column: 1}]
  : []);
console.error("(node:7) ExperimentalWarning: it chatters");
if (text.includes("ignored")) messages.push({fatal: false, severity: 1, message: "File ignored because of its name."});
console.log(JSON.stringify([{filePath: name, messages, source: text}]));
process.exitCode = messages.some(one => one.severity === 2) ? 1 : 0;
"""
GOFMT = "#!/bin/sh\n[ \"$*\" = -l ] && grep -q '^ ' && echo '<standard input>'\nexit 0\n"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def edited(root: Path, path: str, old: str | None, new: str, checks: list[Check] | None = None) -> str:
    (root / path).write_text(new)
    used = project_checks(Sandbox(root), root) if checks is None else checks
    return "\n".join(said for check in used if (said := check(path, old, new)))


@pytest.fixture
def eslint(tmp_path: Path) -> Path:
    if not Path("/usr/bin/node").exists():
        pytest.skip("node is not installed")
    program(tmp_path / "node_modules" / ".bin" / "eslint", ESLINT)
    (tmp_path / "eslint.config.mjs").write_text("export default [];\n")
    return tmp_path


def test_ruff_names_what_an_edit_brought(tmp_path: Path) -> None:
    own = Path(sys.executable).with_name("ruff")
    if not own.exists():
        pytest.skip("ruff is not installed")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(own, tmp_path / ".venv" / "bin" / "ruff")
    assert edited(tmp_path, "a.py", None, "import os\n") == ""  # it has no settings
    (tmp_path / "ruff.toml").write_text("[lint]\nselect = ['F']\n")
    assert edited(tmp_path, "a.py", None, "import os\n").startswith("[ruff says]\na.py:1: F401")
    old = "import os\n\nx = 1\n"
    assert edited(tmp_path, "a.py", old, "# above\nimport os\n\nx = 2\n") == ""
    said = edited(tmp_path, "a.py", old, "# above\nimport os\nimport re\n\nx = y\n")
    assert [line.split()[:2] for line in said.splitlines()[1:]] == [["a.py:3:", "F401"], ["a.py:5:", "F821"]]
    assert edited(tmp_path, "a.py", None, "import os\nx = (\n").count("says]") == 0, "a syntax error is said once"


def test_eslint_where_the_project_has_it_and_settings(eslint: Path) -> None:
    said = edited(eslint, "a.ts", "var x = 1;\n", "let z = 1;\nvar x = 1;\nvar y = 2;\n")
    assert said == "[eslint says]\na.ts:3: Unexpected var, use let or const instead. (no-var)"
    assert edited(eslint, "a.ts", None, "let ignored = 1;\n") == ""
    assert edited(eslint, "a.txt", None, "var x = 1;\n") == ""
    twelve = edited(eslint, "a.js", None, "var x = 1;\n" * 12)
    assert twelve.endswith("... and 2 more")
    assert len(twelve.splitlines()) == 12
    (eslint / "eslint.config.mjs").unlink()
    assert edited(eslint, "a.ts", None, "var x = 1;\n") == ""
    (eslint / "package.json").write_text('{"eslintConfig": {}}')
    assert edited(eslint, "a.ts", None, "var x = 1;\n").startswith("[eslint says]")


def test_a_large_text_and_odd_names(eslint: Path) -> None:
    large = "let x = 1;\n" * 20_000
    assert edited(eslint, "a b'$(c).js", large, f"{large}var y = 1;\n").endswith("(no-var)")


def test_gofmt_where_there_is_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "tools" / "gofmt", GOFMT)
    monkeypatch.setattr(linters, "_SYSTEM", str(tmp_path / "tools"))
    good, bad = "package p\n\nfunc F() {\n\tg()\n}\n", "package p\n\nfunc F() {\n    g()\n}\n"
    assert edited(tmp_path, "a.go", good, bad) == ""
    (tmp_path / "go.mod").write_text("module x\n")
    assert edited(tmp_path, "a.go", good, bad) == "[gofmt says]\na.go: not formatted as gofmt does it"
    assert edited(tmp_path, "a.go", bad, f"{bad}\n") == ""
    assert edited(tmp_path, "a.go", bad, good) == ""


def test_one_that_takes_too_long_or_fails_is_silent(eslint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(eslint / "node_modules" / ".bin" / "eslint", "#!/bin/sh\necho begun >> begun\nexec sleep 60\n")
    monkeypatch.setattr(linters, "_SECONDS", 1.0)
    checks = list(project_checks(Sandbox(eslint), eslint))
    assert edited(eslint, "a.js", None, "var x;\n", checks) == ""
    assert edited(eslint, "a.js", None, "var x;\n", checks) == ""
    assert (eslint / "begun").read_text() == "begun\n"
    program(eslint / "node_modules" / ".bin" / "eslint", "#!/bin/sh\necho '[{]'\nexit 1\n")
    assert edited(eslint, "a.js", None, "var x;\n") == ""


def test_none_runs_outside_the_sandbox(eslint: Path) -> None:
    assert len(project_checks(Sandbox(eslint), eslint)) == 2
    assert len(project_checks(Unconfined(eslint), eslint)) == 1
    assert [one.name for one in LINTERS] == ["ruff", "eslint", "gofmt"]
