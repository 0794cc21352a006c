"""Times in the zone of the session: what reads the clock of a TIMESTAMP_LTZ, or makes one out of a clock's time.

A TIMESTAMP_LTZ is a moment, and to DataFusion always one of UTC. So wherever a query looks at its digits (a cast to
TIMESTAMP, DATE, TIME or STRING, EXTRACT, DATE_FORMAT, a window …) it is first turned into what the clocks of the zone
show, `local_time`, and wherever one is made of digits they are first turned into a moment, `zoned_time`. What is not
known to be a TIMESTAMP_LTZ before planning is asked for its type by the query itself. In UTC nothing is written anew
but AT TIME ZONE.

Source: Flink, 'table.local-time-zone' (behaviour only); AT TIME ZONE as in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa
from sqlglot import exp

from tsdb.sql.dialect import LocalTimestamp
from tsdb.sql.expression_type import arrow_type, digits_of, temporal
from tsdb.sql.functions.spec import binary, call, cast, paren, text, try_cast, when
from tsdb.sql.functions.times import unit_of

WINDOWED = "windowed"
"""In the `meta` of what a window function compares or rounds: the clock decides, not the moment."""

DT = exp.DataType.Type
_LTZ = (DT.TIMESTAMPLTZ, DT.TIMESTAMPTZ)
_CLOCK = (DT.TIMESTAMP, DT.TIMESTAMPNTZ, DT.DATETIME, DT.DATE, DT.TIME)
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_UNITS = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_HAS_OFFSET = r"[0-9]:[0-9].*([Zz]|[+-][0-9]{1,2}(:?[0-9]{2})?)$"
_IS_LTZ = 'Timestamp(%"UTC")'
_READS_CLOCK = frozenset(
    ["DATE_FORMAT", "TO_CHAR", "STRFTIME", "YEAR", "QUARTER", "MONTH", "WEEK", "DAYOFYEAR", "DAYOFMONTH", "DAY",
     "DAYOFWEEK", "HOUR", "MINUTE", "SECOND", "LAST_DAY", "DATE_ADD", "DATE_SUB", "ADD_MONTHS", "DATEDIFF", "DAYNAME",
     "MONTHNAME", "WEEKDAY", "WEEKOFYEAR", "DATE", "DATE_PART", "DATEPART", "CONCAT", "CONCAT_WS", "TO_DATE",
     "ISODOW", "TIME_BUCKET", "DATE_DIFF"]
)  # fmt: skip
_FLEXIBLE = frozenset(["CONCAT", "CONCAT_WS", "DATE_PART", "DATEPART"])
_ALIKE = frozenset(["COALESCE", "IFNULL", "NVL", "NULLIF", "GREATEST", "LEAST"])
_NOW = 'Timestamp(Millisecond, Some("UTC"))'


def in_zone(query: exp.Expr, zone: str) -> exp.Expr:
    """`query`, whose names are resolved, with the clocks of `zone`; changed in place, innermost first."""
    for node in reversed(list(query.walk())):
        replacement = _at_time_zone(node) if isinstance(node, exp.AtTimeZone) else None
        if replacement is None and zone != "UTC":
            rule = next((rule for kinds, rule in _RULES if isinstance(node, kinds)), None)
            replacement = None if rule is None else rule(node, zone)
        if replacement is not None:
            if node is query:
                query = replacement
            else:
                node.replace(replacement)
    return query


def texts_in_zone(query: exp.Expr, zone: str) -> exp.Expr:
    """What other rules have written to make text of a TIMESTAMP_LTZ, or of what may be one."""
    if zone != "UTC":
        for node in list(query.find_all(exp.Anonymous)):
            if node.this == "to_char" and node.expressions:
                shown = _shown(node.expressions[0], zone, guess=False)
                node.expressions[0].replace(shown or node.expressions[0])
            if node.this in ("text_of", "list_text") and len(node.expressions) == 2:
                kind = node.expressions[1]
                kind.replace(exp.DPipe(this=kind.copy(), expression=text(f"@{zone}")))
    return query


def _local(node: exp.Expr, zone: str, unit: str) -> exp.Expr:
    """What the clocks show at a moment, a timestamp of this unit."""
    if unit == "ns":
        return call("local_nanos", call("arrow_cast", node, text("Timestamp(Nanosecond, None)")), text(zone))
    shown = call("local_time", call("arrow_cast", node, text("Timestamp(Microsecond, None)")), text(zone))
    return shown if unit == "us" else call("arrow_cast", shown, text(f"Timestamp({_UNITS[unit]}, None)"))


def _zoned(node: exp.Expr, zone: str, unit: str) -> exp.Expr:
    """The moment at which the clocks show a timestamp without a zone."""
    function, inner = ("zoned_nanos", "Nanosecond") if unit == "ns" else ("zoned_time", "Microsecond")
    moment = call(function, call("arrow_cast", node, text(f"Timestamp({inner}, None)")), text(zone))
    return call("arrow_cast", moment, text(f'Timestamp({_UNITS[unit]}, Some("UTC"))'))


def _is_ltz(kind: pa.DataType | None) -> bool:
    return kind is not None and pa.types.is_timestamp(kind) and kind.tz is not None


def _known(node: exp.Expr) -> bool:
    """Whether its type is certain, or it is surely no TIMESTAMP_LTZ."""
    bare = node.unnest()
    if isinstance(bare, exp.Literal | exp.Null | exp.DPipe | exp.Interval | exp.Boolean | exp.Predicate):
        return True
    return arrow_type(bare) is not None or (isinstance(bare, exp.Cast) and bare.to.this not in _LTZ)


def _shown(node: exp.Expr, zone: str, *, guess: bool = True) -> exp.Expr | None:
    """What the clocks show at what is a TIMESTAMP_LTZ; None if it is none. guess: ask for a type that is not known."""
    kind = temporal(node)
    if _is_ltz(kind) and kind is not None:
        return _local(node, zone, kind.unit)
    if not guess or _known(node):
        return None
    plain = cast(node, "TIMESTAMP(6)")
    return when(_asks_ltz(node), _local(plain, zone, "us"), plain)


def _asks_ltz(node: exp.Expr) -> exp.Expr:
    return exp.Like(this=call("arrow_typeof", node), expression=text(_IS_LTZ))


def _cast(node: exp.Cast, zone: str) -> exp.Expr | None:
    target = node.to.this
    if target in _LTZ:
        return _to_moment(node, zone)
    if target not in _CLOCK and target not in exp.DataType.TEXT_TYPES:
        return None
    bordered = _session_border(node.this, zone)
    shown = bordered or _shown(node.this, zone, guess=target in _CLOCK)
    if shown is None:
        return None
    changed = node.copy()
    changed.set("this", shown)
    return changed


def _to_moment(node: exp.Cast, zone: str) -> exp.Expr | None:
    """A cast to TIMESTAMP_LTZ: of text with an offset, and of a TIMESTAMP_LTZ, DataFusion's own."""
    inner, found, to = node.this, temporal(node), arrow_type(node.this)
    if found is None or _is_ltz(to) or (to is not None and not (pa.types.is_temporal(to) or _is_text(to))):
        return None
    digits = digits_of(node)
    plain = node.copy()
    plain.set("to", exp.DataType.build(f"TIMESTAMP({_DIGITS[found.unit] if digits is None else digits})"))
    made = _zoned(plain, zone, found.unit)
    if to is not None and not _is_text(to):
        return made
    has_offset = call("regexp_like", cast(inner, "STRING"), text(_HAS_OFFSET))
    as_it_is: exp.Expr = node.copy()
    if isinstance(node, exp.TryCast):  # a cast to text and back gives NULL for what is none
        moment = text(f'Timestamp({_UNITS[found.unit]}, Some("UTC"))')
        as_it_is = call("arrow_cast", try_cast(inner, "TIMESTAMP(6)"), moment)
    given = has_offset if _known(inner) else exp.or_(_asks_ltz(inner), has_offset)
    return when(given, as_it_is, made)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _session_border(node: exp.Expr, zone: str) -> exp.Expr | None:
    """The border of a session of a stream, which `tsdb.exec.markers` gives without a zone."""
    inner = node.this if isinstance(node, exp.Window) else None
    if not isinstance(inner, exp.Anonymous) or not str(inner.this).startswith("tsdb_session"):
        return None
    time = inner.expressions[0]
    moment = time.expressions[0] if isinstance(time, exp.Anonymous) and time.expressions else time
    return _local(node, zone, "ms") if _is_ltz(temporal(moment)) else None


