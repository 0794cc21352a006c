"""A query tree as SQL text for DataFusion.

Every identifier comes out quoted (DataFusion folds the others to lower case), every ORDER BY with its NULL order
written out (NULLs are lowest here, as in Flink; DataFusion's own default differs), every type under the name that
gives the Arrow type of our tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel
from sqlglot.generator import Generator as SqlGenerator

from tsdb.errors import InternalError, NotSupportedError, nearest
from tsdb.sql.dialect import Descriptor, Flink, LocalTimestamp, TableArgument

DT = exp.DataType.Type

_TYPE_NAMES: dict[Any, str] = {
    DT.TINYINT: "TINYINT",
    DT.SMALLINT: "SMALLINT",
    DT.INT: "INT",
    DT.BIGINT: "BIGINT",
    DT.UTINYINT: "TINYINT UNSIGNED",
    DT.USMALLINT: "SMALLINT UNSIGNED",
    DT.UINT: "INT UNSIGNED",
    DT.UBIGINT: "BIGINT UNSIGNED",
    DT.FLOAT: "REAL",
    DT.DOUBLE: "DOUBLE",
    DT.BOOLEAN: "BOOLEAN",
    DT.DATE: "DATE",
    DT.TIME: "TIME",
    DT.INTERVAL: "INTERVAL",
    **dict.fromkeys((DT.TEXT, DT.VARCHAR, DT.CHAR, DT.NVARCHAR, DT.NCHAR), "VARCHAR"),
    **dict.fromkeys((DT.VARBINARY, DT.BINARY, DT.BLOB), "BYTEA"),
}
_TAKE_TABLES = ("TUMBLE", "HOP", "CUMULATE", "SESSION")
_UNITS = (
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "MILLISECOND",
    "MICROSECOND",
    "NANOSECOND",
)

_ARROW_UNITS = {3: "Millisecond", 6: "Microsecond", 9: "Nanosecond"}


def to_datafusion(query: exp.Expr) -> str:
    """The text that DataFusion plans. Table functions and time travel must have been rewritten or bound before."""
    leftover = query.find(exp.Placeholder, TableArgument, Descriptor)
    if isinstance(leftover, exp.Placeholder):
        raise InternalError("a placeholder `?` was not bound before planning")
    if leftover is not None:
        function = leftover.find_ancestor(exp.Anonymous)
        name = "this" if function is None else f"function `{function.name}`"
        near = "" if function is None else nearest(function.name, _TAKE_TABLES)
        raise NotSupportedError(
            f"{name} does not take TABLE and DESCRIPTOR arguments; {', '.join(_TAKE_TABLES)} do.{near}"
        )
    return str(query.sql(dialect=DataFusion, identify=True, comments=False))


def expression_text(node: exp.Expr) -> str:
    """An expression as a person would write it, for the name of an unnamed column."""
    text = node.sql(dialect=Flink, comments=False, normalize_functions=False, unsupported_level=ErrorLevel.IGNORE)
    return str(text).replace("`", "").replace('"', "").replace("TIMESTAMPLTZ", "TIMESTAMP_LTZ")


class DataFusion(Dialect):
    """What DataFusion's parser accepts (its PostgreSQL flavour)."""

    INDEX_OFFSET = 0
    NULL_ORDERING = "nulls_are_last"
    TYPED_DIVISION = True
    SAFE_DIVISION = False
    STRICT_STRING_CONCAT = True

    class Generator(SqlGenerator):
        """Writes the tree. What has no counterpart in DataFusion raises NotSupportedError instead of a warning."""

        NULL_ORDERING_SUPPORTED = True
        JOIN_HINTS = False
        TABLE_HINTS = False
        QUERY_HINTS = False
        LIMIT_FETCH = "LIMIT"
        VALUES_AS_TABLE = True
        TYPE_MAPPING: ClassVar[dict[Any, str]] = {**SqlGenerator.TYPE_MAPPING, **_TYPE_NAMES}
        TRANSFORMS: ClassVar[dict[type[exp.Expr], Callable[..., str]]] = {
            **SqlGenerator.TRANSFORMS,
            exp.CurrentDate: lambda self, e: "current_date()",
            exp.CurrentTime: lambda self, e: "current_time()",
            exp.CurrentTimestamp: lambda self, e: "now()",
            exp.HexString: lambda self, e: f"X'{e.this}'",
            exp.Array: lambda self, e: f"[{self.expressions(e, flat=True)}]",
            exp.Hint: lambda self, e: "",
            exp.RegexpLike: lambda self, e: self.func("regexp_like", e.this, e.expression),
            exp.RegexpILike: lambda self, e: self.func("regexp_like", e.this, e.expression, exp.Literal.string("i")),
            exp.StrPosition: lambda self, e: self.func("strpos", e.this, e.args["substr"]),
            exp.Map: lambda self, e: self.func("map", e.args["keys"], e.args["values"]),
            LocalTimestamp: lambda self, e: "CAST(now() AS TIMESTAMP(6))",
        }

        def anonymous_sql(self, expression: exp.Anonymous) -> str:
            """Table functions are found by their exact name, which is in lower case."""
            text: str = super().anonymous_sql(expression)
            length = len(expression.name) if isinstance(expression.parent, exp.Table) else 0
            return text[:length].lower() + text[length:]

        def ordered_sql(self, expression: exp.Ordered) -> str:
            """Every key with its direction and NULL order."""
            direction = "DESC" if expression.args.get("desc") else "ASC"
            nulls = "FIRST" if expression.args.get("nulls_first") else "LAST"
            return f"{self.sql(expression, 'this')} {direction} NULLS {nulls}"

        def datatype_sql(self, expression: exp.DataType) -> str:
            """A type by DataFusion's name."""
            kind = expression.this
            arguments = [self.sql(argument) for argument in expression.expressions]
            if kind in (DT.TIMESTAMP, DT.DATETIME, DT.TIMESTAMPNTZ):
                return f"TIMESTAMP({_arrow_precision(arguments)})"
            if kind in (DT.TIMESTAMPLTZ, DT.TIMESTAMPTZ):
                return "TIMESTAMP WITH TIME ZONE"
            if kind is DT.DECIMAL:
                return f"DECIMAL({', '.join(arguments or ['10', '0'])})"
            if kind is DT.ARRAY and expression.expressions:
                return f"{arguments[0]}[]"
            if kind is DT.STRUCT:
                return f"STRUCT<{', '.join(arguments)}>"
            if kind in _TYPE_NAMES:
                return _TYPE_NAMES[kind]
            raise NotSupportedError(f"CAST to {expression.sql()} is not supported")

        def cast_sql(self, expression: exp.Cast, safe_prefix: str | None = None) -> str:
            """A cast to a type with a zone names the zone: UTC, as our tables have it."""
            target = expression.args["to"]
            if target.this is DT.TIMESTAMP and not target.expressions and _nanoseconds(expression.this):
                return f"CAST({self.sql(expression, 'this')} AS TIMESTAMP(9))"
            if safe_prefix is None and target.this in (DT.TIMESTAMPLTZ, DT.TIMESTAMPTZ):
                unit = _ARROW_UNITS[_arrow_precision([self.sql(argument) for argument in target.expressions])]
                return f"arrow_cast({self.sql(expression, 'this')}, 'Timestamp({unit}, Some(\"UTC\"))')"
            if safe_prefix is None and any(part.this is DT.MAP for part in target.find_all(exp.DataType)):
                named = exp.Literal.string(_arrow_text(target))
                return f"arrow_cast({self.sql(expression, 'this')}, {self.sql(named)})"
            return str(super().cast_sql(expression, safe_prefix))

        def interval_sql(self, expression: exp.Interval) -> str:
            """INTERVAL 'n unit'; ranges such as '1-2' YEAR TO MONTH become their parts."""
            unit = expression.args.get("unit")
            if isinstance(unit, exp.IntervalSpan):
                return _interval_range(expression.this.name, unit)
            if unit is None:
                return f"INTERVAL {self.sql(expression, 'this')}"
            name = unit.name.upper()
            name = name[:-1] if name.endswith("S") and name[:-1] in _UNITS else name
            if isinstance(expression.this, exp.Literal):
                return f"INTERVAL '{expression.this.name} {name}'"
            return f"CAST((CAST({self.sql(expression, 'this')} AS VARCHAR) || ' {name}') AS INTERVAL)"

        def is_sql(self, expression: exp.Is) -> str:
            """The operand in parentheses: to DataFusion, IS binds closer than a comparison."""
            if isinstance(expression.this, exp.Binary | exp.Not | exp.Predicate):
                expression = expression.copy()
                expression.set("this", exp.Paren(this=expression.this))
            return str(super().is_sql(expression))

        def nullsafeeq_sql(self, expression: exp.NullSafeEQ) -> str:
            """In parentheses: DataFusion reads all that follows, AND and OR too, as the right operand."""
            return f"({super().nullsafeeq_sql(expression)})"

        def nullsafeneq_sql(self, expression: exp.NullSafeNEQ) -> str:
            """In parentheses, as above."""
            return f"({super().nullsafeneq_sql(expression)})"

        def kwarg_sql(self, expression: exp.Kwarg) -> str:
            """name => value."""
            return f"{self.sql(expression, 'this')} => {self.sql(expression, 'expression')}"

        def unsupported(self, message: str) -> None:
            """Nothing is dropped silently."""
            raise NotSupportedError(f"this SQL has no counterpart in DataFusion: {message}")


