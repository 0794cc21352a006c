"""Branches: other histories of a table, in `branch/branch-<name>`: schemas, snapshots and tags of their own.

Manifests, indexes and data files of all branches lie in the table's own directories, so whoever deletes files must ask
what the other branches need (`reference.needed_elsewhere`). Source: Paimon, `FileSystemBranchManager`.
"""

import json
from dataclasses import dataclass

from tsdb.errors import AlreadyExists, NotSupportedError, ProgrammingError, nearest
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.reference import branch_names, on_branch
from tsdb.table.rollback import rollback_to
from tsdb.table.row_tracking import check_rewritable
from tsdb.table.scan import live_files
from tsdb.table.table import MAIN_BRANCH, Table, branch_path
from tsdb.table.tag import copy_tag, get_tag, tags


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch. create_time_ms: when its directory was made, as far as the file system tells."""

    name: str
    create_time_ms: int


def branches(table: Table) -> list[Branch]:
    """All branches but `main`, by name."""
    files = table.file_io.list_files(f"{table.path}/branch")
    return [
        Branch(f.name.removeprefix("branch-"), f.mtime_ms)
        for f in files
        if f.is_dir and f.name.startswith("branch-") and table.file_io.list_files(f"{f.path}/schema")
    ]


def get_branch(table: Table, name: str) -> Table:
    """The table as the branch has it. Raises ProgrammingError that names the nearest."""
    found = table if name == table.branch else on_branch(table, name)
    if found is None:
        known = [MAIN_BRANCH, *branch_names(table)]
        listed = ", ".join(f"`{n}`" for n in known)
        raise ProgrammingError(
            f"table `{table.identifier}` has no branch `{name}`.{nearest(name, known) or f' It has {listed}.'}"
        )
    return found


def create_branch(table: Table, name: str, *, tag: str | None = None, snapshot: Snapshot | None = None) -> None:
    """A new branch that begins with a tag's snapshot, or with another, or empty under the newest schema.

    The schema that makes it a branch is written last, so a crash leaves none. Raises AlreadyExists, ProgrammingError.
    """
    check_branch_name(name)
    if name in branch_names(table):
        raise AlreadyExists(f"table `{table.identifier}` already has a branch `{name}`; delete it first")
    path = branch_path(table.path, name)
    table.file_io.delete_dir(path)  # what an unfinished attempt left
    first = get_tag(table, tag).snapshot if tag is not None else snapshot
    if first is None:
        schema_ids = [table.schema.id]
    else:
        schema_ids = [i for i in table.schemas.ids() if i <= first.schema_id]
        table.file_io.try_create(f"{path}/snapshot/snapshot-{first.id}", first.to_json().encode())
        table.file_io.replace(f"{path}/snapshot/LATEST", str(first.id).encode())
        table.file_io.replace(f"{path}/snapshot/EARLIEST", str(first.id).encode())
        if tag is not None:
            copy_tag(table, tag, path)
    for schema_id in sorted(schema_ids):
        text = table.schemas.schema(schema_id).to_json().encode()
        table.file_io.try_create(f"{path}/schema/schema-{schema_id}", text)


def delete_branch(table: Table, name: str) -> None:
    """Its metadata goes at once; files that it alone needed become orphans. Raises ProgrammingError."""
    if name == MAIN_BRANCH:
        raise ProgrammingError(
            f"branch `{MAIN_BRANCH}` of table `{table.identifier}` cannot be deleted; DROP the table"
        )
    get_branch(table, name)
    path = branch_path(table.path, name)
    table.file_io.delete_dir(f"{path}/schema")  # what is left after a crash is no branch
    table.file_io.delete_dir(path)


def rename_branch(table: Table, old: str, new: str) -> None:
    """Another name for a branch. Raises AlreadyExists, ProgrammingError."""
    if old == MAIN_BRANCH:
        raise ProgrammingError(f"branch `{MAIN_BRANCH}` of table `{table.identifier}` cannot be renamed")
    get_branch(table, old)
    check_branch_name(new)
    if new in branch_names(table):
        raise AlreadyExists(f"table `{table.identifier}` already has a branch `{new}`; delete it first")
    table.file_io.delete_dir(branch_path(table.path, new))
    table.file_io.rename_dir(branch_path(table.path, old), branch_path(table.path, new))


def fast_forward(table: Table, name: str) -> Snapshot:
    """Make the history of a branch that of `main`, from the branch's first snapshot on; the newest snapshot.

    `main` first goes back to that snapshot, then takes the branch's schemas, and snapshot by snapshot what follows: a
    stop at any moment leaves a state that one of both has had, and doing it again completes it.
    """
    if name == MAIN_BRANCH:
        raise ProgrammingError(f"branch `{MAIN_BRANCH}` cannot be fast-forwarded to itself")
    branch, main = get_branch(table, name), get_branch(table, MAIN_BRANCH)
    ids = branch.snapshots.ids()
    if not ids:
        raise ProgrammingError(f"branch `{name}` of table `{table.identifier}` has no snapshot to fast-forward to")
    first = branch.snapshots.snapshot(ids[0])
    rollback_to(main, first, replaces=True)
    _take_schemas(main, branch, first.schema_id)
    for snapshot_id in ids[1:]:
        main.snapshots.try_commit(branch.snapshots.snapshot(snapshot_id))
    for tag in tags(branch):
        if tag.snapshot.id >= first.id:
            copy_tag(branch, tag.name, main.metadata_path)
    latest = branch.snapshots.snapshot(ids[-1])
    main.snapshots.write_hint("LATEST", latest.id)
    main.snapshots.forget()
    return latest


def merge_branch(table: Table, source: str, target: str, user: str) -> Snapshot | None:
    """Append to one branch the files of another that it has not; None if there are none.

    Only for append tables whose branches have never lost a file: then what one lacks is what the other has added.
    Raises ProgrammingError, NotSupportedError. Source: Paimon, `FileSystemBranchManager.mergeBranch`.
    """
    if source == target:
        raise ProgrammingError(f"branch `{source}` of table `{table.identifier}` cannot be merged into itself")
    giver, taker = get_branch(table, source), get_branch(table, target)
    check_rewritable(table, "merging a branch")
    for branch in (giver, taker):
        _check_append_only(branch)
    if giver.schema.fields != taker.schema.fields:
        raise ProgrammingError(f"branches `{source}` and `{target}` of table `{table.identifier}` have other columns")
    there = {entry.identity for entry in live_files(taker, taker.latest_snapshot())}
    missing = [e for e in live_files(giver, giver.latest_snapshot()) if e.identity not in there]
    for schema_id in sorted({entry.file.schema_id for entry in missing}):
        known = schema_id in taker.schemas.ids()
        if not known or giver.schemas.schema(schema_id) != taker.schemas.schema(schema_id):
            raise ProgrammingError(
                f"files of branch `{source}` have schema {schema_id}, which branch `{target}` of table "
                f"`{table.identifier}` lacks or has otherwise"
            )
    messages = [CommitMessage(e.partition, e.bucket, e.total_buckets, new_files=(e.file,)) for e in missing]
    return commit(taker, messages, user=user) if messages else None


def _check_append_only(branch: Table) -> None:
    name, ids = branch.branch, branch.snapshots.ids()
    if branch.is_primary_key:
        raise NotSupportedError(f"`{branch.identifier}` has a primary key; only branches of append tables are merged")
    if not ids or ids[0] != 1:
        raise ProgrammingError(
            f"branch `{name}` of `{branch.identifier}` lacks its first snapshots, so it cannot merge"
        )
    for snapshot_id in ids:
        kind = branch.snapshots.snapshot(snapshot_id).commit_kind
        if kind not in ("APPEND", "ANALYZE"):
            raise ProgrammingError(
                f"snapshot {snapshot_id} of branch `{name}` of `{branch.identifier}` is {kind}; only branches to which "
                "rows were added and nothing else can be merged"
            )


def check_branch_name(name: str) -> None:
    """Raises ProgrammingError for a name that a branch cannot have."""
    if not name.strip() or name == MAIN_BRANCH or name.isdigit() or "/" in name or "$" in name:
        raise ProgrammingError(
            f"`{name}` cannot be the name of a branch; use one that is not blank, not `{MAIN_BRANCH}`, not a number, "
            f"and has no `/` and no `$`"
        )


def _take_schemas(main: Table, branch: Table, first_id: int) -> None:
    """From the first schema on the branch's, the newest last to go and last to come."""
    wanted = {i: branch.schemas.schema(i).to_json() for i in branch.schemas.ids() if i >= first_id}
    for schema_id in sorted(main.schemas.ids(), reverse=True):
        if schema_id > first_id and schema_id not in wanted:
            main.file_io.delete(f"{main.metadata_path}/schema/schema-{schema_id}")
    for schema_id, text in sorted(wanted.items()):
        path = f"{main.metadata_path}/schema/schema-{schema_id}"
        if not main.file_io.exists(path) or json.loads(main.file_io.read_bytes(path)) != json.loads(text):
            main.file_io.replace(path, text.encode())
