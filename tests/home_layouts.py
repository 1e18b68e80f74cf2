"""Home directories as version managers lay them out, made of this machine's own interpreters, with keys beside them."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
FULL = ".".join(map(str, sys.version_info[:3]))
_LEFT_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "site-packages",
    "__pycache__",
    "config-*",
    "ensurepip",
    "lib2to3",
    "turtledemo",
)
_PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py")
SECRET = "s3cr3t-never-shown"
# Where users keep keys; each below the home directory.
KEYS = (
    ".ssh/id_rsa", ".aws/credentials", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".docker/config.json",
    ".config/gh/hosts.yml", ".config/gcloud/credentials.db", ".config/pip/pip.conf", ".pip/pip.conf", ".kube/config",
    ".gnupg/private-keys-v1.d/key", ".cargo/credentials", ".cargo/credentials.toml", ".cargo/registry/.netrc",
    ".pyenv/.netrc", ".pyenv/versions/.netrc", f".pyenv/versions/{FULL}/pip.conf",
    f".pyenv/versions/{FULL}/etc/.pypirc",
    ".nvm/.npmrc", ".nvm/versions/node/.npmrc", ".nvm/versions/node/v20.0.0/etc/npmrc", ".m2/settings.xml",
    ".m2/repository/settings-security.xml", ".gradle/gradle.properties", ".gem/credentials", ".bundle/config",
    ".yarnrc.yml", ".terraform.d/credentials.tfrc.json", ".password-store/a.gpg", ".bash_history", ".local/bin/.env",
    ".local/share/keyrings/login.keyring", ".local/lib/.pypirc", "miniconda3/.condarc", "miniconda3/etc/.netrc",
    ".mozilla/firefox/logins.json", ".config/google-chrome/Cookies", "go/pkg/mod/.netrc",
    ".local/share/uv/python/.netrc",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A home directory: what the shell's PATH and other variables are, and the interpreter that it would run."""

    home: Path
    path: tuple[Path, ...]
    python: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell of this user has."""
        path = os.pathsep.join(map(str, (*self.path, "/usr/local/bin", "/usr/bin", "/bin")))
        return {**self.variables, "HOME": str(self.home), "PATH": path}


def copy_python(target: Path, *, with_pytest: bool = True) -> Path:
    """A Python installation at `target`, which needs nothing of the one that it is a copy of; its executable."""
    shutil.copytree(_master(with_pytest), target, symlinks=True, copy_function=os.link)
    return target / "bin" / "python3"


@cache
def _master(with_pytest: bool) -> Path:
    """What copies are made of, by hard links; gone when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="inhouse-python-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / "python"
    library = Path(sysconfig.get_path("stdlib"))
    real = Path(os.path.realpath(sys.executable))
    (target / "bin").mkdir(parents=True)
    executable = target / "bin" / f"python{VERSION}"
    shutil.copy2(real, executable)
    libraries = sysconfig.get_config_var("LIBDIR") or "/nonexistent"
    _search_beside(executable, libraries)
    for name in ("python3", "python"):
        (target / "bin" / name).symlink_to(f"python{VERSION}")
    copied = target / "lib" / f"python{VERSION}"
    shutil.copytree(library, copied, symlinks=False, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    for shared in Path(libraries).glob("libpython3*.so*"):
        shutil.copy2(shared, target / "lib")
    packages = copied / ("dist-packages" if str(library).startswith("/usr/lib") else "site-packages")
    packages.mkdir(exist_ok=True)
    for name in _PYTEST if with_pytest else ():
        source = Path(sys.modules["pytest"].__file__ or "").parents[1] / name
        if source.is_dir():
            shutil.copytree(source, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, packages)
    return target


def _search_beside(executable: Path, libraries: str) -> None:
    """Makes a copied program look for its shared library beside itself, not where the original has it."""
    built_in, beside = libraries.encode() + b"\0", b"$ORIGIN/../lib"
    if len(beside) < len(built_in):
        executable.write_bytes(executable.read_bytes().replace(built_in, beside.ljust(len(built_in), b"\0")))


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def put_keys(home: Path) -> None:
    """A secret at each place where users keep one."""
    for name in KEYS:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"token = {SECRET}\n")


