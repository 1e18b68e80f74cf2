"""Why a test command says nothing of the program: it was not found, ran no test, was stopped, lacks what it needs.

Reads what the run said and recorded; runs nothing. A fault in the project's own code is no diagnosis: it is what is to
be repaired. Messages are those of dash and bash, pytest, unittest, npm and node, cargo, go and make.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inhouse.workspace.testing.causes import Repository, own_code
from inhouse.workspace.testing.command import TestCommand
from inhouse.workspace.testing.report import TestReport

DiagnosisKind = Literal[
    "command_not_found", "module_not_found", "usage", "plugin_missing", "conftest", "no_tests", "timeout", "memory",
    "limit", "read_only", "network", "python_version", "dependencies", "no_rule", "fixture", "permission", "file",
]  # fmt: skip

EVIDENCE = 6  # last lines of the run's own that are shown
_GIVE_ANOTHER = "or give another command with --test"
_PLUGINS = {
    "--cov": "pytest-cov", "--no-cov": "pytest-cov", "-n": "pytest-xdist", "--numprocesses": "pytest-xdist",
    "--dist": "pytest-xdist", "--timeout": "pytest-timeout", "--asyncio-mode": "pytest-asyncio",
    "--benchmark": "pytest-benchmark", "--reruns": "pytest-rerunfailures", "--mypy": "pytest-mypy",
    "--flake8": "pytest-flake8", "--black": "pytest-black", "--ds": "pytest-django", "--nomigrations": "pytest-django",
    "--reuse-db": "pytest-django", "--random-order": "pytest-random-order", "--html": "pytest-html",
    "--doctest-plus": "pytest-doctestplus", "--ruff": "pytest-ruff", "--forked": "pytest-forked",
    "--hypothesis": "hypothesis", "--snapshot": "syrupy", "--disable-socket": "pytest-socket",
}  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """Why a command told nothing: the reason in a sentence, the run's own lines that say so, what to do next."""

    kind: DiagnosisKind
    reason: str
    evidence: tuple[str, ...]
    next_step: str


@dataclass(frozen=True)
class _Run:
    report: TestReport
    command: TestCommand
    repository: Repository
    output: str


_Rule = Callable[[_Run], Diagnosis | None]


def diagnose(
    report: TestReport, command: TestCommand, repository: Repository, seconds: float | None = None
) -> Diagnosis | None:
    """Why a run told nothing of the program; None where it did. `seconds` is what the whole run was allowed."""
    run = _Run(report, command, repository, report.output)
    if report.stopped:
        return _stopped(run, seconds)
    if report.passed:
        return _no_tests(run)
    if any(failure.id for failure in report.failures) or any(
        test.outcome == "passed" for test in report.tests.values()
    ):
        return None
    for rule in _RULES:
        if (found := rule(run)) is not None:
            return found
    return None


def tail(output: str, count: int = EVIDENCE) -> tuple[str, ...]:
    """The last lines of an output that say something."""
    lines = [line.rstrip()[:200] for line in output.splitlines() if line.strip(" =-_")]
    return tuple(lines[-count:])


def _said(run: _Run, *around: str) -> tuple[str, ...]:
    """The lines of the output that hold one of these texts, else its last."""
    lines = [line.strip()[:200] for line in run.output.splitlines() if any(text in line for text in around if text)]
    return tuple(dict.fromkeys(lines))[:EVIDENCE] or tail(run.output)


def _stopped(run: _Run, seconds: float | None) -> Diagnosis:
    report = run.report
    stopped = f"`{run.command}` was stopped"
    if report.stopped == "timeout":
        within = f" after {seconds:.0f} s" if seconds is not None else ""
        done = f"; {report.ran} tests had ended by then" if report.ran else ""
        hanging = next((failure.reason for failure in report.failures if failure.kind == "timeout"), "")
        return Diagnosis(
            "timeout", f"{stopped}{within}: its time was over{done}", (*tail(report.output), *filter(None, [hanging])),
            "give it longer with --test-timeout, or a command for fewer tests with --test",
        )  # fmt: skip
    if report.stopped == "memory":
        return Diagnosis(
            "memory", f"{stopped}: it used more memory than a run of the tests may", tail(report.output),
            "give a command for fewer tests, or for fewer at once, with --test",
        )  # fmt: skip
    return Diagnosis(
        "limit", f"{stopped} at the sandbox's limit of {report.stopped}", tail(report.output),
        "give a command for fewer tests with --test",
    )  # fmt: skip


