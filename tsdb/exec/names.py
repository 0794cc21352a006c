"""The names of a session: the current database, what the user registered, temporary tables and views, and the catalog
behind them.

A bare name means something temporary first, then a table or view of the current database. Names match exactly, else
without regard to case when only one fits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeAlias

import pyarrow as pa
from sqlglot import exp

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.catalog.system import GLOBAL_TABLES, SYSTEM_DATABASE, SYSTEM_TABLES
from tsdb.errors import AlreadyExists, DatabaseNotFound, Error, NotSupportedError, Position, TableNotFound, nearest
from tsdb.exec.local_file import check_function, find_files, looks_like_file
from tsdb.exec.relation import FileSource, Registered, Source, SystemTable, View
from tsdb.exec.view_store import ViewStore
from tsdb.sql.script import position_at, position_of
from tsdb.sql.statements import Statement, TableName
from tsdb.sql.table_ref import table_name
from tsdb.table.table import Identifier, Table

Named: TypeAlias = Source | View

DEFAULT_DATABASE = "default"
TEMPORARY = "$temporary"
"""The database in which a view looks for what is temporary; no name that a user gives can be this one."""


class Names:
    """Resolves what the user writes."""

    def __init__(self, catalog: Catalog, stored_views: ViewStore, database: str = DEFAULT_DATABASE) -> None:
        self.catalog = catalog
        self.stored_views = stored_views
        self.database = database
        self._temporary: dict[str, Registered | View | ConnectorTable] = {}

    # --- changes

    def use(self, database: str) -> None:
        """Make another database the current one."""
        self.database = self.database_name(database)

    def register(self, name: str, rows: pa.Table) -> None:
        """Put rows under a name, in place of what the user had registered there."""
        self._temporary[name] = Registered(name, rows)

    def unregister(self, name: str) -> bool:
        """Forget a registered relation or a temporary view; False if there is none."""
        key = fitting(name, self._temporary)
        return key is not None and self._temporary.pop(key, None) is not None

    def add_temporary(self, name: str, source: View | ConnectorTable, *, replace: bool = False) -> None:
        """A temporary view or connector table. Raises AlreadyExists unless `replace`."""
        if name in self._temporary and not replace:
            raise AlreadyExists(f"temporary table or view `{name}` exists; DROP it first")
        self._temporary[name] = source

    # --- look-ups

    @property
    def temporary(self) -> dict[str, Registered | View | ConnectorTable]:
        """What lives as long as the session, by name."""
        return dict(self._temporary)

    def is_temporary(self, name: str) -> bool:
        """A bare name stands for something temporary."""
        return fitting(name, self._temporary) is not None

    def database_name(self, name: str) -> str:
        """The real name of a database. Raises DatabaseNotFound naming the nearest."""
        databases = self.catalog.list_databases()
        found = fitting(name, databases)
        if found is None:
            raise DatabaseNotFound(f"database `{name}` does not exist.{nearest(name, databases)}")
        return found

    def identifier(self, name: TableName) -> Identifier:
        """The full name for a table that is to be made or looked up, as written."""
        self._check_catalog(name)
        return Identifier(self.database_name(name.database) if name.database else self.database, name.name)

    def find(self, name: TableName) -> Named | None:
        """What the name stands for; None if nothing. Raises DatabaseNotFound."""
        if name.database in (None, TEMPORARY):
            key = fitting(name.name, self._temporary)
            if key is not None or name.database == TEMPORARY:
                return None if key is None else self._temporary[key]
        if name.database is not None and name.database.lower() == SYSTEM_DATABASE:
            return self._global_table(name)
        identifier = self.identifier(TableName((*name.parts[:-1], name.table)))
        found = self._find_stored(identifier)
        if name.system is None or found is None:
            return found
        if not isinstance(found, Table):
            raise NotSupportedError(f"`{identifier}` has no system tables: it is not stored in the warehouse")
        return self._system_table(found, name.system)

    def table(self, name: TableName, statement: Statement | None = None) -> Table | ConnectorTable:
        """A table that can be changed. Raises TableNotFound, or NotSupportedError for anything else of that name."""
        found = self.find(name)
        if found is None:
            raise self.not_found(name, statement)
        if not isinstance(found, Table | ConnectorTable):
            kind = (
                "view"
                if isinstance(found, View)
                else "registered relation"
                if isinstance(found, Registered)
                else "file"
                if isinstance(found, FileSource)
                else "system table"
            )
            raise NotSupportedError(f"`{name}` is a {kind}; it can only be read", position=_place(name, statement))
        return found

    def source(self, reference: exp.Table, statement: Statement | None = None) -> Named:
        """What a reference of a query stands for. Raises TableNotFound at its place."""
        name = table_name(reference)
        try:
            found = _files(reference) or self.find(name)
            if found is None and len(name.parts) == 1 and looks_like_file(name.name):
                found = find_files([name.name])
        except Error as err:
            err.position = err.position or position_of(reference.this, statement)
            raise
        if found is None:
            raise self.not_found(name, statement)
        return found

    def not_found(self, name: TableName, statement: Statement | None) -> TableNotFound:
        """The error for a name that stands for nothing."""
        database = name.database or self.database
        known = [*self._known(database), *(self._temporary if name.database is None else ())]
        where = f" in database `{database}`"
        return TableNotFound(
            f"table `{name}` does not exist{where if name.database is None else ''}.{nearest(name.name, known)}",
            position=_place(name, statement),
        )

    def views(self, database: str) -> list[str]:
        """The views of a database, and the temporary ones."""
        temporary = [name for name, found in self._temporary.items() if isinstance(found, View)]
        return sorted({*self.stored_views.names(database), *temporary})

    def _find_stored(self, identifier: Identifier) -> Table | ConnectorTable | View | None:
        try:
            return self.catalog.get_table(identifier)
        except TableNotFound:
            views = self.stored_views.names(identifier.database)
            view = fitting(identifier.name, views) if views else None
            return None if view is None else self.stored_views.find(Identifier(identifier.database, view))

    def _known(self, database: str) -> list[str]:
        return [*self.catalog.list_tables(database), *self.stored_views.names(database)]

    def _system_table(self, table: Table, suffix: str) -> SystemTable:
        found = SYSTEM_TABLES.get(suffix.lower())
        if found is None:
            raise TableNotFound(
                f"table `{table.identifier}` has no system table `${suffix}`.{nearest(suffix, SYSTEM_TABLES)}"
            )
        name, of = f"{table.identifier}${suffix}", table if found.takes_options else None
        return SystemTable(name, found.schema_of(table), partial(found.rows, table), of, found.name)

    def _global_table(self, name: TableName) -> SystemTable | None:
        found = GLOBAL_TABLES.get(name.name.lower())
        if found is None:
            raise TableNotFound(f"there is no system table `{name}`.{nearest(name.name, GLOBAL_TABLES)}")
        return SystemTable(str(name), found.schema, partial(found.rows, self.catalog))

    def _check_catalog(self, name: TableName) -> None:
        if name.catalog is not None and name.catalog != "default_catalog":
            raise NotSupportedError(f"`{name}`: a connection has one catalog, its warehouse; write `database.table`")


def fitting(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate of that name: exactly, else the only one that differs in case."""
    candidates = list(candidates)
    if name in candidates:
        return name
    found = [candidate for candidate in candidates if candidate.lower() == name.lower()]
    return found[0] if len(found) == 1 else None


def _files(reference: exp.Table) -> FileSource | None:
    """What read_csv(…) and its like read, or COPY."""
    given: FileSource | None = reference.meta.get("file_source")
    if given is not None:
        return given
    call = reference.meta.get("read_function")
    if call is None:
        return None
    name, paths, options = call
    return find_files(paths, check_function(name), options)


def _place(name: TableName, statement: Statement | None) -> Position | None:
    if statement is None or name.start is None or not statement.script:
        return None
    return position_at(statement.script, name.start)
