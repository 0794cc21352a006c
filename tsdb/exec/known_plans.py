"""Queries that were planned before: the same text over the same tables is not bound and optimised again.

What is kept belongs to the text, the session's options, its database and catalog, and the schemas of the tables;
where one of them differs, the query is planned anew. Which snapshot a table is read at is found out each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tsdb.exec.batch.dataset import Control
from tsdb.exec.engine import Engine
from tsdb.exec.failure import Failures
from tsdb.exec.names import Names
from tsdb.exec.plan import QueryPlan, plan_query, same_relations
from tsdb.sql.rewrite.current_time import moving_call
from tsdb.sql.statements import Select
from tsdb.sql.table_ref import references
from tsdb.table.table import Table

_PLANS_MAX = 128


@dataclass(frozen=True, slots=True)
class _Known:
    statement: Select
    plan: QueryPlan
    options: Mapping[str, str]
    place: tuple[object, str]


class KnownPlans:
    """Plans of batch queries. The least recently used are dropped. Used by one thread at a time."""

    def __init__(self) -> None:
        self._plans: OrderedDict[int, _Known] = OrderedDict()

    def plan(self, statement: Select, names: Names, engine: Engine, options: Mapping[str, str]) -> QueryPlan:
        """The plan of a query without parameters, over what its tables are now. Raises as `plan_query`.

        statement: the same object whenever the same text is asked.
        """
        known = self._plans.get(id(statement))
        if known is not None:
            again = _renewed(known, names, engine, options)
            if again is not None:
                self._plans.move_to_end(id(statement))
                return again
        plan = plan_query(statement.query, names, engine, options, "batch", statement)
        if _lasts(plan, statement, names, engine):
            # the statement is kept with it, so that no other one can have its identity
            self._plans[id(statement)] = _Known(statement, _without_snapshots(plan), dict(options), _place(names))
            if len(self._plans) > _PLANS_MAX:
                self._plans.popitem(last=False)
        return plan


def _renewed(known: _Known, names: Names, engine: Engine, options: Mapping[str, str]) -> QueryPlan | None:
    """The plan over the newest snapshots; None where it would not be the same plan."""
    plan = known.plan
    if plan.engine is not engine or known.options != options or known.place != _place(names) or _has_own(engine):
        return None
    control = Control()
    relations = same_relations(plan, names, options, known.statement, control)
    if relations is None:
        return None
    scope = replace(plan.scope, failures=control.failures)
    return replace(plan, relations=relations, control=control, scope=scope)


def _lasts(plan: QueryPlan, statement: Select, names: Names, engine: Engine) -> bool:
    """Whether it means the same the next time: it reads stored tables only, calls no function of the user's, and does
    not ask for the time.
    """
    if _has_own(engine) or moving_call(statement.query) is not None:
        return False
    sources = [names.source(reference, statement) for reference in references(statement.query)]
    return all(isinstance(source, Table) for source in (*sources, *(r.source for r in plan.relations.values())))


def _without_snapshots(plan: QueryPlan) -> QueryPlan:
    """Snapshots that are read by nobody may expire."""
    relations = {name: replace(relation, snapshot=None, between=None) for name, relation in plan.relations.items()}
    return replace(plan, relations=relations, control=Control(), scope=replace(plan.scope, failures=Failures()))


def _has_own(engine: Engine) -> bool:
    functions = engine.functions
    return bool(functions.scalars or functions.aggregates or functions.tables)


def _place(names: Names) -> tuple[object, str]:
    return names.catalogs.current.name, names.database
