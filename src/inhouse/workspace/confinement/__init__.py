"""Commands that cannot get out: what they see, what they may write, and what confines them on this machine."""

from inhouse.workspace.confinement.interpreters import python_paths
from inhouse.workspace.confinement.sandbox import Sandbox
from inhouse.workspace.confinement.unconfined import Unconfined

__all__ = ["Sandbox", "Unconfined", "python_paths"]