def _no_tests(run: _Run) -> Diagnosis | None:
    empty = run.command.kind in ("pytest", "unittest") and run.report.ran == 0 and not run.report.tests
    if empty or re.search(r"^(?:Ran 0 tests|no tests ran|collected 0 items)", run.output, re.MULTILINE):
        return Diagnosis(
            "no_tests", f"`{run.command}` ran no tests", tail(run.output),
            "name the tests in the command with --test, such as --test 'python -m pytest tests'",
        )  # fmt: skip
    return None


def _not_found(run: _Run) -> Diagnosis | None:
    match = re.search(
        r"^(?:.*: )?(?:line )?\d*:? ?(?P<name>[^\s:]+): (?:command )?not found$|"
        r"^env: [‘']?(?P<env>[^\s:’']+)[’']?: No such",
        run.output, re.MULTILINE,
    )  # fmt: skip
    if match is None and run.report.exit_code not in (126, 127):
        return None
    name = (match["name"] or match["env"]) if match else str(run.command).split()[0]
    if run.report.exit_code == 126:
        return Diagnosis(
            "permission", f"`{run.command}` cannot be run: {name} may not be executed", tail(run.output),
            f"make it executable (chmod +x), {_GIVE_ANOTHER}",
        )  # fmt: skip
    if "package.json" in run.repository.known and "node_modules" not in run.repository.folders and name != "npm":
        return _no_node_modules(run, name)
    return Diagnosis(
        "command_not_found", f"`{run.command}` cannot be run: {name} is not found", _said(run, name),
        f"install {name} where the sandbox sees it (its own place in PATH), {_GIVE_ANOTHER}",
    )  # fmt: skip


def _no_node_modules(run: _Run, name: str) -> Diagnosis:
    return Diagnosis(
        "dependencies", f"`{run.command}` cannot be run: {name} is not there, since node_modules is not installed",
        _said(run, name), "install them once with `npm ci` (pnpm install, yarn install), and run again",
    )  # fmt: skip


def _no_module(run: _Run) -> Diagnosis | None:
    """`python -m NAME` of a module that is not there: that of the command, not an import of the project's."""
    match = re.search(r"^(?P<python>\S*py\S*): (?:No module named (?P<name>\S+)|Error while finding)", run.output, re.M)
    if match is None:
        return None
    name = (match["name"] or "").strip("'\".;") or _module_of(run.command)
    top = name.split(".")[0]
    install = f"install it there (`{match['python']} -m pip install {top}`)"
    return Diagnosis(
        "module_not_found", f"`{run.command}` ran no test: {match['python']} has no module named {name}",
        (match[0],), f"{install}, name an interpreter that has it, {_GIVE_ANOTHER}",
    )  # fmt: skip


def _module_of(command: TestCommand) -> str:
    words = str(command).split()
    return words[words.index("-m") + 1] if "-m" in words[:-1] else str(command)


