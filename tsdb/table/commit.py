"""Committing: one new snapshot file, published only if nobody else has published that id, makes changes visible.

Everything a snapshot refers to is written before it, under new names; a crash before the publication leaves the table
as it was. Who loses the race for an id starts again from the new latest snapshot: counts, base list and conflict checks
are made anew, the manifest of its own changes is reused.

One commit may publish two snapshots with the same identifier: APPEND (or OVERWRITE) with what was written, then COMPACT
with what was compacted. Source: Paimon, `FileStoreCommitImpl`.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from tsdb import clock
from tsdb.errors import CommitConflict, OperationalError, ProgrammingError
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.index_file import IndexEntry, IndexFileMeta, write_index_manifest
from tsdb.metadata.manifest import (
    ADD,
    DELETE,
    ManifestEntry,
    ManifestFileMeta,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from tsdb.metadata.paths import FileNames
from tsdb.metadata.snapshot import BATCH_IDENTIFIER, Snapshot, SnapshotNotFound
from tsdb.options import parse_duration_ms
from tsdb.table.commit_message import CommitMessage
from tsdb.table.conflict import check_base, check_conflicts
from tsdb.table.hash_rebase import rebased, superseded
from tsdb.table.index_change import IndexChange, appended_index, compacted_index, index_after
from tsdb.table.log import follow_log, log_ends
from tsdb.table.maintenance import after_commit
from tsdb.table.manifest_merge import merge_manifests
from tsdb.table.newest import is_overtaken
from tsdb.table.publication import try_publish
from tsdb.table.row_tracking import assigned, tracks_rows
from tsdb.table.scan import POSTPONE_BUCKET, in_partition, live_files, partition_values
from tsdb.table.table import Table

Kind = Literal["APPEND", "COMPACT", "OVERWRITE", "ANALYZE"]


@dataclass(frozen=True, slots=True)
class Overwrite:
    """What an INSERT OVERWRITE replaces.

    partitions: 'dynamic': the partitions that get rows; or a static specification, column to value: all partitions
    that agree with it ({}: the whole table); or a function that says so of a serialized partition.
    """

    partitions: Literal["dynamic"] | Mapping[str, Any] | Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits, and what goes into the snapshot beside files."""

    user: str
    identifier: int
    properties: Mapping[str, str] | None = None
    watermark: int | None = None
    log_offsets: Mapping[str, int] | None = None
    statistics: str | None = None
    forced: bool = False

    @property
    def has_news(self) -> bool:
        """Whether a snapshot is worth it even without files."""
        return self.forced or bool(self.properties or self.log_offsets or self.statistics)


def commit(
    table: Table,
    messages: Sequence[CommitMessage],
    *,
    user: str,
    identifier: int = BATCH_IDENTIFIER,
    properties: Mapping[str, str] | None = None,
    watermark: int | None = None,
    overwrite: Overwrite | None = None,
    log_offsets: Mapping[str, int] | None = None,
) -> Snapshot | None:
    """Publish the messages of one writer; the last snapshot made, or None if there was nothing to do.

    A commit with an identifier of its own (not BATCH_IDENTIFIER) that is there already is not done again. Raises
    CommitConflict when another writer changed what this commit relies on; then nothing of it is visible. A compaction
    that comes with new rows is given up instead.
    """
    author = Author(user, identifier, properties, watermark, log_offsets)
    snapshot = _commit(table, messages, author, overwrite)
    if snapshot is not None:
        follow_log(table, snapshot)
        after_commit(table, snapshot, lambda gone: drop_partitions(table, gone, user=user))
    return snapshot


def drop_partitions(table: Table, gone: Callable[[bytes], bool], *, user: str) -> Snapshot | None:
    """Commit that partitions have no rows any more; None if they have none already."""
    snapshot = _commit(table, [], Author(user, BATCH_IDENTIFIER), Overwrite(gone))
    if snapshot is not None:
        follow_log(table, snapshot)
    return snapshot


def commit_statistics(table: Table, statistics: str, *, user: str) -> Snapshot | None:
    """Commit that a statistics file describes the table."""
    author = Author(user, BATCH_IDENTIFIER, statistics=statistics)
    return _publish(table, author, _Change("ANALYZE", lambda _: [], [], IndexChange()))


