"""JSON schemas as people write them for tools, and stranger ones, by a seed."""

from __future__ import annotations

import random
from typing import Any

Schema = dict[str, Any]

PATTERNS = ("^[0-9]{4}$", "[a-z]+", "^a|b$", "^(x|yy)*z?$", r"^\d{1,3}(\.\d{1,3})?$", "q", "^[^/]+/[^/]+$", "^.{2,5}$")
FORMATS = ("date", "date-time", "uuid", "email", "ipv4", "time")
WORDS = (
    "a",
    "b c",
    "null",
    "true",
    "12",
    "1.5",
    '"quoted"',
    "[x]",
    "",
    "Grün",
    "two\nlines",
    " left",
    "{",
    "</parameter>",
)
VALUES = (1, 2, -7, 2.5, None, True, False, "a", "7", "null", [1], {"k": "v"}, 10**12)


class Maker:
    """Draws one schema of a tool's parameters."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._definitions: dict[str, Schema] = {}

    def parameters(self) -> Schema:
        """An object's, mostly; with a union at its top now and then."""
        for index in range(self._random.choice((0, 0, 1, 2))):
            self._definitions[f"d{index}"] = self.value(2)
        if self._random.random() < 0.1:
            following = {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]}
            self._definitions["list"] = {"type": "object", "properties": {"next": following}, "required": ["next"]}
        schema = self.object(0)
        if self._random.random() < 0.1:
            schema["anyOf"] = [{"required": [name]} for name in schema["properties"]] or [{}]
        if self._random.random() < 0.05:
            schema = {"oneOf": [self._tagged(tag) for tag in "ab"]}
        if self._definitions:
            schema["$defs"] = self._definitions
        return schema

    def _tagged(self, tag: str) -> Schema:
        made = self.object(1)
        made["properties"]["tag"] = {"const": tag}
        made["required"] = ["tag"]
        return made

    def object(self, depth: int) -> Schema:
        names = [f"p{index}" for index in range(self._random.randrange(0, 4 if depth else 5))]
        properties = {name: self.value(depth + 1) for name in names}
        schema: Schema = {"type": "object", "properties": properties}
        schema["required"] = [name for name in names if self._random.random() < 0.6]
        extra = self._random.random()
        if extra < 0.4:
            schema["additionalProperties"] = False
        elif extra < 0.5:
            schema["additionalProperties"] = self.value(depth + 1)
        return schema

    def value(self, depth: int) -> Schema:
        kinds = ["string", "string", "integer", "number", "boolean", "null", "enum", "const", "types", "any"]
        if depth < 3:
            kinds += ["array", "object", "anyOf", "anyOf", "oneOf", "allOf"]
        if self._definitions:
            kinds += ["ref", "ref"]
        made: Schema = getattr(self, f"_{self._random.choice(kinds)}")(depth)
        if self._random.random() < 0.2:
            made = {**made, "description": "What it is.", "title": "It"}
        return made

    def _string(self, depth: int) -> Schema:
        kind = self._random.randrange(6)
        if kind == 0:
            return {"type": "string", "pattern": self._random.choice(PATTERNS)}
        if kind == 1:
            least = self._random.randrange(4)
            return {"type": "string", "minLength": least, "maxLength": least + self._random.randrange(6)}
        if kind == 2:
            return {"type": "string", "format": self._random.choice(FORMATS)}
        return {"type": "string", "minLength": 1} if kind == 3 else {"type": "string"}

    def _integer(self, depth: int) -> Schema:
        low = self._random.randrange(-20, 20)
        limits: list[Schema] = [{}, {"minimum": low}, {"minimum": low, "maximum": low + 9}, {"exclusiveMaximum": low}]
        return {"type": "integer", **self._random.choice(limits)}

    def _number(self, depth: int) -> Schema:
        return {"type": "number", **self._random.choice([{}, {"minimum": 0, "maximum": 1}, {"exclusiveMinimum": 0}])}

    def _boolean(self, depth: int) -> Schema:
        return {"type": "boolean"}

    def _null(self, depth: int) -> Schema:
        return {"type": "null"}

    def _any(self, depth: int) -> Schema:
        return {}

    def _enum(self, depth: int) -> Schema:
        pool = self._random.choice([WORDS, VALUES])
        values = self._random.sample(pool, self._random.randrange(1, 5))
        return {"enum": values, **({"type": "string"} if pool is WORDS and self._random.random() < 0.5 else {})}

    def _const(self, depth: int) -> Schema:
        return {"const": self._random.choice([*WORDS, *VALUES])}

    def _types(self, depth: int) -> Schema:
        names = ["string", "integer", "number", "boolean", "null", "array", "object"]
        schema: Schema = {"type": self._random.sample(names, self._random.randrange(1, 4))}
        if self._random.random() < 0.3:
            schema["minLength"] = 2
        if self._random.random() < 0.3:
            schema["minimum"] = 3
        return schema

    def _array(self, depth: int) -> Schema:
        limits: list[Schema] = [{}, {"maxItems": 3}, {"minItems": 1, "maxItems": 2}]
        return {"type": "array", "items": self.value(depth + 1), **self._random.choice(limits)}

    def _object(self, depth: int) -> Schema:
        return self.object(depth + 1)

    def _anyOf(self, depth: int) -> Schema:  # noqa: N802 (the keyword)
        return {"anyOf": [self.value(depth + 1) for _ in range(self._random.randrange(1, 4))]}

    def _oneOf(self, depth: int) -> Schema:  # noqa: N802
        return {"oneOf": [self.value(depth + 1) for _ in range(2)]}

    def _allOf(self, depth: int) -> Schema:  # noqa: N802
        return {"allOf": [self.value(depth + 1), {"description": "More of it."}]}

    def _ref(self, depth: int) -> Schema:
        return {"$ref": f"#/$defs/{self._random.choice(sorted(self._definitions))}"}
