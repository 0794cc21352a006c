"""Aggregates and window functions."""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.functions.spec import (
    AGGREGATE,
    WINDOW,
    Arguments,
    Function,
    Group,
    Translation,
    call,
    is_null,
    number,
    renamed,
    text,
    when,
)

_f = Group("Aggregates", AGGREGATE)
_w = Group("Window functions", WINDOW)


def _listagg(arguments: Arguments) -> exp.Expr:
    """LISTAGG(x[, separator]), with DISTINCT or ORDER BY in it."""
    if len(arguments) > 1:
        return call("string_agg", *arguments)
    only = arguments[0]
    comma = text(",")
    if isinstance(only, exp.Distinct):
        return call("string_agg", exp.Distinct(expressions=[*(e.copy() for e in only.expressions), comma]))
    if isinstance(only, exp.Order):
        ordered = exp.Order(this=comma, expressions=[key.copy() for key in only.expressions])
        return call("string_agg", only.this, ordered)
    return call("string_agg", only, comma)


def _first_by(*, descending: bool, nulls: bool) -> Translation:
    """x of the row whose y comes first. Rows without y do not count; nulls: those without x do."""

    def translated(arguments: Arguments) -> exp.Expr:
        value, key = arguments
        if isinstance(value, exp.Distinct):
            raise NotSupportedError("DISTINCT has no meaning here: one row decides")
        if isinstance(key, exp.Order):
            raise NotSupportedError(
                "ORDER BY among equals is not supported: FIRST_VALUE(x ORDER BY a, b) takes several keys"
            )
        known = exp.Not(this=is_null(key))
        given = known if nulls else exp.and_(known, exp.Not(this=is_null(value)), copy=False)
        flag = when(given, number(0), number(1))
        order = [
            exp.Ordered(this=flag, nulls_first=False),
            exp.Ordered(this=key.copy(), desc=descending, nulls_first=False),
        ]
        shown = exp.Case(ifs=[exp.If(this=given.copy(), true=value.copy())])
        return call("first_value", exp.Order(this=shown, expressions=order))

    return translated


def _percentile(arguments: Arguments) -> exp.Expr:
    """PERCENTILE(x, part): PERCENTILE_CONT(part) WITHIN GROUP (ORDER BY x)."""
    value, part = arguments
    if isinstance(part, exp.Array):
        raise NotSupportedError("PERCENTILE at several parts: call it for each of them")
    order = exp.Order(expressions=[exp.Ordered(this=value.copy(), nulls_first=False)])
    return exp.WithinGroup(this=call("percentile_cont", part), expression=order)


def _count_if(arguments: Arguments) -> exp.Expr:
    return call("count", exp.Case(ifs=[exp.If(this=arguments[0].copy(), true=number(1))]))


def within_group(node: exp.WithinGroup) -> exp.Expr | None:
    """LISTAGG(…) WITHIN GROUP (ORDER BY …): the order moves between the parentheses."""
    inner, order = node.this, node.expression
    if (
        not isinstance(inner, exp.Anonymous)
        or str(inner.this).lower() != "string_agg"
        or not isinstance(order, exp.Order)
    ):
        return None
    *first, last = inner.expressions
    return call(
        "string_agg", *first, exp.Order(this=last.copy(), expressions=[key.copy() for key in order.expressions])
    )


_ROWS = "FROM (VALUES (1, 'a'), (2, 'b'), (4, 'b')) AS t(x, s)"
_PAIRS = "FROM (VALUES (1e0, 2e0), (2e0, 4e0), (3e0, 6e0)) AS t(x, y)"


def _of(
    name: str,
    signature: str,
    description: str,
    argument: str,
    result: str,
    *counts: int,
    by: Translation | None = None,
    aliases: tuple[str, ...] = (),
) -> Function:
    example = f"SELECT {argument} {_ROWS}"
    return _f(name, signature, description, example, result, *counts, by=by, aliases=aliases)


def _pair(name: str, description: str, result: str) -> Function:
    return _f(name, f"{name}(y, x)", description, f"SELECT {name}(y, x) {_PAIRS}", result)


def _bits(name: str, description: str, result: str) -> Function:
    return _of(name, f"{name}(x)", description, f"{name}(x)", result)