_ARROW_NAMES = {
    DT.TINYINT: "Int8", DT.SMALLINT: "Int16", DT.INT: "Int32", DT.BIGINT: "Int64", DT.FLOAT: "Float32",
    DT.DOUBLE: "Float64", DT.BOOLEAN: "Boolean", DT.DATE: "Date32", DT.TIME: "Time32(Millisecond)",
    **dict.fromkeys((DT.TEXT, DT.VARCHAR, DT.CHAR, DT.NVARCHAR, DT.NCHAR), "Utf8"),
    **dict.fromkeys((DT.VARBINARY, DT.BINARY, DT.BLOB), "Binary"),
}  # fmt: skip


def _arrow_text(kind: exp.DataType) -> str:
    """A type as `arrow_cast` reads it: SQL of DataFusion has no MAP."""
    parts = kind.expressions
    if kind.this is DT.MAP and len(parts) == 2:
        key, value = (_arrow_text(part) for part in parts)
        return f'Map("entries": non-null Struct("key": non-null {key}, "value": {value}), unsorted)'
    if kind.this is DT.ARRAY and parts:
        return f"List({_arrow_text(parts[0])})"
    if kind.this is DT.STRUCT and all(isinstance(part, exp.ColumnDef) and '"' not in part.name for part in parts):
        return "Struct(" + ", ".join(f'"{part.name}": {_arrow_text(part.args["kind"])}' for part in parts) + ")"
    sizes = [part.name for part in parts]
    if kind.this is DT.DECIMAL:
        return f"Decimal128({', '.join(sizes or ['10', '0'])})" if len(sizes) != 1 else f"Decimal128({sizes[0]}, 0)"
    zoned = kind.this in (DT.TIMESTAMPLTZ, DT.TIMESTAMPTZ)
    if zoned or kind.this in (DT.TIMESTAMP, DT.TIMESTAMPNTZ, DT.DATETIME):
        zone = 'Some("UTC")' if zoned else "None"
        return f"Timestamp({_ARROW_UNITS[_arrow_precision(sizes)]}, {zone})"
    if kind.this in _ARROW_NAMES:
        return _ARROW_NAMES[kind.this]
    raise NotSupportedError(f"CAST to a MAP with values of type {kind.sql()} is not supported")


def _arrow_precision(arguments: list[str]) -> int:
    """The precision that gives the Arrow unit of our TIMESTAMP(p): ms up to 3, µs up to 6, else ns."""
    precision = int(arguments[0]) if arguments else 6
    return 3 if precision <= 3 else 6 if precision <= 6 else 9


def _nanoseconds(node: exp.Expr) -> bool:
    """A literal with more than six digits of seconds."""
    return isinstance(node, exp.Literal) and node.is_string and len(node.name.partition(".")[2]) > 6


def _interval_range(text: str, span: exp.IntervalSpan) -> str:
    first, last = span.this.name.upper(), span.expression.name.upper()
    sign = "-" if text.startswith("-") else ""
    parts = text.lstrip("+-").replace(":", " ").replace("-", " ").split()
    units = [unit for unit in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND") if unit]
    wanted = units[units.index(first) : units.index(last) + 1]
    if len(parts) != len(wanted):
        raise NotSupportedError(f"INTERVAL '{text}' {first} TO {last} does not have the parts {', '.join(wanted)}")
    return "INTERVAL '" + " ".join(f"{sign}{part} {unit}" for part, unit in zip(parts, wanted, strict=True)) + "'"
