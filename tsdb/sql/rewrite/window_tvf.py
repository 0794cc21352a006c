"""Window table functions as plain SQL: TUMBLE, HOP, CUMULATE and SESSION become derived tables.

The output is the input's columns, then `window_start`, `window_end` and `window_time` (= window_end - 1 ms),
TIMESTAMP(3), as in Flink. Windows are [start, end), aligned to the epoch plus the offset: start(ts) = ts -
floormod(ts - offset, size). TUMBLE is a projection; HOP and CUMULATE unnest the windows of a row; SESSION is two
window functions. So both modes run them with the operators they have.

Also the older form, GROUP BY TUMBLE(ts, size) with TUMBLE_START and its like.
Source: Flink, window table-valued functions (behaviour only).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.dialect import WINDOW_TIME, Descriptor, TableArgument
from tsdb.sql.rewrite.local_zone import WINDOWED

_ARGUMENTS = {
    "TUMBLE": ("DATA", "TIMECOL", "SIZE", "OFFSET"),
    "HOP": ("DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"),
    "CUMULATE": ("DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"),
    "SESSION": ("DATA", "TIMECOL", "GAP"),
}
_WINDOWS_MAX = 1000
_MILLIS = {
    "MILLISECOND": 1,
    "SECOND": 1000,
    "MINUTE": 60_000,
    "HOUR": 3_600_000,
    "DAY": 86_400_000,
    "WEEK": 604_800_000,
}
_PARTS = {"START": "window_start", "END": "window_end", "ROWTIME": "window_time", "PROCTIME": "window_time"}


@dataclass(frozen=True, slots=True)
class Window:
    """One window function: kind, input relation, time column, lengths in ms; for SESSION, the partition's columns."""

    kind: str
    relation: exp.Expr
    time: exp.Expr
    size_ms: int
    step_ms: int = 0
    offset_ms: int = 0
    keys: tuple[exp.Expr, ...] = ()


def expand_window_functions(query: exp.Expr, *, streaming: bool = False) -> exp.Expr:
    """`query` with every window function in FROM, and every group window, written out. Changes `query` in place.

    streaming: a SESSION is two functions for which the streaming engine has an operator.
    """
    for table in list(query.find_all(exp.Table)):
        call = table.this
        if isinstance(call, exp.Anonymous) and str(call.this).upper() in _ARGUMENTS:
            window = _read_call(call)
            alias = table.args.get("alias") or exp.TableAlias(this=_alias_name(window.relation))
            derived = exp.Subquery(this=_expand(window, streaming), alias=alias, joins=table.args.get("joins"))
            table.replace(derived)
    for select in list(query.find_all(exp.Select)):
        _expand_group_window(select, streaming)
    return query


def _read_call(call: exp.Anonymous) -> Window:
    kind = str(call.this).upper()
    names = _ARGUMENTS[kind]
    given: dict[str, exp.Expr] = {}
    for position, argument in enumerate(call.expressions):
        if isinstance(argument, exp.Kwarg):
            given[argument.name.upper()] = argument.expression
        elif position < len(names):
            given[names[position]] = argument
        else:
            raise ProgrammingError(f"`{kind}` takes {', '.join(names)}; one argument is too many")
    unknown = set(given) - set(names)
    missing = [name for name in names if name not in given and name != "OFFSET"]
    if unknown or missing:
        wrong = f"has no argument {min(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise ProgrammingError(f"`{kind}` {wrong}; write {kind}({', '.join(names)})")
    data, time = given["DATA"], given["TIMECOL"]
    if not isinstance(data, TableArgument) or not isinstance(time, Descriptor) or len(time.expressions) != 1:
        raise ProgrammingError(f"`{kind}` is called with a table and its time: {kind}(TABLE t, DESCRIPTOR(ts), …)")
    size = given["GAP"] if kind == "SESSION" else given["SIZE"]
    step = given.get("SLIDE") or given.get("STEP")
    column = exp.Column(this=time.expressions[0])
    column.meta[WINDOW_TIME] = kind
    return Window(
        kind,
        data.this,
        column,
        interval_ms(size),
        interval_ms(step) if step is not None else 0,
        interval_ms(given["OFFSET"]) if "OFFSET" in given else 0,
        tuple(data.args.get("partition_by") or ()),
    )


