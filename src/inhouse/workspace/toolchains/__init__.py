"""The programs that the user's shell would run: where they are installed, and what a confined command may see of it."""

from inhouse.workspace.toolchains.user import UserEnvironment
from inhouse.workspace.toolchains.visible import Toolchains, find_toolchains

__all__ = ["Toolchains", "UserEnvironment", "find_toolchains"]
