"""Snapshots that state anew what the table is, no row written: as it once was, in fewer manifests, without lost ones.

Each is made from the newest snapshot, and made again from the next one if another commit was faster.

A snapshot that takes back an old state makes files live again that later snapshots have deleted. Whoever expires those
would delete them, so a tag of the old state keeps them (`tag_of_old_state`), and `check_not_needed` watches that tag.

Source: Paimon, `FileStoreCommitImpl.rollbackToAsLatest`, `compactManifest` and `RemoveUnexistingManifestsAction`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tsdb import clock
from tsdb.errors import CommitConflict, ProgrammingError
from tsdb.metadata.manifest import ADD, DELETE, ManifestEntry, ManifestFileMeta
from tsdb.metadata.paths import FileNames
from tsdb.metadata.snapshot import BATCH_IDENTIFIER, TAKES_BACK, Snapshot
from tsdb.table.commit import delete_paths, retry_wait_s, write_changes, write_list
from tsdb.table.log import follow_log
from tsdb.table.manifest_merge import merge_all_manifests
from tsdb.table.newest import is_overtaken
from tsdb.table.publication import try_publish
from tsdb.table.scan import live_files, manifests
from tsdb.table.table import Table
from tsdb.table.tag import Tag, create_tag, get_tag, remove_tag_file, tags


@dataclass(slots=True)
class _Attempt:
    """made: the metadata files written so far."""

    names: FileNames
    made: list[str]


Restate = Callable[[Snapshot, _Attempt], Snapshot | None]
"""The next snapshot's content, made from the newest snapshot; None: there is nothing to do."""


def rollback_as_latest(table: Table, target: Snapshot, tag: str | None) -> Snapshot:
    """Make a new snapshot that has what an older one has; what lies between stays readable.

    tag: one that names `target`; without it, or if it will expire, one is made that keeps the files of `target`.
    """
    user = f"{TAKES_BACK}{clock.current().new_id()}"

    def restate(latest: Snapshot, attempt: _Attempt) -> Snapshot:
        now = {entry.identity: entry for entry in live_files(table, latest)}
        then = {entry.identity: entry for entry in live_files(table, target)}
        changes = [_of_kind(DELETE, entry) for key, entry in now.items() if key not in then]
        changes += [_of_kind(ADD, entry) for key, entry in then.items() if key not in now]
        # a base that still lists the deletion of a file would hide it from readers that look for deletions first
        merged = merge_all_manifests(table, manifests(table, latest), attempt.names, attempt.made)
        base = write_list(table, merged, attempt.names, attempt.made)
        delta = write_changes(table, changes, attempt.names, attempt.made)
        return replace(
            _next(latest, user, "OVERWRITE", base, delta),
            schema_id=target.schema_id,
            index_manifest=target.index_manifest,
            total_record_count=target.total_record_count,
            delta_record_count=target.total_record_count - latest.total_record_count,
            watermark=target.watermark,
            statistics=target.statistics,
            properties=target.properties,
            next_row_id=max(latest.next_row_id or 0, target.next_row_id or 0),
        )

    lasts = tag is not None and get_tag(table, tag).time_retained is None
    own = None if lasts else tag_of_old_state(table, target)
    try:
        made = _restated(table, restate)
    except BaseException:
        if own is not None:
            remove_tag_file(table, own.name)
        raise
    assert made is not None
    return made


def tag_of_old_state(table: Table, target: Snapshot) -> Tag:
    """A new tag that keeps what the target has."""
    return create_tag(table, f"{TAKES_BACK}{target.id}-{clock.current().new_id()}", target, None)


def check_not_needed(table: Table, name: str) -> None:
    """Raises ProgrammingError for a tag that alone keeps files which an old state taken back has brought back."""
    tag = get_tag(table, name).snapshot
    ids = table.snapshots.ids()
    for snapshot_id in ids:
        if snapshot_id <= tag.id + 1 or snapshot_id - 1 not in ids:
            continue
        snapshot = table.snapshots.snapshot(snapshot_id)
        if not snapshot.takes_back or any(other.name != name and other.snapshot.id == tag.id for other in tags(table)):
            continue
        before = {entry.identity for entry in live_files(table, table.snapshots.snapshot(snapshot_id - 1))}
        kept = {entry.identity for entry in live_files(table, tag)}
        if any(e.identity in kept and e.identity not in before for e in live_files(table, snapshot)):
            raise ProgrammingError(
                f"tag `{name}` of table `{table.identifier}` keeps files that snapshot {snapshot_id} has taken back; "
                f"delete it once the snapshots before that have expired"
            )


