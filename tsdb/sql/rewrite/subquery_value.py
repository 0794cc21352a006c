"""EXISTS, IN, ANY and ALL with a query where they are values, as counts; IN of an empty list, and of rows.

DataFusion plans them only as conditions. As a value,

- `EXISTS (q)` is `(SELECT count(*) …) > 0`;
- `x IN (q)` is TRUE if a row equals x, else NULL if x or a row is NULL (and there are rows), else FALSE;
- `x < ANY (q)` is TRUE if it holds for a row, else NULL if it is unknown for one, else FALSE; ALL is its counterpart.

`x IN ()` is FALSE. `(a, b) IN (SELECT x, y …)` as a condition is EXISTS with x = a AND y = b.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.rewrite.dependent_query import columns_of, derived
from tsdb.sql.rewrite.free_column import free_columns, is_operand

_CONDITIONS = (exp.And, exp.Or, exp.Not, exp.Paren)
_CLAUSES = ("group", "having", "limit", "offset", "qualify", "distinct", "with_", "windows")


def subqueries_as_values(query: exp.Expr) -> exp.Expr:
    """`query` with every such node replaced, innermost first, in place."""
    for found in reversed(list(query.find_all(exp.In, exp.Exists, exp.Any, exp.All))):
        node: exp.Expr = found
        replacement = None
        if isinstance(found, exp.In | exp.Exists):
            replacement = _replacement(found)
        elif isinstance(found, exp.Any | exp.All) and found.parent is not None:
            node = found.parent
            replacement = _quantified(node, found)
        if replacement is not None:
            if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
                replacement = exp.alias_(replacement, str(node.sql()), quoted=True)
            node.replace(replacement)
    return query


def _replacement(node: exp.In | exp.Exists) -> exp.Expr | None:
    if isinstance(node, exp.Exists):
        body = _for_existence(node.this.this if isinstance(node.this, exp.Subquery) else node.this)
        if _is_condition(node) and _is_planned(body):
            return None if body is node.this else exp.Exists(this=body)
        return _more_than_none(_count(_plain(body)))
    found = node.args.get("query")
    if found is None:
        return exp.Boolean(this=False) if not node.expressions and not _has_values(node) else None
    body = found.this if isinstance(found, exp.Subquery) else found
    if isinstance(node.this, exp.Tuple):
        return _rows_in(node, body)
    if _is_condition(node) and _is_planned(body) and not (_is_negated(node) and free_columns(body)):
        return None
    body = _plain(body)
    if len(body.expressions) != 1:
        return None
    if isinstance(body.expressions[0], exp.Star):
        outputs = list(body.meta.get("outputs") or ())
        if len(outputs) != 1:
            return None
        body = body.copy()
        body.set("expressions", [exp.column(outputs[0].name, quoted=True)])
    return _is_in(node.this, body)


def _for_existence(body: exp.Expr) -> exp.Expr:
    """The query without what does not matter to whether it has rows."""
    limit = body.args.get("limit")
    matters = limit is not None and not (isinstance(limit, exp.Limit) and limit.expression.name not in ("", "0"))
    if (
        not isinstance(body, exp.Select)
        or matters
        or body.args.get("offset")
        or not any(body.args.get(key) for key in ("limit", "order", "distinct"))
    ):
        return body
    body = body.copy()
    for key in ("limit", "order", "distinct"):
        body.set(key, None)
    return body


def _is_planned(body: exp.Expr) -> bool:
    """DataFusion can do it as a condition: it depends on the outer query by its own WHERE alone, or not at all."""
    free = free_columns(body)
    if not free:
        return True
    if any(is_operand(column) for column in free):
        return False
    where = body.args.get("where")
    inside = set(map(id, where.find_all(exp.Column))) if where is not None else set()
    return _is_plain(body) and all(id(column) in inside and column.parent_select is body for column in free)


def _is_negated(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, _CONDITIONS) and not isinstance(parent, exp.Not):
        parent = parent.parent
    return isinstance(parent, exp.Not)


def _plain(body: exp.Expr) -> exp.Select:
    """The query as a SELECT that can be given more conditions."""
    if _is_plain(body):
        assert isinstance(body, exp.Select)
        return body
    columns = columns_of(body)
    rows = derived(body.copy(), "$rows")
    if columns is None or len(columns) != 1:
        return exp.Select(expressions=[exp.Star()], from_=exp.From(this=rows))
    rows.args["alias"].set("columns", [exp.to_identifier("$value", quoted=True)])
    value = exp.column("$value", table="$rows", quoted=True)
    value.meta["source"] = "$rows"
    return exp.Select(expressions=[value], from_=exp.From(this=rows))


_OPPOSITES: dict[type[exp.Expr], type[exp.Binary]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.GTE,
    exp.GTE: exp.LT,
    exp.GT: exp.LTE,
    exp.LTE: exp.GT,
}


def _quantified(node: exp.Expr, quantifier: exp.Any | exp.All) -> exp.Expr | None:
    """x op ANY (q); x op ALL (q) is NOT (x opposite ANY (q))."""
    body = quantifier.this.this if isinstance(quantifier.this, exp.Subquery) else quantifier.this
    if type(node) not in _OPPOSITES or node.expression is not quantifier:
        return None
    if _is_condition(node) and _is_planned(body) and _is_plain(body) and _apart(body, node.this) is body:
        return None  # DataFusion takes columns of the value for those of a table within that has the same name
    body = _plain(body)
    if len(body.expressions) != 1 or isinstance(body.expressions[0], exp.Star):
        return None
    is_all = isinstance(quantifier, exp.All)
    opposite = _OPPOSITES[type(node)]
    compare = opposite if is_all else _OPPOSITES[opposite]
    body = _apart(body, node.this)
    y = exp.paren(body.expressions[0].unalias().copy())
    holds = exp.paren(compare(this=_moved(node.this), expression=y))
    unknown = exp.Is(this=holds.copy(), expression=exp.Null())
    ifs = [
        exp.If(this=_more_than_none(_count(body.copy().where(condition, copy=False))), true=value)
        for condition, value in ((holds, exp.Boolean(this=not is_all)), (unknown, exp.Null()))
    ]
    return exp.Case(ifs=ifs, default=exp.Boolean(this=is_all))


def _has_values(node: exp.In) -> bool:
    return any(node.args.get(key) is not None for key in ("unnest", "field"))


def _is_condition(node: exp.Expr) -> bool:
    """It stands in WHERE, HAVING or ON, under nothing but AND, OR, NOT.

    DataFusion takes an unknown IN for FALSE. That is right where no NOT makes it TRUE; it plans a NOT IN that every row
    must fulfil as the SQL standard wants it, and no other NOT of an IN.
    """
    parent, negated, apart = node.parent, False, False
    while isinstance(parent, _CONDITIONS):
        if isinstance(parent, exp.Not):
            apart = apart or negated
            negated = True
        elif isinstance(parent, exp.Or) or (isinstance(parent, exp.And) and _negated_above(parent)):
            apart = True
        parent = parent.parent
    if isinstance(node, exp.In) and negated and apart:
        return False
    return isinstance(parent, exp.Where | exp.Having | exp.Join)


def _negated_above(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, _CONDITIONS):
        if isinstance(parent, exp.Not):
            return True
        parent = parent.parent
    return False


def _is_plain(body: exp.Expr) -> bool:
    """A SELECT whose rows are those of its FROM and WHERE."""
    if not isinstance(body, exp.Select) or any(body.args.get(key) for key in _CLAUSES):
        return False
    return body.args.get("from_") is not None and not any(
        isinstance(item, exp.Anonymous)
        for projection in body.expressions
        for item in projection.find_all(exp.Anonymous)
    )


def _rows_in(node: exp.In, body: exp.Expr) -> exp.Expr | None:
    values = node.this.expressions
    is_positive = _is_condition(node) and not isinstance(node.parent, exp.Not)
    if not is_positive or not _is_plain(body) or len(body.expressions) != len(values):
        return None
    assert isinstance(body, exp.Select)
    body = _apart(body, node.this)
    equal = [_equal(y, x) for y, x in zip(body.expressions, values, strict=True)]
    exists = body.copy()
    exists.set("expressions", [exp.Literal.number(1)])
    return exp.Exists(this=exists.where(*equal, copy=False))


def _is_in(x: exp.Expr, body: exp.Select) -> exp.Expr:
    body = _apart(body, x)
    y = body.expressions[0].unalias()
    matches = _count(body.copy().where(_equal(y, x), copy=False))
    nulls = _count(body.copy().where(exp.Is(this=exp.paren(y.copy()), expression=exp.Null()), copy=False))
    is_null = exp.Is(this=exp.paren(x.copy()), expression=exp.Null())
    unknown = exp.or_(exp.and_(is_null, _more_than_none(_count(body))), _more_than_none(nulls))
    return exp.Case(
        ifs=[
            exp.If(this=_more_than_none(matches), true=exp.Boolean(this=True)),
            exp.If(this=unknown, true=exp.Null()),
        ],
        default=exp.Boolean(this=False),
    )


def _apart(body: exp.Select, x: exp.Expr) -> exp.Select:
    """The subquery with other names for its tables where the value x, which comes to stand in it, has theirs."""
    names = {column.table or column.meta.get("source") for column in x.find_all(exp.Column)}
    clashes = [source for source in _sources(body) if source.alias_or_name in names]
    if not clashes:
        return body
    body = body.copy()
    for source in [source for source in _sources(body) if source.alias_or_name in names]:
        name = source.alias_or_name
        for column in body.find_all(exp.Column):
            if name in (column.table, column.meta.get("source")) and not _is_anothers(column, body, name):
                column.meta["source"] = f"{name}$inner"
                if column.table:
                    column.set("table", exp.to_identifier(f"{name}$inner", quoted=True))
        source.set("alias", exp.TableAlias(this=exp.to_identifier(f"{name}$inner", quoted=True)))
    return body


def _sources(body: exp.Select) -> list[exp.Expr]:
    """The tables of FROM and JOIN."""
    from_ = body.args["from_"].this
    return [from_, *(join.this for join in body.args.get("joins") or ())]


def _is_anothers(column: exp.Column, body: exp.Select, name: str) -> bool:
    """The column is one of a table of that name in the query around, or in a subquery within."""
    if column.meta.get("outer"):
        return True
    select = column.find_ancestor(exp.Select)
    while select is not None and select is not body:
        if select.args.get("from_") is not None and any(s.alias_or_name == name for s in _sources(select)):
            return True
        select = select.find_ancestor(exp.Select)
    return False


def _equal(y: exp.Expr, x: exp.Expr) -> exp.Expr:
    return exp.EQ(
        this=exp.paren(y.unalias().copy()) if not isinstance(y, exp.Column) else y.copy(), expression=_moved(x)
    )


def _moved(x: exp.Expr) -> exp.Expr:
    """A value of the query around, inside a subquery: its columns say whose they are."""
    moved: exp.Expr = x.copy()
    for column in moved.find_all(exp.Column):
        column.meta["outer"] = True
        if not column.table and column.meta.get("source"):
            column.set("table", exp.to_identifier(column.meta["source"], quoted=True))
    return moved


def _count(body: exp.Expr) -> exp.Subquery:
    counted = body.copy()
    counted.set("expressions", [exp.Anonymous(this="count", expressions=[exp.Star()])])
    counted.set("order", None)
    return exp.Subquery(this=counted)


def _more_than_none(count: exp.Subquery) -> exp.Expr:
    return exp.paren(exp.GT(this=count, expression=exp.Literal.number(0)))
