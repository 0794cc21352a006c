"""Functions of dates, times and intervals."""

from __future__ import annotations

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.expression_type import digits_of, temporal
from tsdb.sql.functions.spec import (
    Arguments,
    Function,
    Group,
    Translation,
    binary,
    call,
    cast,
    compare,
    divided,
    number,
    paren,
    renamed,
    string,
    text,
    time_text,
    try_cast,
    when,
    wrapped,
)  # fmt: skip
from tsdb.sql.java_pattern import to_strftime

_f = Group("Dates and times")

_UTC_MILLIS = 'Timestamp(Millisecond, Some("UTC"))'
_FIXED_MICROS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
    "WEEK": 604_800_000_000,
}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "DECADE": 120, "CENTURY": 1200}
_UNITS = "SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR"

DATE_PARTS = frozenset(
    ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "DOW", "ISODOW", "ISOYEAR", "HOUR", "MINUTE", "SECOND",
     "MILLISECOND", "MICROSECOND", "NANOSECOND", "EPOCH", "DECADE", "CENTURY", "MILLENNIUM")
)  # fmt: skip
"""The units of EXTRACT."""


def date_part(part: str, source: exp.Expr) -> exp.Expr:
    """EXTRACT(part FROM source), a BIGINT; DOW: Sunday is 1."""
    if part == "DOW":
        return binary(exp.Add, _plain_part("dow", source), number(1))
    if part == "ISODOW":
        days = binary(exp.Add, _plain_part("dow", source), number(6))
        return binary(exp.Add, binary(exp.Mod, days, number(7)), number(1))
    if part == "ISOYEAR":
        thursday = binary(exp.Add, call("date_trunc", text("week"), source), interval(number(3), "DAY"))
        return _plain_part("year", thursday)
    if part in ("CENTURY", "MILLENNIUM"):
        years = 100 if part == "CENTURY" else 1000
        return divided(binary(exp.Add, _plain_part("year", source), number(years - 1)), number(years))
    if part == "DECADE":
        return divided(_plain_part("year", source), number(10))
    if part == "MILLISECOND":
        return binary(exp.Mod, _plain_part("millisecond", source), number(1000))
    return _plain_part(part.lower(), source)


def _plain_part(part: str, source: exp.Expr) -> exp.Expr:
    return cast(call("date_part", text(part), source), "BIGINT")


def _part(part: str) -> Translation:
    return lambda arguments: date_part(part, arguments[0])


def unit_of(node: exp.Expr) -> str:
    """A unit written as a word or as a string: DAY, 'day', SQL_TSI_DAY."""
    return node.name.upper().removeprefix("SQL_TSI_").removeprefix("FRAC_").removesuffix("S")


def interval(count: exp.Expr, unit: str) -> exp.Expr:
    """count units. DataFusion multiplies no interval, but casts text to one."""
    if unit in ("QUARTER", "DECADE", "CENTURY"):
        return interval(binary(exp.Mul, count, number(_MONTHS[unit])), "MONTH")
    if isinstance(count, exp.Literal):
        return exp.Interval(this=text(count.name), unit=exp.var(unit))
    words = exp.DPipe(this=cast(count, "STRING"), expression=text(f" {unit}"))
    return exp.Cast(this=paren(words), to=exp.DataType(this=exp.DataType.Type.INTERVAL))


def multiplied_interval(node: exp.Mul) -> exp.Expr | None:
    """n * INTERVAL '2' DAY."""
    length, count = (
        (node.this, node.expression) if isinstance(node.this, exp.Interval) else (node.expression, node.this)
    )
    unit = length.args.get("unit")
    if not isinstance(unit, exp.Var) or not isinstance(length.this, exp.Literal) or isinstance(count, exp.Interval):
        return None
    size = exp.Literal.number(length.this.name)
    return interval(count if size.name == "1" else binary(exp.Mul, count, size), unit_of(unit))


def cut_to_digits(node: exp.Cast) -> exp.Expr | None:
    """CAST(x AS TIMESTAMP(0)), TIMESTAMP_LTZ(1) …: the digits that are too many are cut off. Stored are 3, 6 or 9."""
    kind = temporal(node)
    digits = digits_of(node)
    if kind is None or not pa.types.is_timestamp(kind) or digits is None or digits in (3, 6, 9):
        return None
    if digits == 0:
        return call("date_trunc", text("second"), node)
    size = exp.Interval(this=text(str(10 ** (6 - digits))), unit=exp.var("MICROSECONDS"))
    zone = "None" if kind.tz is None else f'Some("{kind.tz}")'
    kept = text(f"Timestamp({_ARROW_UNITS[kind.unit]}, {zone})")
    return call("arrow_cast", call("date_bin", size, node), kept) if digits < 6 else None


