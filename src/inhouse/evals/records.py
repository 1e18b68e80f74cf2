"""A measurement's results on disk, one JSON line each, so that an interrupted run goes on where it stopped.

Knows nothing of what is measured. The first line holds the settings: results of different settings never mix.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inhouse.errors import ParameterError


class Records:
    """An append-only file of results by key. A line that a crash cut short is dropped when the file is opened."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Raises ParameterError when `path` holds results of other settings, or something else altogether."""
        self._path = path
        self._records: dict[str, Mapping[str, Any]] = {}
        lines = self._whole_lines()
        if not lines:
            self._append({"settings": dict(settings)})
            return
        found = lines[0].get("settings")
        if found != json.loads(json.dumps(settings)):
            raise ParameterError(
                f"{path} holds results of other settings ({json.dumps(found)}, not {json.dumps(settings)}); "
                "name another file, or delete it to start over"
            )
        for record in lines[1:]:
            self._records[record["key"]] = record["result"]

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        return self._records[key]

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def add(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep one result; when this returns it is on disk."""
        self._append({"key": key, "result": dict(result)})
        self._records[key] = result

    def _append(self, line: Mapping[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> list[dict[str, Any]]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ParameterError(f"{self._path} cannot be read ({error}); name another file") from error
        whole = data.rfind(b"\n") + 1
        try:
            lines = [json.loads(line) for line in data[:whole].splitlines()]
            sound = all(isinstance(line, dict) for line in lines) and all("key" in line for line in lines[1:])
        except ValueError:
            sound = False
        if not sound or (data and not whole and not data.startswith(b'{"settings"')):
            raise ParameterError(f"{self._path} is no file of results; name another file")
        if whole < len(data):
            os.truncate(self._path, whole)
        return lines
