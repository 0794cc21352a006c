"""PEP 249's type objects and constructors.

`cursor.description[i][1]` is the column's SQL type as text, such as `DECIMAL(10, 2)`; a type object equals the texts
of its family: `description[0][1] == tsdb.NUMBER`.
"""

import datetime as dt
from collections.abc import Iterable

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


class TypeObject:
    """A family of SQL types. Equal to the text of any type in it."""

    def __init__(self, name: str, roots: Iterable[str]) -> None:
        """roots: the names that the texts begin with."""
        self._name = name
        self._roots = frozenset(roots)

    def __eq__(self, other: object) -> bool:
        """True for the text of a type of this family, and for itself."""
        if isinstance(other, str):
            return other.split("(")[0].split("<")[0].split(" ")[0] in self._roots
        return self is other

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


STRING = TypeObject("STRING", ("STRING", "VARCHAR", "CHAR"))
BINARY = TypeObject("BINARY", ("BYTES", "BINARY", "VARBINARY"))
NUMBER = TypeObject("NUMBER", ("TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN"))
DATETIME = TypeObject("DATETIME", ("DATE", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ"))
ROWID = TypeObject("ROWID", ())


def DateFromTicks(ticks: float) -> dt.date:
    """The local date at so many seconds since the epoch."""
    return dt.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> dt.time:
    """The local time of day at so many seconds since the epoch."""
    return dt.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> dt.datetime:
    """The local date and time at so many seconds since the epoch."""
    return dt.datetime.fromtimestamp(ticks)
