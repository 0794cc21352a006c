"""Statements about materialized tables: plain data, as in `tsdb.sql.statements`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tsdb.sql.statements import CreateTable, Statement, TableName


@dataclass(frozen=True, slots=True)
class Freshness:
    """INTERVAL 'number' UNIT. unit: SECOND, MINUTE, HOUR or DAY."""

    number: int
    unit: str

    @property
    def milliseconds(self) -> int:
        """How long it is."""
        return self.number * {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}[self.unit] * 1000


@dataclass(frozen=True, slots=True)
class CreateMaterializedTable(Statement):
    """CREATE MATERIALIZED TABLE. table: without its query; query_text: as written. freshness: None: as often as jobs
    commit.
    """

    table: CreateTable
    query_text: str
    freshness: Freshness | None = None
    refresh_mode: Literal["continuous", "full"] = "continuous"


@dataclass(frozen=True, slots=True)
class AlterMaterializedTable(Statement):
    """ALTER MATERIALIZED TABLE name SUSPEND, RESUME or REFRESH [PARTITION (…)]. partition: values by key."""

    name: TableName
    action: Literal["suspend", "resume", "refresh"]
    partition: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DropMaterializedTable(Statement):
    """DROP MATERIALIZED TABLE [IF EXISTS] name."""

    name: TableName
    if_exists: bool = False
