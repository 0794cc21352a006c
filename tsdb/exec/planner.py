"""The queries of one statement that changes rows: planned in batch mode, and all of them see the same snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsdb.exec.engine import Engine
from tsdb.exec.names import Names
from tsdb.exec.plan import QueryPlan, plan_query
from tsdb.metadata.snapshot import Snapshot
from tsdb.sql.statements import Statement

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(slots=True)
class Planner:
    """Plans the queries of `statement`. options: of the session."""

    names: Names
    engine: Engine
    options: Mapping[str, str]
    statement: Statement
    snapshots: dict[str, Snapshot | None] = field(default_factory=dict)

    def __call__(self, node: exp.Query, *, numbered_files: bool = False) -> QueryPlan:
        """The plan. numbered_files: see `plan_query`."""
        return plan_query(
            node,
            self.names,
            self.engine,
            self.options,
            "batch",
            self.statement,
            snapshots=self.snapshots,
            numbered_files=numbered_files,
        )
