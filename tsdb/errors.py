"""The exceptions of tsdb: PEP 249's tree, with ours as leaves.

    Warning
    Error
    ├── InterfaceError              the API was used wrongly (a closed cursor, a wrong parameter count)
    └── DatabaseError
        ├── DataError               a value does not fit: cast, overflow, division by zero
        │   └── MalformedRecord     a line or message of a source cannot be decoded
        ├── OperationalError        the world outside: files, disks, brokers, memory
        │   ├── CorruptFile         a file of a table cannot be read; names the file
        │   ├── WarehouseError      the warehouse is missing, read-only or not a warehouse
        │   ├── CommitConflict      another writer committed first and the change cannot be redone (retryable)
        │   ├── SnapshotExpired     what is being read was expired by another process (retryable)
        │   ├── JobFailed           a continuous job ended with an error
        │   └── Cancelled           the statement was cancelled
        ├── IntegrityError
        │   └── NullKeyError        NULL in a primary-key or NOT NULL column
        ├── InternalError           a mistake of ours
        ├── ProgrammingError        the SQL or its use is wrong
        │   ├── SqlSyntaxError      the text does not parse; has a position
        │   ├── BindError           a name or a type does not resolve; has a position where known
        │   │   ├── TableNotFound
        │   │   ├── ColumnNotFound
        │   │   ├── DatabaseNotFound
        │   │   └── CatalogNotFound
        │   ├── AlreadyExists
        │   └── OptionError         an unknown option, a bad value, options that contradict each other
        └── NotSupportedError       understood, but not possible here; says what to do instead

Every class has a stable `code` (listed in `docs/errors.md`) and says whether a retry may help (`retryable`).
Source: PEP 249; the shape of the tree follows httpx.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

_AROUND = 120
"""How much of a line is shown before and after the place of an error."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the user's own SQL text. line and column count from 1; `text` is that whole line."""

    line: int
    column: int
    text: str = ""


class Warning(Exception):
    """PEP 249: an important warning."""


class Error(Exception):
    """PEP 249: base of every error. `position` is where in the SQL, if known; `start` is that as an offset."""

    code = "ERROR"
    retryable = False

    def __init__(self, message: str, *, position: Position | None = None) -> None:
        """message: what is wrong, with which value, and what to do; without the position, which is added."""
        super().__init__(message)
        self.message = message
        self.position = position
        self.start: int | None = None

    def __str__(self) -> str:
        """The message, followed by the line and a caret when the position is known."""
        if self.position is None:
            return self.message
        where = f"line {self.position.line}, column {self.position.column}: {self.message}"
        if not self.position.text:
            return where
        before, after = self.position.text[: self.position.column - 1], self.position.text[self.position.column - 1 :]
        if len(before) > _AROUND:
            before = "…" + before[-_AROUND:]
        if len(after) > _AROUND:
            after = after[:_AROUND] + "…"
        pad = "".join("\t" if c == "\t" else " " for c in before)
        return f"{where}\n  {before}{after}\n  {pad}^"


class InterfaceError(Error):
    """PEP 249: the interface was used wrongly."""

    code = "INTERFACE"


class DatabaseError(Error):
    """PEP 249: base of all errors of the database."""

    code = "DATABASE"


class DataError(DatabaseError):
    """PEP 249: a value does not fit (cast, overflow, division by zero)."""

    code = "DATA"


class MalformedRecord(DataError):
    """A record of a source cannot be decoded; the message names file and line, or topic, partition and offset."""

    code = "MALFORMED_RECORD"


class OperationalError(DatabaseError):
    """PEP 249: something outside the program failed."""

    code = "OPERATIONAL"


class CorruptFile(OperationalError):
    """A file of a table is missing, truncated or not what it should be; the message names it."""

    code = "CORRUPT_FILE"


class WarehouseError(OperationalError):
    """The warehouse is missing, read-only or not a warehouse."""

    code = "WAREHOUSE"


class CommitConflict(OperationalError):
    """Another writer changed what this commit relies on."""

    code = "COMMIT_CONFLICT"
    retryable = True


class SnapshotExpired(OperationalError):
    """A snapshot was expired by another process while it was read."""

    code = "SNAPSHOT_EXPIRED"
    retryable = True


class JobFailed(OperationalError):
    """A continuous job ended with an error; the message has its reason."""

    code = "JOB_FAILED"


class JobTakenOver(OperationalError):
    """Another process has taken over a continuous job, or dropped it."""

    code = "JOB_TAKEN_OVER"


class Cancelled(OperationalError):
    """The statement was cancelled."""

    code = "CANCELLED"


class IntegrityError(DatabaseError):
    """PEP 249: a constraint is violated."""

    code = "INTEGRITY"


class NullKeyError(IntegrityError):
    """NULL in a column that is NOT NULL (a primary-key column always is)."""

    code = "NULL_NOT_ALLOWED"


class InternalError(DatabaseError):
    """PEP 249: a mistake of tsdb itself."""

    code = "INTERNAL"


class ProgrammingError(DatabaseError):
    """PEP 249: the SQL, or its use, is wrong."""

    code = "PROGRAMMING"


class SqlSyntaxError(ProgrammingError):
    """The text is not SQL that tsdb knows."""

    code = "SYNTAX"


class BindError(ProgrammingError):
    """A name or a type in the SQL does not resolve."""

    code = "BIND"


class TableNotFound(BindError):
    """No such table."""

    code = "TABLE_NOT_FOUND"


class ColumnNotFound(BindError):
    """No such column."""

    code = "COLUMN_NOT_FOUND"


class DatabaseNotFound(BindError):
    """No such database."""

    code = "DATABASE_NOT_FOUND"


class CatalogNotFound(BindError):
    """No such catalog in this session."""

    code = "CATALOG_NOT_FOUND"


class AlreadyExists(ProgrammingError):
    """A database, table or job of that name exists."""

    code = "ALREADY_EXISTS"


class OptionError(ProgrammingError):
    """An option is unknown, has a bad value or contradicts another."""

    code = "OPTION"


class NotSupportedError(DatabaseError):
    """PEP 249: tsdb understands it but cannot do it; the message says what to do instead."""

    code = "NOT_SUPPORTED"


def nearest(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean `x`?` for the candidate nearest to `name`, or an empty string."""
    by_lower = {c.lower(): c for c in candidates}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean `{by_lower[match[0]]}`?" if match else ""
