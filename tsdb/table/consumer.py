"""Consumers: how far a named reader of a table has come, in `consumer/consumer-<id>`.

The file holds the next snapshot that the reader wants; no snapshot from there on expires. Its time of change is the
reader's sign of life. Source: Paimon, `Consumer` and `ConsumerManager`.
"""

import json
import re

from tsdb.errors import CorruptFile, ProgrammingError
from tsdb.table.table import Table

_PREFIX = "consumer-"


def consumers(table: Table) -> dict[str, int]:
    """The next snapshot of every consumer, by id. Raises CorruptFile."""
    found = {}
    for file in table.file_io.list_files(_directory(table)):
        if file.name.startswith(_PREFIX):
            next_snapshot = _read(table, file.path)
            if next_snapshot is not None:
                found[file.name.removeprefix(_PREFIX)] = next_snapshot
    return found


def find_consumer(table: Table, consumer_id: str) -> int | None:
    """The next snapshot of one consumer; None if it has none. Raises CorruptFile."""
    return _read(table, _path(table, consumer_id))


def set_consumer(table: Table, consumer_id: str, next_snapshot: int) -> None:
    """Say how far it is. Raises ProgrammingError for an id that cannot be one."""
    if not consumer_id.strip() or "/" in consumer_id:
        raise ProgrammingError(
            f"`{consumer_id}` cannot be the id of a consumer; use one that is not blank, without `/`"
        )
    text = json.dumps({"nextSnapshot": next_snapshot}, indent=2, separators=(",", " : "))
    table.file_io.replace(_path(table, consumer_id), text.encode())


def delete_consumer(table: Table, consumer_id: str) -> None:
    """Forget it; quiet if there is none."""
    table.file_io.delete(_path(table, consumer_id))


def expire_consumers(table: Table, older_than_ms: int) -> list[str]:
    """Forget those that gave no sign of life since then; their ids."""
    gone = []
    for file in table.file_io.list_files(_directory(table)):
        if file.name.startswith(_PREFIX) and file.mtime_ms < older_than_ms:
            table.file_io.delete(file.path)
            gone.append(file.name.removeprefix(_PREFIX))
    return gone


def clear_consumers(table: Table, including: str | None, excluding: str | None) -> list[str]:
    """Forget those whose whole id matches `including` (None: all) and not `excluding`; their ids.

    Raises ProgrammingError for a pattern that is none.
    """
    try:
        wanted = re.compile(including or ".*")
        spared = re.compile(excluding) if excluding else None
    except re.error as err:
        raise ProgrammingError(f"'{including or excluding}' is no regular expression: {err}") from err
    chosen = [c for c in consumers(table) if wanted.fullmatch(c) and not (spared and spared.fullmatch(c))]
    for consumer_id in chosen:
        delete_consumer(table, consumer_id)
    return chosen


def _read(table: Table, path: str) -> int | None:
    try:
        return int(json.loads(table.file_io.read_bytes(path))["nextSnapshot"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as err:
        raise CorruptFile(f"consumer file {path} cannot be read: {err}") from err


def _directory(table: Table) -> str:
    return f"{table.metadata_path}/consumer"


def _path(table: Table, consumer_id: str) -> str:
    return f"{_directory(table)}/{_PREFIX}{consumer_id}"
