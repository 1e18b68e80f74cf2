"""The last values that were made, so that they need not be made again. Knows not what they are."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """At most `most` values by text, the longest unused of them forgotten first. For any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[bytes, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str, make: Callable[[], T]) -> T:
        """The value of `text`, made now unless it is here. What `make` raises is raised, and nothing is kept."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).digest()  # texts may be long
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return value
