"""Names that people know from DuckDB, Spark and PostgreSQL, with their meaning there."""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.functions.spec import (
    Arguments,
    Function,
    Group,
    binary,
    call,
    cast,
    compare,
    constant,
    divided,
    number,
    of_strings,
    paren,
    renamed,
    string,
    text,
)
from tsdb.sql.functions.times import date_part

_f = Group("Names of other engines")
_a = Group("Names of other engines", "aggregate")

_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_MICROS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_ALIASES = {"MON": "MONTH", "MI": "MINUTE", "HH": "HOUR", "D": "DAY", "Y": "YEAR"}


def date_diff(arguments: Arguments) -> exp.Expr:
    """DATE_DIFF('unit', start, end): how often a unit begins between the two."""
    given = constant(arguments[0], "the unit of DATE_DIFF").upper()
    unit = _ALIASES.get(given, given.removesuffix("S"))
    start, end = (cast(argument, "TIMESTAMP(6)") for argument in arguments[1:])
    if unit in _MONTHS:
        return binary(exp.Sub, _number(end, unit), _number(start, unit))
    if unit not in _MICROS:
        known = ", ".join(sorted([*_MICROS, *_MONTHS])).lower()
        raise NotSupportedError(f"DATE_DIFF knows no unit '{given.lower()}'; it knows {known}")
    start, end = (cast(call("date_trunc", text(unit.lower()), moment), "BIGINT") for moment in (start, end))
    return divided(binary(exp.Sub, end, start), number(_MICROS[unit]))


def _number(moment: exp.Expr, unit: str) -> exp.Expr:
    """The number of a month, a quarter or a year since year 0."""
    if unit == "YEAR":
        return date_part("YEAR", moment)
    within = 12 // _MONTHS[unit]
    return binary(exp.Add, binary(exp.Mul, date_part("YEAR", moment), number(within)), date_part(unit, moment))


def _strptime(arguments: Arguments) -> exp.Expr:
    pattern = constant(arguments[1], "the pattern of STRPTIME")
    hours = any(code in pattern for code in ("%H", "%I", "%k", "%l"))
    if hours and "%M" not in pattern:  # DataFusion would leave the hour out
        raise NotSupportedError(f"STRPTIME with hours, but without minutes, in '{pattern}'; add %M")
    return cast(call("to_timestamp", *arguments), "TIMESTAMP(6)")


def _epoch(arguments: Arguments) -> exp.Expr:
    micros = cast(cast(arguments[0], "TIMESTAMP(6)"), "BIGINT")
    return binary(exp.Div, cast(micros, "DOUBLE"), cast(number(1_000_000), "DOUBLE"))


def _epoch_millis(arguments: Arguments) -> exp.Expr:
    return divided(cast(cast(arguments[0], "TIMESTAMP(6)"), "BIGINT"), number(1000))


def _make_timestamp(arguments: Arguments) -> exp.Expr:
    year, month, day, hour, minute, second = arguments
    days = cast(cast(call("make_date", year, month, day), "TIMESTAMP(6)"), "BIGINT")
    hours = binary(exp.Mul, hour, number(_MICROS["HOUR"]))
    minutes = binary(exp.Mul, minute, number(_MICROS["MINUTE"]))
    seconds = cast(binary(exp.Mul, second, number(_MICROS["SECOND"])), "BIGINT")
    micros = binary(exp.Add, binary(exp.Add, days, hours), binary(exp.Add, minutes, seconds))
    return call("arrow_cast", cast(micros, "BIGINT"), text("Timestamp(Microsecond, None)"))


def _time_bucket(arguments: Arguments) -> exp.Expr:
    """Without an origin, weeks begin on Mondays and months in January."""
    if len(arguments) == 3:
        return cast(call("date_bin", *arguments), "TIMESTAMP(6)")
    months = any(unit in arguments[0].sql().upper() for unit in ("MONTH", "QUARTER", "YEAR"))
    origin = cast(text("2000-01-01 00:00:00" if months else "2000-01-03 00:00:00"), "TIMESTAMP(6)")
    return cast(call("date_bin", arguments[0], cast(arguments[1], "TIMESTAMP(6)"), origin), "TIMESTAMP(6)")


