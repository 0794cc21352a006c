"""The time of day in a streaming query is refused; PROCTIME() is the time at which a row comes.

DataFusion puts the time at which a query is planned in its place. For a batch query that is right; in a stream it
would stand still, and a resumed job would have another one.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.dialect import LocalTimestamp
from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.script import position_of
from tsdb.sql.statements import Statement

_NODES = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, LocalTimestamp)
_NAMES = frozenset(
    ["NOW", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIME", "LOCALTIMESTAMP", "TODAY",
     "CURRENT_ROW_TIMESTAMP"]
)  # fmt: skip
_CHANCE = frozenset(name for name, f in FUNCTIONS.items() if not f.streams)


def refuse_current_time(query: exp.Expr, statement: Statement | None) -> None:
    """Raises NotSupportedError at the first function that asks for the time, or for chance."""
    found = moving_call(query)
    if found is None:
        return
    if _asks_for_time(found):
        written = str(found.this).lower() if isinstance(found, exp.Anonymous) else found.sql().lower()
        raise NotSupportedError(
            f"`{written}` would stand still in a streaming query, at the time when the query began; "
            "use a column of the rows, or SET 'execution.mode' = 'batch'",
            position=position_of(found, statement),
        )
    raise NotSupportedError(
        f"`{found.name.lower()}` gives another value each time: a stream could not take back what it once gave; "
        "store it in a column, or SET 'execution.mode' = 'batch'",
        position=position_of(found, statement),
    )


def moving_call(query: exp.Expr) -> exp.Expr | None:
    """The first function of a query that asks for the time, or for chance."""
    for node in query.walk():
        if _asks_for_time(node) or (isinstance(node, exp.Anonymous) and node.name.upper() in _CHANCE):
            return node
    return None


def _asks_for_time(node: exp.Expr) -> bool:
    if not isinstance(node, exp.Anonymous):
        return isinstance(node, _NODES)
    name = node.name.upper()
    return name in _NAMES or (name == "UNIX_TIMESTAMP" and not node.expressions)


def mark_proctime(query: exp.Expr) -> exp.Expr:
    """PROCTIME() as the function that `tsdb.exec.markers` knows, which is evaluated for every row that comes."""
    for node in list(query.find_all(exp.Anonymous)):
        if str(node.this).upper() == "PROCTIME" and not node.expressions:
            node.replace(exp.Anonymous(this="tsdb_proctime", expressions=[exp.Anonymous(this="random")]))
    return query


def mark_watermark(query: exp.Expr) -> exp.Expr:
    """CURRENT_WATERMARK(time) as the function that `tsdb.exec.markers` knows, in the type of the time."""
    for node in list(query.find_all(exp.Anonymous)):
        if str(node.this).upper() == "CURRENT_WATERMARK" and len(node.expressions) == 1:
            (time,) = node.expressions
            moment = exp.Anonymous(
                this="arrow_cast", expressions=[time.copy(), exp.Literal.string("Timestamp(Nanosecond, None)")]
            )
            asked = exp.Anonymous(this="tsdb_watermark_00000000", expressions=[moment])
            node.replace(exp.Case(ifs=[exp.If(this=exp.false(), true=time.copy())], default=asked))
    return query