def joined_texts(node: exp.DPipe) -> exp.Expr | None:
    """a || b where one is a timestamp."""
    sides = [time_text(node.this), time_text(node.expression)]
    if sides == [None, None]:
        return None
    return exp.DPipe(this=sides[0] or node.this.copy(), expression=sides[1] or node.expression.copy())


def to_unit(node: exp.Expr) -> exp.Expr:
    """FLOOR(time TO unit), CEIL(time TO unit), of the type that the time has."""
    kind = temporal(node.this)
    rounded = _rounded(node)
    if kind is None:
        return rounded
    if pa.types.is_date(kind):
        return cast(rounded, "DATE")
    zone = "None" if kind.tz is None else f'Some("{kind.tz}")'
    return call("arrow_cast", rounded, text(f"Timestamp({_ARROW_UNITS[kind.unit]}, {zone})"))


_ARROW_UNITS = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}


def _rounded(node: exp.Expr) -> exp.Expr:
    unit, moment = unit_of(node.args["to"]), node.this
    floor = _floor(unit, moment)
    if isinstance(node, exp.Floor):
        return floor
    next_one = binary(exp.Add, floor, interval(number(1), unit))
    return when(exp.EQ(this=floor.copy(), expression=wrapped(moment)), moment.copy(), next_one)


def _floor(unit: str, moment: exp.Expr) -> exp.Expr:
    if unit in ("DECADE", "CENTURY", "MILLENNIUM"):
        raise NotSupportedError(f"FLOOR and CEIL to {unit}; the longest unit is YEAR")
    if unit == "WEEK":  # begins with Sunday
        day = interval(number(1), "DAY")
        return binary(exp.Sub, call("date_trunc", text("week"), binary(exp.Add, moment, day)), day)
    return call("date_trunc", text(unit.lower()), moment)


def _timestamp_add(arguments: Arguments) -> exp.Expr:
    unit, count, moment = unit_of(arguments[0]), arguments[1], arguments[2]
    if unit not in _FIXED_MICROS and unit not in _MONTHS:
        raise ProgrammingError(f"`{unit}` is no unit of TIMESTAMPADD; use {_UNITS}")
    kind = temporal(moment)
    if (
        kind is not None
        and pa.types.is_date(kind)
        and unit in ("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")
    ):
        moment = cast(moment, "TIMESTAMP(6)")
    return binary(exp.Add, moment, interval(count, unit))


def _timestamp_diff(arguments: Arguments) -> exp.Expr:
    """Whole units from the second to the third argument, towards zero."""
    unit, start, end = unit_of(arguments[0]), arguments[1], arguments[2]
    if unit in _MONTHS:
        return _months_between(start, end, _MONTHS[unit])
    if unit not in _FIXED_MICROS:
        raise ProgrammingError(f"`{unit}` is no unit of TIMESTAMPDIFF; use {_UNITS}")
    return divided(binary(exp.Sub, _epoch_micros(end), _epoch_micros(start)), number(_FIXED_MICROS[unit]))


def _epoch_micros(moment: exp.Expr) -> exp.Expr:
    return cast(cast(moment, "TIMESTAMP(6)"), "BIGINT")


def _months_between(start: exp.Expr, end: exp.Expr, months_per_unit: int) -> exp.Expr:
    """The months between two month numbers, one less when the last month is not complete."""

    def month_number(moment: exp.Expr) -> exp.Expr:
        return binary(exp.Add, binary(exp.Mul, date_part("YEAR", moment), number(12)), date_part("MONTH", moment))

    start, end = cast(start, "TIMESTAMP(6)"), cast(end, "TIMESTAMP(6)")
    months = binary(exp.Sub, month_number(end), month_number(start))
    reached = binary(exp.Add, start, interval(months, "MONTH"))
    zero = number(0)
    too_many = exp.and_(exp.GT(this=months.copy(), expression=zero.copy()), exp.GT(this=reached, expression=end.copy()))
    too_few = exp.and_(
        exp.LT(this=months.copy(), expression=zero.copy()), exp.LT(this=reached.copy(), expression=end.copy())
    )
    whole = exp.Case(
        ifs=[
            exp.If(this=too_many, true=binary(exp.Sub, months, number(1))),
            exp.If(this=too_few, true=binary(exp.Add, months, number(1))),
        ],
        default=months.copy(),
    )
    return divided(paren(whole), number(months_per_unit))


