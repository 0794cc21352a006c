"""The live rows of a plan as Parquet files with a mask over the rows of each, for an engine that reads the files itself
and knows at which position of its file each row stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tsdb.metadata.data_file import DataFileMeta
from tsdb.table.data_file_reader import Mask
from tsdb.table.deletion_file import DeletionFile
from tsdb.table.key_lookup import fixed_key
from tsdb.table.read import Fragment, plain_path
from tsdb.table.scan import DataSplit, ScanPlan
from tsdb.table.table import Table
from tsdb.table.threads import in_threads

_MASKED_FILES_MAX = 128


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A Parquet file of which some row lives. mask: which ones; None: all."""

    path: str
    row_count: int
    mask: Mask | None


def may_have_live_files(table: Table, plan: ScanPlan) -> bool:
    """Whether it is worth asking for `live_files`."""
    masked = [split for split in plan.splits if not split.raw or split.deletions]
    if not masked or sum(len(split.files) for split in masked) > _MASKED_FILES_MAX:
        return False
    if any(Fragment(table, split).folds for split in masked):
        return False
    if table.is_primary_key and fixed_key(table, plan.predicate) is not None:
        return False
    files = [(split, file) for split in plan.splits for file in split.files]
    return all(plain_path(table, split, file) is not None for split, file in files) and all(
        isinstance(deletion, DeletionFile) for split in masked for deletion in split.deletions.values()
    )


def live_files(table: Table, plan: ScanPlan) -> list[LiveFile]:
    """The files of the plan without those in which no row lives. Masks of merges are kept for the next read."""
    found = in_threads(lambda split: list(_of_split(table, split)), plan.splits)
    return [file for files in found for file in files]


def _of_split(table: Table, split: DataSplit) -> Iterator[LiveFile]:
    masks = Fragment(table, split).masks()
    for file in split.files:
        mask = masks.get(file.file_name)
        if mask is None or mask.any():
            yield LiveFile(_path(table, split, file), file.row_count, None if mask is None or mask.all() else mask)


def _path(table: Table, split: DataSplit, file: DataFileMeta) -> str:
    path = plain_path(table, split, file)
    assert path is not None
    return path
