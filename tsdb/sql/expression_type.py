"""What is known of the type of an expression before DataFusion plans it: integers, decimals, times.

Integers of 64 bits wrap around in DataFusion, silently. To check only where that can happen, an integer's greatest
possible size is estimated too: of a constant its value, of a column that of its type. Where nothing is known, nothing
is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

BIGINT_MAX = 2**63
"""What an integer must stay below."""

_BITS = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}
_NAMES = {8: "TINYINT", 16: "SMALLINT", 32: "INT", 64: "BIGINT"}
_CASTS = {
    exp.DataType.Type.TINYINT: 8,
    exp.DataType.Type.SMALLINT: 16,
    exp.DataType.Type.INT: 32,
    exp.DataType.Type.BIGINT: 64,
}
_SMALL = frozenset(
    ["YEAR", "QUARTER", "MONTH", "WEEK", "DAYOFYEAR", "DAYOFMONTH", "DAYOFWEEK", "DAY", "HOUR", "MINUTE", "SECOND",
     "CHAR_LENGTH", "CHARACTER_LENGTH", "LENGTH", "LEN", "OCTET_LENGTH", "BIT_LENGTH", "INSTR", "STRPOS", "LOCATE",
     "ASCII", "ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "CARDINALITY", "COUNT", "TIMESTAMPDIFF", "DATEDIFF"]
)  # fmt: skip
_ARRAYS = frozenset(
    ["ARRAY_AGG", "ARRAY_APPEND", "ARRAY_CONCAT", "ARRAY_DISTINCT", "ARRAY_EXCEPT", "ARRAY_FILTER", "ARRAY_INTERSECT",
     "ARRAY_PREPEND", "ARRAY_REMOVE", "ARRAY_REPEAT", "ARRAY_REVERSE", "ARRAY_SLICE", "ARRAY_SORT", "ARRAY_TRANSFORM",
     "ARRAY_UNION", "COLLECT", "FLATTEN", "GENERATE_SERIES", "LIST", "LIST_FILTER", "LIST_SORT", "LIST_TRANSFORM",
     "LIST_VALUE", "MAP_ENTRIES", "MAP_KEYS", "MAP_VALUES", "RANGE", "REGEXP_EXTRACT_ALL", "SPLIT", "STRING_TO_ARRAY"]
)  # fmt: skip
_MILLIS, _LOCAL_MILLIS = pa.timestamp("ms"), pa.timestamp("ms", "UTC")
_TIMES: dict[str, pa.DataType] = {
    **dict.fromkeys(("TO_TIMESTAMP_LTZ", "NOW", "PROCTIME", "CURRENT_ROW_TIMESTAMP"), _LOCAL_MILLIS),
    "TO_TIMESTAMP": _MILLIS,
    "TO_DATE": pa.date32(),
    **dict.fromkeys(("LOCAL_TIME", "ZONED_TIME"), pa.timestamp("us")),
    **dict.fromkeys(("LOCAL_NANOS", "ZONED_NANOS"), pa.timestamp("ns")),
}
_NAMED_TIMES = {
    "Timestamp(Millisecond, None)": _MILLIS,
    'Timestamp(Millisecond, Some("UTC"))': _LOCAL_MILLIS,
    'Timestamp(Microsecond, Some("UTC"))': pa.timestamp("us", "UTC"),
    "Timestamp(Microsecond, None)": pa.timestamp("us"),
    "Timestamp(Nanosecond, None)": pa.timestamp("ns"),
    'Timestamp(Nanosecond, Some("UTC"))': pa.timestamp("ns", "UTC"),
    "Timestamp(Second, None)": pa.timestamp("s"),
}
_ALIKE = frozenset(["COALESCE", "IFNULL", "NVL", "NULLIF", "GREATEST", "LEAST", "LAG", "LEAD"])
_SAME = frozenset(["ABS", "MIN", "MAX", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE", "ANY_VALUE"])
_WRAPPERS = (exp.Alias, exp.Paren, exp.Neg, exp.Window, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)

_FLOAT_CASTS = {exp.DataType.Type.DOUBLE: "DOUBLE", exp.DataType.Type.FLOAT: "FLOAT"}
ONE_TYPE = frozenset(["COALESCE", "NULLIF", "IFNULL", "NVL", "GREATEST", "LEAST", "IF", "LAG", "LEAD"])
"""Functions whose arguments come to one type, which is that of the result."""
_LIKE_ARGUMENTS = ONE_TYPE | frozenset(
    ["ABS", "AVG", "FIRST_VALUE", "LAST_VALUE", "MAX", "MEDIAN", "MIN", "NTH_VALUE", "ROUND", "SUM"]
)
_DOUBLES = frozenset(
    ["ACOS", "ASIN", "ATAN", "ATAN2", "CORR", "COS", "COVAR_POP", "COVAR_SAMP", "EXP", "LN", "LOG", "LOG10", "LOG2",
     "PI", "RAND", "RANDOM", "SIN", "SQRT", "STDDEV", "STDDEV_POP", "STDDEV_SAMP", "TAN", "VAR_POP", "VAR_SAMP"]
)  # fmt: skip

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_KNOWN = "integer"


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer type of so many bits; no value is greater than `most`, in absolute terms."""

    bits: int
    most: int

    @property
    def type_name(self) -> str:
        """TINYINT, SMALLINT, INT or BIGINT."""
        return _NAMES[self.bits]


