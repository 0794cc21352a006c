"""What a serde is: bytes of complete lines to changes, and changes to bytes.

A decoder works on blocks of lines with vectorised parsers. Such a parser fails as a whole, so `decode_all` halves a
block that failed until the bad line stands alone: one implementation decides what a line means, on every path.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch
from tsdb.connector.connector import ChangelogMode
from tsdb.options import OptionSpec

EXCERPT_MAX = 160
_NEWLINE = 10
_BLANK = np.array([9, 13, 32], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Truncate:
    """The source table was emptied at this point of the changes."""


Change = ChangeBatch | Truncate
T = TypeVar("T")


@dataclass(slots=True)
class Decoded:
    """What a block of lines gave: changes in order, and how many lines were skipped because they were malformed.

    places: for each change, the line of each of its rows, in the block; only change logs say it.
    """

    changes: list[Change] = field(default_factory=list)
    skipped: int = 0
    places: list[np.ndarray] = field(default_factory=list)


class BadLine(Exception):
    """A line that cannot be decoded. index: which of the block's lines, from 0. The source adds the file's name."""

    def __init__(self, index: int, reason: str, line: bytes) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason
        text = line.decode("utf-8", "replace").strip()
        self.excerpt = text if len(text) <= EXCERPT_MAX else text[:EXCERPT_MAX] + " …"


class Lines:
    """Complete lines: the bytes, and where each line starts. `starts` has one more entry, the end of the last line."""

    __slots__ = ("_numbers", "data", "starts")

    def __init__(self, data: bytes, starts: np.ndarray | None = None, numbers: np.ndarray | None = None) -> None:
        """starts: int64, n + 1; computed from the newlines when absent. numbers: see `numbers`."""
        self.data = data
        self._numbers = numbers
        if starts is None:
            ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE) + 1
            if len(data) and (len(ends) == 0 or ends[-1] != len(data)):
                ends = np.append(ends, len(data))
            starts = np.concatenate([np.zeros(1, np.int64), ends])
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def numbers(self) -> np.ndarray:
        """The place of each line in the block that these lines are a part of."""
        return np.arange(len(self)) if self._numbers is None else self._numbers

    def part(self, begin: int, end: int) -> "Lines":
        """Lines begin … end-1."""
        return Lines(self.data, self.starts[begin : end + 1], self.numbers[begin:end])

    def raw(self) -> bytes:
        """All lines as they are."""
        return self.data[int(self.starts[0]) : int(self.starts[-1])]

    def line(self, index: int) -> bytes:
        """One line, without the end of line."""
        return self.data[int(self.starts[index]) : int(self.starts[index + 1])].rstrip(b"\r\n")

    def first_bytes(self) -> np.ndarray:
        """The first byte of each line that is no blank, as uint8; 0 for a blank line."""
        codes = np.frombuffer(self.data, np.uint8)
        at, ends = self.starts[:-1].copy(), self.starts[1:]
        first = np.zeros(len(at), np.uint8)
        open_lines = np.arange(len(at))
        while len(open_lines):  # one round per leading blank, not per line
            codes_here = codes[at[open_lines]]
            is_blank = np.isin(codes_here, _BLANK)
            done = open_lines[~is_blank]
            first[done] = codes_here[~is_blank]
            open_lines = open_lines[is_blank]
            at[open_lines] += 1
            open_lines = open_lines[at[open_lines] < ends[open_lines]]
        first[first == _NEWLINE] = 0
        return first

    def select(self, mask: np.ndarray) -> "Lines":
        """The lines where mask is True, copied together."""
        if mask.all():
            return self
        lengths = np.diff(self.starts)
        codes = np.frombuffer(self.data, np.uint8)[int(self.starts[0]) : int(self.starts[-1])]
        kept = codes[np.repeat(mask, lengths)].tobytes()
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[mask])])
        return Lines(kept, starts, self.numbers[mask])

    def array(self) -> pa.LargeBinaryArray:
        """The lines as an Arrow array, without copying; ends of line included."""
        offsets = pa.py_buffer(np.ascontiguousarray(self.starts, dtype=np.int64))
        return pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(self), [None, offsets, pa.py_buffer(self.data)], 0
        )


class Decoder(Protocol):
    """Bytes to changes. Keeps no position: decoding a block again gives the same changes."""

    @property
    def mode(self) -> ChangelogMode:
        """Which changes come."""
        ...

    def decode(self, lines: Lines) -> Decoded:
        """The changes of complete lines, in order. Raises BadLine unless the options say to skip."""
        ...


class Encoder(Protocol):
    """Changes to bytes."""

    @property
    def mode(self) -> ChangelogMode:
        """`append` if only new rows can be written, else `all`."""
        ...

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines. Weights are 1 when the mode is `append`."""
        ...


class Serde(Protocol):
    """A format. `options` have keys that begin with its name and a dot."""

    @property
    def name(self) -> str:
        """The value of the option `format`."""
        ...

    @property
    def options(self) -> tuple[OptionSpec, ...]:
        """The options it takes."""
        ...

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """A decoder to the rows of `schema`; key: the declared primary key or ()."""
        ...

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """An encoder; raises NotSupportedError if the format is only read."""
        ...


def decode_all(
    lines: Lines,
    parse: Callable[[Lines], Iterable[T]],
    errors: tuple[type[Exception], ...],
    *,
    skip: bool,
    reason: Callable[[bytes, Exception], str],
    keep: np.ndarray | None = None,
) -> tuple[list[T], int]:
    """Parse a block; where it fails, halve it until the bad line stands alone, and raise BadLine or skip and count it.

    parse: takes lines, raises one of `errors` if any of them is bad. keep: the lines that count; by default those
    that are not blank. Costs one parse when all lines are good, and about 2 log2(n) smaller ones per bad line.
    Returns the parts in order and the number of lines skipped.
    """
    keep = lines.first_bytes() != 0 if keep is None else keep
    numbers = np.flatnonzero(keep)
    lines = lines.select(keep)
    results: list[T] = []
    skipped = 0
    waiting = [(0, len(lines))]
    while waiting:
        begin, end = waiting.pop()
        if begin == end:
            continue
        try:
            results.extend(parse(lines.part(begin, end)))
        except errors as err:
            if end - begin > 1:
                middle = (begin + end) // 2
                waiting += [(middle, end), (begin, middle)]
            elif skip:
                skipped += 1
            else:
                line = lines.line(begin)
                raise BadLine(int(numbers[begin]), reason(line, err), line) from err
    return results, skipped