def _is_finite(arguments: Arguments) -> exp.Expr:
    value = cast(arguments[0], "DOUBLE")
    zero = cast(number(0), "DOUBLE")
    return paren(compare(exp.EQ, binary(exp.Sub, value, value), zero))


def _is_infinite(arguments: Arguments) -> exp.Expr:
    infinity = cast(text("Infinity"), "DOUBLE")
    return paren(compare(exp.EQ, call("abs", cast(arguments[0], "DOUBLE")), infinity))


def _quantile_disc(arguments: Arguments) -> exp.Expr:
    """The values in order, as an array, and of it the one at the place; NULLs stand behind."""
    value, part = arguments
    order = exp.Order(this=value.copy(), expressions=[exp.Ordered(this=value.copy(), nulls_first=False)])
    place = call("ceil", binary(exp.Mul, cast(part, "DOUBLE"), cast(call("count", value), "DOUBLE")))
    values = exp.Anonymous(this="array_agg", expressions=[order])
    return call("array_element", values, call("greatest", number(1), cast(place, "BIGINT")))


def _struct_pack(arguments: Arguments) -> exp.Expr:
    if not all(isinstance(argument, exp.PropertyEQ) for argument in arguments):
        raise NotSupportedError("STRUCT_PACK takes named values: STRUCT_PACK(a := 1, b := 2)")
    pairs = [part for a in arguments for part in (text(a.this.name), a.expression)]
    return call("named_struct", *pairs)


_MOMENT = "TIMESTAMP '2024-02-29 12:34:56'"
_ROWS = "FROM (VALUES (1), (2), (4)) AS t(x)"

