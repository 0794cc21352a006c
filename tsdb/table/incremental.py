"""What lies between two snapshots of a table: 'incremental-between' and its kin.

The first snapshot is excluded, the second included. 'delta': the rows of the files that the APPEND snapshots added, as
they were written; 'changelog': the rows of the changelog files; 'diff': merge both states, and give the rows of the
second that are not in the first; 'auto': changelog if the table makes one, else delta. Two tags are compared by diff.
A batch query sees what came, not what went; `t$audit_log` shows all with its row kinds.
Law: diff(s, e) holds the rows of e that are not in s, so that (rows of s without those gone or replaced) + diff = e.
Source: Paimon, `IncrementalDeltaStartingScanner`, `IncrementalDiffStartingScanner`, `IncrementalDiffSplitRead`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import RowKind
from tsdb.errors import OperationalError, OptionError
from tsdb.mergetree.merge import is_add
from tsdb.metadata.manifest import ADD
from tsdb.metadata.predicate import Predicate
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import parse_bool
from tsdb.row_hash import arrays, group_rows, hash_rows
from tsdb.table.data_file_reader import BATCH_ROWS
from tsdb.table.prune import Pruner
from tsdb.table.read import Fragment
from tsdb.table.refs import INCREMENTAL_OPTIONS, timestamp_of, whole_number
from tsdb.table.scan import DataSplit, entries_of_list, plan_scan
from tsdb.table.stream_scan import StreamPlan, in_order, read_changes
from tsdb.table.table import Table
from tsdb.table.tag import find_tag, get_tag, tags
from tsdb.table.tag_auto import periods

Kinds = npt.NDArray[np.int8]
Mode = Literal["delta", "changelog", "diff"]
_Place = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Between:
    """What is to be read. start None: from the very beginning; end None: there is nothing."""

    start: Snapshot | None
    end: Snapshot | None
    mode: Mode


@dataclass(frozen=True, slots=True)
class IncrementalPart:
    """Some of the rows between two snapshots; `changes` gives those that went, too."""

    table: Table
    changed: DataSplit | None
    before: tuple[DataSplit, ...] = ()
    after: tuple[DataSplit, ...] = ()

    @property
    def row_count(self) -> int | None:
        """Not known without reading."""
        return None

    def to_batches(
        self,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
        batch_size: int = BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that came, for which the filter is true."""
        wanted = self.table.schema.names if columns is None else list(columns)
        for batch, kinds in self.changes(wanted if filter is None else None):
            rows = batch.filter(pa.array(is_add(kinds)))
            yield (rows if filter is None else rows.filter(filter)).select(wanted)

    def changes(self, columns: Sequence[str] | None = None) -> Iterator[tuple[pa.RecordBatch, Kinds]]:
        """The rows with their kinds. columns: None for all; a diff always reads all."""
        if self.changed is None:
            yield from _difference(self.table, self.before, self.after)
        else:
            splits = (self.changed,)
            is_log = self.table.is_primary_key
            plan = StreamPlan(0, False, changed=splits) if is_log else StreamPlan(0, False, added=splits)
            yield from read_changes(self.table, plan, columns)


def between(table: Table, options: Mapping[str, str]) -> Between:
    """What the options ask for. Raises OptionError, and OperationalError naming the snapshots there are."""
    given = [key for key in INCREMENTAL_OPTIONS if key in options]
    if len(given) > 1:
        raise OptionError(f"'{given[0]}' and '{given[1]}' contradict each other; give one of them")
    mode = options.get("incremental-between-scan-mode", "auto").lower()
    makes_changelog = table.is_primary_key and table.options.changelog_producer != "none"
    chosen: Mode = "diff"
    if mode != "diff":
        chosen = "changelog" if mode == "changelog" or (mode == "auto" and makes_changelog) else "delta"
    if given[0] == "incremental-to-auto-tag":
        return _to_auto_tag(table, options[given[0]])
    first, comma, last = options[given[0]].partition(",")
    first, last = first.strip(), last.strip()
    if not comma or not first or not last:
        raise OptionError(f"'{given[0]}' is two snapshots, tags or times such as '3,5', not '{options[given[0]]}'")
    if given[0] == "incremental-between-timestamp":
        return _of_times(table, first, last, chosen)
    start_tag, end_tag = find_tag(table, first), find_tag(table, last)
    if start_tag is not None and end_tag is not None:
        to_snapshots = parse_bool(
            "incremental-between-tag-to-snapshot", options.get("incremental-between-tag-to-snapshot", "false")
        )
        return Between(start_tag.snapshot, end_tag.snapshot, chosen if to_snapshots else "diff")
    if not (first.isdigit() and last.isdigit()):
        raise OptionError(
            f"'incremental-between' = '{options[given[0]]}': these are neither two tags nor two snapshots of table "
            f"`{table.identifier}`"
        )
    return _of_ids(table, whole_number(given[0], first), whole_number(given[0], last), chosen)


