"""The names of a session: the current catalog and database, what the user registered, temporary tables and views, and
the catalogs behind them.

A bare name means something temporary first, then a table or view of the current database. Names match exactly, else
without regard to case when only one fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

import pyarrow as pa
from sqlglot import exp

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.catalog.system import GLOBAL_TABLES, SYSTEM_DATABASE, SYSTEM_TABLES
from tsdb.errors import AlreadyExists, DatabaseNotFound, Error, NotSupportedError, Position, TableNotFound, nearest
from tsdb.exec.catalogs import DEFAULT_DATABASE, Catalogs, Mounted, mount
from tsdb.exec.local_file import check_function, find_files, looks_like_file
from tsdb.exec.relation import FileSource, Registered, Source, SystemTable, View
from tsdb.exec.view_store import ViewStore
from tsdb.fs import open_warehouse
from tsdb.sql.script import position_at, position_of
from tsdb.sql.statements import Statement, TableName
from tsdb.sql.table_ref import references, table_name
from tsdb.table.materialized import is_materialized
from tsdb.table.table import Identifier, Table

Named: TypeAlias = Source | View

TEMPORARY = "$temporary"
"""The database in which a view looks for what is temporary; no name that a user gives can be this one."""

INFORMATION_SCHEMA = "information_schema"
SCHEMA_HOLDERS = (SYSTEM_DATABASE, INFORMATION_SCHEMA)
"""Databases of every catalog that only describe it."""


class Names:
    """Resolves what the user writes."""

    def __init__(self, catalogs: Catalogs) -> None:
        self.catalogs = catalogs
        self.database = DEFAULT_DATABASE
        self.described: Callable[[Mounted, str], SystemTable | None] = lambda mounted, name: None
        """Gives `information_schema.<name>` of a catalog; the session, which knows what it has, puts it here."""
        self.variable: Callable[[str], pa.Table | None] = lambda name: None
        """Gives the rows of the caller's Python variable of a name; the session puts it here."""
        self._variables: dict[str, Registered] = {}
        self._temporary: dict[str, Registered | View | ConnectorTable | Identifier] = {}
        self._temporary_home: Mounted | None = None

    @property
    def catalog(self) -> Catalog:
        """The databases and tables of the current catalog."""
        return self.catalogs.current.catalog

    @property
    def stored_views(self) -> ViewStore:
        """The views of the current catalog."""
        return self.catalogs.current.views

    # --- changes

    def use(self, database: str, catalog: str | None = None) -> None:
        """Make another database the current one; of another catalog, or a whole other catalog, if that is its name."""
        if catalog is not None:
            mounted = self.catalogs.get(catalog)
            self.database = self.database_name(database, mounted)
            self.catalogs.current = mounted
        elif fitting(database, self.catalog.list_databases()) is None and self.catalogs.has(database):
            self.use_catalog(database)
        else:
            self.database = self.database_name(database)

    def use_catalog(self, name: str) -> None:
        """Make another catalog the current one, and its first database."""
        mounted = self.catalogs.get(name)
        self.use(mounted.database, mounted.name)

    def register(self, name: str, rows: pa.Table) -> None:
        """Put rows under a name, in place of what the user had registered there."""
        self._forget(name)
        self._temporary[name] = Registered(name, rows)

    def unregister(self, name: str) -> bool:
        """Forget a registered relation or a temporary view or table; False if there is none."""
        key = fitting(name, self._temporary)
        if key is None:
            return False
        self._forget(key)
        return True

    def add_temporary(self, name: str, source: View | ConnectorTable, *, replace: bool = False) -> None:
        """A temporary view or connector table. Raises AlreadyExists unless `replace`."""
        if name in self._temporary:
            if not replace:
                raise AlreadyExists(f"temporary table or view `{name}` exists; DROP it first")
            self._forget(name)
        self._temporary[name] = source

    def add_temporary_table(self, name: str) -> tuple[Mounted, Identifier]:
        """Where a temporary table is to be stored: in a warehouse that lasts as long as the session."""
        if name in self._temporary:
            raise AlreadyExists(f"temporary table or view `{name}` exists; DROP it first")
        if self._temporary_home is None:
            self._temporary_home = mount("temporary", open_warehouse(":memory:"))
        identifier = Identifier(DEFAULT_DATABASE, name)
        self._temporary[name] = identifier
        return self._temporary_home, identifier

    def rename_temporary(self, name: str, new: str) -> None:
        """Another name for a temporary table; what had that name is forgotten."""
        key = fitting(new, self._temporary)
        if key is not None:
            self._forget(key)
        self._temporary[new] = self._temporary.pop(name)

    def close(self) -> None:
        """Free the catalogs, and what was temporary."""
        self.catalogs.close()
        if self._temporary_home is not None:
            self._temporary_home.storage.close()

    def _forget(self, key: str) -> None:
        found = self._temporary.pop(key, None)
        if isinstance(found, Identifier) and self._temporary_home is not None:
            self._temporary_home.catalog.drop_table(found, if_exists=True)

    # --- look-ups

    @property
    def temporary(self) -> dict[str, Named]:
        """What lives as long as the session, by name."""
        return {name: self._temporary_source(name) for name in self._temporary}

    def is_temporary(self, name: str) -> bool:
        """A bare name stands for something temporary."""
        return fitting(name, self._temporary) is not None

    def mounted(self, name: TableName) -> Mounted:
        """The catalog that a name, written so, is of. Raises CatalogNotFound."""
        return self.catalogs.current if name.catalog is None else self.catalogs.get(name.catalog)

    def home_of(self, name: TableName) -> Catalog:
        """Where a table that was found under this name is stored."""
        if name.database is None and self._temporary_home is not None:
            key = fitting(name.name, self._temporary)
            if key is not None and isinstance(self._temporary[key], Identifier):
                return self._temporary_home.catalog
        return self.mounted(name).catalog

    def database_name(self, name: str, mounted: Mounted | None = None) -> str:
        """The real name of a database. Raises DatabaseNotFound naming the nearest."""
        databases = (mounted or self.catalogs.current).catalog.list_databases()
        found = fitting(name, databases)
        if found is None:
            within = f" in catalog `{mounted.name}`" if mounted not in (None, self.catalogs.current) else ""
            hint = nearest(name, databases)
            if self.catalogs.has(name):
                hint = f" It is a catalog: write {name}.{DEFAULT_DATABASE}.table, or USE CATALOG {name}"
            raise DatabaseNotFound(f"database `{name}` does not exist{within}.{hint}")
        return found

    def identifier(self, name: TableName) -> Identifier:
        """The full name, in its catalog, for a table that is to be made or looked up, as written."""
        mounted = self.mounted(name)
        return Identifier(self.database_name(name.database, mounted) if name.database else self.database, name.name)

    def find(self, name: TableName) -> Named | None:
        """What the name stands for; None if nothing. Raises DatabaseNotFound and CatalogNotFound."""
        if name.database in (None, TEMPORARY):
            key = fitting(name.name, self._temporary)
            if key is not None:
                return self._temporary_source(key)
            key = fitting(name.table, self._temporary)
            if key is not None or name.database == TEMPORARY:
                return None if key is None else self._with_suffix(self._temporary_source(key), name)
        if name.database is not None and name.database.lower() in SCHEMA_HOLDERS:
            return self._description(name)
        mounted = self.mounted(name)
        return self._with_suffix(self._stored(mounted, self.identifier(name.whole)), name)

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

    def written(self, name: TableName, statement: Statement | None = None) -> Table | ConnectorTable:
        """A table whose rows a user may change; see `table`."""
        table = self.table(name, statement)
        if is_materialized(table):
            raise NotSupportedError(
                f"`{name}` is a materialized table: its rows come from its query alone, and what is written by hand "
                "would not stay; change the tables that the query reads",
                position=_place(name, statement),
            )
        return table

    def source(self, reference: exp.Table, statement: Statement | None = None) -> Named:
        """What a reference of a query stands for. Raises TableNotFound at its place."""
        name = table_name(reference)
        try:
            found = _files(reference) or self.find(name)
            if found is None and len(name.parts) == 1 and looks_like_file(name.name):
                found = find_files([name.name])
            found = found or self.variable_of(name)
        except Error as err:
            err.position = err.position or position_of(reference.this, statement)
            raise
        if found is None:
            raise self.not_found(name, statement)
        return found

    def variable_of(self, name: TableName) -> Registered | None:
        """The caller's variable, as it is when the statement first reads it."""
        if len(name.parts) > 1 or name.name in self._variables:
            return self._variables.get(name.name) if len(name.parts) == 1 else None
        rows = self.variable(name.name)
        if rows is None:
            return None
        return self._variables.setdefault(name.name, Registered(name.name, rows))

    def refuse_variables(self, query: exp.Query, statement: Statement) -> None:
        """Raises NotSupportedError where a query that is to be stored reads variables."""
        for reference in references(query):
            name = table_name(reference)
            if len(name.parts) == 1 and self.find(name) is None and self.variable_of(name) is not None:
                raise NotSupportedError(
                    f"a view cannot read the Python variable `{name}`, which may be another, or gone, when the view "
                    f"is read; give it a name of the connection: con.register('{name}', {name})",
                    position=_place(name, statement),
                )

    def forget_variables(self) -> None:
        """A new statement begins, for which the variables are what they are then."""
        self._variables.clear()

    def not_found(self, name: TableName, statement: Statement | None) -> TableNotFound:
        """The error for a name that stands for nothing."""
        database = name.database or self.database
        known = [*self._known(self.mounted(name), database), *(self._temporary if name.database is None else ())]
        where = f" in database `{database}`"
        return TableNotFound(
            f"table `{name}` does not exist{where if name.database is None else ''}.{nearest(name.name, known)}",
            position=_place(name, statement),
        )

    def views(self, database: str, mounted: Mounted | None = None) -> list[str]:
        """The views of a database, and the temporary ones."""
        temporary = [name for name, found in self._temporary.items() if isinstance(found, View)]
        return sorted({*(mounted or self.catalogs.current).views.names(database), *temporary})

    def _temporary_source(self, key: str) -> Named:
        found = self._temporary[key]
        if not isinstance(found, Identifier):
            return found
        assert self._temporary_home is not None
        return self._temporary_home.catalog.get_table(found)

    def _stored(self, mounted: Mounted, identifier: Identifier) -> Table | ConnectorTable | View | None:
        try:
            return mounted.catalog.get_table(identifier)
        except TableNotFound:
            views = mounted.views.names(identifier.database)
            view = fitting(identifier.name, views) if views else None
            return None if view is None else mounted.views.find(Identifier(identifier.database, view))

    def _known(self, mounted: Mounted, database: str) -> list[str]:
        if database.lower() in SCHEMA_HOLDERS:
            return []
        return [*mounted.catalog.list_tables(database), *mounted.views.names(database)]

    def _with_suffix(self, found: Named | None, name: TableName) -> Named | None:
        """The system table of what was found, if the name asks for one."""
        if name.system is None or found is None:
            return found
        if not isinstance(found, Table):
            raise NotSupportedError(f"`{name.table}` has no system tables: it is not stored in the warehouse")
        return self._system_table(found, name.system)

    def _system_table(self, table: Table, suffix: str) -> SystemTable:
        found = SYSTEM_TABLES.get(suffix.lower())
        if found is None:
            raise TableNotFound(
                f"table `{table.identifier}` has no system table `${suffix}`.{nearest(suffix, SYSTEM_TABLES)}"
            )
        name, of = f"{table.identifier}${suffix}", table if found.takes_options else None
        return SystemTable(name, found.schema_of(table), partial(found, table), of, found.name)

    def _description(self, name: TableName) -> SystemTable:
        """`sys.<name>` or `information_schema.<name>` of a catalog."""
        mounted, key = self.mounted(name), name.name.lower()
        if str(name.database).lower() == INFORMATION_SCHEMA:
            described = self.described(mounted, key)
            if described is None:
                raise TableNotFound(f"there is no table `{name}`; SHOW TABLES FROM {INFORMATION_SCHEMA} lists them")
            return described
        found = GLOBAL_TABLES.get(key)
        if found is None:
            raise TableNotFound(f"there is no system table `{name}`.{nearest(name.name, GLOBAL_TABLES)}")
        return SystemTable(str(name), found.schema, partial(found.rows, mounted.catalog))


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