def pyenv(home: Path) -> Layout:
    """Shims that ask a program, which reads the version from files, where the interpreters are."""
    root = home / ".pyenv"
    python = copy_python(root / "versions" / FULL)
    copy_python(root / "versions" / "0.0.1", with_pytest=False)
    (root / "version").write_text("0.0.1\n")
    script(
        root / "libexec" / "pyenv",
        f"""#!/bin/sh
set -e
here=$PWD
version=$(cat {root}/version)
while [ -n "$here" ]; do
    if [ -f "$here/.python-version" ]; then version=$(cat "$here/.python-version"); break; fi
    here=${{here%/*}}
done
shift
name=$1
shift
exec "{root}/versions/$version/bin/$name" "$@"
""",
    )
    for name in ("python", "python3", f"python{VERSION}"):
        script(root / "shims" / name, f'#!/bin/sh\nexec {root}/libexec/pyenv exec "${{0##*/}}" "$@"\n')
    (home / ".python-version").write_text(f"{FULL}\n")
    return Layout(home, (root / "shims", root / "bin"), python, {"PYENV_ROOT": str(root)})


def asdf(home: Path) -> Layout:
    """Shims that need a file in the home directory."""
    root = home / ".asdf"
    python = copy_python(root / "installs" / "python" / FULL)
    (home / ".tool-versions").write_text(f"python {FULL}\n")
    script(
        root / "bin" / "asdf",
        f"""#!/bin/sh
version=$(awk '$1 == "python" {{ print $2 }}' "$HOME/.tool-versions") || exit 126
name=$2
shift 2
exec "{root}/installs/python/$version/bin/$name" "$@"
""",
    )
    for name in ("python", "python3"):
        script(root / "shims" / name, f'#!/bin/sh\nexec {root}/bin/asdf exec {name} "$@"\n')
    return Layout(home, (root / "shims", root / "bin"), python)


def uv(home: Path) -> Layout:
    """A link in ~/.local/bin to an installation below ~/.local/share."""
    python = copy_python(home / ".local/share/uv/python" / f"cpython-{FULL}-linux-x86_64-gnu")
    (home / ".local/bin").mkdir(parents=True)
    (home / ".local/bin/python3").symlink_to(python.parent / f"python{VERSION}")
    return Layout(home, (home / ".local/bin",), python)


def conda(home: Path) -> Layout:
    """An active environment of a whole distribution."""
    root = home / "miniconda3"
    (root / "conda-meta").mkdir(parents=True)
    python = copy_python(root / "envs" / "work")
    (root / "envs" / "work" / "conda-meta").mkdir()
    return Layout(home, (python.parent,), python, {"CONDA_PREFIX": str(root / "envs" / "work")})


def venv(home: Path) -> Layout:
    """An active virtual environment, of an interpreter at a place of the user's own, behind a script."""
    base = copy_python(home / "builds" / "python")
    script(home / "shims" / "python3", f'#!/bin/sh\nexec {base} "$@"\n')
    environment = home / "envs" / "work"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = {FULL}\n")
    for name in ("python", "python3"):
        (environment / "bin" / name).symlink_to(base)
    packages = environment / "lib" / f"python{VERSION}" / "site-packages"
    packages.parent.mkdir(parents=True)
    (theirs,) = (base.parents[1] / "lib" / f"python{VERSION}").glob("*-packages")  # Debian's has another name
    shutil.copytree(theirs, packages)
    return Layout(home, (environment / "bin",), environment / "bin" / "python", {"VIRTUAL_ENV": str(environment)})


def shim_script(home: Path) -> Layout:
    """A script of the user's own in front of an interpreter at a place of their own."""
    base = copy_python(home / "builds" / "python")
    script(home / "shims" / "python3", f'#!/bin/sh\nexec {base} "$@"\n')
    return Layout(home, (home / "shims",), base)


def nvm(home: Path) -> Layout:
    """A version of Node in its own folder, which PATH names."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node on this machine")
    target = home / ".nvm/versions/node/v20.0.0"
    (target / "bin").mkdir(parents=True)
    (target / "lib" / "node_modules").mkdir(parents=True)
    shutil.copy2(os.path.realpath(node), target / "bin" / "node")
    return Layout(home, (target / "bin",), target / "bin" / "node", {"NVM_DIR": str(home / ".nvm")})


PYTHONS: Mapping[str, Callable[[Path], Layout]] = {
    "pyenv": pyenv, "asdf": asdf, "uv": uv, "conda": conda, "venv": venv, "script": shim_script
}  # fmt: skip
