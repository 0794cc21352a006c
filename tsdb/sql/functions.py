"""Functions whose name or meaning differs between Flink and DataFusion, translated in the tree.

`FUNCTIONS` maps an upper-case name to what makes DataFusion's expression of it from the arguments. A function that is
not in the table goes to DataFusion as written. Functions that mean something else there under the same name are all
in the table, so that nothing is silently different: LOG, CONCAT, GREATEST, LEAST, REGEXP_REPLACE, DATE_FORMAT,
TO_TIMESTAMP, TO_DATE, FROM_UNIXTIME, the SHA family, NOW. Known to remain: SUM(INT) is BIGINT and AVG of integers is
DOUBLE (Flink keeps the argument's type).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.dialect import LocalTimestamp
from tsdb.sql.java_pattern import to_strftime

Arguments = list[exp.Expr]
Translation = Callable[[Arguments], exp.Expr]

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
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def translate_functions(query: exp.Expr) -> exp.Expr:
    """`query` with every call that `FUNCTIONS` knows translated, innermost first, in place."""
    for node in reversed(list(query.walk())):
        replacement = _translated(node)
        if replacement is not None:
            if node is query:
                query = replacement
            else:
                node.replace(replacement)
    return query


def _translated(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.Anonymous) and isinstance(node.this, str):
        translation = FUNCTIONS.get(node.this.upper())
        return translation(list(node.expressions)) if translation is not None else None
    if isinstance(node, exp.WithinGroup):
        return _within_group(node)
    if isinstance(node, exp.Mul) and (isinstance(node.this, exp.Interval) or isinstance(node.expression, exp.Interval)):
        return _multiplied_interval(node)
    if isinstance(node, exp.Floor | exp.Ceil) and node.args.get("to") is not None:
        return _to_unit(node)
    if isinstance(node, exp.Extract) and node.name.upper() in _DATE_PARTS:
        return _date_part(node.name.upper(), node.expression)
    if isinstance(node, exp.CurrentTimestamp):
        return _now([])
    if isinstance(node, LocalTimestamp):
        return _call("arrow_cast", _call("now"), _text("Timestamp(Millisecond, None)"))
    return None


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def _text(value: str) -> exp.Expr:
    return exp.Literal.string(value)


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _cast(node: exp.Expr, type_name: str) -> exp.Expr:
    return exp.Cast(this=node.copy(), to=exp.DataType.build(type_name))


def _paren(node: exp.Expr) -> exp.Expr:
    return exp.Paren(this=node)


def _binary(kind: type[exp.Binary], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """left kind right, with parentheses around both and the whole, so that no precedence can matter."""
    return _paren(kind(this=_wrapped(left), expression=_wrapped(right)))


def _wrapped(node: exp.Expr) -> exp.Expr:
    return _paren(node.copy()) if isinstance(node, exp.Binary | exp.Unary | exp.Between | exp.In) else node.copy()


def _case(condition: exp.Expr, then: exp.Expr, otherwise: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def _arity(name: str, *counts: int) -> Callable[[Translation], Translation]:
    """The translation, refusing any other number of arguments."""

    def decorate(translation: Translation) -> Translation:
        def checked(arguments: Arguments) -> exp.Expr:
            if len(arguments) not in counts:
                expected = " or ".join(str(count) for count in counts)
                raise ProgrammingError(f"{name} takes {expected} arguments, not {len(arguments)}")
            return translation(arguments)

        return checked

    return decorate


def _renamed(name: str) -> Translation:
    return lambda arguments: _call(name, *arguments)


def _log(arguments: Arguments) -> exp.Expr:
    return _call("ln" if len(arguments) == 1 else "log", *arguments)


def _concat(arguments: Arguments) -> exp.Expr:
    """NULL if any argument is NULL."""
    result = _cast(arguments[0], "STRING") if arguments else _text("")
    for argument in arguments[1:]:
        result = exp.DPipe(this=result, expression=_cast(argument, "STRING"))
    return _paren(result)


def _unless_null(name: str) -> Translation:
    """GREATEST, LEAST: NULL if any argument is NULL."""

    def translation(arguments: Arguments) -> exp.Expr:
        checks = [exp.Is(this=_wrapped(argument), expression=exp.Null()) for argument in arguments]
        return _case(exp.or_(*checks), exp.Null(), _call(name, *arguments))

    return translation


def _regexp_replace(arguments: Arguments) -> exp.Expr:
    """All matches; `$1` of Java becomes `${1}`, which cannot run into what follows."""
    if len(arguments) != 3:
        return _call("regexp_replace", *arguments)
    source, pattern, replacement = arguments
    if isinstance(replacement, exp.Literal):
        replacement = _text(re.sub(r"\$(\d)", r"${\1}", replacement.name))
    return _call("regexp_replace", source, pattern, replacement, _text("g"))


def _regexp_extract(arguments: Arguments) -> exp.Expr:
    source, pattern = arguments[0], arguments[1]
    group = arguments[2] if len(arguments) > 2 else _number(0)
    if isinstance(group, exp.Literal) and group.name == "0":
        whole = _binary(exp.DPipe, _binary(exp.DPipe, _text("("), pattern), _text(")"))
        return exp.Bracket(this=_paren(_call("regexp_match", source, whole)), expressions=[_number(1)])
    return exp.Bracket(this=_paren(_call("regexp_match", source, pattern)), expressions=[group.copy()])


def _locate(arguments: Arguments) -> exp.Expr:
    """LOCATE(part, text[, start]), from 1; 0 when not found."""
    part, text = arguments[0], arguments[1]
    if len(arguments) == 2:
        return _call("strpos", text, part)
    start = arguments[2]
    found = _call("strpos", _call("substr", text, start), part)
    position = _binary(exp.Sub, _binary(exp.Add, found, start), _number(1))
    return _case(exp.EQ(this=found.copy(), expression=_number(0)), _number(0), position)


def _split_index(arguments: Arguments) -> exp.Expr:
    """The part at an index from 0; NULL when there is none."""
    text, delimiter, index = arguments
    one_based = _number(int(index.name) + 1) if isinstance(index, exp.Literal) else _binary(exp.Add, index, _number(1))
    part = exp.Bracket(this=_paren(_call("string_to_array", text, delimiter)), expressions=[one_based])
    if isinstance(index, exp.Literal):
        return part
    return _case(exp.GTE(this=_wrapped(index), expression=_number(0)), part, exp.Null())


def _string_agg(arguments: Arguments) -> exp.Expr:
    """LISTAGG(x[, separator]), with DISTINCT or ORDER BY in it."""
    if len(arguments) > 1:
        return _call("string_agg", *arguments)
    only = arguments[0]
    comma = _text(",")
    if isinstance(only, exp.Distinct):
        return _call("string_agg", exp.Distinct(expressions=[*(e.copy() for e in only.expressions), comma]))
    if isinstance(only, exp.Order):
        ordered = exp.Order(this=comma, expressions=[key.copy() for key in only.expressions])
        return _call("string_agg", only.this, ordered)
    return _call("string_agg", only, comma)


def _within_group(node: exp.WithinGroup) -> exp.Expr | None:
    """LISTAGG(…) WITHIN GROUP (ORDER BY …): the order moves between the parentheses."""
    call, order = node.this, node.expression
    if (
        not isinstance(call, exp.Anonymous)
        or str(call.this).lower() != "string_agg"
        or not isinstance(order, exp.Order)
    ):
        return None
    *first, last = call.expressions
    return _call(
        "string_agg", *first, exp.Order(this=last.copy(), expressions=[key.copy() for key in order.expressions])
    )


_DATE_PARTS = frozenset(
    ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "DOW", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")
)


def _date_part(part: str, source: exp.Expr) -> exp.Expr:
    return _cast(_call("date_part", _text(part.lower()), source), "BIGINT")


def _part(part: str) -> Translation:
    return lambda arguments: _date_part(part, arguments[0])


def _day_of_week(arguments: Arguments) -> exp.Expr:
    return _binary(exp.Add, _date_part("DOW", arguments[0]), _number(1))


def _unit(node: exp.Expr) -> str:
    """A unit written as a word or as a string: DAY, 'day', SQL_TSI_DAY."""
    return node.name.upper().removeprefix("SQL_TSI_").removeprefix("FRAC_").removesuffix("S")


def _interval(count: exp.Expr, unit: str) -> exp.Expr:
    """count units. DataFusion multiplies no interval, but casts text to one."""
    if unit == "QUARTER":
        return _interval(_binary(exp.Mul, count, _number(3)), "MONTH")
    if isinstance(count, exp.Literal):
        return exp.Interval(this=_text(count.name), unit=exp.var(unit))
    text = exp.DPipe(this=_cast(count, "STRING"), expression=_text(f" {unit}"))
    return exp.Cast(this=_paren(text), to=exp.DataType(this=exp.DataType.Type.INTERVAL))


def _multiplied_interval(node: exp.Mul) -> exp.Expr | None:
    """n * INTERVAL '2' DAY."""
    interval, count = (
        (node.this, node.expression) if isinstance(node.this, exp.Interval) else (node.expression, node.this)
    )
    unit = interval.args.get("unit")
    if not isinstance(unit, exp.Var) or not isinstance(interval.this, exp.Literal) or isinstance(count, exp.Interval):
        return None
    length = exp.Literal.number(interval.this.name)
    return _interval(count if length.name == "1" else _binary(exp.Mul, count, length), _unit(unit))


def _timestamp_add(arguments: Arguments) -> exp.Expr:
    unit, count, moment = _unit(arguments[0]), arguments[1], arguments[2]
    if unit not in _FIXED_MICROS and unit not in _MONTHS:
        raise ProgrammingError(
            f"`{unit}` is no unit of TIMESTAMPADD; use SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR"
        )
    return _binary(exp.Add, moment, _interval(count, unit))


def _timestamp_diff(arguments: Arguments) -> exp.Expr:
    """Whole units from the second to the third argument, towards zero."""
    unit, start, end = _unit(arguments[0]), arguments[1], arguments[2]
    if unit in _MONTHS:
        return _months_between(start, end, _MONTHS[unit])
    if unit not in _FIXED_MICROS:
        raise ProgrammingError(
            f"`{unit}` is no unit of TIMESTAMPDIFF; use SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR"
        )
    micros = _binary(exp.Sub, _epoch_micros(end), _epoch_micros(start))
    return _paren(exp.Div(this=micros, expression=_number(_FIXED_MICROS[unit]), typed=True, safe=False))


def _epoch_micros(moment: exp.Expr) -> exp.Expr:
    return _cast(_cast(moment, "TIMESTAMP(6)"), "BIGINT")


def _months_between(start: exp.Expr, end: exp.Expr, months_per_unit: int) -> exp.Expr:
    """The months between two month numbers, one less when the last month is not complete."""

    def month_number(moment: exp.Expr) -> exp.Expr:
        return _binary(exp.Add, _binary(exp.Mul, _date_part("YEAR", moment), _number(12)), _date_part("MONTH", moment))

    start, end = _cast(start, "TIMESTAMP(6)"), _cast(end, "TIMESTAMP(6)")
    months = _binary(exp.Sub, month_number(end), month_number(start))
    reached = _binary(exp.Add, start, _interval(months, "MONTH"))
    zero = _number(0)
    too_many = exp.and_(exp.GT(this=months.copy(), expression=zero.copy()), exp.GT(this=reached, expression=end.copy()))
    too_few = exp.and_(
        exp.LT(this=months.copy(), expression=zero.copy()), exp.LT(this=reached.copy(), expression=end.copy())
    )
    whole = exp.Case(
        ifs=[
            exp.If(this=too_many, true=_binary(exp.Sub, months, _number(1))),
            exp.If(this=too_few, true=_binary(exp.Add, months, _number(1))),
        ],
        default=months.copy(),
    )
    return _paren(exp.Div(this=_paren(whole), expression=_number(months_per_unit), typed=True, safe=False))


def _date_diff(arguments: Arguments) -> exp.Expr:
    """DATEDIFF(end, start): days between two dates."""
    if len(arguments) == 3:
        raise NotSupportedError("DATEDIFF with a unit: use TIMESTAMPDIFF(unit, start, end)")
    return _timestamp_diff([_text("DAY"), _cast(arguments[1], "DATE"), _cast(arguments[0], "DATE")])


def _pattern(node: exp.Expr, function: str) -> exp.Expr:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise NotSupportedError(f"the pattern of {function} must be a constant string")
    return _text(to_strftime(node.name))


def _date_format(arguments: Arguments) -> exp.Expr:
    moment = _cast(arguments[0], "TIMESTAMP(6)")
    return _call("to_char", moment, _pattern(arguments[1], "DATE_FORMAT"))


def _to_timestamp(arguments: Arguments) -> exp.Expr:
    if len(arguments) == 1:
        return _cast(arguments[0], "TIMESTAMP(3)")
    parsed = _call("to_timestamp", arguments[0], _pattern(arguments[1], "TO_TIMESTAMP"))
    return _cast(parsed, "TIMESTAMP(3)")


def _to_date(arguments: Arguments) -> exp.Expr:
    if len(arguments) == 1:
        return _cast(arguments[0], "DATE")
    return _call("to_date", arguments[0], _pattern(arguments[1], "TO_DATE"))


def _from_unixtime(arguments: Arguments) -> exp.Expr:
    pattern = arguments[1] if len(arguments) > 1 else _text("yyyy-MM-dd HH:mm:ss")
    return _call("to_char", _call("to_timestamp_seconds", arguments[0]), _pattern(pattern, "FROM_UNIXTIME"))


def _unix_timestamp(arguments: Arguments) -> exp.Expr:
    if not arguments:
        return _cast(_call("date_part", _text("epoch"), _call("now")), "BIGINT")
    moment = _to_timestamp(arguments) if len(arguments) > 1 else _cast(arguments[0], "TIMESTAMP(6)")
    return _paren(exp.Div(this=_epoch_micros(moment), expression=_number(1_000_000), typed=True, safe=False))


def _to_timestamp_ltz(arguments: Arguments) -> exp.Expr:
    precision = arguments[1].name if len(arguments) > 1 else "3"
    if precision not in ("0", "3"):
        raise NotSupportedError("TO_TIMESTAMP_LTZ takes a number and the precision 0 (seconds) or 3 (milliseconds)")
    unit = "Second" if precision == "0" else "Millisecond"
    moment = _call("arrow_cast", _cast(arguments[0], "BIGINT"), _text(f'Timestamp({unit}, Some("UTC"))'))
    return moment if precision == "3" else _call("arrow_cast", moment, _text(_UTC_MILLIS))


def _now(arguments: Arguments) -> exp.Expr:
    """Milliseconds, as Flink's TIMESTAMP_LTZ(3); DataFusion's nanoseconds fit no Python datetime."""
    return _call("arrow_cast", _call("now"), _text(_UTC_MILLIS))


def _to_unit(node: exp.Expr) -> exp.Expr:
    """FLOOR(ts TO unit), CEIL(ts TO unit)."""
    unit, moment = _unit(node.args["to"]), node.this
    floor = _call("date_trunc", _text(unit.lower()), moment)
    if isinstance(node, exp.Floor):
        return floor
    next_one = _binary(exp.Add, floor, _interval(_number(1), unit))
    return _case(exp.EQ(this=floor.copy(), expression=_wrapped(moment)), moment.copy(), next_one)


def _if(arguments: Arguments) -> exp.Expr:
    return _case(arguments[0].copy(), arguments[1].copy(), arguments[2].copy())


def _hex_digest(name: str) -> Translation:
    return lambda arguments: _call("encode", _call(name, _cast(arguments[0], "STRING")), _text("hex"))


def _rand(arguments: Arguments) -> exp.Expr:
    if arguments:
        raise NotSupportedError("RAND with a seed; RAND() is supported")
    return _call("random")


def _rand_integer(arguments: Arguments) -> exp.Expr:
    return _cast(_call("floor", _binary(exp.Mul, _call("random"), arguments[0])), "INT")


FUNCTIONS: Mapping[str, Translation] = {
    "LOG": _arity("LOG", 1, 2)(_log),
    "CONCAT": _concat,
    "GREATEST": _unless_null("greatest"),
    "LEAST": _unless_null("least"),
    "REGEXP_REPLACE": _arity("REGEXP_REPLACE", 3, 4)(_regexp_replace),
    "REGEXP_EXTRACT": _arity("REGEXP_EXTRACT", 2, 3)(_regexp_extract),
    "REGEXP": _arity("REGEXP", 2)(_renamed("regexp_like")),
    "YEAR": _arity("YEAR", 1)(_part("YEAR")),
    "QUARTER": _arity("QUARTER", 1)(_part("QUARTER")),
    "MONTH": _arity("MONTH", 1)(_part("MONTH")),
    "WEEK": _arity("WEEK", 1)(_part("WEEK")),
    "DAY": _arity("DAY", 1)(_part("DAY")),
    "DAYOFMONTH": _arity("DAYOFMONTH", 1)(_part("DAY")),
    "DAYOFYEAR": _arity("DAYOFYEAR", 1)(_part("DOY")),
    "DAYOFWEEK": _arity("DAYOFWEEK", 1)(_day_of_week),
    "HOUR": _arity("HOUR", 1)(_part("HOUR")),
    "MINUTE": _arity("MINUTE", 1)(_part("MINUTE")),
    "SECOND": _arity("SECOND", 1)(_part("SECOND")),
    "MOD": _arity("MOD", 2)(lambda arguments: _binary(exp.Mod, *arguments)),
    "TRUNCATE": _arity("TRUNCATE", 1, 2)(_renamed("trunc")),
    "IF": _arity("IF", 3)(_if),
    "LOCATE": _arity("LOCATE", 2, 3)(_locate),
    "INSTR": _arity("INSTR", 2)(_renamed("strpos")),
    "SPLIT": _arity("SPLIT", 2)(_renamed("string_to_array")),
    "SPLIT_INDEX": _arity("SPLIT_INDEX", 3)(_split_index),
    "STARTSWITH": _arity("STARTSWITH", 2)(_renamed("starts_with")),
    "ENDSWITH": _arity("ENDSWITH", 2)(_renamed("ends_with")),
    "LISTAGG": _arity("LISTAGG", 1, 2)(_string_agg),
    "VARIANCE": _arity("VARIANCE", 1)(_renamed("var_samp")),
    "APPROX_COUNT_DISTINCT": _arity("APPROX_COUNT_DISTINCT", 1)(_renamed("approx_distinct")),
    "TIMESTAMPADD": _arity("TIMESTAMPADD", 3)(_timestamp_add),
    "TIMESTAMPDIFF": _arity("TIMESTAMPDIFF", 3)(_timestamp_diff),
    "DATEDIFF": _arity("DATEDIFF", 2, 3)(_date_diff),
    "DATE_FORMAT": _arity("DATE_FORMAT", 2)(_date_format),
    "TO_TIMESTAMP": _arity("TO_TIMESTAMP", 1, 2)(_to_timestamp),
    "TO_TIMESTAMP_LTZ": _arity("TO_TIMESTAMP_LTZ", 1, 2)(_to_timestamp_ltz),
    "TO_DATE": _arity("TO_DATE", 1, 2)(_to_date),
    "FROM_UNIXTIME": _arity("FROM_UNIXTIME", 1, 2)(_from_unixtime),
    "UNIX_TIMESTAMP": _arity("UNIX_TIMESTAMP", 0, 1, 2)(_unix_timestamp),
    "NOW": _arity("NOW", 0)(_now),
    "CURRENT_TIMESTAMP": _arity("CURRENT_TIMESTAMP", 0)(_now),
    "PROCTIME": _arity("PROCTIME", 0)(_now),
    "CURRENT_ROW_TIMESTAMP": _arity("CURRENT_ROW_TIMESTAMP", 0)(_now),
    "ROW": _renamed("struct"),
    "SHA224": _arity("SHA224", 1)(_hex_digest("sha224")),
    "SHA256": _arity("SHA256", 1)(_hex_digest("sha256")),
    "SHA384": _arity("SHA384", 1)(_hex_digest("sha384")),
    "SHA512": _arity("SHA512", 1)(_hex_digest("sha512")),
    "TO_BASE64": _arity("TO_BASE64", 1)(lambda arguments: _call("encode", arguments[0], _text("base64pad"))),
    "FROM_BASE64": _arity("FROM_BASE64", 1)(
        lambda arguments: _cast(_call("decode", arguments[0], _text("base64pad")), "STRING")
    ),
    "CARDINALITY": _arity("CARDINALITY", 1)(lambda arguments: _cast(_call("cardinality", arguments[0]), "INT")),
    "RAND": _arity("RAND", 0, 1)(_rand),
    "RAND_INTEGER": _arity("RAND_INTEGER", 1)(_rand_integer),
}
"""Translations by upper-case name."""
