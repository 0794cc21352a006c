"""A cache with a budget of bytes: the least recently used values are dropped. Thread-safe."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class SizedCache:
    """Values by name, each with about how many bytes it takes."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, name: Hashable) -> Any:
        """The value, or None if it is not here."""
        with self._lock:
            if name not in self._known:
                return None
            self._known.move_to_end(name)
            return self._known[name][0]

    def put(self, name: Hashable, value: Any, size_bytes: int) -> None:
        """Keep a value; others may have to go."""
        with self._lock:
            self._size_bytes += size_bytes - self._known.pop(name, (None, 0))[1]
            self._known[name] = (value, size_bytes)
            while self._size_bytes > self._size_bytes_max:
                self._size_bytes -= self._known.popitem(last=False)[1][1]