def _date_diff(arguments: Arguments) -> exp.Expr:
    """DATEDIFF(end, start): days between two dates."""
    if len(arguments) == 3:
        raise NotSupportedError(
            "DATEDIFF with a unit: use TIMESTAMPDIFF(unit, start, end) or DATE_DIFF('unit', start, end)"
        )
    return _timestamp_diff([text("DAY"), cast(arguments[1], "DATE"), cast(arguments[0], "DATE")])


def _strftime(pattern: exp.Expr) -> str | None:
    """DataFusion's own pattern for a constant one, None where it has none."""
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        return None
    try:
        return to_strftime(pattern.name)
    except NotSupportedError:
        return None


def _date_format(arguments: Arguments) -> exp.Expr:
    moment, pattern = cast(arguments[0], "TIMESTAMP(6)"), arguments[1]
    known = _strftime(pattern)
    return call("date_text", moment, string(pattern)) if known is None else call("to_char", moment, text(known))


def _parsed(source: exp.Expr, pattern: exp.Expr) -> exp.Expr:
    """Text read by a Java pattern; NULL where it does not fit."""
    return call("parse_time", string(source), string(pattern))


def _to_timestamp(arguments: Arguments) -> exp.Expr:
    if len(arguments) == 1:
        return try_cast(arguments[0], "TIMESTAMP(3)")
    return cast(_parsed(*arguments), "TIMESTAMP(3)")


def _to_timestamp_ltz(arguments: Arguments) -> exp.Expr:
    """TO_TIMESTAMP_LTZ(epoch, 0 | 3), or of text."""
    first = arguments[0]
    if isinstance(first, exp.Literal) and first.is_string:
        if len(arguments) > 1:
            return call("arrow_cast", cast(_parsed(first, arguments[1]), "TIMESTAMP(3)"), text(_UTC_MILLIS))
        return call("arrow_cast", first, text(_UTC_MILLIS))
    precision = arguments[1].name if len(arguments) > 1 else "3"
    if precision not in ("0", "3"):
        raise NotSupportedError(f"TO_TIMESTAMP_LTZ of a number takes the precision 0 or 3, not {precision}")
    millis = binary(exp.Mul, first, number(1000)) if precision == "0" else first
    return call("arrow_cast", cast(millis, "BIGINT"), text(_UTC_MILLIS))


def _to_date(arguments: Arguments) -> exp.Expr:
    if len(arguments) == 1:
        return try_cast(arguments[0], "DATE")
    return cast(_parsed(*arguments), "DATE")


def _from_unixtime(arguments: Arguments) -> exp.Expr:
    moment = call("to_timestamp_seconds", cast(arguments[0], "BIGINT"))
    return _date_format([moment, arguments[1] if len(arguments) > 1 else text("yyyy-MM-dd HH:mm:ss")])


def _unix_timestamp(arguments: Arguments) -> exp.Expr:
    if not arguments:
        return cast(call("date_part", text("epoch"), call("now")), "BIGINT")
    moment = _to_timestamp(arguments) if len(arguments) > 1 else cast(arguments[0], "TIMESTAMP(6)")
    return divided(_epoch_micros(moment), number(1_000_000))


def now(arguments: Arguments) -> exp.Expr:
    """Milliseconds, as Flink's TIMESTAMP_LTZ(3); DataFusion's nanoseconds fit no Python datetime."""
    return call("arrow_cast", call("now"), text(_UTC_MILLIS))


def local_now() -> exp.Expr:
    """LOCALTIMESTAMP."""
    return call("arrow_cast", call("now"), text("Timestamp(Millisecond, None)"))


def _days(kind: type[exp.Binary]) -> Translation:
    """A date and a number of days, or an interval."""

    def translated(arguments: Arguments) -> exp.Expr:
        moment, count = arguments
        if isinstance(count, exp.Interval):
            return binary(kind, moment, count)
        return cast(binary(kind, cast(moment, "DATE"), interval(count, "DAY")), "DATE")

    return translated


def _add_months(arguments: Arguments) -> exp.Expr:
    return cast(binary(exp.Add, cast(arguments[0], "DATE"), interval(arguments[1], "MONTH")), "DATE")


def _last_day(arguments: Arguments) -> exp.Expr:
    first = call("date_trunc", text("month"), cast(arguments[0], "DATE"))
    next_month = binary(exp.Add, first, interval(number(1), "MONTH"))
    return cast(binary(exp.Sub, next_month, interval(number(1), "DAY")), "DATE")


