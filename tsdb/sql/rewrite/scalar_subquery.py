"""An uncorrelated scalar subquery as a cross join with its one row (streaming only).

DataFusion keeps such a subquery inside the expression, where no incremental operator can see it. A subquery that is
one aggregate without GROUP BY always has exactly one row, so `CROSS JOIN (subquery)` means the same. Another is folded
by MAX to one row first, and its rows are counted, if they may be several: more than one is an error when they come.
What stands where a join cannot be added is left alone; the streaming compiler then says why it cannot run.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.rewrite.aggregate_call import aggregate_calls, is_aggregate, is_call_of_aggregate
from tsdb.sql.rewrite.free_column import free_columns


def join_scalar_subqueries(query: exp.Expr) -> exp.Expr:
    """Every uncorrelated scalar subquery in `query`, as a join with its one row."""
    number = 0
    for node in list(query.find_all(exp.Subquery)):
        select = node.parent_select
        row = _single_row(node) if is_scalar(node) and not free_columns(node) else None
        if row is None or not isinstance(select, exp.Select):
            continue
        if _is_beside_aggregates(select, node) and _can_nest(select):
            _nest_aggregates(select)
        if not can_join(select, node):
            continue
        number += 1
        alias = f"$scalar{number}"
        column = exp.column("value", table=alias, quoted=True)
        if select.args.get("group") is not None and not inside(node, select, "where"):
            select.args["group"].append("expressions", column.copy())
        if isinstance(node.parent, exp.Select):
            node.replace(exp.alias_(column, str(node.sql()), quoted=True))
        else:
            node.replace(column)
        join_row(select, row, alias)
    return query


def is_scalar(node: exp.Subquery) -> bool:
    """The subquery stands for one value."""
    parent = node.parent
    if isinstance(
        parent, exp.From | exp.Join | exp.Lateral | exp.In | exp.Exists | exp.SetOperation | exp.CTE | exp.Any
    ):
        return False
    return parent is not None and not isinstance(parent, exp.Subquery | exp.All) and isinstance(node.this, exp.Query)


def _single_row(node: exp.Subquery) -> exp.Select | None:
    """A query that gives exactly one row with one column `value`, or None."""
    body = node.this
    if not isinstance(body, exp.Query) or len(body.selects) != 1:
        return None
    if isinstance(body, exp.Select) and is_aggregate(body.selects[0].unalias()) and not _may_leave_out(body):
        one = body.copy()
        one.set("expressions", [exp.alias_(body.selects[0].unalias().copy(), "value", quoted=True)])
        return one
    rows = body.copy()
    value: exp.Expr = exp.column(_named(rows), table="$one", quoted=True)
    folded: exp.Expr = exp.Anonymous(this="MAX", expressions=[value])
    if not _has_limit_one(body):
        count = exp.Anonymous(this="COUNT", expressions=[exp.Star()])
        is_one = exp.EQ(this=exp.Anonymous(this="only_row", expressions=[count]), expression=exp.Literal.number(1))
        folded = exp.Case(ifs=[exp.If(this=is_one, true=folded)])
    return exp.Select(
        expressions=[exp.alias_(folded, "value", quoted=True)],
        from_=exp.From(this=exp.Subquery(this=rows, alias=_quoted_alias("$one"))),
    )


def _may_leave_out(body: exp.Select) -> bool:
    return any(body.args.get(key) for key in ("group", "having", "limit", "offset", "qualify", "distinct"))


def _has_limit_one(body: exp.Query) -> bool:
    limit = body.args.get("limit")
    return isinstance(limit, exp.Limit) and limit.expression.name in ("0", "1")


def _named(rows: exp.Query) -> str:
    """The name of the only column, which gets one if it has none."""
    first = rows
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    column = first.selects[0]
    if not column.alias_or_name:
        column.replace(exp.alias_(column.copy(), "value", quoted=True))
        return "value"
    return str(column.alias_or_name)


def can_join(select: exp.Select, node: exp.Subquery) -> bool:
    """Joining one row to FROM does not change `select`: it reads columns by name, and is no aggregate of everything."""
    if any(isinstance(item, exp.Star) for item in select.expressions) and not _star_sources(select):
        return False
    if inside(node, select, "joins") or inside(node, select, "from_"):
        return False
    return not _is_beside_aggregates(select, node)


def _is_beside_aggregates(select: exp.Select, node: exp.Subquery) -> bool:
    """`select` aggregates all rows to one, and `node` is a part of that row, not of what is aggregated."""
    if select.args.get("group") is not None or inside(node, select, "where"):
        return False
    if not any(is_aggregate(item) for item in (*select.expressions, select.args.get("having")) if item is not None):
        return False
    parent = node.parent
    while parent is not None and parent is not select and not is_call_of_aggregate(parent):
        parent = parent.parent
    return parent is select


def _can_nest(select: exp.Select) -> bool:
    """Nothing but aggregates, constants and subqueries makes the row, and no clause is left that means the rows."""
    others = ("distinct", "qualify", "windows", "order", "hint")
    if any(select.args.get(key) for key in others) or select.args.get("from_") is None:
        return False
    own = [column for column in select.find_all(exp.Column) if column.parent_select is select]
    return not any(column.meta.get("outer") for column in own) and not any(
        window.parent_select is select for window in select.find_all(exp.Window)
    )


def _nest_aggregates(select: exp.Select) -> None:
    inner = exp.Select(**{key: select.args.get(key) for key in ("from_", "joins", "laterals", "where")})
    for key in ("joins", "laterals", "where"):
        select.set(key, None)
    having = select.args.get("having")
    parts = [*select.expressions, *([having] if having is not None else [])]
    for number, call in enumerate([call for part in parts for call in aggregate_calls(part)], 1):
        name = f"$aggregate{number}"
        call.replace(exp.column(name, table="$aggregates", quoted=True))
        inner.append("expressions", exp.alias_(call, name, quoted=True))
    select.set("from_", exp.From(this=exp.Subquery(this=inner, alias=_quoted_alias("$aggregates"))))
    if having is not None:
        select.set("having", None)
        select.set("where", exp.Where(this=having.this))


def _quoted_alias(name: str) -> exp.TableAlias:
    return exp.TableAlias(this=exp.to_identifier(name, quoted=True))


def inside(node: exp.Expr, select: exp.Select, key: str) -> bool:
    """The node stands in that clause of `select`."""
    child: exp.Expr = node
    while child.parent is not None and child.parent is not select:
        child = child.parent
    return child.arg_key == key


def _star_sources(select: exp.Select) -> list[str]:
    """The aliases that `*` stands for; empty when one has none."""
    relations = [select.args["from_"].this] if select.args.get("from_") else []
    relations += [join.this for join in select.args.get("joins") or () if join.args.get("kind") not in ("SEMI", "ANTI")]
    names = [relation.alias_or_name for relation in relations]
    return names if all(names) and not any(relation.args.get("joins") for relation in relations) else []


def join_row(select: exp.Select, row: exp.Select, alias: str, condition: exp.Expr | None = None) -> None:
    """Add the rows of a query to FROM: CROSS JOIN, or LEFT JOIN on a condition."""
    sources = _star_sources(select)
    items: list[exp.Expr] = []
    for item in select.expressions:
        if isinstance(item, exp.Star) and not item.args.get("except_"):
            items += [exp.Column(this=exp.Star(), table=exp.to_identifier(name, quoted=True)) for name in sources]
        else:
            items.append(item)
    select.set("expressions", items)
    relation = exp.Subquery(this=row, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    if select.args.get("from_") is None:
        select.set("from_", exp.From(this=relation))
    else:
        how = {"kind": "CROSS"} if condition is None else {"side": "LEFT", "on": condition}
        select.append("joins", exp.Join(this=relation, **how))