def commit_nothing(table: Table, *, user: str) -> Snapshot | None:
    """Commit a snapshot without changes, and do what follows a commit."""
    snapshot = _commit(table, [], Author(user, BATCH_IDENTIFIER, forced=True), None)
    assert snapshot is not None
    after_commit(table, snapshot, lambda gone: drop_partitions(table, gone, user=user))
    return snapshot


def _commit(
    table: Table, messages: Sequence[CommitMessage], author: Author, overwrite: Overwrite | None
) -> Snapshot | None:
    if overwrite is not None:
        snapshot = _publish(table, author, _overwriting(table, messages, overwrite))
        # an overwrite has no changelog: a stream sees the old and the new rows
        for m in messages:
            kept = {file.file_name for file in _lasting(m)}
            passing = [file for file in m.new_files if file.file_name not in kept]
            delete_paths(table, _paths(table, m, (*m.changelog_files, *m.compact_changelog, *passing)))
        return snapshot
    written: Snapshot | None = None
    changes = [_entry(DELETE, m, f) for m in messages for f in m.deleted_files]
    index = appended_index(messages)
    # files that waited for a bucket and are replaced by files in buckets are news, no rows that change
    is_change = any(m.deleted_files and m.bucket != POSTPONE_BUCKET for m in messages) or index.has_deletions
    kind: Kind = "OVERWRITE" if is_change else "APPEND"
    based_on = min((m.based_on for m in messages if m.based_on is not None), default=None)
    changes += [_entry(ADD, m, f) for m in messages for f in m.new_files]
    changelog = [_entry(ADD, m, f) for m in messages for f in m.changelog_files]
    if changes or changelog or index or (not messages and author.has_news):
        written = _publish(table, author, _Change(kind, lambda _: changes, changelog, index, based_on))
    compacted = [_entry(DELETE, m, f) for m in messages for f in m.compact_before]
    compacted += [_entry(ADD, m, f) for m in messages for f in m.compact_after]
    changelog = [_entry(ADD, m, f) for m in messages for f in m.compact_changelog]
    index = compacted_index(messages)
    if not compacted and not changelog and not index:
        return written
    try:
        return _publish(table, author, _Change("COMPACT", lambda _: compacted, changelog, index))
    except CommitConflict:
        if written is None:
            raise
        _discard_compaction(table, messages)
        return written
    except OSError as err:
        # a job does it again from its checkpoint, and rows that nobody sees before they are compacted are not done
        if written is None or author.identifier != BATCH_IDENTIFIER:
            raise
        if table.hides_level_zero:
            raise OperationalError(
                f"the rows are committed to table `{table.identifier}` (snapshot {written.id}), but not compacted, so "
                f"they are seen after CALL sys.compact('{table.identifier}'): {err}"
            ) from err
        warnings.warn(
            f"snapshot {written.id} of table `{table.identifier}` is committed; the compaction with it failed, and is "
            f"done later: {err}",
            RuntimeWarning,
            stacklevel=2,
        )
        if not _has_followed(table, author, written):
            _discard_compaction(table, messages)
        return written


def _has_followed(table: Table, author: Author, written: Snapshot) -> bool:
    """Whether the compaction that failed may be part of the table all the same."""
    try:
        table.snapshots.forget()
        return _own_since(table, author, "COMPACT", written.id, table.snapshots.latest()) is not None
    except (OSError, OperationalError):
        return True


def filter_committed(table: Table, user: str, identifiers: Iterable[int]) -> list[int]:
    """Those of the identifiers that this user has not committed yet, ascending."""
    last = _last_of_user(table, user)
    return sorted(i for i in identifiers if last is None or i > last.commit_identifier)


@dataclass(frozen=True, slots=True)
class _Change:
    """entries(latest): the files added and deleted, given the latest snapshot. fixed: they do not depend on it.

    based_on: the snapshot after which nobody else may have written rows.
    """

    kind: Kind
    entries: Callable[[Snapshot | None], list[ManifestEntry]]
    changelog: list[ManifestEntry]
    index: IndexChange
    based_on: int | None = None
    fixed: bool = True