def interval_ms(node: exp.Expr) -> int:
    """A constant interval in milliseconds; months have no fixed length and are refused."""
    if isinstance(node, exp.Neg):
        return -interval_ms(node.this)
    unit = node.args.get("unit") if isinstance(node, exp.Interval) else None
    name = unit.name.upper().removesuffix("S") if isinstance(unit, exp.Var) else ""
    if not isinstance(node, exp.Interval) or name not in _MILLIS or not isinstance(node.this, exp.Literal):
        raise NotSupportedError(f"a window's length must be a constant like INTERVAL '10' MINUTE, not {node.sql()}")
    length = Fraction(node.this.name) * _MILLIS[name]
    if length.denominator != 1:
        raise NotSupportedError(f"a window's length must be whole milliseconds, not {node.sql()}")
    return int(length)


def _alias_name(relation: exp.Expr) -> exp.Identifier:
    name: exp.Identifier = exp.to_identifier(relation.alias_or_name, quoted=True)
    return name


def _expand(window: Window, streaming: bool) -> exp.Select:
    if window.size_ms <= 0:
        raise ProgrammingError(f"the length of `{window.kind}` must be positive")
    if window.kind == "TUMBLE":
        return _with_end(_tumble(window), window.size_ms)
    if window.kind == "SESSION":
        return _streaming_session(window) if streaming else _session(window)
    count, rest = divmod(window.size_ms, window.step_ms) if window.step_ms > 0 else (0, 1)
    step_name = "slide" if window.kind == "HOP" else "step"
    if rest:
        raise ProgrammingError(f"the size of `{window.kind}` must be a multiple of its {step_name}")
    if count > _WINDOWS_MAX:
        raise NotSupportedError(f"{window.kind} with {count} windows per row; at most {_WINDOWS_MAX}")
    return _hop(window, count) if window.kind == "HOP" else _cumulate(window, count)


def _tumble(window: Window) -> exp.Select:
    return _select_all(window.relation, window_start=_floor(window.time, window.size_ms, window.offset_ms))


def _hop(window: Window, count: int) -> exp.Select:
    last = _floor(window.time, window.step_ms, window.offset_ms)
    starts = [_shift(last, -i * window.step_ms) for i in range(count)]
    return _with_end(_select_all(window.relation, window_start=_unnest(starts)), window.size_ms)


def _cumulate(window: Window, count: int) -> exp.Select:
    start = exp.column("window_start", quoted=True)
    ends = [_shift(start, (i + 1) * window.step_ms) for i in range(count)]
    unnested = _select_all(_derived(_tumble(window), window.relation), window_end=_unnest(ends))
    timed = _select_all(
        _derived(unnested, window.relation), window_time=_shift(exp.column("window_end", quoted=True), -1)
    )
    is_open = exp.GT(this=exp.column("window_end", quoted=True), expression=window.time.copy())
    is_open.meta[WINDOWED] = True
    return timed.where(is_open, copy=False)


def _session(window: Window) -> exp.Select:
    """A session begins where the row before is a gap or more away; its number is the count of beginnings so far."""
    keys = [key.copy() for key in window.keys]
    ordered = exp.Order(expressions=[exp.Ordered(this=window.time.copy(), desc=False, nulls_first=True)])
    before = exp.Window(
        this=exp.Anonymous(this="LAG", expressions=[window.time.copy()]), partition_by=keys, order=ordered
    )
    begins = exp.Case(
        ifs=[exp.If(this=exp.LT(this=window.time.copy(), expression=_shift(before, window.size_ms)), true=_number(0))],
        default=_number(1),
    )
    marked = _select_all(window.relation, **{"$begins": begins})
    total = exp.Anonymous(this="SUM", expressions=[exp.column("$begins", quoted=True)])
    counted = _select_all(
        _derived(marked, window.relation),
        **{"$session": exp.Window(this=total, partition_by=[key.copy() for key in keys], order=ordered.copy())},
    )
    of_session = [*(key.copy() for key in keys), exp.column("$session", quoted=True)]

    def over(function: str) -> exp.Expr:
        call = exp.Anonymous(this=function, expressions=[window.time.copy()])
        return exp.Window(this=call, partition_by=[key.copy() for key in of_session])

    bounded = _select_all(
        _derived(counted, window.relation),
        window_start=_to_millis(over("MIN")),
        window_end=_to_millis(_shift(over("MAX"), window.size_ms)),
    )
    star = bounded.expressions[0]
    star.set("except_", [exp.to_identifier(name, quoted=True) for name in ("$begins", "$session")])
    return _select_all(
        _derived(bounded, window.relation), window_time=_shift(exp.column("window_end", quoted=True), -1)
    )


