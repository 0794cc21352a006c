"""Statements about catalogs, databases, comments and prepared statements: plain data, as in `tsdb.sql.statements`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from tsdb.sql.statements import DropTable, DropView, Statement, TableName


@dataclass(frozen=True, slots=True)
class DatabaseName:
    """A database's name as written: perhaps with its catalog before it."""

    name: str
    catalog: str | None = None


@dataclass(frozen=True, slots=True)
class CreateCatalog(Statement):
    """CREATE CATALOG name WITH (options), or ATTACH."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropCatalog(Statement):
    """DROP CATALOG name, or DETACH."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class UseCatalog(Statement):
    """USE CATALOG name."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateDatabase(Statement):
    """CREATE DATABASE (or SCHEMA) name."""

    name: DatabaseName
    if_not_exists: bool = False
    comment: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DropDatabase(Statement):
    """DROP DATABASE (or SCHEMA) name [CASCADE]."""

    name: DatabaseName
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class AlterDatabase(Statement):
    """ALTER DATABASE name SET (options) or RESET (keys)."""

    name: DatabaseName
    options: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UseDatabase(Statement):
    """USE name."""

    name: DatabaseName


@dataclass(frozen=True, slots=True)
class DropSeveral(Statement):
    """DROP TABLE a, b or DROP VIEW a, b: all of them, or none."""

    drops: tuple[DropTable, ...] | tuple[DropView, ...]


@dataclass(frozen=True, slots=True)
class ShowCreate(Statement):
    """SHOW CREATE DATABASE, CATALOG or FUNCTION. kind: that word in lower case."""

    kind: str
    name: DatabaseName


@dataclass(frozen=True, slots=True)
class DescribeThing(Statement):
    """DESCRIBE DATABASE, CATALOG or FUNCTION. kind: that word in lower case."""

    kind: str
    name: DatabaseName


@dataclass(frozen=True, slots=True)
class DescribeQuery(Statement):
    """DESCRIBE query: the columns that it gives."""

    query: exp.Query


@dataclass(frozen=True, slots=True)
class Summarize(Statement):
    """SUMMARIZE query, or a table: what its columns hold."""

    query: exp.Query


@dataclass(frozen=True, slots=True)
class Comment(Statement):
    """COMMENT ON TABLE, VIEW, COLUMN or DATABASE … IS 'text' or NULL. kind: that word in lower case."""

    kind: str
    name: TableName
    comment: str | None
    column: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlterView(Statement):
    """ALTER VIEW name RENAME TO new_name, or AS query."""

    name: TableName
    new_name: TableName | None = None
    query: exp.Query | None = None
    query_text: str = ""
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Prepare(Statement):
    """PREPARE name AS statement. body: its text; its placeholders are bound by EXECUTE."""

    name: str
    body: str


@dataclass(frozen=True, slots=True)
class ExecutePrepared(Statement):
    """EXECUTE name (values)."""

    name: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Deallocate(Statement):
    """DEALLOCATE name; None: all."""

    name: str | None