@dataclass(slots=True)
class _Attempt:
    """The metadata files of one commit. reusable: the delta and changelog lists, once written."""

    names: FileNames
    delta: tuple[str, int] | None = None
    changelog: tuple[str, int] | None = None
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def _overwriting(table: Table, messages: Sequence[CommitMessage], overwrite: Overwrite) -> _Change:
    """Everything that is in the partitions to replace goes, everything that was written comes."""
    added = [_entry(ADD, m, f) for m in messages for f in _lasting(m)]
    replaced = _replaced_partitions(table, added, overwrite)

    def entries(latest: Snapshot | None) -> list[ManifestEntry]:
        old = live_files(table, latest, replaced)
        return [ManifestEntry(DELETE, e.partition, e.bucket, e.total_buckets, e.file) for e in old] + added

    index_files = (*appended_index(messages).added, *compacted_index(messages).added)
    based_on = min((m.based_on for m in messages if m.based_on is not None), default=None)
    return _Change("OVERWRITE", entries, [], IndexChange(index_files, replaced=replaced), based_on, fixed=False)


def _lasting(message: CommitMessage) -> list[DataFileMeta]:
    """The files of a message that replaces everything: without those that it has compacted itself."""
    gone = {(file.file_name, file.level) for file in message.compact_before}
    return [f for f in (*message.new_files, *message.compact_after) if (f.file_name, f.level) not in gone]


def _replaced_partitions(table: Table, added: Sequence[ManifestEntry], overwrite: Overwrite) -> Callable[[bytes], bool]:
    touched = {entry.partition for entry in added}
    spec = overwrite.partitions
    if callable(spec):
        return spec
    if spec == "dynamic" or not isinstance(spec, Mapping):
        return touched.__contains__ if table.schema.partition_keys else lambda _: bool(touched)
    keys = table.schema.partition_keys
    for name in spec:
        if name not in keys:
            listed = ", ".join(f"`{key}`" for key in keys) or "none"
            raise ProgrammingError(f"`{name}` is no partition column of table `{table.identifier}`; it has {listed}")
    for partition in touched:
        if not in_partition(table, partition, spec):
            raise ProgrammingError(
                f"rows for partition {partition_values(table, partition)} do not belong to the partition {dict(spec)} "
                f"of table `{table.identifier}` that is overwritten"
            )
    return partial(in_partition, table, spec=spec)


def _publish(table: Table, author: Author, change: _Change) -> Snapshot | None:
    """Publish the change as one snapshot on top of the latest one, however often that moves on meanwhile."""
    attempt = _Attempt(FileNames())
    retries_max = table.options.integer("commit.max-retries")
    checked = _committed_before(table, author, change.kind)
    if isinstance(checked, Snapshot):
        return checked
    for retry in range(retries_max + 1):
        # another process may have rolled back and used an id again, so nothing read before is believed here
        table.snapshots.forget()
        latest = table.snapshots.latest()
        if retry and author.identifier != BATCH_IDENTIFIER:
            mine = _own_since(table, author, change.kind, checked, latest)
            if mine is not None:
                return mine
            checked = 0 if latest is None else latest.id
        try:
            next_one = _next(table, author, change, latest, attempt)
            if next_one is None:
                return None
        except BaseException as err:
            if not is_overtaken(table, latest, err):
                delete_paths(table, attempt.kept + attempt.dropped)
                raise
        else:
            if _is_published(table, next_one.snapshot, attempt):
                delete_paths(table, _index_paths(table, superseded(change.index, next_one.index)))
                return next_one.snapshot
        delete_paths(table, attempt.dropped)
        attempt.dropped = []
        if not change.fixed or tracks_rows(table):
            attempt.delta = None
        clock.current().sleep(retry_wait_s(table, retry))
    delete_paths(table, attempt.kept)
    raise CommitConflict(
        f"table `{table.identifier}`: other writers were faster {retries_max + 1} times; try again, or raise "
        f"'commit.max-retries'"
    )


def _is_published(table: Table, snapshot: Snapshot, attempt: _Attempt) -> bool:
    try:
        return try_publish(table, snapshot)
    except OSError:
        if snapshot.id not in table.snapshots.ids():
            delete_paths(table, attempt.kept + attempt.dropped)
        raise


