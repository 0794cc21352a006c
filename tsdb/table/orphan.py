"""Orphans: files that no snapshot, tag, changelog or reader of any branch needs, left by crashes and given-up writes.

What is being written is no orphan, but looks like one; so only files that have not changed for a day are taken. First
the directories are listed, then what is needed is found out: a commit in between makes nothing an orphan.
Source: Paimon, `OrphanFilesClean`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tsdb.fs.file_io import FileStatus
from tsdb.table.branch import get_branch
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.reference import branch_names, delete_files, history_files, needed_elsewhere
from tsdb.table.scan import live_files, make_split
from tsdb.table.table import MAIN_BRANCH, Table, branch_path

_SNAPSHOTS = ("snapshot-", "EARLIEST", "LATEST")
_CHANGELOGS = ("changelog-", "EARLIEST", "LATEST")


@dataclass(frozen=True, slots=True)
class Orphans:
    """paths: sorted. size_bytes: of all together."""

    paths: tuple[str, ...]
    size_bytes: int


def orphans(table: Table, older_than_ms: int) -> Orphans:
    """The orphans of a table and its branches that were last changed before that time.

    Raises CorruptFile if metadata cannot be read: then nothing is known to be an orphan.
    """
    candidates = [file for file in _candidates(table) if file.mtime_ms < older_than_ms]
    if not candidates:
        return Orphans((), 0)
    main = get_branch(table, MAIN_BRANCH)
    snapshots = [main.snapshots.snapshot(i) for i in main.snapshots.ids()]
    needed = set().union(*needed_elsewhere(main), *history_files(main, snapshots))
    found = [file for file in candidates if file.path not in needed]
    return Orphans(tuple(sorted(file.path for file in found)), sum(file.size_bytes for file in found))


def remove_orphans(table: Table, older_than_ms: int) -> Orphans:
    """Delete them; what there was."""
    found = orphans(table, older_than_ms)
    delete_files(table, found.paths)
    return found


def missing_files(table: Table) -> list[str]:
    """Data files of the newest snapshot that are not there."""
    return sorted(path for _, path in _missing(table))


def forget_missing_files(table: Table, user: str) -> list[str]:
    """Commit that the data files that are not there are none of the table's; their paths. Their rows are lost."""
    missing = _missing(table)
    if missing:
        commit(table, [message for message, _ in missing], user=user)
    return sorted(path for _, path in missing)


def _missing(table: Table) -> list[tuple[CommitMessage, str]]:
    found = []
    for entry in live_files(table, table.latest_snapshot()):
        file = entry.file
        path = file.path(make_split(table, entry, [file], raw=True).bucket_path)
        if not table.file_io.exists(path):
            message = CommitMessage(entry.partition, entry.bucket, entry.total_buckets, deleted_files=(file,))
            found.append((message, path))
    return found


def _candidates(table: Table) -> Iterator[FileStatus]:
    """Every file that could be one."""
    for name in ("manifest", "index", "statistics"):
        yield from _files(table, f"{table.path}/{name}")
    yield from _bucket_files(table, table.paths.data_path, len(table.schema.partition_keys))
    for branch in (MAIN_BRANCH, *branch_names(table)):
        path = branch_path(table.path, branch)
        for folder, known in (("snapshot", _SNAPSHOTS), ("changelog", _CHANGELOGS)):
            found = _files(table, f"{path}/{folder}")
            yield from (file for file in found if not file.name.startswith(known))
        for folder in ("schema", "tag", "consumer"):
            yield from (file for file in _files(table, f"{path}/{folder}") if file.name.startswith("."))


def _bucket_files(table: Table, directory: str, depth: int) -> Iterator[FileStatus]:
    """depth: partition levels below this directory."""
    for entry in table.file_io.list_files(directory):
        if not entry.is_dir:
            continue
        if depth and "=" in entry.name:
            yield from _bucket_files(table, entry.path, depth - 1)
        elif not depth and entry.name.startswith("bucket-"):
            yield from _files(table, entry.path)


def _files(table: Table, directory: str) -> list[FileStatus]:
    return [file for file in table.file_io.list_files(directory, hidden=True) if not file.is_dir]
