"""SWE-bench: instances, predictions, a repository at an instance's commit without its future, and a local grader.

The local grader applies a patch and the instance's tests, and runs them with pytest in the sandbox, by a Python of
this machine. It is no substitute for the official images: it says so in every report. Knows no models and no terminals.

Source: Jimenez et al., "SWE-bench" (2024), arXiv:2310.06770; the fields are those of the published data set.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inhouse.errors import DownloadError, ParameterError, WorkspaceError
from inhouse.workspace import Limits, Sandbox, python_paths
from inhouse.workspace.git import git
from inhouse.workspace.lines import lines_of

Class = Literal[
    "resolved", "empty patch", "patch does not apply", "still fails", "breaks tests", "out of time", "cannot be graded"
]

_RESULT = re.compile(r"^(PASSED|XFAIL|FAILED|ERROR|SKIPPED) (.+?)(?: - .*)?$", re.MULTILINE)
_CHANGED = re.compile(r"^(?:\+\+\+ b/|--- a/)(.+?)\s*$", re.MULTILINE)
_LIMITS = Limits(memory=6 << 30, processes=512, output=8 << 20)


@dataclass(frozen=True)
class Instance:
    """One task: a repository at a commit, what is wrong, the patch that was merged, and tests that tell."""

    instance_id: str
    repo: str
    base_commit: str
    problem_statement: str
    patch: str
    test_patch: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]


@dataclass(frozen=True)
class Grade:
    """How a patch fared. `failed` are the tests that should pass and did not."""

    kind: Class
    failed: tuple[str, ...] = ()
    said: str = ""
    seconds: float = 0.0


def load_instances(path: Path, wanted: Sequence[str] = ()) -> tuple[Instance, ...]:
    """The instances of a JSONL file in the published fields; only those `wanted`, if any are named.

    Raises ParameterError when the file is none, or an instance is not in it.
    """
    try:
        rows = [json.loads(line) for line in lines_of(path.read_text(encoding="utf-8")) if line.strip()]
        found = {row["instance_id"]: _instance(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path}: no SWE-bench instances ({error}); give a JSONL file of the data set") from error
    if missing := [name for name in wanted if name not in found]:
        raise ParameterError(f"{path} has no instance {', '.join(missing)}; check the names")
    return tuple(found[name] for name in wanted) if wanted else tuple(found.values())


def _instance(row: Mapping[str, Any]) -> Instance:
    def names(value: Any) -> tuple[str, ...]:
        return tuple(json.loads(value) if isinstance(value, str) else value)

    return Instance(
        row["instance_id"],
        row["repo"],
        row["base_commit"],
        row["problem_statement"],
        row["patch"],
        row["test_patch"],
        names(row["FAIL_TO_PASS"]),
        names(row["PASS_TO_PASS"]),
    )


def load_predictions(path: Path) -> dict[str, str]:
    """instance_id to patch, from the official form. Raises ParameterError."""
    try:
        rows = [json.loads(line) for line in lines_of(path.read_text(encoding="utf-8")) if line.strip()]
        return {row["instance_id"]: row["model_patch"] or "" for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path}: no predictions ({error}); each line is an object with model_patch") from error


def write_predictions(path: Path, name: str, patches: Mapping[str, str]) -> None:
    """The official form, which the `swebench` package grades."""
    lines = (
        json.dumps({"instance_id": key, "model_name_or_path": name, "model_patch": patch})
        for key, patch in patches.items()
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def clone_of(instance: Instance, folder: Path) -> Path:
    """The local clone of an instance's repository. Raises ParameterError."""
    require_clones([instance], folder)
    found = _clone_in(folder, instance.repo)
    assert found is not None
    return found


def without_clone(instances: Iterable[Instance], folder: Path) -> list[str]:
    """The repositories, OWNER/NAME, of which `folder` has no clone; each once."""
    return [repo for repo in dict.fromkeys(one.repo for one in instances) if _clone_in(folder, repo) is None]


def require_clones(instances: Iterable[Instance], folder: Path) -> None:
    """Raises ParameterError with the commands that make the missing clones."""
    if missing := without_clone(instances, folder):
        commands = " && ".join(_clone_command(repo, folder) for repo in missing)
        raise ParameterError(f"{folder} has no clone of {', '.join(missing)}; make {len(missing)}: {commands}")


_FETCHING = {"GIT_ALLOW_PROTOCOL": "https:file"}  # otherwise git is not let fetch anything