@dataclass(frozen=True, slots=True)
class _Next:
    """A snapshot to publish, and what it changes of the index."""

    snapshot: Snapshot
    index: IndexChange


def _next(table: Table, author: Author, change: _Change, latest: Snapshot | None, attempt: _Attempt) -> _Next | None:
    """What to publish on top of `latest`; None if that changes nothing. Raises CommitConflict if it cannot be."""
    entries = change.entries(latest)
    if not entries and not change.changelog and not change.index and not author.has_news:
        return None
    touched = {entry.partition for entry in entries} | {indexed.partition for indexed in change.index.added}
    check_base(table, latest, author.user, change.based_on, touched)
    check_conflicts(table, latest, entries, replaces=not change.fixed)
    index_change = rebased(table, latest, change.index, attempt.names, attempt.dropped)
    index = index_after(table, latest, entries, index_change)
    return _Next(_prepare(table, author, change, entries, index, latest, attempt), index_change)


def _prepare(
    table: Table,
    author: Author,
    change: _Change,
    entries: list[ManifestEntry],
    index: list[IndexEntry] | None,
    latest: Snapshot | None,
    attempt: _Attempt,
) -> Snapshot:
    """Write all that the next snapshot refers to. index: its index files; None: those of `latest`."""
    next_row_id = 0 if latest is None else latest.next_row_id or 0
    if tracks_rows(table):
        entries, next_row_id = assigned(entries, 1 if latest is None else latest.id + 1, next_row_id)
    if attempt.delta is None:
        into = attempt.kept if change.fixed and not tracks_rows(table) else attempt.dropped
        attempt.delta = write_changes(table, entries, attempt.names, into)
    if attempt.changelog is None and change.changelog:
        attempt.changelog = write_changes(table, change.changelog, attempt.names, attempt.kept)
    base: list[ManifestFileMeta] = []
    if latest is not None:
        for name in (latest.base_manifest_list, latest.delta_manifest_list):
            base += read_manifest_list(table.file_io, table.paths.manifest(name))
    base = merge_manifests(table, base, attempt.names, attempt.dropped)
    base_list, base_size = write_list(table, base, attempt.names, attempt.dropped)
    delta_rows = sum(e.file.row_count if e.kind == ADD else -e.file.row_count for e in entries)
    newest = table.schemas.latest()
    schema_id = table.schema.id if newest is None else newest.id
    changelog, changelog_size = attempt.changelog or (None, None)
    return Snapshot(
        id=1 if latest is None else latest.id + 1,
        schema_id=schema_id,
        base_manifest_list=base_list,
        base_manifest_list_size=base_size,
        delta_manifest_list=attempt.delta[0],
        delta_manifest_list_size=attempt.delta[1],
        changelog_manifest_list=changelog,
        changelog_manifest_list_size=changelog_size,
        index_manifest=_index_manifest(table, index, latest, attempt),
        commit_user=author.user,
        commit_identifier=author.identifier,
        commit_kind=change.kind,
        time_millis=max(clock.current().now_ms(), 0 if latest is None else latest.time_millis),
        total_record_count=delta_rows + (0 if latest is None else latest.total_record_count),
        delta_record_count=delta_rows,
        changelog_record_count=sum(e.file.row_count for e in change.changelog) if change.changelog else None,
        watermark=_largest(author.watermark, None if latest is None else latest.watermark),
        statistics=author.statistics or (latest.statistics if latest and latest.schema_id == schema_id else None),
        properties=author.properties or None,
        next_row_id=next_row_id,
        log_offsets=_log_offsets(table, author, latest),
    )


def _index_manifest(
    table: Table, index: list[IndexEntry] | None, latest: Snapshot | None, attempt: _Attempt
) -> str | None:
    """The name of the index manifest of the next snapshot, which is written if it is another than before."""
    if index is None:
        return None if latest is None else latest.index_manifest
    if not index:
        return None
    name = attempt.names.new_index_manifest()
    attempt.dropped.append(table.paths.manifest(name))
    write_index_manifest(table.file_io, attempt.dropped[-1], index, table.manifest_codec)
    return name


