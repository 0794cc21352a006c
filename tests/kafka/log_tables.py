"""Tables with a log, and streams over them, for the tests of the log system."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tsdb

COLUMNS = "k INT, v INT, PRIMARY KEY (k) NOT ENFORCED"


def create(con: tsdb.Connection, bootstrap: str, topic: str, columns: str = COLUMNS, **more: str) -> None:
    """The table `t`; more: options."""
    options = {"log.system": "kafka", "kafka.bootstrap.servers": bootstrap, "kafka.topic": topic, "bucket": "2"} | more
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
    table, _, partitioned = columns.partition(" PARTITIONED BY ")
    by = f" PARTITIONED BY {partitioned}" if partitioned else ""
    con.execute(f"CREATE TABLE t ({table}){by} WITH ({listed})")


def rows(con: tsdb.Connection) -> list[tuple[Any, ...]]:
    """What the table has."""
    return sorted(con.execute("SELECT * FROM t").fetchall(), key=str)


class Follower:
    """A streaming query of another connection, and the rows that its changes lead to."""

    def __init__(self, warehouse: Path, sql: str = "SELECT * FROM t") -> None:
        self._con = tsdb.connect(str(warehouse))
        self._con.execute("SET 'execution.mode' = 'streaming'")
        self.cursor = self._con.execute(sql)
        self.seen: list[tuple[str, tuple[Any, ...]]] = []
        self._state: dict[tuple[Any, ...], int] = {}

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The state."""
        return sorted((row for row, count in self._state.items() for _ in range(count)), key=str)

    def poll(self, timeout: float = 0.05) -> None:
        """Take what is there."""
        for change in self.cursor.poll(timeout).to_pylist():
            op, row = change.pop("op"), tuple(change.values())
            self.seen.append((op, row))
            count = self._state.get(row, 0) + (1 if op in ("+I", "+U") else -1)
            assert count >= 0, f"{op} {row} takes back what is not there"
            self._state[row] = count
            if not count:
                del self._state[row]

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> None:
        """Follow until then."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"in vain: {self.rows[:20]}"
            self.poll()

    def close(self) -> None:
        """End the query."""
        self._con.close()
