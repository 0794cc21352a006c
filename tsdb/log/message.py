"""What the headers of a log's messages say: of which snapshot their rows are, or that no snapshot has them yet.

The last message of a snapshot says how many messages the snapshot has, in all partitions, so that a reader knows when
it has all of it. A mark without rows is a message without key and value: consumers of other systems pass over it.
"""

from dataclasses import dataclass

from tsdb.kafka.client import Headers

_SNAPSHOT, _SCHEMA, _COMMIT, _TOTAL, _STAGE = "tsdb.snapshot", "tsdb.schema", "tsdb.commit", "tsdb.total", "tsdb.stage"
EARLY = "early"
SETTLED = "settled"
GAP = "gap"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the headers of a message say. commit: what tells the snapshot from another of that id, after a rollback.

    total: on the last message of a snapshot, the number of its messages; else 0. stage: EARLY: the rows are written
    before their commit, and snapshot_id is 0. SETTLED: what became of rows that were never committed. GAP: the topic
    cannot tell this snapshot; '': rows of the snapshot.
    """

    snapshot_id: int
    schema_id: int
    commit: str = ""
    total: int = 0
    stage: str = ""


def headers_of(mark: Mark) -> Headers:
    """The headers of a message."""
    values = {_SNAPSHOT: mark.snapshot_id, _SCHEMA: mark.schema_id, _COMMIT: mark.commit}
    more = {name: value for name, value in ((_TOTAL, mark.total), (_STAGE, mark.stage)) if value}
    return [(name, str(value).encode()) for name, value in (values | more).items()]


def mark_of(headers: Headers) -> Mark | None:
    """The inverse; None for a message that is not one of a log."""
    found = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
    numbers = [found.get(name, "") for name in (_SNAPSHOT, _SCHEMA)]
    if not all(number.isdigit() for number in numbers):
        return None
    total = found.get(_TOTAL, "0")
    snapshot_id, schema_id = map(int, numbers)
    return Mark(snapshot_id, schema_id, found.get(_COMMIT, ""), int(total) if total.isdigit() else 0,
                found.get(_STAGE, ""))  # fmt: skip