def clone(repo: str, folder: Path) -> Path:
    """Fetch a repository, OWNER/NAME, with all its history and without a working tree. Raises DownloadError."""
    target = folder / repo.replace("/", "__")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # git does not go on with a clone that was interrupted
    folder.mkdir(parents=True, exist_ok=True)
    try:
        git(folder, "clone", "--bare", "--quiet", _url(repo), partial.name, variables=_FETCHING)
    except WorkspaceError as error:
        raise DownloadError(
            f"cannot clone {_url(repo)} ({error}): check the network, or put a clone at {target} in another way"
        ) from error
    partial.rename(target)
    return target


def _clone_in(folder: Path, repo: str) -> Path | None:
    """OWNER__NAME, OWNER/NAME or NAME in `folder`."""
    owner, _, name = repo.partition("/")
    candidates = (folder / f"{owner}__{name}", folder / owner / name, folder / name)
    return next((path for path in candidates if path.is_dir()), None)


def _clone_command(repo: str, folder: Path) -> str:
    return shlex.join(["git", "clone", "--bare", _url(repo), str(folder / repo.replace("/", "__"))])


def _url(repo: str) -> str:
    return f"https://github.com/{repo}"


def prepare(instance: Instance, clone: Path, target: Path) -> None:
    """A repository at the instance's commit, with its past and nothing of its future. The clone is only read.

    Raises WorkspaceError when the clone lacks the commit.
    """
    target.mkdir(parents=True)
    git(target, "init", "--quiet", "--initial-branch=main")
    objects = Path(git(clone, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip())
    borrowed = target / ".git" / "objects" / "info" / "alternates"
    borrowed.write_text(f"{objects}\n")
    git(target, "update-ref", "refs/heads/main", instance.base_commit)
    git(target, "repack", "-a", "-d", "-q")
    borrowed.unlink()
    git(target, "reset", "--hard", "--quiet")


def grade(instance: Instance, patch: str, clone: Path, python: Path, scratch: Path, timeout: float) -> Grade:
    """Apply a patch and the instance's tests to a fresh repository, run the tests confined, and compare."""
    if not patch.strip():
        return Grade("empty patch")
    tests = tuple(dict.fromkeys(name.partition("::")[0] for name in (*instance.fail_to_pass, *instance.pass_to_pass)))
    if not all("::" in name for name in (*instance.fail_to_pass, *instance.pass_to_pass)):
        return Grade("cannot be graded", said="its tests are not pytest's: use the official grader")
    root = scratch / "repository"
    prepare(instance, clone, root)
    try:
        _apply(root, scratch / "model.patch", patch)
    except WorkspaceError as error:
        return Grade("patch does not apply", said=str(error))
    for path in dict.fromkeys(_CHANGED.findall(instance.test_patch)):
        (root / path).unlink(missing_ok=True)
        if git(root, "ls-tree", "HEAD", "--", path):
            git(root, "checkout", "HEAD", "--", path)
    _apply(root, scratch / "test.patch", instance.test_patch)
    environment = {"PYTHONPATH": f"{root / 'src'}:{root}"}
    sandbox = Sandbox(
        root, readable=python_paths(python), path=(python.parent,), environment=environment, limits=_LIMITS,
        disposable=True,
    )  # fmt: skip
    command = [str(python), "-m", "pytest", "-rA", "--color=no", "--tb=short", "-p", "no:cacheprovider", *tests]
    result = sandbox.run(command, timeout=timeout)
    passed = {name for outcome, name in _RESULT.findall(result.output) if outcome in ("PASSED", "XFAIL")}
    failed = tuple(name for name in (*instance.fail_to_pass, *instance.pass_to_pass) if name not in passed)
    kind: Class = "resolved"
    if result.stopped:
        kind = "out of time"
    elif not set(failed).isdisjoint(instance.fail_to_pass):
        kind = "still fails"
    elif failed:
        kind = "breaks tests"
    said = "" if kind == "resolved" else result.output[-2000:]
    return Grade(kind, failed, said, round(result.duration, 2))


def resolved_rate(grades: Iterable[Grade]) -> float:
    kinds = [grade.kind for grade in grades]
    return kinds.count("resolved") / len(kinds) if kinds else 0.0


def _apply(root: Path, file: Path, patch: str) -> None:
    file.write_text(patch if patch.endswith("\n") else f"{patch}\n", encoding="utf-8")
    git(root, "apply", "--whitespace=nowarn", str(file))