def of_type(kind: pa.DataType | None) -> Integer | None:
    """The integer type of a column, None if it is no integer or not known."""
    bits = _BITS.get(kind)
    return None if bits is None else Integer(bits, 2 ** (bits - 1))


def integer(node: exp.Expr) -> Integer | None:
    """The type of an expression that is surely an integer."""
    if isinstance(node, exp.Column):
        return of_type(node.meta.get("type"))
    if isinstance(node, exp.Literal):
        size = int(node.name) if not node.is_string and node.name.isdigit() else BIGINT_MAX
        negative = isinstance(node.parent, exp.Neg)
        return Integer(64, size) if size < BIGINT_MAX or (negative and node.name == str(BIGINT_MAX)) else None
    if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
        bits = _CASTS.get(node.to.this)
        return None if bits is None else _cast(bits, integer(node.this))
    if isinstance(node, exp.Distinct):
        return integer(node.expressions[0]) if len(node.expressions) == 1 else None
    if isinstance(node, _WRAPPERS):
        return integer(node.this)
    if isinstance(node, _ARITHMETIC):
        return _arithmetic(node)
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        return _widest([*(branch.args["true"] for branch in node.args["ifs"]), *([default] if default else [])])
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select) and len(node.this.expressions) == 1:
        return integer(node.this.expressions[0])
    return _function(node)


def _cast(bits: int, inner: Integer | None) -> Integer:
    most = 2 ** (bits - 1)
    return Integer(bits, most if inner is None else min(most, inner.most))


def _arithmetic(node: exp.Binary) -> Integer | None:
    """Long chains lean to the left: they are walked, not recursed into, and what is found stays at the nodes."""
    spine: list[exp.Expr] = [node]
    while isinstance(spine[-1], (*_ARITHMETIC, *_WRAPPERS)) and _KNOWN not in spine[-1].meta:
        spine.append(spine[-1].this)
    found = spine[-1].meta[_KNOWN] if _KNOWN in spine[-1].meta else integer(spine[-1])
    for outer in reversed(spine[:-1]):
        if isinstance(outer, _ARITHMETIC):
            found = outer.meta[_KNOWN] = _combined(outer, found)
    return found


def _combined(node: exp.Binary, left: Integer | None) -> Integer | None:
    right = None if left is None else integer(node.expression)
    if left is None or right is None:
        return None
    bits = max(left.bits, right.bits)
    most = left.most
    if isinstance(node, exp.Mul):
        most = left.most * right.most
    elif isinstance(node, exp.Add | exp.Sub):
        most = left.most + right.most
    elif isinstance(node, exp.Mod):
        most = min(left.most, right.most)
    return Integer(bits, min(most, 2 ** (bits - 1)))