AGGREGATES: tuple[Function, ...] = (
    _of("COUNT", "COUNT(*) | COUNT([DISTINCT] x)", "How many rows, or values that are not NULL.",
        "COUNT(DISTINCT s)", "2"),
    _of("SUM", "SUM([DISTINCT] x)",
        "The sum; NULL of nothing. Of integers a BIGINT, and an error where it is too great.",
        "SUM(x)", "7"),
    _of("AVG", "AVG([DISTINCT] x)", "The average; of integers an integer, cut off.", "AVG(x)", "2", aliases=("MEAN",)),
    _of("MIN", "MIN(x)", "The least.", "MIN(x)", "1"),
    _of("MAX", "MAX(x)", "The greatest.", "MAX(x)", "4"),
    _of("STDDEV_SAMP", "STDDEV_SAMP(x)", "The standard deviation of a sample.", "ROUND(STDDEV_SAMP(x), 4)", "1.5275",
        aliases=("STDDEV",)),
    _of("STDDEV_POP", "STDDEV_POP(x)", "The standard deviation.", "ROUND(STDDEV_POP(x), 4)", "1.2472"),
    _of("VAR_SAMP", "VAR_SAMP(x)", "The variance of a sample.", "ROUND(VAR_SAMP(x), 4)", "2.3333",
        aliases=("VAR_SAMPLE", "VAR")),
    _of("VARIANCE", "VARIANCE(x)", "The variance of a sample.", "ROUND(VARIANCE(x), 4)", "2.3333", 1,
        by=renamed("var_samp")),
    _of("VAR_POP", "VAR_POP(x)", "The variance.", "ROUND(VAR_POP(x), 4)", "1.5556", aliases=("VAR_POPULATION",)),
    _of("FIRST_VALUE", "FIRST_VALUE(x ORDER BY …)", "The first, in an order.", "FIRST_VALUE(x ORDER BY x DESC)", "4"),
    _of("LAST_VALUE", "LAST_VALUE(x ORDER BY …)", "The last, in an order.", "LAST_VALUE(x ORDER BY x DESC)", "1"),
    _of("FIRST", "FIRST(x ORDER BY …)", "FIRST_VALUE under DuckDB's name.", "FIRST(x ORDER BY x DESC)", "4",
        by=renamed("first_value")),
    _of("LAST", "LAST(x ORDER BY …)", "LAST_VALUE under DuckDB's name.", "LAST(x ORDER BY x DESC)", "1",
        by=renamed("last_value")),
    _of("MAX_BY", "MAX_BY(x, y)", "x of the row with the greatest y, NULL too.", "MAX_BY(s, x)", "b", 2,
        by=_first_by(descending=True, nulls=True)),
    _of("MIN_BY", "MIN_BY(x, y)", "x of the row with the least y, NULL too.", "MIN_BY(s, x)", "a", 2,
        by=_first_by(descending=False, nulls=True)),
    _of("ARG_MAX", "ARG_MAX(x, y)", "x of the row with the greatest y among those whose x is not NULL.",
        "ARG_MAX(s, x)", "b", 2, by=_first_by(descending=True, nulls=False), aliases=("ARGMAX",)),
    _of("ARG_MIN", "ARG_MIN(x, y)", "x of the row with the least y among those whose x is not NULL.",
        "ARG_MIN(s, x)", "a", 2, by=_first_by(descending=False, nulls=False), aliases=("ARGMIN",)),
    _of("COUNT_IF", "COUNT_IF(condition)", "How many rows it holds for.", "COUNT_IF(x > 1)", "2", 1, by=_count_if,
        aliases=("COUNTIF",)),
    _of("NTH_VALUE", "NTH_VALUE(x, n ORDER BY …)", "The n-th, in an order.", "NTH_VALUE(x, 2 ORDER BY x)", "2"),
    _of("ANY_VALUE", "ANY_VALUE(x)", "One that is not NULL.", "ANY_VALUE(x) > 0", "true",
        aliases=("ARBITRARY",), by=renamed("any_value")),
    _of("LISTAGG", "LISTAGG([DISTINCT] text [, separator]) [WITHIN GROUP (ORDER BY …)]",
        "The values as one string, separated by a comma.", "LISTAGG(s, ';') WITHIN GROUP (ORDER BY x)", "a;b;b", 1, 2,
        by=_listagg, aliases=("GROUP_CONCAT",)),
    _of("STRING_AGG", "STRING_AGG(text, separator [ORDER BY …])", "The values as one string.",
        "STRING_AGG(s, ';' ORDER BY x)", "a;b;b"),
    _of("ARRAY_AGG", "ARRAY_AGG([DISTINCT] x [ORDER BY …])", "The values as an array.", "ARRAY_AGG(x ORDER BY x)",
        "[1, 2, 4]", aliases=("LIST",), by=renamed("array_agg")),
    _of("COLLECT", "COLLECT([DISTINCT] x)", "The values as an array, without an order.", "CARDINALITY(COLLECT(s))", "3",
        1, by=renamed("array_agg")),
    _of("APPROX_COUNT_DISTINCT", "APPROX_COUNT_DISTINCT(x)", "About how many different values.",
        "APPROX_COUNT_DISTINCT(s)", "2", 1, by=lambda a: exp.Cast(this=call("approx_distinct", *a),
                                                                  to=exp.DataType.build("BIGINT"))),
    _of("MEDIAN", "MEDIAN(x)", "The value in the middle.", "MEDIAN(x)", "2.0"),
    _of("PERCENTILE_CONT", "PERCENTILE_CONT(part) WITHIN GROUP (ORDER BY x)", "The value at a part of the order.",
        "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY x)", "2.0", aliases=("QUANTILE_CONT",)),
    _of("PERCENTILE", "PERCENTILE(x, part)", "The value at a part of the order.", "PERCENTILE(x, 0.5)", "2.0", 2,
        by=_percentile),
    _of("APPROX_MEDIAN", "APPROX_MEDIAN(x)", "About the value in the middle.", "APPROX_MEDIAN(x)", "2.0"),
    _of("APPROX_PERCENTILE_CONT", "APPROX_PERCENTILE_CONT(part) WITHIN GROUP (ORDER BY x)",
        "About the value at a part of the order.", "APPROX_PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY x) > 0", "true"),
    _of("BOOL_AND", "BOOL_AND(condition)", "Whether it always holds.", "BOOL_AND(x > 1)", "false",
        aliases=("EVERY",), by=renamed("bool_and")),
    _of("BOOL_OR", "BOOL_OR(condition)", "Whether it ever holds.", "BOOL_OR(x > 1)", "true"),
    _bits("BIT_AND", "The bits of all values together.", "0"),
    _bits("BIT_OR", "The bits of any value.", "7"),
    _bits("BIT_XOR", "The bits of an odd number of values.", "7"),
    _pair("CORR", "The correlation.", "1.0"),
    _pair("COVAR_SAMP", "The covariance of a sample.", "2.0"),
    _pair("COVAR_POP", "The covariance.", "1.3333333333333333"),
    _pair("REGR_SLOPE", "The slope of the regression line.", "2.0"),
    _pair("REGR_INTERCEPT", "Where the regression line meets the axis.", "0.0"),
    _pair("REGR_COUNT", "How many pairs.", "3"),
    _pair("REGR_R2", "How well the regression line fits.", "1.0"),
    _pair("REGR_AVGX", "The average of x.", "2.0"),
    _pair("REGR_AVGY", "The average of y.", "4.0"),
    _pair("REGR_SXX", "The sum of the squares of x from its average.", "2.0"),
    _pair("REGR_SYY", "The sum of the squares of y from its average.", "8.0"),
    _pair("REGR_SXY", "The sum of the products of both distances.", "4.0"),
    _f("GROUPING_ID", "GROUPING_ID(x, …)", "The bits of GROUPING of each.",
       f"SELECT MAX(g) FROM (SELECT GROUPING_ID(s) AS g {_ROWS} GROUP BY ROLLUP (s))", "1", by=renamed("grouping")),
    _f("GROUPING", "GROUPING(x)", "1 where a grouping set leaves x out.",
       f"SELECT MAX(g) FROM (SELECT GROUPING(s) AS g {_ROWS} GROUP BY ROLLUP (s))", "1"),
)  # fmt: skip
"""Many rows, one value."""


