"""A dedicated compaction that goes on: tables are looked at as often as they change, and what is due is compacted.

Nothing is remembered but what was looked at, so it may be cut off anywhere and begun anew. Several of them, and writers
that compact themselves, do no harm to one another: who comes second finds its files gone, gives up, and looks again.
For the tables it is the writer that is not 'write-only', so its commits expire snapshots, too.

Source: Paimon, the dedicated compaction job in streaming mode (`CompactAction`, `MultiTablesStreamingCompactorSource`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tsdb import clock
from tsdb.errors import CommitConflict, NotSupportedError, TableNotFound
from tsdb.table.compact import compact
from tsdb.table.compact_due import compact_when_due
from tsdb.table.table import Identifier, Table

LOOK_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Compacted:
    """A compaction that was committed."""

    table: Identifier
    snapshot_id: int


@dataclass(frozen=True, slots=True)
class Watched:
    """Which tables are watched, and how each is compacted.

    list_tables: asked now and then. open_table: as it is now; raises TableNotFound. partitions: which of a table's
    serialized partitions (None: all). is_given: one that goes away, or cannot be compacted, is an error.
    """

    list_tables: Callable[[], Iterable[Identifier]]
    open_table: Callable[[Identifier], Table]
    partitions: Callable[[Table], Callable[[bytes], bool] | None]
    is_given: bool


class CompactionWatch:
    """Looks at tables and compacts; used by one thread. user: the commit user."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._user = clock.current().new_id()
        self._tables: dict[Identifier, Table] = {}
        self._seen: dict[Identifier, int | None] = {}
        self._listed_s: float | None = None

    def look(self) -> Sequence[Compacted]:
        """Compact what is due in the first of the tables that has anything due; empty if none has."""
        now_s = clock.current().monotonic_s()
        if self._listed_s is None or now_s - self._listed_s >= LOOK_AGAIN_S:
            self._listed_s = now_s
            self._list()
        for identifier, table in list(self._tables.items()):
            latest_id = table.snapshots.latest_id()
            if identifier in self._seen and self._seen[identifier] == latest_id:
                continue
            found = self._compact(identifier)
            self._seen[identifier] = latest_id
            if found is not None:
                return (found,)
        return ()

    def _list(self) -> None:
        tables: dict[Identifier, Table] = {}
        for identifier in self._watched.list_tables():
            table = self._opened(identifier)
            if table is not None:
                tables[identifier] = table
                if table.options.get("compaction.optimization-interval") is not None:
                    self._seen.pop(identifier, None)  # time alone makes a compaction due
        self._tables = tables

    def _opened(self, identifier: Identifier) -> Table | None:
        try:
            return self._watched.open_table(identifier).with_options({"write-only": "false"})
        except (TableNotFound, NotSupportedError):
            if self._watched.is_given:
                raise
            return None

    def _compact(self, identifier: Identifier) -> Compacted | None:
        table = self._opened(identifier)  # with the columns that it has now
        if table is None:
            return None
        partitions = self._watched.partitions(table)
        try:
            snapshot = compact_when_due(table, partitions=partitions) or compact(
                table, partitions=partitions, full=False, user=self._user
            )
        except CommitConflict:
            return None  # somebody has committed, so there is another look
        except NotSupportedError:
            if self._watched.is_given:
                raise
            return None
        return None if snapshot is None else Compacted(identifier, snapshot.id)
