"""Copy on write: an append table has no keys, so the files that hold rows to change are found and written anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from tsdb.exec.batch.change import Planner, select
from tsdb.exec.batch.dataset import Readable
from tsdb.exec.batch.query import open_rows, scans
from tsdb.exec.batch.writing import write
from tsdb.exec.plan import FILE_NUMBER
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.snapshot import Snapshot
from tsdb.sql.statements import TableName
from tsdb.table.commit_message import CommitMessage
from tsdb.table.deletion_file import DeletionFile, NewlyDeleted
from tsdb.table.deletion_maintainer import removal_messages
from tsdb.table.read import fragments
from tsdb.table.scan import DataSplit, ScanPlan
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class _FilePart:
    """One file of a table, with a column that says which."""

    number: int
    part: Readable

    @property
    def row_count(self) -> int | None:
        """As the file's."""
        return self.part.row_count

    def to_batches(
        self, columns: Sequence[str] | None, filter: pc.Expression | None, batch_size: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows, then the number of the file where it is asked for."""
        wanted = None if columns is None else [name for name in columns if name != FILE_NUMBER]
        for batch in self.part.to_batches(wanted, filter, batch_size):
            if columns is None or FILE_NUMBER not in columns:
                yield batch
                continue
            numbered = batch.append_column(FILE_NUMBER, pa.repeat(pa.scalar(self.number, pa.int64()), batch.num_rows))
            yield numbered.select(list(columns))


@dataclass(frozen=True, slots=True)
class Matching:
    """The files of a table that hold matching rows. rows: how many match. snapshot: in which they were found."""

    splits: tuple[DataSplit, ...]
    rows: int
    snapshot: Snapshot | None = None


def matching_files(
    target: TableName, table: Table, where: exp.Expr | None, plan_of: Planner, alias: str | None = None
) -> Matching:
    """One query counts the matching rows of each file that the condition does not rule out. alias: of the target."""
    number = exp.column(FILE_NUMBER, quoted=True)
    counted = exp.alias_(exp.Anonymous(this="count", expressions=[exp.Star()]), "rows", quoted=True)
    query = select([number, counted], target, where, alias)
    query.set("group", exp.Group(expressions=[number.copy()]))
    plan = plan_of(query, numbered_files=True)
    scan = scans(plan)[0].plan
    files = one_file_splits(scan)
    parts = [_FilePart(i, part) for i, split in enumerate(files) for part in whole_files(table, [split])]
    numbers: list[int] = []
    rows = 0
    for batch in open_rows(plan, parts):
        numbers += batch.column(0).to_pylist()
        rows += pc.sum(batch.column(1)).as_py()
    found = tuple(files[number] for number in sorted(numbers))
    return Matching(found, rows, None if scan is None else scan.snapshot)


def rewrite(table: Table, matching: Matching, rows: Iterable[pa.Table]) -> int:
    """Put the rows in the place of the matching files."""
    if matching.rows == 0:
        return 0
    write(table, ((part, None) for part in rows), replaced=replacements(table, matching))
    return matching.rows


def replacements(table: Table, matching: Matching) -> list[CommitMessage]:
    """What removes the matching files."""
    return removal_messages(table, matching.snapshot, ((split, None) for split in matching.splits))


def one_file_splits(plan: ScanPlan | None) -> list[DataSplit]:
    """A split for each file of the plan."""
    splits = plan.splits if plan is not None else ()
    return [replace(split, files=(file,), deletions=_of(split, file)) for split in splits for file in split.files]


def _of(split: DataSplit, file: DataFileMeta) -> Mapping[str, DeletionFile | NewlyDeleted]:
    return {name: deletion for name, deletion in split.deletions.items() if name == file.file_name}


def whole_files(table: Table, splits: Sequence[DataSplit]) -> list[Readable]:
    """The files to read as a whole: no predicate skips rows of them."""
    return list(fragments(table, ScanPlan(None, tuple(splits))))