def incremental_parts(table: Table, wanted: Between, predicate: Predicate | None = None) -> list[IncrementalPart]:
    """What is to be read. predicate: partitions without a match are left out."""
    if wanted.end is None or (wanted.start is not None and wanted.start.id >= wanted.end.id):
        return []
    if wanted.mode == "diff":
        return _diff_parts(table, wanted, predicate)
    pruner = Pruner(table, predicate)
    entries = []
    for snapshot_id in range(1 if wanted.start is None else wanted.start.id + 1, wanted.end.id + 1):
        snapshot = table.snapshots.snapshot(snapshot_id)
        if wanted.mode == "delta" and snapshot.commit_kind == "APPEND":
            entries += entries_of_list(table, snapshot.delta_manifest_list)
        elif wanted.mode == "changelog" and snapshot.commit_kind != "OVERWRITE":
            entries += entries_of_list(table, snapshot.changelog_manifest_list)
    kept = [e for e in entries if e.kind == ADD and e.bucket >= 0 and pruner.keeps_entry(e)]
    if table.hides_level_zero:
        kept = [e for e in kept if e.file.level > 0]
    return [IncrementalPart(table, split) for split in in_order(table, kept)]


def _of_ids(table: Table, first: int, last: int, mode: Mode) -> Between:
    earliest, latest = table.snapshots.earliest_id(), table.snapshots.latest_id()
    if earliest is None or latest is None:
        return Between(None, None, mode)
    if last < first:
        raise OptionError(f"'incremental-between' = '{first},{last}': the second is before the first")
    if first == last:
        return Between(None, None, mode)
    lowest = earliest if mode == "diff" and first > 0 else earliest - 1
    if first < lowest or last > latest:
        raise OperationalError(
            f"'incremental-between' = '{first},{last}': table `{table.identifier}` has the snapshots {earliest} to "
            f"{latest}, so the first can be {lowest} or later, and the last {latest} or earlier"
        )
    start = table.snapshots.snapshot(first) if first >= earliest else None
    if start is None and first > 0:
        # everything up to the expired one is left out: the delta of the earliest is the first that is read
        return Between(_only_id(table.snapshots.snapshot(earliest), first), table.snapshots.snapshot(last), mode)
    return Between(start, table.snapshots.snapshot(last), mode)


def _only_id(snapshot: Snapshot, snapshot_id: int) -> Snapshot:
    """Stands for an expired snapshot of which only the id matters."""
    text = snapshot.to_json().replace(f'"id": {snapshot.id}', f'"id": {snapshot_id}', 1)
    return Snapshot.from_json(text)


def _of_times(table: Table, first: str, last: str, mode: Mode) -> Between:
    key = "incremental-between-timestamp"
    start_ms, end_ms = timestamp_of(key, first), timestamp_of(key, last)
    if end_ms < start_ms:
        raise OptionError(f"'{key}' = '{first},{last}': the second is before the first")
    end = table.snapshots.at_or_before(end_ms)
    start = table.snapshots.at_or_before(start_ms)
    if end is None or (start is not None and start.id == end.id):
        return Between(None, None, mode)
    if start is None and mode != "diff":
        earliest = table.snapshots.earliest_id() or 1
        return _of_ids(table, earliest - 1, end.id, mode)
    return Between(start, end, mode)


