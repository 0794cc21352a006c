"""A connection: one session on a warehouse. Threads may share the module, not a connection."""

import builtins
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from tsdb import errors
from tsdb.dbapi.cursor import Cursor
from tsdb.dbapi.frames import arrow_table, variable
from tsdb.dbapi.table_handle import TableHandle
from tsdb.errors import InterfaceError, NotSupportedError, ProgrammingError
from tsdb.exec.result import BatchResult, Result
from tsdb.exec.streaming.job import Job
from tsdb.session import Session, open_session
from tsdb.sql.parser import parse_one
from tsdb.sql.statements import Select


def connect(
    warehouse: "str | os.PathLike[str]" = ":memory:", *, options: Mapping[str, str] | None = None
) -> "Connection":
    """Open a warehouse, which is made if it is not there. `:memory:` lasts as long as the connection.

    options: session options, as SET would set them, and for a warehouse `s3://bucket/path` those of the store.
    """
    return Connection(open_session(os.fspath(warehouse), dict(options or {})))


class Connection:
    """See PEP 249; what goes beyond it is said at each method."""

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, session: Session) -> None:
        self._session = session
        session.read_variables(variable)
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._closed = False

    def cursor(self) -> Cursor:
        """A new cursor; cursors of one connection see each other's writes."""
        self.check_open()
        cursor = Cursor(self)
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
        """A new cursor that has executed the SQL."""
        cursor = self.cursor()
        try:
            return cursor.execute(sql, params)
        except BaseException:
            cursor.close()
            raise

    def sql(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
        """`execute` under the name that it has in DuckDB and Spark: `con.sql("SELECT …").df()`."""
        return self.execute(sql, params)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Cursor:
        """A new cursor that has executed the SQL for each of rows."""
        return self.cursor().executemany(sql, rows)

    def statements(self, sql: str) -> Iterator[Cursor]:
        """A cursor for each statement of a script, one after the other; each runs when it is asked for."""
        for result in self.run(sql):
            with self.cursor().adopt(result) as cursor:
                yield cursor

    def register(self, name: str, rows: Any) -> None:
        """Make rows a table of this connection: Arrow, pandas, polars, or anything with `__arrow_c_stream__`.

        In streaming mode it is an append-only source that ends.
        """
        self.check_open()
        self._session.register(name, arrow_table(rows, f"register(`{name}`)"))

    def unregister(self, name: str) -> None:
        """Take a registered table away."""
        self.check_open()
        self._session.unregister(name)

    def append(self, name: str, rows: Any, *, by_name: bool = False) -> int:
        """Insert rows, of the kinds that `register` takes, into a table, in one commit; how many there were.

        by_name: columns of rows go to those of the same name, and the others of the table get their defaults; else
        they go by their places.
        """
        self.check_open()
        return self._session.append(name, arrow_table(rows, f"append(`{name}`)"), by_name=by_name)

    def create_function(
        self,
        name: str,
        function: Callable[..., Any],
        parameters: Sequence[Any] | None = None,
        return_type: Any = None,
        *,
        type: Literal["native", "arrow"] = "native",
        null_handling: Literal["default", "special"] = "default",
        side_effects: bool = False,
    ) -> None:
        """Make a Python function a function of SQL in this connection.

        parameters, return_type: SQL types as text or Arrow types; None: as the function is annotated. type: `arrow`
        functions take and give whole arrays, `native` ones a row of Python values, which is slow. null_handling:
        `default`: a NULL argument gives NULL without a call. side_effects: it is called for every row, whatever the
        arguments; such a function cannot run in a stream.
        """
        self.check_open()
        if type not in ("native", "arrow") or null_handling not in ("default", "special"):
            raise ProgrammingError("type is 'native' or 'arrow', null_handling 'default' or 'special'")
        with_null = null_handling == "special"
        self._session.functions.add(
            name,
            function,
            parameters,
            return_type,
            arrow=type == "arrow",
            calls_with_null=with_null,
            volatile=side_effects,
        )

    def create_aggregate(
        self, name: str, aggregate: builtins.type, parameters: Sequence[Any], return_type: Any
    ) -> None:
        """Make a Python class an aggregate of SQL in this connection.

        aggregate: one object for each group, with `step(*arrays)`, `state()`, `merge(state)` and `finish()`.
        """
        self.check_open()
        self._session.functions.add_aggregate(name, aggregate, parameters, return_type)

    def create_table_function(
        self,
        name: str,
        function: Callable[..., Any],
        parameters: Sequence[Any] | None,
        columns: Mapping[str, Any],
    ) -> None:
        """Make a Python function that gives rows a table function of SQL in this connection.

        It is called for each row of arguments, unless one is NULL, and gives tuples, dicts or, of one column, values:
        `FROM t, LATERAL TABLE(f(t.x)) AS u (a, b)`. columns: the names and types of what it gives.
        """
        self.check_open()
        self._session.functions.add_table(name, function, parameters, columns)

    def remove_function(self, name: str) -> None:
        """Take a function of this connection away."""
        self.check_open()
        if not self._session.functions.remove(name):
            raise ProgrammingError(f"there is no function `{name}` of this connection")

    def table(self, name: str) -> TableHandle:
        """A table by its name, `t` or `database.t`. Raises TableNotFound."""
        self.check_open()
        return TableHandle(self._query, name)

    def option(self, key: str) -> str | None:
        """The value of a session option, set or by default. Raises OptionError for an unknown one."""
        self.check_open()
        return self._session.options.get(key)

    def table_names(self) -> list[str]:
        """The tables and views of the current database."""
        self.check_open()
        result = self._session.execute_one("SHOW TABLES")
        assert isinstance(result, BatchResult)
        return [str(name) for name in result.reader.read_all().column(0).to_pylist()]

    def jobs(self) -> list[Job]:
        """The jobs that this connection started: `.id`, `.name`, `.status`, `.wait()`, `.stop()`, `.metrics()`."""
        self.check_open()
        return list(self._session.jobs.jobs())

    def commit(self) -> None:
        """Does nothing: every statement commits itself."""
        self.check_open()

    def rollback(self) -> None:
        """Not supported: every statement commits itself. Earlier states can be read: VERSION AS OF."""
        self.check_open()
        raise NotSupportedError(
            "every statement commits itself, so there is nothing to roll back; an earlier snapshot can be read with "
            "SELECT … FROM t VERSION AS OF n"
        )

    def close(self) -> None:
        """Stop the queries, stop the jobs with a last checkpoint, and free everything; may be called twice."""
        if self._closed:
            return
        for cursor in list(self._cursors):
            cursor.close()
        self._closed = True
        self._session.close()

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # --- for cursors

    def run(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[Result]:
        """The results of the statements of a script, as they are run."""
        self.check_open()
        if not isinstance(sql, str):
            raise ProgrammingError(f"the SQL is a text, not {type(sql).__name__}")
        if isinstance(params, str | bytes) or not isinstance(params, Iterable):
            raise ProgrammingError("parameters are a sequence of values, one for each `?`, or a dict for `:name`")
        yield from self._session.execute(sql, params if isinstance(params, Mapping) else list(params))

    def _query(self, sql: str) -> BatchResult:
        """A query in batch mode."""
        statement = parse_one(sql)
        assert isinstance(statement, Select)
        self._session.names.forget_variables()
        return self._session.query(statement)

    def check_open(self) -> None:
        """Raises InterfaceError if the connection is closed."""
        if self._closed:
            raise InterfaceError("the connection is closed; connect again")

    def forget(self, cursor: Cursor) -> None:
        """A cursor was closed."""
        self._cursors.discard(cursor)
