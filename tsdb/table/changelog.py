"""The changelog that outlives its snapshots: `changelog/changelog-<id>`, the JSON of an expired snapshot.

With 'changelog.num-retained.*' or 'changelog.time-retained' beyond those of snapshots, a stream can still read the
changes of a snapshot that has expired. What they consist of stays: the changelog files; where the table makes none,
and for an overwrite, the files of the delta. Source: Paimon, `Changelog`, `ChangelogManager`, `ExpireChangelogImpl`.
"""

from dataclasses import dataclass

from tsdb import clock
from tsdb.errors import CorruptFile
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import TableOptions, parse_duration_ms
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: at least retain_min snapshots, at most retain_max, of those all younger than older_than_ms.

    max_deletes: how many may go at once.
    """

    retain_min: int
    retain_max: int
    older_than_ms: int
    max_deletes: int


def snapshot_retention(options: TableOptions) -> Retention:
    """What the table's options say of snapshots."""
    kept_ms = parse_duration_ms(options.get("snapshot.time-retained") or "", "snapshot.time-retained")
    return Retention(
        options.integer("snapshot.num-retained.min"),
        options.integer("snapshot.num-retained.max"),
        clock.current().now_ms() - int(kept_ms),
        options.integer("snapshot.expire.limit"),
    )


def changelog_retention(options: TableOptions) -> Retention | None:
    """What the options say of changelogs; None if these do not outlive snapshots."""
    snapshots = snapshot_retention(options)
    text = options.get("changelog.time-retained")
    older_than_ms = snapshots.older_than_ms
    if text is not None:
        older_than_ms = clock.current().now_ms() - int(parse_duration_ms(text, "changelog.time-retained"))
    kept = Retention(
        options.integer("changelog.num-retained.min", snapshots.retain_min),
        options.integer("changelog.num-retained.max", snapshots.retain_max),
        older_than_ms,
        snapshots.max_deletes,
    )
    outlives = (
        kept.retain_min > snapshots.retain_min
        or kept.retain_max > snapshots.retain_max
        or kept.older_than_ms < snapshots.older_than_ms
    )
    return kept if outlives else None


def changelog_ids(table: Table) -> list[int]:
    """The ids there are, ascending."""
    names = [file.name for file in table.file_io.list_files(_directory(table))]
    return sorted(int(n[10:]) for n in names if n.startswith("changelog-") and n[10:].isdigit())


def find_changelog(table: Table, snapshot_id: int) -> Snapshot | None:
    """The expired snapshot whose changes can still be read; None if there is none. Raises CorruptFile."""
    path = changelog_path(table, snapshot_id)
    try:
        return Snapshot.from_json(table.file_io.read_bytes(path))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as err:
        raise CorruptFile(f"changelog file {path} cannot be read: {err}") from err


def changelogs(table: Table) -> list[Snapshot]:
    """All of them, oldest first."""
    found = (find_changelog(table, snapshot_id) for snapshot_id in changelog_ids(table))
    return [snapshot for snapshot in found if snapshot is not None]


def keep_changelog(table: Table, snapshot: Snapshot) -> None:
    """Before a snapshot expires: let its changes stay readable."""
    table.file_io.replace(changelog_path(table, snapshot.id), snapshot.to_json().encode())


def write_hints(table: Table) -> None:
    """EARLIEST and LATEST, best effort, as readers of other engines look for them."""
    ids = changelog_ids(table)
    for name, chosen in (("EARLIEST", ids[:1]), ("LATEST", ids[-1:])):
        try:
            if chosen:
                table.file_io.replace(f"{_directory(table)}/{name}", str(chosen[0]).encode())
            else:
                table.file_io.delete(f"{_directory(table)}/{name}")
        except OSError:
            return


def changelog_path(table: Table, snapshot_id: int) -> str:
    """The file of one."""
    return f"{_directory(table)}/changelog-{snapshot_id}"


def consists_of_delta(table: Table, snapshot: Snapshot) -> bool:
    """Whether the changes of a snapshot are its delta: it has no changelog, and the table makes none or overwrites."""
    if snapshot.changelog_manifest_list is not None:
        return False
    makes_none = not table.is_primary_key or table.options.changelog_producer == "none"
    return makes_none or snapshot.commit_kind == "OVERWRITE"


def _directory(table: Table) -> str:
    return f"{table.metadata_path}/changelog"