BORROWED: tuple[Function, ...] = (
    _f("DATE_DIFF", "DATE_DIFF('unit', start, end)",
       "How often a unit begins between the two, as in DuckDB; TIMESTAMPDIFF counts whole units.",
       "DATE_DIFF('month', DATE '2024-01-31', DATE '2024-02-01')", "1", 3, by=date_diff),
    _f("EPOCH", "EPOCH(time)", "Seconds since 1970, a DOUBLE.", "EPOCH(TIMESTAMP '1970-01-01 00:00:01.5')", "1.5", 1,
       by=_epoch),
    _f("EPOCH_MS", "EPOCH_MS(time)", "Milliseconds since 1970.", "EPOCH_MS(TIMESTAMP '1970-01-01 00:00:01')", "1000",
       1, by=_epoch_millis, aliases=("UNIX_MILLIS",)),
    _f("UNIX_SECONDS", "UNIX_SECONDS(time)", "Seconds since 1970, a BIGINT.",
       "UNIX_SECONDS(TIMESTAMP '1970-01-01 00:00:01.5')", "1", 1,
       by=lambda a: divided(cast(cast(a[0], "TIMESTAMP(6)"), "BIGINT"), number(1_000_000))),
    _f("FROM_UTC_TIMESTAMP", "FROM_UTC_TIMESTAMP(time, zone)", "What the clocks of a zone show at a time of UTC.",
       "FROM_UTC_TIMESTAMP(TIMESTAMP '2024-07-01 12:00:00', 'Asia/Tokyo')", "2024-07-01 21:00:00.000000", 2,
       by=lambda a: call("local_time", cast(a[0], "TIMESTAMP(6)"), string(a[1]))),
    _f("TO_UTC_TIMESTAMP", "TO_UTC_TIMESTAMP(time, zone)", "The time of UTC at which the clocks of a zone show this.",
       "TO_UTC_TIMESTAMP(TIMESTAMP '2024-07-01 12:00:00', 'Asia/Tokyo')", "2024-07-01 03:00:00.000000", 2,
       by=lambda a: call("zoned_time", cast(a[0], "TIMESTAMP(6)"), string(a[1]))),
    _f("PMOD", "PMOD(a, b)", "The remainder that is not negative, for a positive b.", "PMOD(-1, 3)", "2", 2,
       by=lambda a: binary(exp.Mod, binary(exp.Add, binary(exp.Mod, a[0], a[1]), a[1]), a[1])),
    _f("SHIFTLEFT", "SHIFTLEFT(a, n)", "a << n.", "SHIFTLEFT(1, 3)", "8", 2,
       by=lambda a: binary(exp.BitwiseLeftShift, a[0], a[1])),
    _f("SHIFTRIGHT", "SHIFTRIGHT(a, n)", "a >> n.", "SHIFTRIGHT(8, 3)", "1", 2,
       by=lambda a: binary(exp.BitwiseRightShift, a[0], a[1])),
    _f("ZEROIFNULL", "ZEROIFNULL(x)", "0 for NULL.", "ZEROIFNULL(NULL)", "0", 1,
       by=lambda a: call("coalesce", a[0], number(0))),
    _f("SEQUENCE", "SEQUENCE(from, to [, step])", "GENERATE_SERIES under Spark's name.", "SEQUENCE(1, 3)", "[1, 2, 3]",
       2, 3, by=renamed("generate_series")),
    _f("ISODOW", "ISODOW(time)", "The day in the week; Monday is 1.", f"ISODOW({_MOMENT})", "4", 1,
       by=lambda a: date_part("ISODOW", a[0])),
    _f("DAYNAME", "DAYNAME(time)", "The English name of the day.", f"DAYNAME({_MOMENT})", "Thursday", 1,
       by=lambda a: call("to_char", cast(a[0], "TIMESTAMP(6)"), text("%A"))),
    _f("MONTHNAME", "MONTHNAME(time)", "The English name of the month.", f"MONTHNAME({_MOMENT})", "February", 1,
       by=lambda a: call("to_char", cast(a[0], "TIMESTAMP(6)"), text("%B"))),
    _f("STRPTIME", "STRPTIME(text, pattern)", "A TIMESTAMP out of text, by a pattern of strftime.",
       "STRPTIME('02.01.2024 03:04', '%d.%m.%Y %H:%M')", "2024-01-02 03:04:00.000000", 2, by=_strptime),
    _f("MAKE_TIMESTAMP", "MAKE_TIMESTAMP(year, month, day, hour, minute, second)", "A TIMESTAMP of its parts.",
       "MAKE_TIMESTAMP(2024, 2, 29, 12, 30, 1.5)", "2024-02-29 12:30:01.500000", 6, by=_make_timestamp),
    _f("TIME_BUCKET", "TIME_BUCKET(interval, time [, origin])", "The begin of an interval.",
       "TIME_BUCKET(INTERVAL '15' MINUTE, TIMESTAMP '2024-01-01 10:47:00')", "2024-01-01 10:45:00.000000", 2, 3,
       by=_time_bucket),
    _f("ISINF", "ISINF(x)", "Whether x is infinite.", "ISINF(CAST('Infinity' AS DOUBLE))", "true", 1, by=_is_infinite),
    _f("ISFINITE", "ISFINITE(x)", "Whether x is neither infinite nor NaN.", "ISFINITE(1.5e0)", "true", 1,
       by=_is_finite),
    _f("STRLEN", "STRLEN(text)", "How many bytes.", "STRLEN('é')", "2", 1, by=of_strings("octet_length")),
    _f("PREFIX", "PREFIX(text, part)", "Whether it begins so.", "PREFIX('abc', 'ab')", "true", 2,
       by=of_strings("starts_with")),
    _f("SUFFIX", "SUFFIX(text, part)", "Whether it ends so.", "SUFFIX('abc', 'bc')", "true", 2,
       by=of_strings("ends_with")),
    _f("UNICODE", "UNICODE(text)", "The number of the first character. Also `ORD`.", "UNICODE('é')", "233", 1,
       by=renamed("ascii"), aliases=("ORD",)),
    _f("REGEXP_MATCHES", "REGEXP_MATCHES(text, pattern)", "REGEXP under DuckDB's name.",
       "REGEXP_MATCHES('abc', 'b.')", "true", 2, by=of_strings("regexp_like")),
    _f("STRUCT_PACK", "STRUCT_PACK(a := x, …)", "A row of named values.", "STRUCT_PACK(a := 1, b := 'x').b", "x",
       by=_struct_pack),
    _a("QUANTILE_DISC", "QUANTILE_DISC(x, part)", "The value at a part of the order, one that is there.",
       f"SELECT QUANTILE_DISC(x, 0.5) {_ROWS}", "2", 2, by=_quantile_disc, aliases=("QUANTILE",)),
)  # fmt: skip
"""What other engines call it."""

