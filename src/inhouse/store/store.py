"""The models of one user: a directory each, named as the model. Knows files and folders, not what is in them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from inhouse.errors import ModelNotFoundError
from inhouse.store.catalogue import CATALOGUE, Catalogue, find
from inhouse.store.progress import Progress, silent


@dataclass(frozen=True)
class Installed:
    """A model on disk. `path`: what to open; `size`: bytes."""

    name: str
    path: Path
    size: int


class Store:
    """The directory `root`, which need not exist yet. Directories that a user put there count as well."""

    def __init__(self, root: Path, catalogue: Catalogue = CATALOGUE) -> None:
        self.root = root
        self.catalogue = catalogue

    def list(self) -> list[Installed]:
        """What is here, by name; half-fetched models are not."""
        folders = sorted(self.root.iterdir()) if self.root.is_dir() else []
        found = ((folder, _model_in(folder)) for folder in folders if folder.is_dir() and folder.name[0] != ".")
        return [Installed(folder.name, path, _size(folder)) for folder, path in found if path is not None]

    def path(self, name: str) -> Path:
        """The file or directory to open. Raises ModelNotFoundError."""
        folder = self.root / name
        path = _model_in(folder) if _plain(name) and folder.is_dir() else None
        if path is not None:
            return path
        if name in self.catalogue:
            raise ModelNotFoundError(f"{name} is not on this machine yet: run `inhouse pull {name}`")
        here = ", ".join(model.name for model in self.list()) or "none yet"
        raise ModelNotFoundError(
            f"no file and no model named {name!r}: check the path, or choose one of those here ({here}) or of the "
            f"catalogue ({', '.join(self.catalogue)})"
        )

    def pull(self, name: str, progress: Progress = silent) -> Path:
        """Fetches a model of the catalogue, unless it is here, and returns its path.

        May be interrupted in any way, and called again. Raises ModelNotFoundError, DownloadError.
        """
        entry = find(name, self.catalogue)
        if not self.has(name):
            from inhouse.store.pull import pull  # brings what downloads need; those who only look do not

            pull(entry, self.root, progress)
        return self.path(name)

    def has(self, name: str) -> bool:
        """Whether that model is here."""
        return _plain(name) and (self.root / name).is_dir() and _model_in(self.root / name) is not None

    def size(self, name: str) -> int:
        """Bytes on disk of a model and of what an interrupted pull of it left. Raises ModelNotFoundError."""
        return sum(map(_size, self._folders(name)))

    def remove(self, name: str) -> None:
        """Deletes a model, and what an interrupted pull of it left. Raises ModelNotFoundError."""
        for folder in self._folders(name):
            shutil.rmtree(folder)

    def _folders(self, name: str) -> tuple[Path, ...]:
        """All that belongs to a model; at least one directory."""
        candidates = (self.root / name, self.root / ".partial" / name) if _plain(name) else ()
        found = tuple(folder for folder in candidates if folder.is_dir())
        if not found:
            here = ", ".join(model.name for model in self.list()) or "none"
            raise ModelNotFoundError(f"no model {name!r} in {self.root}; here are: {here}")
        return found


def default_root() -> Path:
    """Where models are kept unless the user says otherwise."""
    return Path.home() / ".local" / "share" / "inhouse" / "models"


def resolve(path_or_name: str | PathLike[str], root: Path | None = None) -> Path:
    """A path as it is, if something is there; else the model of that name. Raises ModelNotFoundError."""
    path = Path(path_or_name)
    return path if path.exists() else Store(root or default_root()).path(str(path_or_name))


def _plain(name: str) -> bool:
    """Whether a name is one of a directory directly in the store."""
    return name != "" and name == Path(name).name and not name.startswith(".")


def _model_in(folder: Path) -> Path | None:
    """What to open of a model's directory: its GGUF file, or itself if it holds safetensors; None if neither."""
    ggufs = sorted(folder.glob("*.gguf"))
    if ggufs:
        return ggufs[0]
    return folder if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
