"""Confinement on macOS: a Seatbelt profile and the command line of sandbox-exec.

Seatbelt decides by path, so a rule holds before the path exists. Everything is denied but what is listed; later rules
win over earlier ones. The profile language is Apple's dialect of Scheme (sandbox-exec(1), /System/Library/Sandbox).
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.workspace.commands import Launch, Limits
from inhouse.workspace.confinement.programs import program
from inhouse.workspace.confinement.view import Guarantee, View
from inhouse.workspace.protected_names import PROTECTED_NAMES

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/System", "/Library/Apple", "/Library/Developer", "/Library/Frameworks", "/opt/homebrew",
    "/private/etc", "/private/var/db/timezone", "/private/var/select", "/dev", "/Applications/Xcode.app",
)  # fmt: skip
_BASE = """\
(version 1)
(deny default)
(allow process-exec process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo") (global-name "com.apple.logd"))
(allow ipc-posix-sem)
(allow file-read-metadata)
(allow file-read* (literal "/"))
(allow file-write* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/dtracehelper"))
(deny file-write-setugid)
(deny network*)
"""


@dataclass(frozen=True)
class Seatbelt:
    """Confinement by sandbox-exec, which shows everything where it is."""

    @property
    def name(self) -> str:
        return "Seatbelt"

    @property
    def check(self) -> Sequence[str]:
        return ("/bin/sh", "-c", "echo confined")

    @property
    def guarantees(self) -> Sequence[Guarantee]:
        return (
            Guarantee("network", "yes", "none, not even loopback"),
            Guarantee("writing outside the workspace", "yes", "nothing else is writable but a private folder"),
            Guarantee(
                "reading your home directory", "partly", "only what is allowed; names and sizes of files are seen"
            ),
            Guarantee(".git and start-up files", "yes", "cannot be written, also before they exist"),
            Guarantee("signals to other processes", "yes", "only among a command's own"),
            Guarantee("process lists", "partly", "that other processes exist is seen"),
        )

    @property
    def advice(self) -> str:
        return ""

    def place(self, root: Path, seen_as: Path | None) -> Path:
        return root.absolute()

    @contextlib.contextmanager
    def launch(
        self, view: View, argv: Sequence[str], limits: Limits, environment: Mapping[str, str], cwd: Path
    ) -> Iterator[Launch]:
        """`argv` confined, to be started once while the context lasts. `cwd` is relative to the workspace."""
        text = profile(
            view.root.resolve(),
            readable=[*view.installed, *view.readable_folders, *view.mounts],
            home=Path.home(),
            writable=view.writable,
            also_writable=view.also_writable if view.writable else (),
        )
        tool = program("sandbox-exec", "it is part of macOS; check PATH")
        yield Launch(command(tool, text, argv, limits, view.root / cwd), environment, view.root)


def profile(
    root: Path,
    *,
    readable: Sequence[Path],
    home: Path,
    writable: bool,
    also_writable: Sequence[Path] = (),
    scratch: str = "scratch",
) -> str:
    """The profile that confines commands to `root`. `scratch` names the parameter that holds the private folder."""
    rules = [_BASE]
    rules += [f"(allow file-read* (subpath {_text(path)}))" for path in _SYSTEM]
    rules.append(f"(deny file-read* (subpath {_text(home)}))")
    rules += [f"(allow file-read* (subpath {_text(path)}))" for path in [*readable, root]]
    rules.append(f'(allow file-read* file-write* (subpath (param "{scratch}")))')
    if writable:
        rules.append(f"(allow file-write* (subpath {_text(root)}))")
    for folder in also_writable:
        rules.append(f"(allow file-read* file-write* (subpath {_text(folder)}))")
    for folder in (root, *also_writable):
        rules += [f"(deny file-write* (subpath {_text(folder / name)}))" for name in sorted(PROTECTED_NAMES)]
        # At any depth: what has a protected name, and the hooks and the configuration of a bare repository.
        named = "|".join(map(re.escape, sorted(PROTECTED_NAMES)))
        for planted in (rf"/({named})(/.*)?$", r"/(hooks/[^/]+|[^/]+\.git/config)$"):
            rules.append(f"(deny file-write* (regex {_pattern(folder, planted)}))")
    return "\n".join(rules) + "\n"


def command(tool: str, text: str, argv: Sequence[str], limits: Limits, cwd: Path) -> list[str]:
    """sandbox-exec's command line: a private folder, which goes at the end, then limits, then `argv`."""
    bounds = [f"ulimit -c 0 -f {limits.file_size // 512}"]
    if limits.processes is not None:
        bounds.append(f"ulimit -u {limits.processes} 2>/dev/null")
    script = (
        'scratch=$(mktemp -d "${TMPDIR:-/tmp}/inhouse.XXXXXX") && scratch=$(cd "$scratch" && pwd -P) || exit 125\n'
        "trap 'rm -rf \"$scratch\"' EXIT\n"
        'mkdir "$scratch/home"; export TMPDIR="$scratch" HOME="$scratch/home"\n'
        f"cd {shlex.quote(str(cwd))} || exit 125\n"
        f'({"; ".join(bounds)}; exec {shlex.quote(tool)} -D scratch="$scratch" -p {shlex.quote(text)} -- "$@")\n'
    )
    return ["/bin/sh", "-c", script, "inhouse", *argv]


def _text(value: str | Path) -> str:
    """A string of the profile language."""
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pattern(root: Path, rest: str) -> str:
    return '#"^' + re.escape(str(root)).replace('"', '\\"') + "(/.*)?" + rest + '"'