def _extract(node: exp.Extract, zone: str) -> exp.Expr | None:
    if node.name.upper() == "EPOCH":
        return None
    shown = _shown(node.expression, zone, guess=isinstance(node.expression, exp.Column))
    if shown is None:
        return None
    changed = node.copy()
    changed.set("expression", shown)
    return changed


def _to_unit(node: exp.Expr, zone: str) -> exp.Expr | None:
    """FLOOR and CEIL to a unit."""
    kind = temporal(node.this)
    if node.args.get("to") is None or not _is_ltz(kind) or kind is None:
        return None
    shown = _local(node.this, zone, kind.unit)
    changed = node.copy()
    changed.set("this", shown)
    return _rounded(node.this, shown, changed, unit_of(node.args["to"]), zone, kind)


def _rounded(moment: exp.Expr, shown: exp.Expr, rounded: exp.Expr, unit: str, zone: str, kind: pa.DataType) -> exp.Expr:
    """The moment of what was rounded on the clock. An hour that comes twice is two hours."""
    if unit in ("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"):
        plain = call("arrow_cast", moment, text(f"Timestamp({_UNITS[kind.unit]}, None)"))
        moved = binary(exp.Add, plain, binary(exp.Sub, rounded, shown))
        return call("arrow_cast", moved, text(f'Timestamp({_UNITS[kind.unit]}, Some("UTC"))'))
    return _zoned(rounded, zone, kind.unit)