def exceeds(node: exp.Binary) -> Integer | None:
    """The type of an arithmetic whose result may not fit it."""
    left, right = integer(node.this), integer(node.expression)
    if left is None or right is None:
        return None
    most = left.most * right.most if isinstance(node, exp.Mul) else left.most + right.most
    bits = max(left.bits, right.bits)
    return Integer(bits, most) if most >= 2 ** (bits - 1) else None


def _widest(nodes: Iterable[exp.Expr]) -> Integer | None:
    """The type that all of them come to, without the NULLs among them; None if one is no integer."""
    found = [integer(node) for node in nodes if not isinstance(node, exp.Null)]
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    return Integer(max(one.bits for one in known), max(one.most for one in known))


def _function(node: exp.Expr) -> Integer | None:
    if isinstance(node, exp.Extract | exp.StrPosition):
        return Integer(64, 2**31)
    name = str(node.this).upper() if isinstance(node, exp.Anonymous) else ""
    if name in _SMALL:
        return Integer(64, 2**40)
    if name in _ALIKE:
        return _widest(node.expressions)
    if name == "IF":
        return _widest(node.expressions[1:])
    if name == "MOD" and len(node.expressions) == 2:
        return _widest(node.expressions)
    if name in (*_SAME, "AVG", "MEAN") and node.expressions:
        return integer(node.expressions[0])
    if name == "SUM" and node.expressions:
        inner = integer(node.expressions[0])
        return None if inner is None else Integer(64, min(inner.most * 2**32, BIGINT_MAX))
    return None


def common(left: pa.DataType | None, right: pa.DataType | None) -> pa.DataType | None:
    """The type of two columns put together by a set operation, None if it is not known."""
    if left == right:
        return left
    if left in _BITS and right in _BITS:
        return left if _BITS[left] > _BITS[right] else right
    if left is not None and right is not None and pa.types.is_timestamp(left) and pa.types.is_timestamp(right):
        finer = max((left.unit, right.unit), key=("s", "ms", "us", "ns").index)
        return pa.timestamp(finer, left.tz or right.tz)
    return None


def type_of_all(nodes: list[exp.Expr]) -> pa.DataType | None:
    """The Arrow type of values in one column: of integers, or one that all have."""
    found = _widest(nodes)
    if found is not None:
        return next(kind for kind, bits in _BITS.items() if bits == found.bits)
    kinds = {arrow_type(node) for node in nodes if not isinstance(node, exp.Null)}
    return kinds.pop() if len(kinds) == 1 else None


def arrow_type(node: exp.Expr) -> pa.DataType | None:
    """The Arrow type of an expression that is surely an integer, a time or a decimal, or of a column."""
    if isinstance(node, exp.Column):
        kind: pa.DataType | None = node.meta.get("type")
        return kind
    found = integer(node)
    if found is not None:
        return next(kind for kind, bits in _BITS.items() if bits == found.bits)
    size = decimal(node)
    if size is not None:
        return pa.decimal128(*size)
    width = float_type(node)
    if width is not None:
        return pa.float64() if width == "DOUBLE" else pa.float32()
    return temporal(node)


def float_type(node: exp.Expr) -> str | None:
    """DOUBLE or FLOAT, where the value is surely one."""
    if isinstance(node, exp.Column):
        kind = node.meta.get("type")
        if kind is None or not pa.types.is_floating(kind):
            return None
        return "FLOAT" if kind == pa.float32() else "DOUBLE"
    if isinstance(node, exp.Cast):
        return _FLOAT_CASTS.get(node.to.this)
    if isinstance(node, _WRAPPERS):
        return float_type(node.this)
    if isinstance(node, _ARITHMETIC):
        return _float_of_chain(node)
    if isinstance(node, exp.Case):
        return _widest_float(results_of(node))
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select) and len(node.this.expressions) == 1:
        return float_type(node.this.expressions[0])
    name = str(node.this).upper() if isinstance(node, exp.Anonymous) else ""
    if name in _DOUBLES:
        return "DOUBLE"
    return _widest_float(node.expressions) if name in _LIKE_ARGUMENTS else None


