"""tsdb: an embedded SQL engine in which a table is a stream and a stream is a table.

    con = tsdb.connect("warehouse")
    con.execute("SELECT …")

PEP 249 (threads may share the module, not a connection; parameters are `?`), with what duckdb's users expect beside it.
"""

from tsdb.changes import RowKind
from tsdb.dbapi.connection import Connection, connect
from tsdb.dbapi.cursor import Cursor
from tsdb.dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from tsdb.errors import (
    AlreadyExists,
    BindError,
    Cancelled,
    ColumnNotFound,
    CommitConflict,
    CorruptFile,
    DatabaseError,
    DatabaseNotFound,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    JobFailed,
    MalformedRecord,
    NotSupportedError,
    NullKeyError,
    OperationalError,
    OptionError,
    Position,
    ProgrammingError,
    SqlSyntaxError,
    TableNotFound,
    WarehouseError,
    Warning,
)

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"
__version__ = "0.1.0"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "AlreadyExists",
    "Binary",
    "BindError",
    "Cancelled",
    "ColumnNotFound",
    "CommitConflict",
    "Connection",
    "CorruptFile",
    "Cursor",
    "DataError",
    "DatabaseError",
    "DatabaseNotFound",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "JobFailed",
    "MalformedRecord",
    "NotSupportedError",
    "NullKeyError",
    "OperationalError",
    "OptionError",
    "Position",
    "ProgrammingError",
    "RowKind",
    "SqlSyntaxError",
    "TableNotFound",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "WarehouseError",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]
