"""llama.cpp's own server tests, run against `inhouse serve`. See --help."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = "llama-cpp-python==0.3.36"  # its source package has llama.cpp's tests
INSIDE = "vendor/llama.cpp/tools/server/tests"
NEEDED = ("pytest", "filelock", "numpy", "openai", "requests", "prometheus-client", "aiohttp")
REASONS = HERE / "llama_cpp_server_tests.toml"
# What is told of their model of 260 thousand parameters is not told of another: the words that it says and how many
# tokens its prompts have. All else is asserted as it stands.
EDITS = (
    (r"^def match_regex\(.*?\n(?=\n)", "def match_regex(regex, text):\n    return isinstance(text, str)\n"),
    (r"(\[\"prompt_tokens\"\]|\[\"timings\"\]\[\"prompt_n\"\]|\[\"tokens_evaluated\"\]) == n_prompt\b", r"\1 > 0"),
    (r"^import wget$", "wget = None"),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Runs llama.cpp's server tests against `inhouse serve` with a model of ours. Tests of what the "
        f"server does not have, and those that differ on purpose, are named with their reasons in {REASONS.name}; all "
        "others must pass.",
        epilog="example:\n  .venv/bin/python scripts/llama_cpp_server_tests.py --model starter unit/test_completion.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="starter", help="what answers (default: starter)")
    parser.add_argument(
        "--folder", type=Path, help="where the tests and their environment are kept (default: a temporary one)"
    )
    parser.add_argument("--all", action="store_true", help="also those that are known to differ")
    parser.add_argument("tests", nargs="*", help="files or ids below tools/server/tests")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llama-cpp-tests-") as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        tests, python = _tests(folder), _environment(folder)
        reasons = tomllib.loads(REASONS.read_text("utf-8"))
        report = folder / "report.xml"
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "--timeout=120"]
        command += [] if args.all else [f"--ignore={name}" for name in reasons["absent"]]
        environment = {**os.environ, "LLAMA_SERVER_BIN_PATH": str(_server(folder, args.model)), "PORT": "18080"}
        subprocess.run([*command, *(args.tests or ["unit"])], cwd=tests, env=environment, check=False)
        return _told(report, reasons, everything=args.all)


def _tests(folder: Path) -> Path:
    """The suite, with the EDITS."""
    target = folder / "tests"
    if target.is_dir():
        return target
    package = ["download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "-d", str(folder), SOURCE]
    subprocess.run([sys.executable, "-m", "pip", *package], check=True)
    (archive,) = folder.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as file:
        members = [member for member in file if f"/{INSIDE}/" in member.name]
        file.extractall(folder, members)
    (found,) = folder.glob(f"llama_cpp_python-*/{INSIDE}")
    for path in found.rglob("*.py"):
        text = path.read_text("utf-8")
        for pattern, replacement in EDITS:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE | re.DOTALL)
        path.write_text(text, "utf-8")
    conftest = found / "conftest.py"
    text = conftest.read_text("utf-8").replace("ServerPreset.load_all()", "pass")  # there is nothing to download
    conftest.write_text(text, "utf-8")
    found.rename(target)
    return target


def _environment(folder: Path) -> str:
    home = folder / "venv"
    if not home.is_dir():
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin/pip", "install", "-q", *NEEDED, "pytest-timeout"], check=True)
    return str(home / "bin/python")


def _server(folder: Path, model: str) -> Path:
    """A program that takes llama-server's options and starts ours."""
    path = folder / "llama-server"
    path.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' '{HERE / 'llama_server_options.py'}' '{folder}' '{model}' \"$@\"\n"
    )
    path.chmod(0o755)
    return path


def _told(report: Path, reasons: Mapping[str, Mapping[str, str]], *, everything: bool) -> int:
    """Prints what became of the tests; 0 if all that differ have a reason."""
    counts: Counter[str] = Counter()
    open_ends = []
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        if case.find("skipped") is not None:
            counts["skipped by themselves"] += 1
        elif failure is None:
            counts["passed"] += 1
        elif why := next((why for known, why in reasons["differ"].items() if name.startswith(known)), ""):
            counts["differ, with a reason"] += 1
            print(f"differs  {name}: {why}")
        else:
            counts["failed"] += 1
            open_ends.append(name)
            print(f"FAILED   {name}: {(failure.get('message') or '').splitlines()[0][:200]}")
    ran = counts["passed"] + counts["failed"] + counts["differ, with a reason"]
    share = f"{counts['passed'] / ran:.1%}" if ran else "none"
    print(f"{ran} tests whose endpoint exists, {share} pass: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if open_ends and not everything else 0


if __name__ == "__main__":
    sys.exit(main())
