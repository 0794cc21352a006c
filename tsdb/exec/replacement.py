"""CREATE OR REPLACE TABLE, and DROP of several tables or views.

The new table is made, and filled, beside the old one, under a name that no user gives; only when all of it is there do
the names change. So a failed statement leaves the old table as it was, and the query may read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tsdb import clock
from tsdb.errors import AlreadyExists, Error, NotSupportedError, ProgrammingError, TableNotFound
from tsdb.exec import definition
from tsdb.exec.names import Names
from tsdb.exec.relation import Registered, View
from tsdb.sql import catalog_statements as more
from tsdb.sql import statements as sql
from tsdb.table.materialized import is_materialized
from tsdb.table.table import Table

T = TypeVar("T")


def replace_table(statement: sql.CreateTable, names: Names, create: Callable[[sql.CreateTable], T]) -> T:
    """CREATE OR REPLACE TABLE. create: makes a table and fills it."""
    plain = replace(statement, or_replace=False)
    name = statement.name
    hides = name.database is None and names.is_temporary(name.name)
    found = names.find(name) if hides == statement.temporary else None
    if hides and not statement.temporary:
        raise AlreadyExists(f"`{name}` is temporary and stands before a table of this name; DROP it first")
    if found is None:
        return create(plain)
    if is_materialized(found):
        raise ProgrammingError(f"`{name}` is a materialized table; write DROP MATERIALIZED TABLE first")
    if isinstance(found, View | Registered):
        what = "a view; DROP VIEW it first" if isinstance(found, View) else "registered from Python"
        raise ProgrammingError(f"`{name}` is {what}")
    if "log.system" in statement.options or (isinstance(found, Table) and "log.system" in found.options.values):
        raise NotSupportedError("CREATE OR REPLACE TABLE with 'log.system': DROP TABLE, then CREATE TABLE")
    staged = _beside(name, "new")
    try:
        result = create(replace(plain, name=staged))
    except Error as err:
        err.message = err.message.replace(staged.name, name.name)
        raise
    if statement.temporary:
        names.rename_temporary(staged.name, name.name)
        return result
    old = _beside(name, "old")
    rename = replace(sql.RenameTable(name, old), position=statement.position, script=statement.script)
    definition.rename_table(rename, names)
    definition.rename_table(replace(rename, name=staged, new_name=name), names)
    definition.drop_table(sql.DropTable(old), names)
    return result


def drop_several(statement: more.DropSeveral, names: Names) -> None:
    """DROP TABLE a, b or DROP VIEW a, b: nothing is dropped if one of them is not there, or is something else."""
    for drop in statement.drops:
        found = names.find(drop.name)
        if found is None and not drop.if_exists:
            raise names.not_found(drop.name, statement)
        if found is not None and isinstance(found, View) != isinstance(drop, sql.DropView):
            what = "view" if isinstance(found, View) else "table"
            raise ProgrammingError(f"`{drop.name}` is a {what}; write DROP {what.upper()}")
        if is_materialized(found):
            raise ProgrammingError(f"`{drop.name}` is a materialized table; write DROP MATERIALIZED TABLE")
    for drop in statement.drops:
        try:
            if isinstance(drop, sql.DropView):
                definition.drop_view(drop, names)
            else:
                definition.drop_table(drop, names)
        except TableNotFound:  # named twice
            continue


def _beside(name: sql.TableName, what: str) -> sql.TableName:
    """A name of the same database that nobody else uses."""
    return sql.TableName((*name.parts[:-1], f"{name.name}__{what}_{clock.current().new_id()}"))
