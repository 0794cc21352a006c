"""A sink that never fails while it is written to: Arrow's ORC writer ends the process where a write fails.

The first error is kept, and told by whoever asks; what comes after it is thrown away.
"""

import io
from typing import Any

import pyarrow as pa


class SteadySink(io.RawIOBase):
    """Writes to a file that others open and close."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file
        self._position = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError that was met, if there was one."""
        if self._error is not None:
            raise self._error

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """How many bytes have come."""
        return self._position

    def write(self, data: Any) -> int:
        """Every byte is taken."""
        size = memoryview(data).nbytes
        self._position += size
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as err:
                self._error = err
        return size