def _streaming_session(window: Window) -> exp.Select:
    """The borders of the session of a row, as functions that `tsdb.exec.markers` knows."""

    def border(name: str) -> exp.Expr:
        time = exp.Anonymous(
            this="arrow_cast", expressions=[window.time.copy(), exp.Literal.string("Timestamp(Nanosecond, None)")]
        )
        call = exp.Anonymous(this=name, expressions=[time, _number(window.size_ms)])
        return exp.Window(this=call, partition_by=[key.copy() for key in window.keys])

    bounded = _select_all(
        window.relation,
        window_start=_to_millis(border("tsdb_session_start")),
        window_end=_to_millis(border("tsdb_session_end")),
    )
    return _select_all(
        _derived(bounded, window.relation), window_time=_shift(exp.column("window_end", quoted=True), -1)
    )


def _to_millis(time: exp.Expr) -> exp.Expr:
    return exp.Cast(this=time, to=exp.DataType.build("TIMESTAMP(3)"))


def _with_end(started: exp.Select, size_ms: int) -> exp.Select:
    start = exp.column("window_start", quoted=True)
    return _select_all(
        exp.Subquery(this=started, alias=exp.TableAlias(this=exp.to_identifier("$windows", quoted=True))),
        window_end=_shift(start, size_ms),
        window_time=_shift(start, size_ms - 1),
    )


def _select_all(relation: exp.Expr, **added: exp.Expr) -> exp.Select:
    columns = [exp.alias_(node, name, quoted=True) for name, node in added.items()]
    return exp.Select(expressions=[exp.Star(), *columns], from_=exp.From(this=relation))


def _derived(select: exp.Select, relation: exp.Expr) -> exp.Subquery:
    """`select` under the name of the relation that it extends, so that qualified names go on working."""
    return exp.Subquery(this=select, alias=exp.TableAlias(this=_alias_name(relation)))


def _floor(time: exp.Expr, size_ms: int, offset_ms: int) -> exp.Expr:
    origin = exp.Cast(this=exp.Literal.string("1970-01-01 00:00:00"), to=exp.DataType.build("TIMESTAMP"))
    start = exp.Anonymous(this="date_bin", expressions=[_interval(size_ms), time.copy(), _shift(origin, offset_ms)])
    start.meta[WINDOWED] = True
    return _to_millis(start)


def _shift(time: exp.Expr, length_ms: int) -> exp.Expr:
    if length_ms == 0:
        return time.copy()
    kind = exp.Add if length_ms > 0 else exp.Sub
    return kind(this=time.copy(), expression=_interval(abs(length_ms)))


def _interval(length_ms: int) -> exp.Interval:
    return exp.Interval(this=exp.Literal.string(str(length_ms)), unit=exp.var("MILLISECOND"))


def _unnest(values: Sequence[exp.Expr]) -> exp.Expr:
    return exp.Anonymous(this="unnest", expressions=[exp.Array(expressions=list(values))])


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _expand_group_window(select: exp.Select, streaming: bool) -> None:
    """GROUP BY TUMBLE(ts, size), … : the window becomes part of FROM, and its columns the keys."""
    group = select.args.get("group")
    calls = [key for key in group.expressions if _is_group_window(key)] if group is not None else []
    if group is None or not calls:
        return
    clause = select.args.get("from_")
    if len(calls) > 1 or clause is None or select.args.get("joins"):
        raise NotSupportedError(
            "a group window needs one table in FROM, and may stand once; use TABLE(TUMBLE(…)) instead"
        )
    call, relation = calls[0], clause.this
    kind, arguments = str(call.this).upper(), call.expressions
    others = tuple(key.copy() for key in group.expressions if key is not call) if kind == "SESSION" else ()
    lengths = [interval_ms(argument) for argument in arguments[1:]]
    size, step = (lengths[1], lengths[0]) if kind == "HOP" else (lengths[0], 0)
    windowed = _expand(Window(kind, relation.copy(), arguments[0], size, step, 0, others), streaming)
    clause.set("this", _derived(windowed, relation))
    used = {"window_start", "window_end"}
    for auxiliary in list(select.find_all(exp.Anonymous)):
        prefix, _, part = str(auxiliary.this).upper().partition("_")
        if prefix == kind and part in _PARTS and auxiliary.parent_select is select:
            used.add(_PARTS[part])
            column = exp.column(_PARTS[part], quoted=True)
            auxiliary.replace(column)
    keys = [key for key in group.expressions if key is not call]
    group.set("expressions", [*keys, *(exp.column(name, quoted=True) for name in sorted(used))])


def _is_group_window(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).upper() in ("TUMBLE", "HOP", "SESSION")