def _over(name: str, signature: str, description: str, argument: str, result: str) -> Function:
    example = f"SELECT MAX(v) FROM (SELECT {argument} OVER (ORDER BY x) AS v {_ROWS})"
    return _w(name, signature, description, example, result)


WINDOWS: tuple[Function, ...] = (
    _over("ROW_NUMBER", "ROW_NUMBER() OVER (…)", "The number of the row.", "ROW_NUMBER()", "3"),
    _over("RANK", "RANK() OVER (…)", "The rank, with gaps behind equals.", "RANK()", "3"),
    _over("DENSE_RANK", "DENSE_RANK() OVER (…)", "The rank, without gaps.", "DENSE_RANK()", "3"),
    _over("PERCENT_RANK", "PERCENT_RANK() OVER (…)", "The rank from 0 to 1.", "PERCENT_RANK()", "1.0"),
    _over("CUME_DIST", "CUME_DIST() OVER (…)", "The part of the rows up to this one.", "CUME_DIST()", "1.0"),
    _over("NTILE", "NTILE(n) OVER (…)", "The rows in n equal parts.", "NTILE(2)", "2"),
    _over("LAG", "LAG(x [, n [, default]]) OVER (…)", "The value n rows before.", "LAG(x)", "2"),
    _over("LEAD", "LEAD(x [, n [, default]]) OVER (…)", "The value n rows behind.", "LEAD(x, 1, 0)", "4"),
)  # fmt: skip
"""A value of each row among others."""
