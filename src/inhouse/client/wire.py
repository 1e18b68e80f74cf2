"""What the wire types of all APIs share. Knows no API by itself.

Types are strict: "1" is no number, though 1.0 is a whole one, as JSON does not tell them apart. Fields that we do not
know are kept aside, so that a server can say that it ignored them instead of refusing what a newer client sends.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _whole(value: Any) -> Any:
    """Languages with one kind of number send 64.0 for 64: JSON Schema calls both integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)  # behind the bounds of a field, or its description loses them
UNLIMITED = BeforeValidator(lambda value: None if value in (-1, -1.0) else value)  # of a limit: -1 is none
Whole: TypeAlias = Annotated[int, WHOLE]
Name: TypeAlias = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]  # null: not given


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