def _now(zone: str) -> exp.Expr:
    return _local(call("arrow_cast", call("now"), text(_NOW)), zone, "ms")


def _clock(node: exp.Expr, zone: str) -> exp.Expr:
    if isinstance(node, LocalTimestamp):
        return _now(zone)
    return cast(_now(zone), "DATE" if isinstance(node, exp.CurrentDate) else "TIME")


def _call(node: exp.Anonymous, zone: str) -> exp.Expr | None:
    name, arguments = str(node.this).upper(), node.expressions
    rule = _FUNCTIONS.get(name)
    if rule is not None:
        return rule(arguments, zone, node)
    if name in _ALIKE:
        return _alike(node, zone)
    if name not in _READS_CLOCK:
        return None
    if name in ("DATE_PART", "DATEPART") and arguments and arguments[0].name.upper() == "EPOCH":
        return None
    changed = False
    for argument in list(arguments):
        shown = _shown(argument, zone, guess=name not in _FLEXIBLE and isinstance(argument, exp.Column))
        if shown is not None:
            argument.replace(shown)
            changed = True
    return node.copy() if changed else None


def _date_trunc(arguments: list[exp.Expr], zone: str, node: exp.Expr) -> exp.Expr | None:
    kind = temporal(arguments[1]) if len(arguments) == 2 else None
    if not _is_ltz(kind) or kind is None:
        return None
    shown = _local(arguments[1], zone, kind.unit)
    return _rounded(arguments[1], shown, call("date_trunc", arguments[0], shown), unit_of(arguments[0]), zone, kind)


def _date_bin(arguments: list[exp.Expr], zone: str, node: exp.Expr) -> exp.Expr | None:
    kind = temporal(arguments[1]) if len(arguments) > 1 else None
    if not _is_ltz(kind) or kind is None:
        return None
    origin = [_shown(one, zone) or one for one in arguments[2:]]
    binned = call("date_bin", arguments[0], _local(arguments[1], zone, kind.unit), *origin)
    return binned if WINDOWED in node.meta else _zoned(binned, zone, kind.unit)


def _from_unixtime(arguments: list[exp.Expr], zone: str, node: exp.Expr) -> exp.Expr | None:
    moment = call("to_timestamp_seconds", cast(arguments[0], "BIGINT"))
    pattern = arguments[1] if len(arguments) > 1 else text("yyyy-MM-dd HH:mm:ss")
    return call("DATE_FORMAT", _local(moment, zone, "us"), pattern)


def _unix_timestamp(arguments: list[exp.Expr], zone: str, node: exp.Expr) -> exp.Expr | None:
    if not arguments or _is_ltz(temporal(arguments[0])):
        return None
    time = call("TO_TIMESTAMP", *arguments) if len(arguments) > 1 else cast(arguments[0], "TIMESTAMP(6)")
    return call("UNIX_TIMESTAMP", _zoned(time, zone, "us"))


def _to_timestamp_ltz(arguments: list[exp.Expr], zone: str, node: exp.Expr) -> exp.Expr | None:
    kind = arrow_type(arguments[0]) if arguments else None
    is_text = isinstance(arguments[0], exp.Literal) and arguments[0].is_string if arguments else False
    if not is_text and not (kind is not None and _is_text(kind)):
        return None
    if len(arguments) > 1:
        return _zoned(call("TO_TIMESTAMP", *arguments[:2]), zone, "ms")
    return _to_moment(exp.TryCast(this=arguments[0].copy(), to=_ltz(3)), zone)


def _ltz(digits: int) -> exp.DataType:
    return exp.DataType(this=DT.TIMESTAMPLTZ, expressions=[exp.DataTypeParam(this=exp.Literal.number(digits))])


def _alike(node: exp.Expr, zone: str) -> exp.Expr | None:
    """Where one of several values is a TIMESTAMP_LTZ, all are."""
    values = [value for value in node.expressions if not isinstance(value, exp.Null)]
    return node.copy() if _same(values, zone) else None


def _case(node: exp.Case, zone: str) -> exp.Expr | None:
    default = node.args.get("default")
    values = [*(branch.args["true"] for branch in node.args["ifs"]), *([default] if default else [])]
    return node.copy() if _same([v for v in values if not isinstance(v, exp.Null)], zone) else None