def compact_manifests(table: Table) -> Snapshot | None:
    """Write the manifests anew, without what is deleted; None if nothing would change."""
    user = clock.current().new_id()

    def restate(latest: Snapshot, attempt: _Attempt) -> Snapshot | None:
        old = manifests(table, latest)
        merged = merge_all_manifests(table, old, attempt.names, attempt.made)
        if merged == old:
            return None
        base = write_list(table, merged, attempt.names, attempt.made)
        return _next(latest, user, "COMPACT", base, write_changes(table, [], attempt.names, attempt.made))

    return _restated(table, restate)


def missing_manifests(table: Table, snapshot: Snapshot) -> list[str]:
    """Names of the manifests that the snapshot lists and that are not there."""
    paths = {meta.file_name: table.paths.manifest(meta.file_name) for meta in manifests(table, snapshot)}
    return sorted(name for name, path in paths.items() if not table.file_io.exists(path))


def forget_missing_manifests(table: Table) -> list[str]:
    """Commit that manifests that are not there are none of the table's; their names. The rows they told of are lost."""
    user = f"Repair-table-{clock.current().new_id()}"
    lost: list[str] = []

    def restate(latest: Snapshot, attempt: _Attempt) -> Snapshot | None:
        lost[:] = missing_manifests(table, latest)
        if not lost:
            return None
        there = [meta for meta in manifests(table, latest) if meta.file_name not in lost]
        base = write_list(table, there, attempt.names, attempt.made)
        delta = write_changes(table, [], attempt.names, attempt.made)
        made = _next(latest, user, "OVERWRITE", base, delta)
        probe = replace(made, id=latest.id)
        count = sum(entry.file.row_count for entry in live_files(table, probe))
        return replace(made, total_record_count=count)

    _restated(table, restate)
    return lost


def _next(latest: Snapshot, user: str, kind: str, base: tuple[str, int], delta: tuple[str, int]) -> Snapshot:
    """What follows the newest snapshot, with other lists."""
    return replace(
        latest,
        id=latest.id + 1,
        commit_user=user,
        commit_identifier=BATCH_IDENTIFIER,
        commit_kind=kind,
        base_manifest_list=base[0],
        base_manifest_list_size=base[1],
        delta_manifest_list=delta[0],
        delta_manifest_list_size=delta[1],
        changelog_manifest_list=None,
        changelog_manifest_list_size=None,
        changelog_record_count=None,
        delta_record_count=0,
        time_millis=max(clock.current().now_ms(), latest.time_millis),
    )


def _restated(table: Table, restate: Restate) -> Snapshot | None:
    retries_max = table.options.integer("commit.max-retries")
    for retry in range(retries_max + 1):
        table.snapshots.forget()
        latest = table.snapshots.latest()
        if latest is None:
            raise ProgrammingError(f"table `{table.identifier}` has no snapshot yet")
        attempt = _Attempt(FileNames(), [])
        try:
            snapshot = restate(latest, attempt)
        except BaseException as err:
            delete_paths(table, attempt.made)
            if not is_overtaken(table, latest, err):
                raise
            continue
        if snapshot is None:
            delete_paths(table, attempt.made)
            return None
        if try_publish(table, snapshot):
            follow_log(table, snapshot)
            return snapshot
        delete_paths(table, attempt.made)
        clock.current().sleep(retry_wait_s(table, retry))
    raise CommitConflict(
        f"table `{table.identifier}`: other writers were faster {retries_max + 1} times; try again, or raise "
        f"'commit.max-retries'"
    )


def _of_kind(kind: int, entry: ManifestEntry) -> ManifestEntry:
    return ManifestEntry(kind, entry.partition, entry.bucket, entry.total_buckets, entry.file)


def manifest_report(table: Table, metas: Sequence[ManifestFileMeta], target_bytes: int) -> str:
    """One line on what a rewriting of manifests would find."""
    deleted = [meta.num_deleted_files for meta in metas if meta.num_deleted_files]
    small = sum(meta.file_size < target_bytes for meta in metas)
    size = sum(meta.file_size for meta in metas)
    return (
        f"Dry run: {len(metas)} manifest files ({size} bytes), {sum(deleted)} deleted entries in {len(deleted)} files, "
        f"{small} undersized files (< {target_bytes} bytes)."
    )
