"""The live rows of a plan as Parquet files and sequence numbers, for an engine that reads the files itself.

A mask says by position which rows of a file live. Whoever cannot filter by position can filter by `_SEQUENCE_NUMBER`,
where no living row of a split shares that number with a dead one. Writers give every row of a bucket a number of its
own, but two that write side by side may give one twice; so this is checked, and where it is not so there is nothing to
be had here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsdb.format.parquet import SEQUENCE_NUMBER
from tsdb.mergetree.merge import merge_spec
from tsdb.metadata.data_file import DataFileMeta
from tsdb.table.data_file_reader import Mask, read_file
from tsdb.table.deletion_file import DeletionFile
from tsdb.table.key_lookup import fixed_key
from tsdb.table.read import Fragment, plain_path
from tsdb.table.scan import DataSplit, ScanPlan
from tsdb.table.sized_cache import SizedCache
from tsdb.table.table import Table
from tsdb.table.threads import in_threads

_MASKED_SPLITS_MAX = 64
_SPARSENESS_MAX = 16  # numbers from the smallest to the largest, for each row

_CACHE = SizedCache(64 << 20)


@dataclass(frozen=True, slots=True)
class LiveFiles:
    """Parquet files, of whose rows those live whose sequence number does. numbers: None: all of them.

    first: the sequence number that the first bit stands for.
    """

    paths: tuple[str, ...]
    numbers: npt.NDArray[np.uint8] | None = None
    first: int = 0

    def flags(self) -> Mask:
        """By sequence number minus `first`, whether the row lives."""
        assert self.numbers is not None
        return np.unpackbits(self.numbers).view(np.bool_)


def may_have_live_files(table: Table, plan: ScanPlan) -> bool:
    """Whether it is worth asking for `live_files`."""
    if not table.is_primary_key or fixed_key(table, plan.predicate) is not None:
        return False
    masked = [split for split in plan.splits if not split.raw or split.deletions]
    if not masked or len(masked) > _MASKED_SPLITS_MAX:
        return False
    if any(Fragment(table, split).folds for split in masked):
        return False
    files = [(split, file) for split in plan.splits for file in split.files]
    return all(plain_path(table, split, file) is not None for split, file in files) and all(
        isinstance(deletion, DeletionFile) for split in masked for deletion in split.deletions.values()
    )


def live_files(table: Table, plan: ScanPlan) -> list[LiveFiles] | None:
    """The files of the plan, those of a split together; None if sequence numbers do not tell which rows live."""
    found = in_threads(lambda split: _of_split(table, split), plan.splits)
    if any(parts is None for parts in found):
        return None
    whole = [path for parts in found for part in parts or () if part.numbers is None for path in part.paths]
    masked = [part for parts in found for part in parts or () if part.numbers is not None]
    return [LiveFiles(tuple(whole)), *masked] if whole else masked


def _of_split(table: Table, split: DataSplit) -> list[LiveFiles] | None:
    spec = merge_spec(table.schema, table.options)
    identity = (split.bucket_path, split.raw, spec, tuple(file.file_name for file in split.files),
                tuple(sorted((name, str(place)) for name, place in split.deletions.items())))  # fmt: skip
    known: tuple[list[LiveFiles] | None] | None = _CACHE.get(identity)
    if known is None:
        known = (_found(table, split),)
        sizes = (part.numbers.nbytes for part in known[0] or () if part.numbers is not None)
        _CACHE.put(identity, known, 1000 + sum(sizes))
    return known[0]


def _found(table: Table, split: DataSplit) -> list[LiveFiles] | None:
    masks = Fragment(table, split).masks()
    whole = [_path(table, split, file) for file in split.files if masks.get(file.file_name) is None]
    partly = [(file, mask) for file in split.files if (mask := masks.get(file.file_name)) is not None and mask.any()]
    parts = [LiveFiles(tuple(whole))] if whole else []
    if not partly:
        return parts
    numbers = np.concatenate([_numbers(table, split, file) for file, _ in partly])
    live = np.concatenate([mask for _, mask in partly])
    flags = flags_by_number(numbers, live)
    if flags is None:
        return None
    files = tuple(_path(table, split, file) for file, _ in partly)
    return [*parts, LiveFiles(files, np.packbits(flags), int(numbers.min()))]


def flags_by_number(numbers: npt.NDArray[np.int64], live: Mask) -> Mask | None:
    """Which rows live, by their number minus the smallest. numbers, live: of each row.

    None if a row that lives has the number of one that does not, or if the numbers lie too far apart.
    """
    first = int(numbers.min())
    size = int(numbers.max()) - first + 1
    if size > _SPARSENESS_MAX * len(numbers):
        return None
    flags = np.zeros(size, np.bool_)
    flags[numbers[live] - first] = True
    return None if flags[numbers[~live] - first].any() else flags


def _path(table: Table, split: DataSplit, file: DataFileMeta) -> str:
    path = plain_path(table, split, file)
    assert path is not None
    return path


def _numbers(table: Table, split: DataSplit, file: DataFileMeta) -> npt.NDArray[np.int64]:
    batches: Sequence[npt.NDArray[np.int64]] = [
        np.asarray(batch.column(0)) for batch in read_file(table, file, split.bucket_path, [SEQUENCE_NUMBER])
    ]
    return np.concatenate(batches)
