"""EXCEPT ALL and INTERSECT ALL with the right multiplicities.

A row that is a times on the left and b times on the right is max(a - b, 0) times in EXCEPT ALL and min(a, b) times in
INTERSECT ALL. DataFusion loses these counts. Numbering equal rows 1, 2, … on both sides makes all rows distinct, and
then the plain operation on (row, number) is right.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.rewrite.ordering import output_list

_NUMBER = "$n"


def number_duplicates(query: exp.Expr) -> exp.Expr:
    """Every EXCEPT ALL and INTERSECT ALL in `query`, rewritten, innermost first."""
    found = [node for node in query.find_all(exp.Except, exp.Intersect) if node.args.get("distinct") is False]
    named = [(node, _names(node)) for node in found]
    for node, names in reversed(named):
        replacement = _numbered(node, names)
        if node is query:
            query = replacement
        else:
            node.replace(replacement)
    return query


def _names(node: exp.SetOperation) -> list[str]:
    left, right = output_list(node.this), output_list(node.expression)
    if left is None or right is None:
        raise NotSupportedError(f"{node.key.upper()} ALL over columns that are not known; name the columns")
    return [output.name for output in left]


def _numbered(node: exp.SetOperation, names: list[str]) -> exp.Expr:
    operation = type(node)(
        this=_numbered_side(node.this, names),
        expression=_numbered_side(node.expression, names),
        distinct=True,
    )
    outer = exp.Select(
        expressions=[exp.column(name, quoted=True) for name in names],
        from_=exp.From(this=exp.Subquery(this=operation, alias=_alias("$numbered"))),
    )
    for key in ("with_", "order", "limit", "offset"):
        if node.args.get(key) is not None:
            outer.set(key, node.args[key])
    outer.meta.update(node.meta)
    return outer


def _numbered_side(side: exp.Expr, names: list[str]) -> exp.Select:
    body = side if isinstance(side, exp.Subquery) and not side.alias else exp.Subquery(this=side)
    body = body.copy()
    body.set("alias", _alias("$side", names))
    columns: list[exp.Expr] = [exp.column(name, quoted=True) for name in names]
    number = exp.Window(
        this=exp.Anonymous(this="ROW_NUMBER"), partition_by=[exp.column(name, quoted=True) for name in names]
    )
    return exp.Select(
        expressions=[*columns, exp.alias_(number, _NUMBER, quoted=True)],
        from_=exp.From(this=body),
    )


def _alias(name: str, columns: list[str] | None = None) -> exp.TableAlias:
    return exp.TableAlias(
        this=exp.to_identifier(name, quoted=True),
        columns=[exp.to_identifier(column, quoted=True) for column in columns or ()],
    )
