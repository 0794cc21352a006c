"""PIVOT and UNPIVOT as the queries that they stand for.

    t PIVOT (sum(v) FOR k IN ('a', 'b'))  →
        SELECT * EXCEPT (k, v), sum(v) FILTER (WHERE k = 'a') AS a, … FROM t GROUP BY ALL
    t UNPIVOT (v FOR n IN (a, b))  →
        SELECT * EXCEPT (a, b), 'a' AS n, a AS v FROM t WHERE a IS NOT NULL UNION ALL …

Every column that PIVOT does not name is grouped by, as in DuckDB, Spark and Snowflake. The values of FOR must be
written out: which columns a query has is known before it runs.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError

_SOURCE = "pivoted"


def expand_pivots(query: exp.Expr) -> exp.Expr:
    """Every PIVOT and UNPIVOT in `query`, innermost first, in place."""
    for node in reversed(list(query.find_all(exp.Table, exp.Subquery))):
        pivots = node.args.get("pivots") or []
        for pivot in pivots:
            node.set("pivots", None)
            joins = node.args.get("joins")
            node.set("joins", None)
            body = _unpivoted(node, pivot) if pivot.args.get("unpivot") else _pivoted(node, pivot)
            alias = pivot.args.get("alias") or node.args.get("alias")
            if alias is None:
                alias = exp.TableAlias(this=exp.to_identifier(node.alias_or_name or _SOURCE, quoted=True))
            replacement = exp.Subquery(this=body, alias=alias.copy(), joins=joins)
            node.replace(replacement)
            node = replacement
    return query


def _pivoted(source: exp.Expr, pivot: exp.Pivot) -> exp.Select:
    fields = pivot.args.get("fields") or []
    values = [value for field in fields if isinstance(field, exp.In) for value in field.expressions]
    dynamic = any(value.find(exp.PivotAny, exp.Query, exp.Column) is not None for value in values)
    if not fields or dynamic or any(not isinstance(field, exp.In) or not field.expressions for field in fields):
        raise NotSupportedError("PIVOT needs its values written out: FOR column IN ('a', 'b', …)")
    if any(not call.find(exp.Anonymous, exp.Func) for call in pivot.expressions) or not pivot.expressions:
        raise ProgrammingError("PIVOT needs an aggregate before FOR, as in PIVOT (sum(v) FOR k IN ('a', 'b'))")
    used = [
        column
        for part in (*pivot.expressions, *(field.this for field in fields))
        for column in part.find_all(exp.Column)
    ]
    wanted: list[tuple[str, exp.Expr]] = [("", exp.Boolean(this=True))]
    for field in fields:
        wanted = [
            (f"{name}_{label}" if name else label, condition)
            for name, before in wanted
            for label, test in (_value(field.this, value) for value in field.expressions)
            for condition in (exp.and_(before.copy(), test, copy=False) if name else test,)
        ]
    several = len(pivot.expressions) > 1
    items: list[exp.Expr] = []
    for name, condition in wanted:
        for call in pivot.expressions:
            aggregate = call.unalias()
            suffix = call.alias or (aggregate.sql(normalize_functions=False) if several else "")
            filtered = exp.Filter(this=aggregate.copy(), expression=exp.Where(this=condition.copy()))
            items.append(exp.alias_(filtered, f"{name}_{suffix}" if suffix else name, quoted=True))
    groups = pivot.args.get("group")
    if isinstance(groups, exp.Group) and groups.expressions:
        kept: list[exp.Expr] = [group.copy() for group in groups.expressions]
    else:
        kept = [_others(used)]
    return exp.Select(expressions=[*kept, *items], from_=exp.From(this=source.copy()), group=exp.Group(all=True))


def _value(column: exp.Expr, value: exp.Expr) -> tuple[str, exp.Expr]:
    """What a value is called, and the condition that a row has it."""
    label = value.alias if isinstance(value, exp.PivotAlias | exp.Alias) else ""
    value = value.this if isinstance(value, exp.PivotAlias | exp.Alias) else value
    is_null = isinstance(value, exp.Null)
    test = (
        exp.Is(this=column.copy(), expression=exp.Null()) if is_null else exp.EQ(this=column.copy(), expression=value)
    )
    return label or value.name or value.sql(), exp.paren(test)


def _unpivoted(source: exp.Expr, pivot: exp.Pivot) -> exp.Query:
    (field, *more) = pivot.args.get("fields") or [None]
    if more or not isinstance(field, exp.In) or len(pivot.expressions) != 1:
        raise NotSupportedError("UNPIVOT is written: t UNPIVOT (value FOR name IN (column, …))")
    values = _names(pivot.expressions[0])
    parts: list[exp.Select] = []
    every = [column for item in field.expressions for column in _columns(item)]
    for item in field.expressions:
        columns = _columns(item)
        if len(columns) != len(values):
            raise ProgrammingError(
                f"UNPIVOT has {len(values)} names for values, but {len(columns)} columns in `{item.sql()}`"
            )
        label = (
            item.alias if isinstance(item, exp.PivotAlias | exp.Alias) else "_".join(column.name for column in columns)
        )
        label = label or item.args["alias"].name
        select = exp.Select(
            expressions=[
                _others(every),
                exp.alias_(exp.Literal.string(label), _names(field.this)[0], quoted=True),
                *(exp.alias_(column.copy(), name, quoted=True) for column, name in zip(columns, values, strict=True)),
            ],
            from_=exp.From(this=source.copy()),
        )
        if not pivot.args.get("include_nulls"):
            not_null = [exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null())) for column in columns]
            select.set("where", exp.Where(this=exp.or_(*not_null, copy=False)))
        parts.append(select)
    query: exp.Query = parts[0]
    for part in parts[1:]:
        query = exp.Union(this=query, expression=part, distinct=False)
    return query


def _columns(item: exp.Expr) -> list[exp.Column]:
    """The column of an item of IN, or the columns of a tuple."""
    if isinstance(item, exp.PivotAlias | exp.Alias):
        item = item.this
    found = [part.unnest() for part in (item.expressions if isinstance(item, exp.Tuple) else [item])]
    if any(not isinstance(part, exp.Column) for part in found):
        raise ProgrammingError(f"UNPIVOT takes columns, not `{item.sql()}`")
    return [part for part in found if isinstance(part, exp.Column)]


def _names(node: exp.Expr) -> list[str]:
    return [part.name for part in (node.expressions if isinstance(node, exp.Tuple) else [node])]


def _others(used: list[exp.Column]) -> exp.Expr:
    """Every column but these; the star may find none left."""
    star = exp.Star(except_=[column.this.copy() for column in used])
    star.meta["may_be_empty"] = True
    return star
