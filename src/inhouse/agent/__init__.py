"""The loop that repairs a repository with a model's help. Knows a chat client and a workspace, no engine."""

from inhouse.agent.events import Event, as_json
from inhouse.agent.fix import FixOptions, FixResult, fix

__all__ = ["Event", "FixOptions", "FixResult", "as_json", "fix"]