def write_changes(table: Table, entries: Sequence[ManifestEntry], names: FileNames, made: list[str]) -> tuple[str, int]:
    """A manifest of the entries (none if there are none), and the list that names it."""
    metas: list[ManifestFileMeta] = []
    if entries:
        path = table.paths.manifest(names.new_manifest())
        made.append(path)
        metas.append(write_manifest(table.file_io, path, entries, table.schema, table.manifest_codec))
    return write_list(table, metas, names, made)


def write_list(table: Table, metas: Sequence[ManifestFileMeta], names: FileNames, made: list[str]) -> tuple[str, int]:
    """A manifest list; its name and size. made: gets its path."""
    name = names.new_manifest_list()
    made.append(table.paths.manifest(name))
    return name, write_manifest_list(table.file_io, made[-1], metas, table.manifest_codec)


def _committed_before(table: Table, author: Author, kind: Kind) -> Snapshot | int:
    """The snapshot that has this very commit, else the id up to which there is none."""
    latest_id = table.snapshots.latest_id() or 0
    if author.identifier == BATCH_IDENTIFIER:
        return latest_id
    last = _last_of_user(table, author.user)
    while last is not None and last.commit_identifier >= author.identifier:
        if (last.commit_user, last.commit_identifier, last.commit_kind) == (author.user, author.identifier, kind):
            return last
        last = _previous(table, last)
    return latest_id


def _own_since(table: Table, author: Author, kind: Kind, since: int, latest: Snapshot | None) -> Snapshot | None:
    for snapshot_id in range(since + 1, (0 if latest is None else latest.id) + 1):
        try:
            snapshot = table.snapshots.snapshot(snapshot_id)
        except SnapshotNotFound:
            continue  # it has expired meanwhile: while this commit waited there were so many others
        found = (snapshot.commit_user, snapshot.commit_identifier, snapshot.commit_kind)
        if found == (author.user, author.identifier, kind):
            return snapshot
    return None


def _last_of_user(table: Table, user: str) -> Snapshot | None:
    snapshot = table.snapshots.latest()
    while snapshot is not None and snapshot.commit_user != user:
        snapshot = _previous(table, snapshot)
    return snapshot


def _previous(table: Table, snapshot: Snapshot) -> Snapshot | None:
    """The snapshot before; None if there is none, or it has expired."""
    if snapshot.id == 1:
        return None
    try:
        return table.snapshots.snapshot(snapshot.id - 1)
    except SnapshotNotFound:
        return None


def _entry(kind: int, message: CommitMessage, file: DataFileMeta) -> ManifestEntry:
    return ManifestEntry(kind, message.partition, message.bucket, message.total_buckets, file)


def _largest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _log_offsets(table: Table, author: Author, latest: Snapshot | None) -> Mapping[str, int] | None:
    before = (latest.log_offsets if latest is not None else None) or {}
    return {**before, **(author.log_offsets or log_ends(table, latest))} or None


def retry_wait_s(table: Table, retry: int) -> float:
    """How long to wait after a lost race, the more so the more there were."""
    low = parse_duration_ms(table.options.get("commit.min-retry-wait") or "")
    high = parse_duration_ms(table.options.get("commit.max-retry-wait") or "")
    return float(min(high, low * 2**retry)) * (0.5 + clock.current().jitter()) / 1000


def delete_paths(table: Table, paths: Iterable[str]) -> None:
    """Delete the files."""
    for path in paths:
        table.file_io.delete(path)


def _discard_compaction(table: Table, messages: Sequence[CommitMessage]) -> None:
    """Delete the files of a compaction that was given up; upgraded files are still those of the table."""
    for message in messages:
        needed = {file.file_name for file in (*message.compact_before, *message.new_files)}
        made = (*message.compact_after, *message.compact_changelog)
        delete_paths(table, _paths(table, message, [file for file in made if file.file_name not in needed]))
        delete_paths(table, _index_paths(table, message.compact_new_index_files))


def _index_paths(table: Table, files: Iterable[IndexFileMeta]) -> list[str]:
    return [table.paths.of_index(file) for file in files]


def _paths(table: Table, message: CommitMessage, files: Iterable[DataFileMeta]) -> list[str]:
    values = dict(zip(table.schema.partition_keys, partition_values(table, message.partition), strict=True))
    directory = table.paths.bucket(values, message.bucket)
    return [path for file in files for path in file.paths(directory)]