ADVICE = {
    "columns": "COLUMNS(…) in the SELECT list only; in WHERE name the columns",
    "age": "TIMESTAMPDIFF(unit, start, end), or the difference of two times",
    "format": "PRINTF, CONCAT, or ||",
    "hash": "MD5 or SHA256",
    "xxhash64": "MD5 or SHA256",
    "crc32": "MD5 or SHA256",
    "json_extract": "JSON_QUERY(json, path) for objects and arrays, JSON_VALUE(json, path) for the rest",
    "json_extract_string": "JSON_VALUE(json, path)",
    "get_json_object": "JSON_VALUE(json, path)",
    "json_extract_path_text": "JSON_VALUE(json, path)",
    "json_valid": "json IS JSON",
    "to_json": "JSON_OBJECT(KEY … VALUE …) or JSON_STRING",
    "weekday": "DAYOFWEEK, where Sunday is 1, or ISODOW, where Monday is",
    "xor": "(a | b) - (a & b)",
    "mode": "SELECT x FROM t GROUP BY x ORDER BY count(*) DESC LIMIT 1",
    "percentile_disc": "QUANTILE_DISC(x, part)",
    "regexp_split_to_array": "SPLIT for a plain delimiter",
    "regexp_split_to_table": "SPLIT for a plain delimiter, and UNNEST",
    "current_user": "nothing: there are no users",
    "session_user": "nothing: there are no users",
    "group_id": "GROUPING_ID(keys), which numbers the grouping sets",
    "parse_json": "the text itself: JSON_VALUE and JSON_QUERY read it; a VARIANT can be stored, but not made",
    "try_parse_json": "the text itself, where it IS JSON",
    "json": "JSON_OBJECT and JSON_ARRAY inside one another; text stays text",
    "source_watermark": "WATERMARK FOR ts AS ts - INTERVAL '5' SECOND",
    "collect_list": "ARRAY_AGG(x) FILTER (WHERE x IS NOT NULL)",
    "collect_set": "ARRAY_AGG(DISTINCT x) FILTER (WHERE x IS NOT NULL)",
    "aggregate": "LIST_AGGREGATE(array, 'sum'), or UNNEST and GROUP BY",
    "reduce": "LIST_AGGREGATE(array, 'sum'), or UNNEST and GROUP BY",
    "product": "EXP(SUM(LN(x))), of positive numbers",
    "histogram": "SELECT x, count(*) FROM t GROUP BY x",
    "months_between": "TIMESTAMPDIFF(MONTH, start, end)",
    "format_number": "PRINTF('%,.2f', x)",
    "soundex": "LEVENSHTEIN(a, b)",
    "try": "TRY_CAST, or CASE WHEN b <> 0 THEN a / b END",
    "approx_quantile": "APPROX_PERCENTILE_CONT(part) WITHIN GROUP (ORDER BY x)",
    "setval": "a key of its own: there are no sequences",
    "nextval": "UUID(), or a key of its own: there are no sequences",
    "read_ndjson": "read_json",
    "posexplode": "UNNEST(…) WITH ORDINALITY",
    "to_number": "CAST(text AS DECIMAL(…))",
    "duckdb_tables": "SHOW TABLES, or information_schema.tables",
    "duckdb_columns": "information_schema.columns",
}
"""What to write instead of functions that do not exist, by lower-case name."""
