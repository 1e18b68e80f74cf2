"""Which files of the user's are never shown to a confined command: keys, tokens, passwords, histories.

Denied names win over allowed folders: `visible` turns folders that may be read into paths below them that hold nothing
denied, which is what a confinement that can only allow (Landlock) needs, and what one that mounts can use as well.
Known places are denied by their path below the home directory, file names that hold secrets wherever they are found in
the upper levels of an allowed folder; what packages bring along (site-packages, node_modules) is not searched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_DEPTH = 4  # levels below an allowed folder that are searched: installation/versions/VERSION/etc/npmrc
_PACKAGES = frozenset({"site-packages", "dist-packages", "node_modules", "pkgs", "gems", "src", "doc", "man", "locale"})

# Files or folders, wherever they lie.
_NAMES = frozenset(
    {
        ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".dockercfg", ".oci", ".password-store", ".terraform.d",
        ".netrc", "_netrc", ".npmrc", ".pypirc", ".yarnrc", ".yarnrc.yml", ".condarc", ".pip", ".git-credentials",
        ".gitconfig", ".terraformrc", ".pgpass", ".my.cnf", ".mylogin.cnf", ".s3cfg", ".boto", ".vault-token",
        ".mozilla", ".thunderbird", ".bash_history", ".zsh_history", ".zhistory", ".sh_history", ".history",
        ".python_history", ".node_repl_history", ".irb_history", ".psql_history", ".mysql_history", ".sqlite_history",
        ".rediscli_history", ".lesshst", ".viminfo", "fish_history", "keyrings", "Keychains",
    }
)  # fmt: skip
# Files alone: a package may well have a folder of such a name.
_FILES = frozenset(
    {
        "credentials", "credentials.toml", "credentials.json", "credentials.db", ".credentials", "npmrc", "pip.conf",
        "pip.ini", "condarc", ".env", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "gradle.properties",
        "settings-security.xml", "NuGet.Config", "known_hosts", "authorized_keys",
    }
)  # fmt: skip
# Places below the home directory.
_BELOW_HOME = (
    ".bundle/config", ".cargo/credentials", ".cargo/credentials.toml", ".config/BraveSoftware", ".config/chromium",
    ".config/gcloud", ".config/gh", ".config/git", ".config/glab-cli", ".config/google-chrome", ".config/hub",
    ".config/op", ".config/pip", ".config/rclone", ".config/sops", ".gem/credentials", ".gradle/gradle.properties",
    ".gradle/init.d", ".gradle/init.gradle", ".local/share/keyrings", ".local/share/kwalletd", ".m2/settings.xml",
    ".m2/settings-security.xml", ".nuget/NuGet", ".var/app", "Library/Application Support", "Library/Cookies",
    "Library/Keychains", "snap",
)  # fmt: skip
_SETTINGS = frozenset({"config", "config.toml", "settings.xml"})  # which may hold a secret among other things
_SECRET_WORDS = (b"token", b"password", b"passphrase", b"secret", b"_auth")
_READ = 1 << 16  # bytes of such a file that are looked at


def is_denied(path: Path, home: Path) -> bool:
    """Whether commands may never read `path`: its own name, or that of a folder it lies in, is of a secret."""
    places = _places(home)
    if any(str(above) in places for above in (path, *path.parents)):
        return True
    return any(_is_secret_name(part) for part in path.parts) or _is_secret_file(path)


def holds_home(path: Path, home: Path) -> bool:
    """Whether `path` is the home directory or a folder that it lies in: too much to show for a toolchain's sake."""
    return home.is_relative_to(path) or Path(os.path.realpath(home)).is_relative_to(Path(os.path.realpath(path)))


def visible(folders: Iterable[Path], home: Path) -> tuple[Path, ...]:
    """The paths to show for `folders` (or files) that may be read: they exist and, searched, hold nothing denied.

    A path that is a symbolic link is to be shown as one. Links that are given show what they lead to as well, those
    inside folders do not. Sockets are left out: a server of the user's listens behind them. A folder that holds the
    home directory shows nothing.
    """
    found: list[Path] = []
    places = _places(home)
    for folder in _outermost(hop for given in folders for hop in _hops(given)):
        real = Path(os.path.realpath(folder))
        if any(is_denied(path, home) or holds_home(path, home) for path in (folder, real)):
            continue
        found += _leaves(folder, places, _DEPTH)
    return tuple(dict.fromkeys(found))


def _hops(path: Path) -> Iterator[Path]:
    """A path, and where it leads if it is a link, link by link."""
    for _ in range(16):
        yield path
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent / os.readlink(path)))


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Each that exists and does not lie in another one."""
    kept: list[Path] = []
    for folder in sorted({path for path in folders if path.is_absolute() and os.path.lexists(path)}):
        if not any(folder.is_relative_to(above) and not above.is_symlink() for above in kept):
            kept.append(folder)
    return kept


def _leaves(path: Path, places: frozenset[str], depth: int) -> list[Path]:
    """`path` where nothing in it is denied, else its children for which that holds, and so on."""
    if path.is_symlink() or not path.is_dir() or depth == 0:
        return [path]
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:  # neither can a command read it
        return [path]
    parts: list[Path] = []
    whole = True
    for entry in entries:
        child = path / entry.name
        if _is_secret_name(entry.name) or entry.path in places or _is_secret_file(child) or _is_special(entry):
            whole = False
        elif entry.is_dir(follow_symlinks=False) and entry.name not in _PACKAGES:
            inner = _leaves(child, places, depth - 1)
            whole = whole and inner == [child]
            parts += inner
        else:
            parts.append(child)
    return [path] if whole else parts


def _places(home: Path) -> frozenset[str]:
    """The denied places below the home directory, also where that is reached by another path."""
    return frozenset(str(top / name) for top in (home, Path(os.path.realpath(home))) for name in _BELOW_HOME)


def _is_secret_name(name: str) -> bool:
    return name in _NAMES or name.startswith(".env.")


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a socket, a pipe or a device."""
    return not (entry.is_symlink() or entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))


def _is_secret_file(path: Path) -> bool:
    """Whether a file's name says that it is one, or it may hold a secret and does."""
    if path.name not in _FILES and path.name not in _SETTINGS:
        return False
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        if path.name in _FILES:
            return True
        with path.open("rb") as file:
            text = file.read(_READ).lower()
    except OSError:
        return True
    return any(word in text for word in _SECRET_WORDS)
