"""An uncorrelated scalar subquery as a cross join with its one row (streaming only).

DataFusion keeps such a subquery inside the expression, where no incremental operator can see it. A subquery that is
one aggregate without GROUP BY always has exactly one row, so `CROSS JOIN (subquery)` means the same. One that has at
most one row (LIMIT 1) is folded by MAX first. What may have more rows, or stands where a join cannot be added, is
left alone; the streaming compiler then says why it cannot run.
"""

from __future__ import annotations

from sqlglot import exp

_AGGREGATES = frozenset(
    [
        "ARRAY_AGG",
        "AVG",
        "BIT_AND",
        "BIT_OR",
        "BIT_XOR",
        "BOOL_AND",
        "BOOL_OR",
        "COUNT",
        "FIRST_VALUE",
        "LAST_VALUE",
        "LISTAGG",
        "MAX",
        "MEDIAN",
        "MIN",
        "STDDEV",
        "STDDEV_POP",
        "STDDEV_SAMP",
        "STRING_AGG",
        "SUM",
        "VARIANCE",
        "VAR_POP",
        "VAR_SAMP",
        "APPROX_COUNT_DISTINCT",
        "APPROX_DISTINCT",
    ]
)


def join_scalar_subqueries(query: exp.Expr) -> exp.Expr:
    """Every uncorrelated scalar subquery in `query` that surely has one row, as a join."""
    number = 0
    for node in list(query.find_all(exp.Subquery)):
        select = node.parent_select
        row = _single_row(node) if _is_scalar(node) and not _is_correlated(node) else None
        if row is None or not isinstance(select, exp.Select) or not _can_join(select, node):
            continue
        number += 1
        alias = f"$scalar{number}"
        column = exp.column("value", table=alias, quoted=True)
        if select.args.get("group") is not None and not _inside(node, select, "where"):
            select.args["group"].append("expressions", column.copy())
        if isinstance(node.parent, exp.Select):
            node.replace(exp.alias_(column, str(node.sql()), quoted=True))
        else:
            node.replace(column)
        _join(select, row, alias)
    return query


def _is_scalar(node: exp.Subquery) -> bool:
    parent = node.parent
    if isinstance(
        parent, exp.From | exp.Join | exp.Lateral | exp.In | exp.Exists | exp.SetOperation | exp.CTE | exp.Any
    ):
        return False
    return parent is not None and not isinstance(parent, exp.Subquery | exp.All) and isinstance(node.this, exp.Query)


def _is_correlated(node: exp.Subquery) -> bool:
    return any(column.meta.get("outer") for column in node.find_all(exp.Column))


def _single_row(node: exp.Subquery) -> exp.Select | None:
    """A query that gives exactly one row with one column `value`, or None."""
    body = node.this
    if not isinstance(body, exp.Select) or len(body.expressions) != 1:
        return None
    projection = body.expressions[0].unalias()
    aggregated = _is_aggregate(projection)
    if aggregated and not any(
        body.args.get(key) for key in ("group", "having", "limit", "offset", "qualify", "distinct")
    ):
        one = body.copy()
        one.set("expressions", [exp.alias_(projection.copy(), "value", quoted=True)])
        return one
    limit = body.args.get("limit")
    if isinstance(limit, exp.Limit) and limit.expression.name in ("0", "1"):
        inner = body.copy()
        inner.set("expressions", [exp.alias_(projection.copy(), "value", quoted=True)])
        folded = exp.Anonymous(this="MAX", expressions=[exp.column("value", quoted=True)])
        return exp.Select(
            expressions=[exp.alias_(folded, "value", quoted=True)],
            from_=exp.From(this=exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("$one")))),
        )
    return None


def _is_aggregate(node: exp.Expr) -> bool:
    """The value is made of aggregates: one of them is in it, outside of any window or subquery."""
    pending = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, exp.Anonymous) and str(item.this).upper() in _AGGREGATES:
            return True
        if not isinstance(item, exp.Window | exp.Query):
            pending.extend(item.iter_expressions())
    return False


def _can_join(select: exp.Select, node: exp.Subquery) -> bool:
    """Joining one row to FROM does not change `select`: it reads columns by name, and is no aggregate of everything."""
    if any(isinstance(item, exp.Star) for item in select.expressions) and not _star_sources(select):
        return False
    if _inside(node, select, "joins") or _inside(node, select, "from_"):
        return False
    if _inside(node, select, "where"):
        return True
    grouped = select.args.get("group") is not None
    return grouped or not any(_is_aggregate(item) for item in select.expressions)


def _inside(node: exp.Expr, select: exp.Select, key: str) -> bool:
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


def _join(select: exp.Select, row: exp.Select, alias: str) -> None:
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
        select.append("joins", exp.Join(this=relation, kind="CROSS"))
