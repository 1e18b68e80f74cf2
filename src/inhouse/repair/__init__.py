"""Repairs a repository whose tests fail, with a model's help. Knows a chat client and a workspace, no engine."""

from inhouse.repair.baseline import Choice
from inhouse.repair.events import Event, as_json
from inhouse.repair.repair import RepairOptions, RepairResult, repair

__all__ = ["Choice", "Event", "RepairOptions", "RepairResult", "as_json", "repair"]
