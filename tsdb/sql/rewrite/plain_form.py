"""Short forms that say the same as longer ones: `GROUP BY ()`, `count(DISTINCT a, b)`, `LATERAL VIEW explode(xs)`, the
names of functions over lambdas.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.functions.times import DATE_PARTS
from tsdb.sql.scope import is_derived_join

_LAMBDA_NAMES = {
    "transform": "array_transform",
    "list_transform": "array_transform",
    "list_apply": "array_transform",
    "array_apply": "array_transform",
    "filter": "array_filter",
    "list_filter": "array_filter",
    "any_match": "array_any_match",
    "list_any_match": "array_any_match",
}


_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def plain_forms(query: exp.Expr) -> exp.Expr:
    """Each of them in its plain form, in place."""
    for node in list(query.walk()):
        if isinstance(node, exp.Group):
            _no_keys(node)
        elif isinstance(node, exp.Anonymous):
            _call(node)
        elif isinstance(node, exp.Comprehension):
            _comprehension(node)
        elif isinstance(node, exp.Dot) and isinstance(node.this, exp.Struct | exp.Paren | exp.Anonymous):
            field = exp.Literal.string(node.expression.name)
            node.replace(exp.Anonymous(this="get_field", expressions=[node.this.copy(), field]))
        elif isinstance(node, _COMPARISONS):
            _compared_distance(node)
        elif isinstance(node, exp.Pow):
            node.replace(exp.Anonymous(this="power", expressions=[node.this.copy(), node.expression.copy()]))
        elif isinstance(node, exp.BitwiseNot):
            node.replace(exp.Paren(this=exp.Sub(this=exp.Neg(this=node.this.copy()), expression=exp.Literal.number(1))))
        elif isinstance(node, exp.Interval) and isinstance(node.this, exp.Neg):
            _negative_interval(node)
        elif isinstance(node, exp.Any | exp.All) and isinstance(node.this.unnest(), exp.Values):
            _compared_values(node.this)
        elif isinstance(node, exp.Unnest) and isinstance(node.parent, exp.From | exp.Join) and _rows_of(node):
            node.replace(exp.Values(expressions=_rows_of(node), alias=node.args["alias"].copy()))
        elif isinstance(node, exp.Glob):
            raise NotSupportedError("GLOB: write LIKE, or REGEXP(text, pattern)")
        elif isinstance(node, exp.CTE):
            node.set("materialized", None)
        elif isinstance(node, exp.Slice):
            node.set("this", node.this or exp.Literal.number(1))
            node.set("expression", node.expression or exp.Literal.number(-1))
        elif isinstance(node, exp.Lateral) and node.args.get("view"):
            _lateral_view(node)
        elif isinstance(node, exp.Subquery):
            _parentheses(node)
        elif isinstance(node, exp.Unnest) and node.args.get("offset") and isinstance(node.parent, exp.From | exp.Join):
            _with_ordinality(node)
    return query


def _compared_distance(node: exp.Binary) -> None:
    """a - b < INTERVAL '1' DAY: a < b + INTERVAL '1' DAY, because DataFusion's distances equal no intervals."""
    for side, other in (("this", "expression"), ("expression", "this")):
        distance, length = node.args[side].unnest(), node.args[other]
        if isinstance(distance, exp.Sub) and isinstance(length.unnest(), exp.Interval):
            if distance.find(exp.Interval) is None:
                node.set(side, distance.this.copy())
                node.set(other, exp.Paren(this=exp.Add(this=distance.expression.copy(), expression=length.copy())))
            return


def _parentheses(node: exp.Subquery) -> None:
    """(t): t. (t) AS a: t AS a. (t JOIN u …) AS a: (SELECT * FROM t JOIN u …) AS a."""
    inner, alias = node.this, node.args.get("alias")
    while isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Table) and not is_derived_join(inner):
        inner = inner.this
    if isinstance(inner, exp.Table) and not inner.args.get("joins") and not (alias and alias.columns):
        inner.set("alias", alias.copy() if alias else inner.args.get("alias"))
        inner.set("joins", node.args.get("joins"))
        node.replace(inner)
    elif alias and (isinstance(inner, exp.Table) or is_derived_join(inner)):
        node.set("this", exp.Select(expressions=[exp.Star()], from_=exp.From(this=inner.copy())))


def _no_keys(group: exp.Group) -> None:
    """GROUP BY () is one group, also of no rows."""
    if group.expressions and all(isinstance(key, exp.Tuple) and not key.expressions for key in group.expressions):
        group.set("expressions", [])
        group.set("grouping_sets", [exp.GroupingSets(expressions=[exp.Tuple(expressions=[])])])


def _call(call: exp.Anonymous) -> None:
    name = str(call.this).lower()
    if name in _LAMBDA_NAMES and any(isinstance(argument, exp.Lambda) for argument in call.expressions):
        call.set("this", _LAMBDA_NAMES[name])
    if name in ("date_diff", "datediff", "date_trunc", "datetrunc", "date_part", "datepart"):
        _unit_as_text(call)
    if name == "count" and len(call.expressions) == 1 and isinstance(call.expressions[0], exp.Distinct):
        distinct = call.expressions[0]
        columns = distinct.expressions
        if not columns:
            raise ProgrammingError("count(DISTINCT …) needs an expression: count(DISTINCT a)")
        if len(columns) > 1:
            # a row with a NULL in it does not count, as with one column
            given = [exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null())) for column in columns]
            row = exp.Anonymous(this="struct", expressions=[column.copy() for column in columns])
            whole = exp.Case(ifs=[exp.If(this=exp.and_(*given, copy=False), true=row)])
            distinct.set("expressions", [whole])