def _to_auto_tag(table: Table, name: str) -> Between:
    """From the automatic tag before that one; nothing if there is none before, or none of that name."""
    every = periods(table.options)
    start = every.start(name)
    if start is None:
        raise OptionError(f"'incremental-to-auto-tag' = '{name}' is not named like an automatic tag of the table")
    if find_tag(table, name) is None:
        return Between(None, None, "diff")
    before = [(at, tag) for tag in tags(table) if (at := every.start(tag.name)) is not None and at < start]
    if not before:
        return Between(None, None, "diff")
    return Between(max(before, key=lambda item: item[0])[1].snapshot, get_tag(table, name).snapshot, "diff")


def _diff_parts(table: Table, wanted: Between, predicate: Predicate | None) -> list[IncrementalPart]:
    """A part a bucket; a partition whose number of buckets has changed is one part."""
    plans = [plan_scan(table, snapshot, predicate).splits for snapshot in (wanted.start, wanted.end)]
    totals: dict[bytes, set[int]] = defaultdict(set)
    for split in (*plans[0], *plans[1]):
        totals[split.partition].add(split.total_buckets)
    groups: dict[_Place, tuple[list[DataSplit], list[DataSplit]]] = defaultdict(lambda: ([], []))
    for side, splits in enumerate(plans):
        for split in splits:
            is_same = len(totals[split.partition]) == 1
            groups[split.partition, split.bucket if is_same else -1][side].append(split)
    return [
        IncrementalPart(table, None, tuple(before), tuple(after))
        for before, after in groups.values()
        if _contents(before) != _contents(after)
    ]


def _contents(splits: Sequence[DataSplit]) -> set[tuple[object, ...]]:
    """What tells the rows of splits apart: their files, and which of their rows are deleted."""
    return {(s.bucket, f.file_name, s.deletions.get(f.file_name)) for s in splits for f in s.files}


def _difference(
    table: Table, before: Sequence[DataSplit], after: Sequence[DataSplit]
) -> Iterator[tuple[pa.RecordBatch, Kinds]]:
    """Needs memory for both states of one bucket."""
    old, new = _rows(table, before), _rows(table, after)
    rows = pa.concat_tables([old, new])
    weights = np.repeat(np.array([-1, 1], np.int64), [old.num_rows, new.num_rows])
    columns = arrays(rows)
    groups = group_rows(columns, hash_rows(columns, rows.num_rows))
    if not groups.count:
        return
    net = np.bincount(groups.ids(), weights, minlength=groups.count).astype(np.int64)
    chosen = np.repeat(groups.first, np.abs(net))
    signs = np.repeat(np.sign(net), np.abs(net))
    kinds = np.where(signs > 0, RowKind.INSERT, RowKind.DELETE).astype(np.int8)
    order = np.argsort(chosen, kind="stable")
    chosen, kinds = chosen[order], kinds[order]
    if table.is_primary_key:
        chosen, kinds = _updates(table, rows.take(pa.array(chosen)), chosen, kinds)
    found = rows.take(pa.array(chosen)).combine_chunks()
    start = 0
    for batch in found.to_batches(max_chunksize=BATCH_ROWS):
        yield batch, kinds[start : start + batch.num_rows]
        start += batch.num_rows


def _updates(table: Table, rows: pa.Table, chosen: np.ndarray, kinds: Kinds) -> tuple[np.ndarray, Kinds]:
    """A key that went and came is one update: only its new row, as +U."""
    columns = arrays(rows.select(list(table.schema.primary_keys)))
    groups = group_rows(columns, hash_rows(columns, rows.num_rows))
    ids = groups.ids()
    is_new = kinds == RowKind.INSERT
    came = np.bincount(ids, is_new, minlength=groups.count) > 0
    went = np.bincount(ids, ~is_new, minlength=groups.count) > 0
    both = (came & went)[ids]
    kept = is_new | ~both
    updated = np.where(both & is_new, RowKind.UPDATE_AFTER, kinds).astype(np.int8)
    return chosen[kept], updated[kept]


def _rows(table: Table, splits: Sequence[DataSplit]) -> pa.Table:
    schema = table.schema.arrow_schema
    batches = [batch.cast(schema) for split in splits for batch in Fragment(table, split).to_batches()]
    return pa.Table.from_batches(batches, schema)
