"""Models that are split over several GGUF files, as `llama-gguf-split` writes them. Knows no tensor names.

The first file has all of the metadata; each has a part of the tensors, and `split.no`, `split.count` and
`split.tensors.count` say which of how many it is, and how many tensors there are in all.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from inhouse.errors import ModelFileError
from inhouse.weights.gguf import GGUFFile, TensorInfo, read_gguf

_NAME = re.compile(r"(?P<stem>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf")
_TOGETHER = "put all parts of the model into one folder, under the names they were given"
_MOST = 10_000


def part_paths(path: Path) -> list[Path]:
    """The files of the model that `path` is a file of, by its name alone; they need not be there."""
    found = _NAME.fullmatch(path.name)
    if found is None or not 1 < int(found["count"]) <= _MOST:
        return [path]
    count = int(found["count"])
    return [path.with_name(f"{found['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def open_gguf(path: Path) -> GGUFFile:
    """Maps a file, and the other parts of a model that is split; any of them may be given.

    Raises ModelNotFoundError, ModelFileError (which names a part that is missing) or TensorError.
    """
    file = read_gguf(path)
    count = file.metadata.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return file
    paths = part_paths(path)
    if len(paths) != count:
        raise ModelFileError(
            path, f"one of {count} parts, but not named as one (NAME-00001-of-{count:05}.gguf)", _TOGETHER
        )
    for number, part in enumerate(paths, 1):
        if not part.is_file():
            raise ModelFileError(path, f"part {number} of {count} is missing: {part}", _TOGETHER)
    return _joined([file if part == path else read_gguf(part) for part in paths])


def _joined(files: list[GGUFFile]) -> GGUFFile:
    first = files[0]
    infos: dict[str, TensorInfo] = {}
    homes: dict[str, GGUFFile] = {}
    for number, file in enumerate(files):
        if file.metadata.get("split.no") != number or file.metadata.get("split.count") != len(files):
            problem = (
                f"says that it is part {file.metadata.get('split.no', 0)} (from 0), its name that it is part {number}"
            )
            raise ModelFileError(file.path, problem, _TOGETHER)
        if again := infos.keys() & file.infos.keys():
            raise ModelFileError(file.path, f"has tensor {min(again)!r}, which another part has as well", _TOGETHER)
        infos |= file.infos
        if number:
            homes |= dict.fromkeys(file.infos, file)
    wanted = first.metadata.get("split.tensors.count", len(infos))
    if wanted != len(infos):
        raise ModelFileError(first.path, f"its parts have {len(infos)} tensors of {wanted}", "fetch them again")
    return replace(first, infos=MappingProxyType(infos), parts=MappingProxyType(homes))