def _negative_interval(node: exp.Interval) -> None:
    """INTERVAL -'1' DAY: INTERVAL '-1' DAY."""
    if isinstance(node.this.this, exp.Literal):
        node.set("this", exp.Literal.string(f"-{node.this.this.name}"))


def _unit_as_text(call: exp.Anonymous) -> None:
    """DATE_DIFF(day, a, b): a unit stands bare, too, where only a constant may stand."""
    unit = call.expressions[0] if call.expressions else None
    if isinstance(unit, exp.Column) and not unit.table and unit.name.upper().removesuffix("S") in DATE_PARTS:
        unit.replace(exp.Literal.string(unit.name))


def _compared_values(holder: exp.Expr) -> None:
    """x = ANY (VALUES 1, 2): ANY (SELECT * FROM (VALUES (1), (2)))."""
    values = holder.unnest()
    values.replace(exp.Select(expressions=[exp.Star()], from_=exp.From(this=values.copy())))


def _rows_of(unnest: exp.Unnest) -> list[exp.Expr]:
    """UNNEST(ARRAY[ROW(1, 'a'), …]) AS t (x, y) and UNNEST(MAP[k, v, …]) AS t (k, v): its rows; none where the array
    takes something from a column, or is named as a whole.
    """
    alias = unnest.args.get("alias")
    if unnest.find(exp.Column) is not None or len(unnest.expressions) != 1 or unnest.args.get("offset"):
        return []
    if not isinstance(alias, exp.TableAlias) or len(alias.columns) < 2:
        return []
    array = unnest.expressions[0]
    if isinstance(array, exp.Map) and isinstance(array.args.get("keys"), exp.Array):
        pairs = zip(array.args["keys"].expressions, array.args["values"].expressions, strict=True)
        return [exp.Tuple(expressions=[key.copy(), value.copy()]) for key, value in pairs]
    if not isinstance(array, exp.Array) or not all(_is_row(item) for item in array.expressions):
        return []
    return [exp.Tuple(expressions=[part.copy() for part in item.expressions]) for item in array.expressions]


def _is_row(node: exp.Expr) -> bool:
    return isinstance(node, exp.Tuple) or (
        isinstance(node, exp.Anonymous) and str(node.this).upper() in ("ROW", "STRUCT")
    )


def _comprehension(node: exp.Comprehension) -> None:
    """[f(x) FOR x IN xs IF test]: array_transform(array_filter(xs, x -> test), x -> f(x))."""
    array, name, test = node.args["iterator"], node.expression, node.args.get("condition")
    if node.args.get("position") is not None:
        raise NotSupportedError("a list comprehension over places; UNNEST … WITH ORDINALITY numbers elements")
    if test is not None:
        kept = exp.Lambda(this=test.copy(), expressions=[name.copy()])
        array = exp.Anonymous(this="array_filter", expressions=[array.copy(), kept])
    each = exp.Lambda(this=node.this.copy(), expressions=[name.copy()])
    made = exp.Anonymous(this="array_transform", expressions=[array.copy(), each])
    holder = node.parent
    whole = holder if isinstance(holder, exp.Array) and len(holder.expressions) == 1 else node
    whole.replace(made)


def _lateral_view(lateral: exp.Lateral) -> None:
    """LATERAL VIEW [OUTER] explode(xs) t AS x: CROSS JOIN UNNEST(xs) AS t (x)."""
    select, call = lateral.parent, lateral.this
    name = str(call.this).lower() if isinstance(call, exp.Anonymous) else ""
    if name not in ("explode", "explode_outer", "unnest") or not isinstance(select, exp.Select):
        raise NotSupportedError(f"LATERAL VIEW of `{name or call.sql()}`: only explode is supported")
    alias = lateral.args.get("alias")
    unnest = exp.Unnest(expressions=list(call.expressions), alias=alias.copy() if alias is not None else None)
    outer = lateral.args.get("outer") or name == "explode_outer"
    join = (
        exp.Join(this=unnest, side="LEFT", on=exp.Boolean(this=True)) if outer else exp.Join(this=unnest, kind="CROSS")
    )
    select.append("joins", join)
    lateral.pop()


def _with_ordinality(unnest: exp.Unnest) -> None:
    """FROM UNNEST([…]) WITH ORDINALITY AS t (x, n): two columns side by side; of a column it is unnested elsewhere."""
    if unnest.find(exp.Column) is not None or len(unnest.expressions) != 1:
        return
    alias, offset = unnest.args.get("alias"), unnest.args["offset"]
    names = [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
    number = offset.name if isinstance(offset, exp.Identifier) else "ordinality"
    array = unnest.expressions[0]
    size = exp.Anonymous(this="cardinality", expressions=[array.copy()])
    end = exp.Cast(this=size, to=exp.DataType.build("BIGINT"))
    numbers = exp.Anonymous(this="generate_series", expressions=[exp.Literal.number(1), end])
    items = [
        exp.alias_(exp.Anonymous(this="unnest", expressions=[values]), name, quoted=True)
        for values, name in ((array.copy(), (names or ["unnest"])[0]), (numbers, number))
    ]
    name = alias.this.copy() if isinstance(alias, exp.TableAlias) and alias.this else exp.to_identifier("unnest")
    unnest.replace(exp.Subquery(this=exp.Select(expressions=items), alias=exp.TableAlias(this=name)))