def _usage(run: _Run) -> Diagnosis | None:
    unknown = re.search(r"error: unrecognized arguments: (?P<given>.+)$|no such option: (?P<one>\S+)", run.output, re.M)
    if unknown is not None:
        given = (unknown["given"] or unknown["one"]).split()
        option = given[0].split("=")[0]
        plugin = next(
            (name for start, name in _PLUGINS.items() if option == start or option.startswith(f"{start}-")), ""
        )
        where = re.search(r"inifile: (\S+)", run.output)
        come = f" (from {Path(where[1]).name} or the command)" if where and where[1] != "None" else ""
        if plugin:
            return Diagnosis(
                "plugin_missing", f"`{run.command}` ran no test: {option}{come} is an option of {plugin}, "
                "which is not installed", _said(run, "unrecognized", "inifile"),
                f"install {plugin} into the environment of the tests, {_GIVE_ANOTHER}",
            )  # fmt: skip
        return Diagnosis(
            "usage", f"`{run.command}` ran no test: it does not know the option {option}{come}",
            _said(run, "unrecognized", "no such option", "inifile"),
            f"install the plugin that has this option, or leave it out: {_GIVE_ANOTHER[3:]}",
        )  # fmt: skip
    plugin_error = re.search(r"Error importing plugin \"?(?P<name>[\w.]+)\"?", run.output)
    if plugin_error is not None:
        return Diagnosis(
            "plugin_missing", f"`{run.command}` ran no test: pytest's plugin {plugin_error['name']} cannot be imported",
            _said(run, plugin_error[0], "No module named"),
            f"install {plugin_error['name']} into the environment of the tests, {_GIVE_ANOTHER}",
        )  # fmt: skip
    missing = re.search(r"^ERROR: (?:file or directory )?not found: (?P<path>.+)$", run.output, re.MULTILINE)
    if missing is not None:
        return Diagnosis(
            "usage", f"`{run.command}` ran no tests: there is no {missing['path']} in the repository", (missing[0],),
            "name files that are there with --test",
        )  # fmt: skip
    if run.report.exit_code == 4 and (errors := re.findall(r"^ERROR: (.+)$", run.output, re.MULTILINE)):
        return Diagnosis(
            "usage", f"`{run.command}` ran no tests: {errors[0][:200]}", tail(run.output),
            f"put pytest's configuration right, {_GIVE_ANOTHER}",
        )  # fmt: skip
    return None


def _conftest(run: _Run) -> Diagnosis | None:
    match = re.search(r"^ImportError while loading conftest '(?P<path>[^']+)'", run.output, re.MULTILINE)
    if match is None or own_code(run.output, run.repository):
        return None
    said = [line[1:].strip() for line in run.output.splitlines() if re.match(r"E\s", line)]
    why = said[-1] if said else "it cannot be imported"
    path = match["path"].removeprefix(f"{run.repository.place}/")
    missing = re.search(r"No module named '([^']+)'", why)
    step = f"install {missing[1].split('.')[0]} into the environment of the tests" if missing else f"put {path} right"
    return Diagnosis(
        "conftest", f"`{run.command}` ran no test: {path} cannot be imported: {why}", tail(run.output),
        f"{step}, {_GIVE_ANOTHER}",
    )  # fmt: skip


def _python_version(run: _Run) -> Diagnosis | None:
    for pattern in (
        r"requires Python ['\"]?>=? ?(?P<wanted>[\d.]+)",
        r"requires a different Python: .*?(?P<wanted>>=[\d.]+)",
    ):
        if match := re.search(pattern, run.output):
            return Diagnosis(
                "python_version", f"`{run.command}` ran no test: it needs Python {match['wanted']} or newer",
                _said(run, match[0]), f"make an environment with that Python in .venv, {_GIVE_ANOTHER}",
            )  # fmt: skip
    traced = re.compile(r'File "(?P<path>[^"\n]+)", line \d+\n(?:.*\n){1,3}?(?:E +)?\w*SyntaxError: ')
    match = next(iter([*traced.finditer(run.output)][-1:]), None)
    if match is None:
        return None
    path = match["path"].removeprefix(f"{run.repository.place}/")
    if path in run.repository.known and not run.repository.parses(path):
        return None
    return Diagnosis(
        "python_version", f"`{run.command}` ran no test: {path} is written for another version of Python than the one "
        "that runs the tests", tail(run.output), f"make an environment with a newer Python in .venv, {_GIVE_ANOTHER}",
    )  # fmt: skip


