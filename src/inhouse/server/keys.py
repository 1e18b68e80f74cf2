"""API keys: made here, kept as hashes in one file, checked in constant time. Knows no HTTP.

A key is 256 random bits, so that a plain SHA-256 of it is as hard to invert as the key is to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from inhouse.errors import InhouseError, ParameterError
from inhouse.weights.atomic import replacing

PREFIX = "ih-"
_MINUTE = 60.0


class RateLimitError(InhouseError):
    """A key is used more than its limits allow; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Key:
    """A key's name, hash (hex) and limits; None: no limit. `created` is in seconds since 1970."""

    name: str
    hash: str
    created: float
    per_minute: int | None = None
    concurrent: int | None = None


class KeyFile:
    """The keys in a JSON file that only its owner can read. Raises InhouseError when the file is not one of ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[Key]:
        """All keys, oldest first."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return []
        try:
            return [Key(**entry) for entry in json.loads(text)["keys"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InhouseError(f"{self.path}: not a file of keys ({error}); move it away and add keys anew") from error

    def add(self, name: str, *, per_minute: int | None = None, concurrent: int | None = None) -> str:
        """Makes a key and returns it: it cannot be read again. Raises ParameterError when the name is taken."""
        keys = self.all()
        if any(key.name == name for key in keys):
            raise ParameterError(f"there is a key named {name!r} already: choose another name, or revoke it first")
        secret = PREFIX + secrets.token_urlsafe(32)
        self._write([*keys, Key(name, _hash(secret), time.time(), per_minute, concurrent)])
        return secret

    def revoke(self, name: str) -> None:
        """Deletes a key. Raises ParameterError when there is none of that name."""
        keys = self.all()
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            raise ParameterError(f"there is no key named {name!r}; `inhouse key list` shows all")
        self._write(kept)

    def _write(self, keys: list[Key]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=2) + "\n"
        with replacing(self.path, 0o600) as file:
            file.write(text.encode())


class KeyRing:
    """Checks keys and their limits for one server. Follows changes of the file, so that revoking works at once."""

    def __init__(self, file: KeyFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._lock = Lock()
        self._stamp: tuple[int, int] | None = None
        self._keys: list[Key] = []
        self._recent: dict[str, deque[float]] = {}
        self._active: dict[str, int] = {}

    def find(self, secret: str) -> Key | None:
        """The key that `secret` is, if it is one. Takes the same time whichever it is."""
        given = _hash(secret)
        found = None
        for key in self._current():
            if hmac.compare_digest(key.hash, given):
                found = key
        return found

    @contextmanager
    def use(self, key: Key) -> Iterator[None]:
        """Counts one request while it lasts. Raises RateLimitError."""
        with self._lock:
            self._admit(key)
        try:
            yield
        finally:
            with self._lock:
                self._active[key.name] -= 1

    def _admit(self, key: Key) -> None:
        now = self._clock()
        recent = self._recent.setdefault(key.name, deque())
        while recent and recent[0] <= now - _MINUTE:
            recent.popleft()
        if key.per_minute is not None and len(recent) >= key.per_minute:
            wait = recent[0] + _MINUTE - now
            raise RateLimitError(f"key {key.name!r} may make {key.per_minute} requests a minute; try later", wait)
        active = self._active.get(key.name, 0)
        if key.concurrent is not None and active >= key.concurrent:
            raise RateLimitError(f"key {key.name!r} may have {key.concurrent} requests at a time; try later", 1)
        recent.append(now)
        self._active[key.name] = active + 1

    def _current(self) -> list[Key]:
        try:
            stat = self._file.path.stat()
            stamp: tuple[int, int] | None = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            stamp = None
        with self._lock:
            if stamp != self._stamp:
                self._keys = self._file.all()
                self._stamp = stamp
            return self._keys


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
