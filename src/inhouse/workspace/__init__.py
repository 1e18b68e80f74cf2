"""The user's repository as the agent sees it: confined commands, files, search, edits, a copy to work in."""

from inhouse.workspace.commands import CommandResult, Launch, Limits, Runner
from inhouse.workspace.confinement import Sandbox, Unconfined, python_paths

__all__ = ["CommandResult", "Launch", "Limits", "Runner", "Sandbox", "Unconfined", "python_paths"]
