"""Names of files and folders that programs outside the sandbox read or run without being asked to. The one list.

Git runs hooks and what its configuration names; shells, editors, debuggers, assistants and package managers read
start-up files of the folder that they are started in. Edit tools refuse these names anywhere in the tree (`paths`);
confined commands cannot change or make them (`confinement.protected` says what is held how).
"""

from __future__ import annotations

from collections.abc import Iterable

PROTECTED_NAMES = frozenset(
    {
        # version control
        ".git", ".gitconfig", ".githooks", ".gitmodules", ".hg", ".husky", ".svn",
        # shells and what they load
        ".bash_login", ".bash_logout", ".bash_profile", ".bashrc", ".cshrc", ".envrc", ".inputrc", ".kshrc", ".login",
        ".profile", ".tcshrc", ".tmux.conf", ".zlogin", ".zlogout", ".zprofile", ".zshenv", ".zshrc",
        # editors and assistants
        ".claude", ".cursor", ".devcontainer", ".dir-locals.el", ".emacs", ".emacs.d", ".exrc", ".fleet", ".gvimrc",
        ".idea", ".mcp.json", ".nvim.lua", ".nvimrc", ".vimrc", ".vscode", ".zed",
        # debuggers
        ".gdbinit", ".lldbinit", ".pdbrc",
        # where packages come from and with which keys
        ".netrc", ".npmrc", ".pypirc", ".ssh",
    }
)  # fmt: skip


def protected_part(parts: Iterable[str]) -> str | None:
    """The first of a path's parts that is protected, in whatever case: some file systems make no difference."""
    return next((part for part in parts if part.casefold() in PROTECTED_NAMES), None)
