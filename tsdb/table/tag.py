"""Tags: names for snapshots that keep their files, in `tag/tag-<name>`: the snapshot's JSON and two fields of its own.

Source: Paimon, `Tag` and `TagManager`.
"""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

from tsdb import clock
from tsdb.errors import AlreadyExists, CorruptFile, ProgrammingError, nearest
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.table import Table

_EPOCH = dt.datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Tag:
    """A named snapshot. create_time, time_retained: None where the tag is kept for ever."""

    name: str
    snapshot: Snapshot
    create_time: dt.datetime | None = None
    time_retained: dt.timedelta | None = None


def tags(table: Table) -> list[Tag]:
    """All tags, by name."""
    files = table.file_io.list_files(_directory(table))
    names = sorted(f.name.removeprefix("tag-") for f in files if f.name.startswith("tag-"))
    return [found for name in names if (found := find_tag(table, name)) is not None]


def find_tag(table: Table, name: str) -> Tag | None:
    """The tag of that name; None if there is none. Raises CorruptFile naming the file."""
    path = _path(table, name)
    try:
        text = table.file_io.read_bytes(path)
    except FileNotFoundError:
        return None
    try:
        spec: dict[str, Any] = json.loads(text)
        created, retained = spec.get("tagCreateTime"), spec.get("tagTimeRetained")
        return Tag(
            name,
            Snapshot.from_json(text),
            None if created is None else _from_parts(created),
            None if retained is None else dt.timedelta(seconds=float(retained)),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise CorruptFile(f"tag file {path} cannot be read: {err}") from err


def get_tag(table: Table, name: str) -> Tag:
    """The tag of that name. Raises ProgrammingError that names the nearest."""
    tag = find_tag(table, name)
    if tag is None:
        known = [t.name for t in tags(table)]
        listed = f" It has {', '.join(f'`{n}`' for n in known)}." if known else " It has no tags."
        raise ProgrammingError(f"table `{table.identifier}` has no tag `{name}`.{nearest(name, known) or listed}")
    return tag


def create_tag(
    table: Table,
    name: str,
    snapshot: Snapshot,
    time_retained: dt.timedelta | None = None,
    *,
    replaces: bool = False,
) -> Tag:
    """A new tag. Raises AlreadyExists unless it may replace one, or ProgrammingError for a name that cannot be one.

    The zone of its creation time is UTC.
    """
    if not name.strip() or "/" in name:
        raise ProgrammingError(f"`{name}` cannot be the name of a tag; use a name that is not blank and has no `/`")
    spec = json.loads(snapshot.to_json())
    created = None
    if time_retained is not None:
        created = now()
        spec["tagCreateTime"] = [created.year, created.month, created.day, created.hour, created.minute, created.second,
                                 created.microsecond * 1000]  # fmt: skip
        spec["tagTimeRetained"] = time_retained.total_seconds()
    text = json.dumps(spec, indent=2).encode()
    if replaces:
        table.file_io.replace(_path(table, name), text)
    elif not table.file_io.try_create(_path(table, name), text):
        raise AlreadyExists(f"table `{table.identifier}` already has a tag `{name}`; delete it first")
    return Tag(name, snapshot, created, time_retained)


def rename_tag(table: Table, old: str, new: str) -> None:
    """Another name for a tag. Raises AlreadyExists, ProgrammingError. A stop in the middle leaves both names."""
    get_tag(table, old)
    if not new.strip() or "/" in new:
        raise ProgrammingError(f"`{new}` cannot be the name of a tag; use a name that is not blank and has no `/`")
    if not table.file_io.try_create(_path(table, new), table.file_io.read_bytes(_path(table, old))):
        raise AlreadyExists(f"table `{table.identifier}` already has a tag `{new}`; delete it first")
    remove_tag_file(table, old)


def copy_tag(table: Table, name: str, metadata_path: str) -> None:
    """The same tag in another branch, whose metadata lies at `metadata_path`; it replaces one of that name."""
    table.file_io.replace(f"{metadata_path}/tag/tag-{name}", table.file_io.read_bytes(_path(table, name)))


def tag_modified(table: Table, name: str) -> dt.datetime | None:
    """When the file of a tag was written, in UTC; None if there is none."""
    for file in table.file_io.list_files(_directory(table)):
        if file.name == f"tag-{name}":
            return _EPOCH + dt.timedelta(milliseconds=file.mtime_ms)
    return None


def now() -> dt.datetime:
    """The time in UTC, without a zone."""
    return _EPOCH + dt.timedelta(milliseconds=clock.current().now_ms())


def remove_tag_file(table: Table, name: str) -> None:
    """Delete the tag, not what it alone has kept."""
    table.file_io.delete(_path(table, name))


def _from_parts(parts: list[int]) -> dt.datetime:
    """[y, m, d, h, mi, s, nanos]; trailing zeros may be missing."""
    year, month, day, hour, minute, second, nanos = [*parts, 0, 0, 0, 0][:7]
    return dt.datetime(year, month, day, hour, minute, second, nanos // 1000)


def _directory(table: Table) -> str:
    return f"{table.metadata_path}/tag"


def _path(table: Table, name: str) -> str:
    return f"{_directory(table)}/tag-{name}"
