"""Following files of lines: appended bytes and new files, by position {file: [bytes read, checksum of its head]}.

Only complete lines are taken, so a line that is still being written waits for its end. Files of a directory are read in
the order of their names; names that begin with `.` or `_` are not read. Of every file the first bytes are remembered: a
log that was rotated, truncated or rewritten is an error and never read as if it were the old one.
Files are read with plain reads, not memory maps: a mapped file that is truncated by its writer kills the process.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, negate, plus
from tsdb.connector.connector import ChangelogMode, Json, SourceDelta
from tsdb.connector.fold import removals
from tsdb.connector.serde.serde import BadLine, Decoder, Lines, Truncate
from tsdb.errors import MalformedRecord, OperationalError

_BLOCK_BYTES = 8 << 20
_HEAD_BYTES = 1024
_NEWLINE = 10


@dataclass(slots=True)
class _Progress:
    """How far one file is read. head: checksum of its first min(offset, _HEAD_BYTES) bytes."""

    offset: int
    head: int


@dataclass(frozen=True, slots=True)
class _Block:
    path: str
    offset: int
    data: bytes


class FileSource:
    """See the module. bounded: it ends at what is there now, and a last line needs no line break."""

    def __init__(
        self, name: str, path: str, decoder: Decoder, schema: pa.Schema, key: tuple[str, ...], *, bounded: bool
    ) -> None:
        """name: of the table, for messages."""
        self._name = name
        self._path = path
        self._decoder = decoder
        self._progress: dict[str, _Progress] = {}
        self._ends = {f: os.stat(f).st_size for f in files_of(name, path)} if bounded else None
        self._latest = False
        self.schema = schema
        self.mode: ChangelogMode = decoder.mode
        self.upsert_key: tuple[str, ...] | None = key or None
        self.skipped = 0

    @property
    def position(self) -> Json:
        """{file: [bytes read, checksum of the first of them]}."""
        return {path: [p.offset, p.head] for path, p in self._progress.items()}

    @property
    def finished(self) -> bool:
        """Bounded, and every file is read up to where it ended."""
        return self._ends is not None and all(self._offset(f) >= end for f, end in self._ends.items())

    def poll(self, rows_max: int) -> SourceDelta | None:
        """The changes of the next lines, of as many files as it takes. What precedes a bad line is given before it."""
        changes: list[ChangeBatch] = []
        self._latest = True
        for block in self._blocks(rows_max):
            self._latest = False
            try:
                changes += self._decode(block)
            except MalformedRecord:
                if not changes:
                    raise
                break
            self._advance(block)
        return None if self._latest else SourceDelta(changes)

    def seek(self, position: Json) -> None:
        """Go on from a position. Raises OperationalError if the files are no longer those."""
        self._progress = {path: _Progress(offset, head) for path, (offset, head) in position.items()}
        for path, progress in self._progress.items():
            self._check_same(path, progress)

    def latest_reached(self) -> bool:
        """The last poll found no complete line."""
        return self._latest

    def close(self) -> None:
        """Nothing is held open between polls."""

    def _offset(self, path: str) -> int:
        progress = self._progress.get(path)
        return 0 if progress is None else progress.offset

    def _blocks(self, rows_max: int) -> Iterator[_Block]:
        """The next complete lines, a block a file, about rows_max in all; nothing if no file has any."""
        paths = files_of(self._name, self._path) if self._ends is None else self._ends
        for path in {**dict.fromkeys(self._progress), **dict.fromkeys(paths)}:
            offset, size = self._offset(path), self._size(path)
            end = size if self._ends is None else self._ends.get(path, offset)
            if path in self._progress and min(end, size) < offset:
                raise OperationalError(_changed(self._name, path, offset, "is shorter now"))
            if end > offset:
                if path in self._progress:
                    self._check_same(path, self._progress[path])
                data = _complete_lines(path, offset, end, rows_max, whole=self._ends is not None)
                if data:
                    yield _Block(path, offset, data)
                    rows_max -= data.count(b"\n")
            if rows_max <= 0:
                return

    def _size(self, path: str) -> int:
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            if path in self._progress:
                raise OperationalError(_changed(self._name, path, self._offset(path), "is gone")) from None
            return 0

    def _check_same(self, path: str, progress: _Progress) -> None:
        if self._size(path) < progress.offset:
            raise OperationalError(_changed(self._name, path, progress.offset, "is shorter now"))
        if _head(path, progress.offset) != progress.head:
            raise OperationalError(_changed(self._name, path, progress.offset, "begins with other bytes now"))

    def _advance(self, block: _Block) -> None:
        offset = block.offset + len(block.data)
        progress = self._progress.get(block.path)
        if progress is not None and progress.offset >= _HEAD_BYTES:
            progress.offset = offset
        else:
            self._progress[block.path] = _Progress(offset, _head(block.path, offset))

    def _decode(self, block: _Block) -> list[ChangeBatch]:
        """The changes of a block; a truncate becomes the removal of what was there before."""
        try:
            decoded = self._decoder.decode(Lines(block.data))
        except BadLine as bad:
            number = _line_number(block, bad.index)
            raise MalformedRecord(f"{block.path}, line {number}: {bad.reason}\n  {bad.excerpt}") from bad
        self.skipped += decoded.skipped
        changes: list[ChangeBatch] = []
        for change in decoded.changes:
            if not isinstance(change, Truncate):
                changes.append(change)
            else:
                earlier = [*self._delivered(), *changes]
                changes.append(self._removal(earlier))
        return changes

    def _removal(self, earlier: list[ChangeBatch]) -> ChangeBatch:
        if self.upsert_key:
            return removals(earlier, self.upsert_key, self.schema)
        return negate(plus(earlier, self.schema))

    def _delivered(self) -> Iterator[ChangeBatch]:
        """Everything before the present position, decoded again: truncates are rare, and the files are at hand."""
        again = FileSource(self._name, self._path, self._decoder, self.schema, self.upsert_key or (), bounded=True)
        again._ends = {path: p.offset for path, p in self._progress.items()}
        while (delta := again.poll(1 << 20)) is not None:
            yield from delta.changes


def files_of(name: str, path: str) -> list[str]:
    """The file, or the files of the directory by name. Raises OperationalError if there is neither."""
    if os.path.isfile(path):
        return [path]
    try:
        with os.scandir(path) as entries:
            return sorted(e.path for e in entries if e.is_file() and not e.name.startswith((".", "_")))
    except OSError as err:
        raise OperationalError(f"table `{name}`: cannot read `{path}`: {err.strerror}") from err


def _complete_lines(path: str, offset: int, end: int, rows_max: int, *, whole: bool) -> bytes:
    """At most rows_max lines from offset on, about a block at most. whole: the file's end also ends a line."""
    size = _BLOCK_BYTES
    with open(path, "rb") as file:
        while True:
            file.seek(offset)
            data = file.read(min(size, end - offset))
            at_end = offset + len(data) >= end
            ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE) + 1
            if whole and at_end and len(ends) < rows_max:
                return data
            if len(ends):
                return data[: int(ends[min(rows_max, len(ends)) - 1])]
            if at_end:
                return b""
            size *= 4


def _head(path: str, offset: int) -> int:
    with open(path, "rb") as file:
        return zlib.crc32(file.read(min(offset, _HEAD_BYTES)))


def _line_number(block: _Block, index: int) -> int:
    """From 1, in the whole file."""
    with open(block.path, "rb") as file:
        before, left = 0, block.offset
        while left and (data := file.read(min(left, _BLOCK_BYTES))):
            before += data.count(b"\n")
            left -= len(data)
    return before + index + 1


def _changed(name: str, path: str, offset: int, what: str) -> str:
    return (
        f"table `{name}`: `{path}`, of which {offset} bytes were read, {what}. It was rotated, truncated or rewritten. "
        "Put the old file back, or start the job under another name to read everything again"
    )
