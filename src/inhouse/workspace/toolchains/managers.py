"""Where version managers and package managers keep what they install, and what of it programs need to run.

A table of facts from their documentation. What is not named here is not shown: keys and settings lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_SHIMS = ("bin", "libexec", "shims", "versions", "plugins", "pyenv.d", "rbenv.d", "version")  # pyenv and its relatives
OFFLINE = {  # for commands that have no network
    "CARGO_NET_OFFLINE": "true",
    "COREPACK_ENABLE_NETWORK": "0",
    "GOPROXY": "off",
    "GOSUMDB": "off",
    "MAVEN_ARGS": "--offline",
    "UV_NO_SYNC": "1",
    "UV_OFFLINE": "1",
}


@dataclass(frozen=True)
class Manager:
    """One manager: the variable that names its folder, else its usual places below the home directory.

    `parts` are what commands may read of the folder ("" is all). `told`: the variable is set for commands, whose home
    directory is another one.
    """

    variable: str | None
    places: tuple[str, ...]
    parts: tuple[str, ...] = ("",)
    told: bool = False


MANAGERS = (
    # Python
    Manager("PYENV_ROOT", (".pyenv",), _SHIMS, told=True),
    Manager("UV_PYTHON_INSTALL_DIR", (".local/share/uv/python",)),
    Manager("UV_TOOL_DIR", (".local/share/uv/tools",)),
    Manager(None, (".local/share/pipx/venvs", ".local/pipx/venvs")),
    Manager("PYTHONUSERBASE", (".local",), ("bin", "lib")),
    Manager("WORKON_HOME", (".virtualenvs", ".local/share/virtualenvs")),
    Manager(None, (".cache/pypoetry/virtualenvs", "Library/Caches/pypoetry/virtualenvs")),
    Manager(None, (".local/share/hatch/env", ".local/share/pdm/venvs", ".rye/py", ".rye/shims", ".rye/tools")),
    Manager("MAMBA_ROOT_PREFIX", ("micromamba",)),
    # JavaScript
    Manager("NVM_DIR", (".nvm", ".config/nvm"), ("versions", "alias", "nvm.sh", "nvm-exec", "bash_completion")),
    Manager("VOLTA_HOME", (".volta",), ("bin", "tools"), told=True),
    Manager("FNM_DIR", (".local/share/fnm", ".fnm"), ("node-versions", "aliases")),
    Manager("PNPM_HOME", (".local/share/pnpm",)),
    Manager("COREPACK_HOME", (".cache/node/corepack",), told=True),
    Manager("YARN_GLOBAL_FOLDER", (".yarn/berry",)),
    Manager("BUN_INSTALL", (".bun",), ("bin", "install")),
    Manager(None, (".deno",), ("bin",)),
    # Rust, Go
    Manager("CARGO_HOME", (".cargo",), ("bin", "registry", "git", "env", "config", "config.toml"), told=True),
    Manager("RUSTUP_HOME", (".rustup",), ("toolchains", "settings.toml", "update-hashes"), told=True),
    Manager("GOPATH", ("go",), ("bin", "pkg/mod"), told=True),
    Manager("GOMODCACHE", ()),
    Manager(None, ("sdk",)),
    # Ruby, Java, .NET
    Manager("RBENV_ROOT", (".rbenv",), _SHIMS, told=True),
    Manager(None, (".rvm",), ("bin", "environments", "gems", "rubies", "scripts", "wrappers")),
    Manager(None, (".rubies", ".local/share/gem")),
    Manager(None, (".gem",), ("ruby",)),
    Manager("SDKMAN_DIR", (".sdkman",), ("candidates", "bin")),
    Manager(None, (".jdks", ".m2/repository", ".m2/wrapper")),
    Manager(None, (".gradle",), ("caches", "jdks", "wrapper")),
    Manager("DOTNET_ROOT", (".dotnet",), ("dotnet", "host", "packs", "sdk", "shared", "tools"), told=True),
    Manager(None, (".nuget/packages",)),
    # Several languages
    Manager("ASDF_DATA_DIR", (".asdf",),
            ("asdf.sh", "bin", "completions", "defaults", "help.txt", "installs", "lib", "libexec", "plugins", "shims",
             "version.txt"), told=True),
    Manager("MISE_DATA_DIR", (".local/share/mise",), ("bin", "installs", "plugins", "shims"), told=True),
    Manager("GOENV_ROOT", (".goenv",), _SHIMS, told=True),
    Manager("NODENV_ROOT", (".nodenv",), _SHIMS, told=True),
    Manager("JENV_ROOT", (".jenv",), _SHIMS, told=True),
)  # fmt: skip


def folders(manager: Manager, home: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """Where this manager keeps things for this user, if it does."""
    named = variables.get(manager.variable, "") if manager.variable else ""
    candidates = [Path(named)] if Path(named).is_absolute() else [home / place for place in manager.places]
    yield from (path for path in candidates if path.is_dir())


def installed(home: Path, variables: Mapping[str, str]) -> list[Path]:
    """What commands may read of all managers that this user has."""
    found: list[Path] = []
    for manager in MANAGERS:
        for folder in folders(manager, home, variables):
            found += [folder / part for part in manager.parts]
    return [path for path in found if path.exists()]


def settings(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that make managers find their folders."""
    told: dict[str, str] = {}
    for manager in MANAGERS:
        if manager.variable and manager.told and (folder := next(folders(manager, home, variables), None)):
            told[manager.variable] = str(folder)
    if (home / ".local" / "lib").is_dir():
        told["PYTHONUSERBASE"] = str(home / ".local")
    if (home / ".gradle" / "caches" / "modules-2").is_dir():
        told["GRADLE_RO_DEP_CACHE"] = str(home / ".gradle" / "caches")
    if (repository := home / ".m2" / "repository").is_dir():
        told["MAVEN_OPTS"] = f"-Dmaven.repo.local={repository}"
    return told
