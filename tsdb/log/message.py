"""What the headers of a log's messages say: of which snapshot their rows are, or that no snapshot has them yet.

The last message of a snapshot says how many messages the snapshot has, in all partitions, and which snapshot stands
before it, so that a reader knows when it has all of it and of those before. A mark without rows is a message with
an empty key and no value: most consumers of other systems pass over it.
"""

from dataclasses import dataclass

from tsdb.kafka.client import Headers

_SNAPSHOT, _SCHEMA, _COMMIT, _STAGE = "tsdb.snapshot", "tsdb.schema", "tsdb.commit", "tsdb.stage"
_TOTAL, _PREVIOUS = "tsdb.total", "tsdb.previous"
EARLY = "early"
SETTLED = "settled"
GAP = "gap"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the headers of a message say. commit: what tells the snapshot from another of that id, after a rollback.

    total, previous: on the last message of a snapshot, the number of its messages, and the id of the snapshot before it
    in the topic (0: none); else 0. stage: EARLY: the rows are written
    before their commit, and snapshot_id is 0. SETTLED: what became of rows that were never committed. GAP: the topic
    cannot tell this snapshot; '': rows of the snapshot.
    """

    snapshot_id: int
    schema_id: int
    commit: str = ""
    total: int = 0
    stage: str = ""
    previous: int = 0


def headers_of(mark: Mark) -> Headers:
    """The headers of a message."""
    values = {_SNAPSHOT: mark.snapshot_id, _SCHEMA: mark.schema_id, _COMMIT: mark.commit}
    given = ((_TOTAL, mark.total), (_STAGE, mark.stage), (_PREVIOUS, mark.previous))
    more = {name: value for name, value in given if value}
    return [(name, str(value).encode()) for name, value in (values | more).items()]


def mark_of(headers: Headers) -> Mark | None:
    """The inverse; None for a message that is not one of a log."""
    found = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
    numbers = [found.get(name, "") for name in (_SNAPSHOT, _SCHEMA)]
    if not all(number.isdigit() for number in numbers):
        return None
    snapshot_id, schema_id = map(int, numbers)
    total, previous = (int(n) if (n := found.get(name, "0")).isdigit() else 0 for name in (_TOTAL, _PREVIOUS))
    return Mark(snapshot_id, schema_id, found.get(_COMMIT, ""), total, found.get(_STAGE, ""), previous)