def _node_dependencies(run: _Run) -> Diagnosis | None:
    match = re.search(r"Cannot find (?:module|package) '(?P<name>[^./'][^']*)'", run.output)
    if match is None or match["name"].startswith("node:"):
        return None
    if "node_modules" not in run.repository.folders:
        return _no_node_modules(run, match["name"])
    return Diagnosis(
        "dependencies", f"`{run.command}` cannot be run: the package {match['name']} is not in node_modules",
        _said(run, match[0]), "install it once with `npm ci` (pnpm install, yarn install), and run again",
    )  # fmt: skip


_OFFLINE = (
    (r"no matching package named .* found|failed to (?:download|get|load source)|unable to update registry|"
     r"attempting to make an HTTP request, but --offline|can't checkout from", "cargo fetch"),
    (r"no required module provides package|missing go\.sum entry|cannot find module providing package|"
     r"module lookup disabled|dial tcp: lookup \S+|GOPROXY list is not the empty string", "go mod download"),
)  # fmt: skip


def _modules_offline(run: _Run) -> Diagnosis | None:
    for pattern, remedy in _OFFLINE:
        if match := re.search(pattern, run.output):
            return Diagnosis(
                "dependencies", f"`{run.command}` ran no test: a dependency is not on this machine, and tests run "
                "without network", _said(run, match[0]), f"fetch them once with `{remedy}`, and run again",
            )  # fmt: skip
    return None


def _no_rule(run: _Run) -> Diagnosis | None:
    match = re.search(
        r"No rule to make target [‘'`](?P<target>[^’'`]+)[’'`](?!, needed)|No targets specified and no makefile|"
        r"[Mm]issing script: \"?(?P<script>[\w:-]+)", run.output,
    )  # fmt: skip
    if match is None:
        return None
    what = f"no rule to make {match['target']}" if match["target"] else (
        f"package.json has no script {match['script']}" if match["script"] else "there is no makefile"
    )  # fmt: skip
    return Diagnosis(
        "no_rule", f"`{run.command}` ran no test: {what}", _said(run, match[0]), "give another with --test"
    )


_NETWORK = (
    r"Temporary failure in name resolution|Name or service not known|nodename nor servname|Could not resolve host|"
    r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN)|Network is unreachable|ENETUNREACH"
)


def _surroundings(run: _Run) -> Diagnosis | None:
    """What the sandbox does not give: the network, writing elsewhere, more memory."""
    if match := re.search(_NETWORK, run.output):
        return Diagnosis(
            "network", f"`{run.command}` needs the network, which tests do not have here", _said(run, match[0]),
            "give a command for the tests that need none with --test",
        )  # fmt: skip
    if match := re.search(r".*(?:Read-only file system|EROFS).*", run.output):
        return Diagnosis(
            "read_only", f"`{run.command}` writes outside of the repository, which tests may not", (match[0].strip(),),
            "have it write below the repository or in $TMPDIR, or allow it with --unconfined",
        )  # fmt: skip
    code = run.report.exit_code
    memory = r"MemoryError|Cannot allocate memory|heap out of memory|bad_alloc"
    if (match := re.search(memory, run.output)) or code == 137:
        return Diagnosis(
            "memory", f"`{run.command}` ran no test: it used more memory than a run of the tests may",
            _said(run, match[0] if match else "Killed"), "give a command for fewer tests at once with --test",
        )  # fmt: skip
    if code == 159:
        return Diagnosis(
            "limit", f"`{run.command}` ran no test: it made a system call that the sandbox refuses", tail(run.output),
            "give a command without it with --test, or allow it with --unconfined",
        )  # fmt: skip
    return None


def _nothing_collected(run: _Run) -> Diagnosis | None:
    if run.command.kind == "pytest" and run.report.exit_code == 5:
        return Diagnosis(
            "no_tests", f"`{run.command}` ran no tests: it found none", tail(run.output),
            "name the tests in the command with --test, such as --test 'python -m pytest tests'",
        )  # fmt: skip
    return _no_tests(run)


_RULES: tuple[_Rule, ...] = (
    _no_module, _not_found, _usage, _conftest, _nothing_collected, _no_rule, _node_dependencies, _modules_offline,
    _python_version, _surroundings,
)  # fmt: skip
