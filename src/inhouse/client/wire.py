"""What the wire types of all APIs share. Knows no API by itself.

Types are strict: "1" is no number. Fields that we do not know are kept aside, so that a server can say that it ignored
them instead of refusing what a newer client sends.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())

    @property
    def unknown(self) -> list[str]:
        """The names of fields that this type does not have."""
        return sorted(self.model_extra or {})

    def wire(self) -> dict[str, Any]:
        """What was given, unknown fields included, as JSON values."""
        return self.model_dump(mode="python", exclude_unset=True)