def _float_of_chain(node: exp.Binary) -> str | None:
    """Long chains lean to the left: they are walked."""
    operands: list[exp.Expr] = []
    inner: exp.Expr = node
    while isinstance(inner, (*_ARITHMETIC, exp.Paren)):
        operands += [] if isinstance(inner, exp.Paren) else [inner.expression]
        inner = inner.this
    return _widest_float([inner, *operands])


def _widest_float(nodes: Iterable[exp.Expr]) -> str | None:
    widths = {float_type(node) for node in nodes}
    return "DOUBLE" if "DOUBLE" in widths else "FLOAT" if "FLOAT" in widths else None


def results_of(case: exp.Case) -> list[exp.Expr]:
    """What a CASE may give."""
    default = case.args.get("default")
    return [*(branch.args["true"] for branch in case.args["ifs"]), *([default] if default is not None else [])]


def temporal(node: exp.Expr) -> pa.DataType | None:
    """The Arrow type of an expression that is surely a date or a timestamp."""
    if isinstance(node, exp.Column):
        kind = node.meta.get("type")
        return kind if kind is not None and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) else None
    if isinstance(node, exp.Cast):
        return _cast_to_time(node)
    if isinstance(node, exp.Add | exp.Sub):
        moment = temporal(node.this) if isinstance(node.expression, exp.Interval) else None
        return moment if moment is not None and pa.types.is_timestamp(moment) else None
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        return _one_time([*(branch.args["true"] for branch in node.args["ifs"]), *([default] if default else [])])
    if isinstance(node, exp.CurrentTimestamp):
        return _LOCAL_MILLIS
    if isinstance(node, exp.Floor | exp.Ceil) and node.args.get("to") is not None:
        return temporal(node.this)
    if isinstance(node, exp.AtTimeZone):
        kind = temporal(node.this)
        timed = kind is not None and pa.types.is_timestamp(kind)
        return pa.timestamp(kind.unit, "UTC" if kind.tz is None else None) if timed and kind is not None else None
    if isinstance(node, exp.Dot | exp.Bracket):
        return _part(node)
    if isinstance(node, exp.Anonymous):
        return _time_of_call(node)
    return temporal(node.this) if isinstance(node, _WRAPPERS) else None


def _part(node: exp.Dot | exp.Bracket) -> pa.DataType | None:
    """Of a field of a row, an element of an array, a value of a map: its type if it is a time."""
    whole = _nested_type(node.this)
    if whole is None:
        return None
    kind: pa.DataType | None = None
    if isinstance(node, exp.Dot) and pa.types.is_struct(whole):
        at = whole.get_field_index(node.expression.name)
        kind = whole.field(at).type if at >= 0 else None
    elif isinstance(node, exp.Bracket) and (pa.types.is_list(whole) or pa.types.is_large_list(whole)):
        kind = whole.value_type
    elif isinstance(node, exp.Bracket) and pa.types.is_map(whole):
        kind = whole.item_type
    return kind if kind is not None and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) else None


def _nested_type(node: exp.Expr) -> pa.DataType | None:
    if isinstance(node, exp.Column):
        found: pa.DataType | None = node.meta.get("type")
        return found
    if isinstance(node, exp.Dot):
        whole = _nested_type(node.this)
        if whole is None or not pa.types.is_struct(whole):
            return None
        at = whole.get_field_index(node.expression.name)
        return whole.field(at).type if at >= 0 else None
    return _nested_type(node.this) if isinstance(node, exp.Paren) else None


def _cast_to_time(node: exp.Cast) -> pa.DataType | None:
    kind = node.to.this
    if kind is exp.DataType.Type.DATE:
        return pa.date32()
    sizes = [int(size.this.name) if isinstance(size, exp.DataTypeParam) else 6 for size in node.to.expressions]
    digits = sizes[0] if sizes else 6
    unit = "ms" if 0 <= digits <= 3 else "us" if digits <= 6 else "ns" if digits <= 9 else None
    zoned = kind in (exp.DataType.Type.TIMESTAMPLTZ, exp.DataType.Type.TIMESTAMPTZ)
    if unit is None or not (zoned or kind in (exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPNTZ)):
        return None
    return pa.timestamp(unit, "UTC" if zoned else None)