def overlaps(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """(start, end) OVERLAPS (start, end), where an end may be an interval and stand before its start."""
    (a, b), (c, d) = _period(left), _period(right)
    ends = compare(exp.GTE, call("greatest", a, b), call("least", c, d))
    starts = compare(exp.GTE, call("greatest", c, d), call("least", a, b))
    return paren(exp.and_(ends, starts))


def _period(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    if not isinstance(node, exp.Tuple) or len(node.expressions) != 2:
        raise ProgrammingError("OVERLAPS stands between two periods: (start, end) OVERLAPS (start, end)")
    start, end = node.expressions
    return start, binary(exp.Add, start, end) if isinstance(end, exp.Interval) else end


_MOMENT = "TIMESTAMP '2024-02-29 12:34:56.789'"


def _unit_function(name: str, part: str, description: str, result: str) -> Function:
    return _f(name, f"{name}(time)", description, f"{name}({_MOMENT})", result, 1, by=_part(part))


def _clock(
    name: str, signature: str, description: str, by: Translation | None = None, *, streams: bool = False
) -> Function:
    return _f(name, signature, description, f"{signature} IS NOT NULL", "true", *((0,) if by else ()), by=by,
              changes=True, streams=streams)  # fmt: skip


TIMES: tuple[Function, ...] = (
    _f("EXTRACT", "EXTRACT(unit FROM time)",
       "A part, as BIGINT: " + ", ".join(sorted(DATE_PARTS)) + ". Sunday is the first DOW, Monday the first ISODOW.",
       f"EXTRACT(DAY FROM {_MOMENT})", "29"),
    _f("DATE_PART", "DATE_PART('unit', time)", "A part, as a number; Sunday is 0.", f"DATE_PART('month', {_MOMENT})",
       "2", aliases=("DATEPART",)),
    _unit_function("YEAR", "YEAR", "The year.", "2024"),
    _unit_function("QUARTER", "QUARTER", "The quarter, from 1.", "1"),
    _unit_function("MONTH", "MONTH", "The month, from 1.", "2"),
    _unit_function("WEEK", "WEEK", "The week of ISO 8601.", "9"),
    _unit_function("DAYOFYEAR", "DOY", "The day in the year, from 1.", "60"),
    _f("DAYOFMONTH", "DAYOFMONTH(time)", "The day in the month, from 1.", f"DAYOFMONTH({_MOMENT})", "29", 1,
       by=_part("DAY"), aliases=("DAY",)),
    _unit_function("DAYOFWEEK", "DOW", "The day in the week; Sunday is 1.", "5"),
    _unit_function("HOUR", "HOUR", "The hour.", "12"),
    _unit_function("MINUTE", "MINUTE", "The minute.", "34"),
    _unit_function("SECOND", "SECOND", "The second.", "56"),
    _f("TIMESTAMPADD", "TIMESTAMPADD(unit, n, time)", "n units later.",
       "TIMESTAMPADD(MONTH, 1, DATE '2024-01-31')", "2024-02-29", 3, by=_timestamp_add),
    _f("TIMESTAMPDIFF", "TIMESTAMPDIFF(unit, from, to)", "The whole units between.",
       "TIMESTAMPDIFF(MONTH, DATE '2024-01-31', DATE '2024-03-30')", "1", 3, by=_timestamp_diff),
    _f("DATEDIFF", "DATEDIFF(to, from)", "The days between.", "DATEDIFF(DATE '2024-03-01', DATE '2024-02-01')", "29",
       2, 3,
       by=_date_diff),
    _f("DATE_ADD", "DATE_ADD(date, days)", "So many days later, a DATE, as in Spark.",
       "DATE_ADD(DATE '2024-02-28', 2)", "2024-03-01", 2, by=_days(exp.Add)),
    _f("DATE_SUB", "DATE_SUB(date, days)", "So many days earlier, a DATE, as in Spark.",
       "DATE_SUB(DATE '2024-03-01', 1)", "2024-02-29", 2, by=_days(exp.Sub)),
    _f("ADD_MONTHS", "ADD_MONTHS(date, months)", "So many months later, a DATE.",
       "ADD_MONTHS(DATE '2024-01-31', 1)", "2024-02-29", 2, by=_add_months),
    _f("LAST_DAY", "LAST_DAY(date)", "The last day of the month.", "LAST_DAY(DATE '2024-02-03')", "2024-02-29", 1,
       by=_last_day),
    _f("STRFTIME", "STRFTIME(time, pattern)", "TO_CHAR under DuckDB's name.",
       "STRFTIME(TIMESTAMP '2024-01-02 03:04:05', '%d.%m.%Y')", "02.01.2024", 2, by=renamed("to_char")),
    _f("DATE_TRUNC", "DATE_TRUNC('unit', time)", "The begin of the unit.", f"DATE_TRUNC('month', {_MOMENT})",
       "2024-02-01 00:00:00.000000", aliases=("DATETRUNC",)),
    _f("DATE_BIN", "DATE_BIN(interval, time, origin)", "The begin of an interval counted from an origin.",
       "DATE_BIN(INTERVAL '15' MINUTE, TIMESTAMP '2024-01-01 10:47:00', TIMESTAMP '2024-01-01 00:00:00')",
       "2024-01-01 10:45:00.000000000"),
    _f("DATE_FORMAT", "DATE_FORMAT(time, pattern)", "As text, by a pattern of Java.",
       "DATE_FORMAT(TIMESTAMP '2024-01-02 03:04:05', 'dd.MM.yyyy HH:mm')", "02.01.2024 03:04", 2, by=_date_format),
    _f("TO_CHAR", "TO_CHAR(time, pattern)", "As text, by a pattern of strftime.",
       "TO_CHAR(TIMESTAMP '2024-01-02 03:04:05', '%d.%m.%Y')", "02.01.2024"),
    _f("TO_TIMESTAMP", "TO_TIMESTAMP(text [, pattern])",
       "A TIMESTAMP(3) out of text, by a pattern of Java; NULL where it does not fit.",
       "TO_TIMESTAMP('02/01/2024 10:11', 'dd/MM/yyyy HH:mm')", "2024-01-02 10:11:00.000", 1, 2, by=_to_timestamp),
    _f("TO_TIMESTAMP_LTZ", "TO_TIMESTAMP_LTZ(epoch [, 0 | 3]) | TO_TIMESTAMP_LTZ(text [, pattern])",
       "A TIMESTAMP_LTZ(3) out of the seconds (0) or milliseconds (3) since 1970, or out of text.",
       "TO_TIMESTAMP_LTZ(86400, 0)", "1970-01-02 00:00:00.000", 1, 2, by=_to_timestamp_ltz),
    _f("TO_DATE", "TO_DATE(text [, pattern])", "A DATE out of text, by a pattern of Java; NULL where it does not fit.",
       "TO_DATE('20240102', 'yyyyMMdd')", "2024-01-02", 1, 2, by=_to_date),
    _f("FROM_UNIXTIME", "FROM_UNIXTIME(seconds [, pattern])", "Seconds since 1970 as text.", "FROM_UNIXTIME(86400)",
       "1970-01-02 00:00:00", 1, 2, by=_from_unixtime),
    _f("UNIX_TIMESTAMP", "UNIX_TIMESTAMP([text [, pattern]])", "Seconds since 1970: of a time, or now.",
       "UNIX_TIMESTAMP('1970-01-02 00:00:00')", "86400", 0, 1, 2, by=_unix_timestamp),
    _f("CONVERT_TZ", "CONVERT_TZ(text, from_zone, to_zone)", "The clock of another time zone, as text.",
       "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')", "1969-12-31 16:00:00", 3,
       by=lambda a: call("convert_tz", *map(string, a))),
    _f("MAKE_DATE", "MAKE_DATE(year, month, day)", "A DATE of its parts.", "MAKE_DATE(2024, 2, 29)", "2024-02-29"),
    _clock("NOW", "NOW()", "The time at which the statement began, a TIMESTAMP_LTZ(3).", now),
    _clock("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP", "The time at which the statement began, a TIMESTAMP_LTZ(3)."),
    _clock("CURRENT_DATE", "CURRENT_DATE", "The day on which the statement began."),
    _clock("CURRENT_TIME", "CURRENT_TIME", "The clock when the statement began."),
    _clock("LOCALTIME", "LOCALTIME", "The clock when the statement began."),
    _clock("LOCALTIMESTAMP", "LOCALTIMESTAMP", "The clock of the session's zone, a TIMESTAMP(3)."),
    _clock("PROCTIME", "PROCTIME()", "The time of processing; in a stream that of arrival.", now, streams=True),
    _f("CURRENT_WATERMARK", "CURRENT_WATERMARK(time)",
       "In a stream the watermark of the row's input when it came; NULL before the first one, and in batch mode.",
       f"CURRENT_WATERMARK({_MOMENT}) IS NULL", "true", 1, by=lambda a: call("nullif", a[0], a[0].copy())),
    _clock("CURRENT_ROW_TIMESTAMP", "CURRENT_ROW_TIMESTAMP()", "The time of processing.", now),
)  # fmt: skip
"""Parts, distances, text and clocks."""
