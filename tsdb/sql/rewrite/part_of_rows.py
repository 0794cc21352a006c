"""A part of the rows: TABLESAMPLE and USING SAMPLE, LIMIT by percent, FETCH FIRST … PERCENT or WITH TIES.

    t TABLESAMPLE BERNOULLI (10)            →  (SELECT * FROM t WHERE random() < 0.1) AS t
    t TABLESAMPLE (5 ROWS)                  →  (SELECT * FROM t ORDER BY random() LIMIT 5) AS t
    ORDER BY a LIMIT 10%                    →  QUALIFY row_number() OVER (ORDER BY a) <= count(*) OVER () * 10 / 100
    ORDER BY a FETCH FIRST 3 ROWS WITH TIES →  QUALIFY rank() OVER (ORDER BY a) <= 3

`LIMIT 10%` rounds the number of rows down, as DuckDB does, `FETCH FIRST 10 PERCENT` up, as the SQL standard has it.
SYSTEM, which may take whole blocks of rows, takes single rows as BERNOULLI does.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError

_BY_CHANCE = ("BERNOULLI", "SYSTEM")
_OF_ROWS = ("RESERVOIR", "")
_CHANCE = "$chance"


def take_parts(query: exp.Expr, *, streaming: bool) -> exp.Expr:
    """`query` with every one of them written out, in place."""
    for sample in list(query.find_all(exp.TableSample)):
        if streaming:
            raise NotSupportedError("TABLESAMPLE in a stream, which could not take back what chance gave it")
        holder = sample.parent
        if isinstance(holder, exp.Select):
            _of_from(holder)
        elif isinstance(holder, exp.Table | exp.Subquery):
            holder.set("sample", None)
            _sampled(holder, sample)
    for part in list(query.find_all(exp.Limit, exp.Fetch)):
        options = part.args.get("limit_options")
        if isinstance(options, exp.LimitOptions) and (options.args.get("percent") or options.args.get("with_ties")):
            query = _limited(query, part, options)
    return query


def _of_from(select: exp.Select) -> None:
    """USING SAMPLE behind a query takes a part of what FROM gives, before WHERE."""
    sample = select.args["sample"]
    select.set("sample", None)
    source = select.args["from_"].this if select.args.get("from_") is not None else None
    if not isinstance(source, exp.Table | exp.Subquery) or select.args.get("joins") or source.args.get("joins"):
        raise NotSupportedError(
            "USING SAMPLE behind a join; TABLESAMPLE behind one of its tables, or a subquery, has it"
        )
    _sampled(source, sample)


def _sampled(source: exp.Expr, sample: exp.TableSample) -> None:
    alias, joins = sample.meta.get("alias") or source.args.get("alias"), source.args.get("joins")
    source.set("joins", None)
    name = alias or exp.TableAlias(this=exp.to_identifier(source.name, quoted=True) if source.name else None)
    body = exp.Select(expressions=[exp.Star()])
    source.replace(exp.Subquery(this=body, alias=name.copy(), joins=joins))
    body.set("from_", exp.From(this=source))
    kind, share, rows = _wanted(sample)
    chance = exp.Anonymous(this="random", expressions=[])
    if share is not None:
        bound = exp.Literal.number(f"{share / 100:.12f}")
        below = exp.LT(this=chance, expression=exp.Cast(this=bound, to=exp.DataType.build("DOUBLE")))
        body.set("where", exp.Where(this=below))
    else:
        assert rows is not None, kind
        # a column for chance, because DataFusion does not sort rows without columns, those of count(*)
        drawn = exp.Select(expressions=[exp.Star(), exp.alias_(chance, _CHANCE, quoted=True)], from_=body.args["from_"])
        body.set("expressions", [exp.Star(except_=[exp.to_identifier(_CHANCE, quoted=True)])])
        body.set("from_", exp.From(this=drawn.subquery("drawn", copy=False)))
        body.set("order", exp.Order(expressions=[exp.Ordered(this=exp.column(_CHANCE, quoted=True))]))
        body.set("limit", exp.Limit(expression=rows))


def _wanted(sample: exp.TableSample) -> tuple[str, float | None, exp.Expr | None]:
    """The method, and per cent or a number of rows."""
    method = sample.args["method"].name.upper() if sample.args.get("method") is not None else ""
    if method not in (*_BY_CHANCE, *_OF_ROWS):
        raise NotSupportedError(f"TABLESAMPLE {method}: BERNOULLI (percent), SYSTEM (percent) or (n ROWS)")
    percent, size = sample.args.get("percent"), sample.args.get("size")
    if method in _BY_CHANCE and percent is None:
        percent, size = size, None
    given = percent if percent is not None else size
    if not isinstance(given, exp.Literal) or given.is_string:
        raise ProgrammingError("TABLESAMPLE needs a number: BERNOULLI (10), (10 PERCENT) or (100 ROWS)")
    if percent is None:
        return method, None, given.copy()
    share = float(percent.name)
    if not 0 <= share <= 100:
        raise ProgrammingError(f"TABLESAMPLE takes 0 to 100 percent, not {percent.name}")
    return method, share, None


def _limited(query: exp.Expr, part: exp.Expr, options: exp.LimitOptions) -> exp.Expr:
    select = part.parent
    assert isinstance(select, exp.Query)
    count = part.args.get("expression") or part.args.get("count") or exp.Literal.number(1)
    order, offset = select.args.get("order"), select.args.get("offset")
    ties = bool(options.args.get("with_ties"))
    if ties and (order is None or offset is not None):
        what = "WITH TIES with OFFSET" if offset is not None else "WITH TIES without ORDER BY"
        raise NotSupportedError(f"{what}: filter by rank() OVER (ORDER BY …)")
    select.set("limit", None)
    select.set("offset", None)
    if not isinstance(select, exp.Select) or select.args.get("distinct") is not None:
        query, select = _wrapped(query, select)
    keys = _keys(select)
    window = exp.Order(expressions=keys) if keys else None
    number = exp.Window(this=exp.Anonymous(this="rank" if ties else "row_number", expressions=[]), order=window)
    bound = _rows_of(count, up=isinstance(part, exp.Fetch)) if options.args.get("percent") else count.copy()
    test: exp.Expr = exp.LTE(this=number, expression=bound)
    if offset is not None:
        skipped = exp.Paren(this=offset.expression.copy())
        bound = exp.Paren(this=exp.Add(this=skipped, expression=bound))
        test = exp.and_(
            exp.LTE(this=number, expression=bound),
            exp.GT(this=number.copy(), expression=skipped.copy()),
            copy=False,
        )
    before = select.args.get("qualify")
    if before is not None:
        raise NotSupportedError("QUALIFY and a LIMIT by percent or WITH TIES together; put one of them into a subquery")
    select.set("qualify", exp.Qualify(this=test))
    return query


def _wrapped(query: exp.Expr, select: exp.Query) -> tuple[exp.Expr, exp.Select]:
    """SELECT * FROM (query without its order) ORDER BY its order: DISTINCT and set operations come before LIMIT."""
    outer = exp.Select(expressions=[exp.Star()])
    inner = select.copy()
    outer.set("order", inner.args.get("order"))
    outer.set("with_", inner.args.get("with_"))
    inner.set("order", None)
    inner.set("with_", None)
    outer.set("from_", exp.From(this=inner.subquery("limited", copy=False)))
    if select is query:
        return outer, outer
    select.replace(outer)
    return query, outer


def _keys(select: exp.Select) -> list[exp.Expr]:
    """The keys of ORDER BY as a window takes them: an output's number is its expression."""
    order = select.args.get("order")
    keys = []
    for ordered in order.expressions if order is not None else ():
        key = ordered.copy()
        if isinstance(key.this, exp.Literal) and key.this.name.isdigit():
            place = int(key.this.name)
            known = 0 < place <= len(select.expressions) and not any(item.is_star for item in select.expressions)
            if not known:
                raise NotSupportedError("ORDER BY a column's number with a LIMIT by percent: name the column")
            key.set("this", select.expressions[place - 1].unalias().copy())
        keys.append(key)
    return keys


def _rows_of(percent: exp.Expr, *, up: bool) -> exp.Expr:
    """That many percent of all rows."""
    rows = exp.Window(this=exp.Anonymous(this="count", expressions=[exp.Star()]))
    part = exp.Div(
        this=exp.Mul(this=rows, expression=exp.Paren(this=percent.copy())),
        expression=exp.Cast(this=exp.Literal.number(100), to=exp.DataType.build("DOUBLE")),
        typed=True,
        safe=False,
    )
    return exp.Anonymous(this="ceil" if up else "floor", expressions=[part])