def digits_of(node: exp.Cast) -> int | None:
    """The digits of a second that a cast to a time names; None if it names none."""
    sizes = [int(size.this.name) for size in node.to.expressions if isinstance(size, exp.DataTypeParam)]
    return sizes[0] if sizes else None


def _time_of_call(node: exp.Anonymous) -> pa.DataType | None:
    name, arguments = str(node.this).upper(), node.expressions
    if name == "ARROW_CAST" and len(arguments) == 2:
        return _NAMED_TIMES.get(arguments[1].name)
    if name in _TIMES:
        return _TIMES[name]
    if name in ("DATE_TRUNC", "DATETRUNC", "DATE_BIN") and len(arguments) > 1:
        return temporal(arguments[1])
    if name == "TIMESTAMPADD" and len(arguments) == 3:
        moment = temporal(arguments[2])
        return moment if moment is not None and pa.types.is_timestamp(moment) else None
    if name == "IF":
        return _one_time(arguments[1:])
    if name in _ALIKE:
        return _one_time(arguments)
    return temporal(arguments[0]) if name in _SAME and arguments else None


def _one_time(nodes: list[exp.Expr]) -> pa.DataType | None:
    """The type that all of them have, without the NULLs among them."""
    found = {temporal(node) for node in nodes if not isinstance(node, exp.Null)}
    return found.pop() if len(found) == 1 else None


def is_array(node: exp.Expr) -> bool:
    """An array, surely: a constant, a column, or what a function of arrays gives."""
    if isinstance(node, exp.Column):
        kind = node.meta.get("type")
        return kind is not None and (pa.types.is_list(kind) or pa.types.is_large_list(kind))
    if isinstance(node, exp.Anonymous):
        return str(node.this).upper() in _ARRAYS
    if isinstance(node, exp.Cast):
        return node.to.this is exp.DataType.Type.ARRAY
    return isinstance(node, exp.Array) or (isinstance(node, exp.Paren | exp.Alias) and is_array(node.this))


def decimal(node: exp.Expr) -> tuple[int, int] | None:
    """Precision and scale of an expression that is surely a decimal."""
    if isinstance(node, exp.Column):
        kind = node.meta.get("type")
        return (kind.precision, kind.scale) if kind is not None and pa.types.is_decimal(kind) else None
    if isinstance(node, exp.Literal) and not node.is_string:
        whole, point, fraction = node.name.partition(".")
        digits = whole.lstrip("0") + fraction
        is_plain = point and digits.isdigit() and len(digits) <= 38
        return (max(len(digits), len(fraction), 1), len(fraction)) if is_plain else None
    if isinstance(node, exp.Cast) and node.to.this is exp.DataType.Type.DECIMAL:
        sizes = [int(size.name) for size in node.to.expressions] or [10]
        return sizes[0], sizes[1] if len(sizes) > 1 else 0
    if isinstance(node, exp.Paren | exp.Neg | exp.Alias | exp.Filter | exp.Window):
        return decimal(node.this)
    if isinstance(node, exp.Add | exp.Sub | exp.Mul):
        return _decimal_of(node)
    if isinstance(node, exp.Anonymous) and str(node.this).upper() in ("SUM", "MIN", "MAX") and node.expressions:
        size = decimal(node.expressions[0])
        return size if size is None or str(node.this).upper() != "SUM" else (38, size[1])
    return None


def _decimal_of(node: exp.Binary) -> tuple[int, int] | None:
    """What DataFusion makes of two decimals, where 38 digits are enough."""
    left, right = decimal(node.this), decimal(node.expression)
    if left is None or right is None:
        return None
    if isinstance(node, exp.Mul):
        precision, scale = left[0] + right[0] + 1, left[1] + right[1]
    else:
        scale = max(left[1], right[1])
        precision = max(left[0] - left[1], right[0] - right[1]) + scale + 1
    return (precision, scale) if precision <= 38 else None