def _compare(node: exp.Binary, zone: str) -> exp.Expr | None:
    if WINDOWED in node.meta:
        shown = _shown(node.expression, zone)
        if shown is not None:
            node.set("expression", shown)
        return None
    _same([node.this, node.expression], zone)
    return None


def _among(node: exp.Expr, zone: str) -> exp.Expr | None:
    """BETWEEN and IN."""
    query = node.args.get("query") if isinstance(node, exp.In) else None
    if query is not None:
        selects = list(_selects(query.this if isinstance(query, exp.Subquery) else query))
        _columns_alike([[node.this], *(select.expressions for select in selects)], zone)
        return None
    others = [node.args["low"], node.args["high"]] if isinstance(node, exp.Between) else list(node.expressions)
    _same([node.this, *others], zone)
    return None


def _union(node: exp.SetOperation, zone: str) -> exp.Expr | None:
    """Columns of UNION, INTERSECT and EXCEPT."""
    _columns_alike([select.expressions for select in _selects(node)], zone)
    return None


def _selects(query: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs whose rows a query puts together."""
    if isinstance(query, exp.Select):
        yield query
    elif isinstance(query, exp.SetOperation):
        yield from _selects(query.this)
        yield from _selects(query.expression)
    elif isinstance(query, exp.Subquery):
        yield from _selects(query.this)


def _columns_alike(rows: list[list[exp.Expr]], zone: str) -> None:
    """Where a column is a TIMESTAMP_LTZ in one of the rows, it is in all; columns out of a star are left alone."""
    if not rows or any(item.is_star for row in rows for item in row):
        return
    for i in range(min(map(len, rows))):
        named = [row[i] for row in rows]
        values = [item.unalias() for item in named]
        kinds = [temporal(value) for value in values]
        units = [kind.unit for kind in kinds if _is_ltz(kind) and kind is not None]
        for item, value, kind in zip(named, values, kinds, strict=True):
            if units and kind is not None and not _is_ltz(kind):
                to = _ltz(6 if pa.types.is_date(kind) else _DIGITS[kind.unit])
                made = _to_moment(exp.Cast(this=value.copy(), to=to), zone)
                if made is not None:
                    is_output = isinstance(item, exp.Alias) or isinstance(item.parent, exp.Select)
                    item.replace(exp.alias_(made, item.alias_or_name, quoted=True) if is_output else made)


def _same(values: list[exp.Expr], zone: str) -> bool:
    """Make a TIMESTAMP_LTZ of each time and text where one is one; whether something was changed."""
    kinds = [temporal(value) for value in values]
    units = [kind.unit for kind in kinds if _is_ltz(kind) and kind is not None]
    if not units or len(units) == len(values):
        return False
    changed = False
    for value, kind in zip(values, kinds, strict=True):
        bare = value.unnest()
        is_text = isinstance(bare, exp.Literal) and bare.is_string
        if is_text or (kind is not None and not _is_ltz(kind)):
            digits = 6 if kind is None or pa.types.is_date(kind) else _DIGITS[kind.unit]
            made = _to_moment(exp.Cast(this=value.copy(), to=_ltz(digits)), zone)
            if made is not None:
                value.replace(made)
                changed = True
    return changed


def _pipe(node: exp.DPipe, zone: str) -> exp.Expr | None:
    for side in (node.this, node.expression):
        shown = _shown(side, zone, guess=False)
        if shown is not None:
            side.replace(cast(shown, "STRING"))
    return None


def _at_time_zone(node: exp.AtTimeZone) -> exp.Expr | None:
    """A moment in a zone is what its clocks show; what the clocks of a zone show is a moment."""
    zone, kind = node.args["zone"], temporal(node.this)
    if kind is None or not pa.types.is_timestamp(kind) or not (isinstance(zone, exp.Literal) and zone.is_string):
        return None
    convert = _local if _is_ltz(kind) else _zoned
    return paren(convert(node.this, zone.name, kind.unit))


_Rule = Callable[..., exp.Expr | None]

_FUNCTIONS: Mapping[str, _Rule] = {
    "DATE_TRUNC": _date_trunc,
    "DATETRUNC": _date_trunc,
    "DATE_BIN": _date_bin,
    "FROM_UNIXTIME": _from_unixtime,
    "UNIX_TIMESTAMP": _unix_timestamp,
    "TO_TIMESTAMP_LTZ": _to_timestamp_ltz,
}

_RULES: tuple[tuple[type | tuple[type, ...], _Rule], ...] = (
    (exp.Cast, _cast),
    (exp.Extract, _extract),
    ((exp.Floor, exp.Ceil), _to_unit),
    ((exp.CurrentDate, exp.CurrentTime, LocalTimestamp), _clock),
    (exp.Anonymous, _call),
    (_COMPARED, _compare),
    ((exp.Between, exp.In), _among),
    (exp.SetOperation, _union),
    (exp.Case, _case),
    (exp.DPipe, _pipe),
)
