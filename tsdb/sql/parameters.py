"""Parameters: every `?` outside strings and comments takes one value, in the order of the text.

A value becomes a literal of its own SQL type in the tree, so it can never be read as SQL, and DataFusion never sees a
`?`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from tsdb.errors import NotSupportedError, ProgrammingError, nearest
from tsdb.sql.catalog_statements import AlterView, Prepare
from tsdb.sql.cursor import as_option
from tsdb.sql.dialect import Flink
from tsdb.sql.materialized import CreateMaterializedTable
from tsdb.sql.script import tokenize
from tsdb.sql.statements import ColumnDef, CreateView, Statement, Watermark

S = TypeVar("S", bound=Statement)

_INT64_MAX = 2**63 - 1
_MISSING = ("NaTType", "NAType")
"""What pandas has for NULL; it need not be installed."""


def bind(statement: S, parameters: Sequence[Any] = ()) -> S:
    """The statement with its placeholders replaced. A wrong number of values is a ProgrammingError."""
    starts = sorted(_placeholder_starts(statement))
    if len(starts) != len(parameters):
        raise ProgrammingError(
            f"the statement has {len(starts)} placeholder{'s' * (len(starts) != 1)} `?`, "
            f"but {len(parameters)} value{'s' * (len(parameters) != 1)} were given"
        )
    if not starts:
        return statement
    values = dict(zip(starts, parameters, strict=True))
    bound: S = _bound(statement, values)
    return bound


def count(statement: Statement) -> int:
    """The number of `?` in the statement."""
    return len(set(_placeholder_starts(statement)))


def _placeholder_starts(statement: Statement) -> list[int]:
    base = _base_offset(statement)
    return [base + token.start for token in _placeholders(statement)]


def _placeholders(statement: Statement) -> list[Token]:
    if isinstance(statement, Prepare) or not any(sign in statement.text for sign in "?$:"):
        return []
    return [token for token in tokenize(statement.text) if token.token_type is TokenType.PLACEHOLDER]


def arranged(statements: Sequence[Statement], given: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    """The values in the order of the placeholders: `?` takes the next, `$1` the first, `:name` the one of that name."""
    texts = [token.text for statement in statements for token in _placeholders(statement)]
    named = [text[1:] for text in texts if text != "?"]
    if not isinstance(given, Mapping):
        if not named:
            return list(given)
        if len(named) < len(texts) or not all(name.isdigit() for name in named):
            raise ProgrammingError(
                "values by place go with `?` or with `$1`, `$2`, …; values by name are given as a dict"
            )
        wrong = next((name for name in named if not 0 < int(name) <= len(given)), None)
        unused = set(range(1, len(given) + 1)) - {int(name) for name in named}
        if wrong is not None or unused:
            what = f"`${wrong}` has no value" if wrong is not None else f"value {min(unused)} is not used"
            raise ProgrammingError(f"{what}: {len(given)} value{'s' * (len(given) != 1)} were given")
        return [given[int(name) - 1] for name in named]
    if len(named) < len(texts):
        raise ProgrammingError("values by name go with `:name` or `$name`, not with `?`")
    missing = next((name for name in named if name not in given), None)
    if missing is not None:
        raise ProgrammingError(f"parameter `{missing}` has no value.{nearest(missing, given)}")
    return [given[name] for name in named]


def _base_offset(statement: Statement) -> int:
    """Where the statement begins in its script, as an offset."""
    lines = statement.script.split("\n")[: statement.position.line - 1]
    return sum(len(line) + 1 for line in lines) + statement.position.column - 1


def _bound(value: Any, values: Mapping[int, Any]) -> Any:
    """`value` with the placeholders in it replaced: by literals in trees, by the values themselves elsewhere."""
    if isinstance(value, exp.Placeholder):
        found = values[value.meta["start"]]
        return as_option(found) if value.meta.get("option") else found
    if isinstance(value, exp.Expr):
        return value.transform(
            lambda node: literal(values[node.meta["start"]]) if isinstance(node, exp.Placeholder) else node
        )
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: _bound(getattr(value, f.name), values) for f in fields(value) if f.init}
        for name, tree in _kept_texts(value).items():
            changed[name] = _written_out(changed[name], tree, values)
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(_bound(item, values) for item in value)
    if isinstance(value, Mapping):
        return {key: _bound(item, values) for key, item in value.items()}
    return value


def _kept_texts(value: Any) -> dict[str, exp.Expr]:
    """Texts of a part of a statement that are stored as they are written, by field, with what they were read as."""
    if isinstance(value, Watermark):
        return {"text": value.expression}
    if isinstance(value, ColumnDef):
        return {} if value.computed is None else {"computed_text": value.computed}
    if isinstance(value, CreateView | AlterView):
        return {} if value.query is None else {"query_text": value.query}
    if isinstance(value, CreateMaterializedTable) and value.table.as_select is not None:
        return {"query_text": value.table.as_select}
    return {}


def _written_out(text: str, tree: exp.Expr, values: Mapping[int, Any]) -> str:
    """A text with the values in the place of its placeholders."""
    signs = [token for token in tokenize(text) if token.token_type is TokenType.PLACEHOLDER]
    starts = sorted({node.meta["start"] for node in tree.find_all(exp.Placeholder)})
    for token, start in reversed(list(zip(signs, starts, strict=True))):
        written = literal(values[start]).sql(dialect=Flink)
        if isinstance(values[start], datetime):  # Flink's name of the type
            written = written.replace(" TIMESTAMPLTZ(", " TIMESTAMP_LTZ(")
        text = text[: token.start] + written + text[token.end + 1 :]
    return text


def literal(value: Any) -> exp.Expr:
    """A Python value as a typed SQL literal."""
    if value is None or type(value).__name__ in _MISSING:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return exp.HexString(this=bytes(value).hex())
    if isinstance(value, datetime | date | time | timedelta):
        return _temporal(value)
    if isinstance(value, list | tuple):
        return exp.Array(expressions=[literal(item) for item in value])
    item = getattr(value, "item", None)
    if type(value).__name__ == "datetime64":  # whose item() is a mere number where it has nanoseconds
        text = str(value)
        return exp.Null() if text == "NaT" else _cast(text.replace("T", " "), "TIMESTAMP(9)")
    if callable(item):  # numpy's scalars
        return literal(item())
    raise NotSupportedError(
        f"a parameter of type {type(value).__name__} has no SQL type; "
        "pass a number, text, bytes, date, time, list or None"
    )


def _integer(value: int) -> exp.Expr:
    if value == -_INT64_MAX - 1:
        return _cast(str(value), "BIGINT")
    if abs(value) > _INT64_MAX:
        if len(str(abs(value))) > 38:
            raise ProgrammingError(f"the parameter {value} has more than 38 digits; pass it as text")
        return _cast(str(value), "DECIMAL(38, 0)")
    return _signed(str(abs(value)), negative=value < 0)


def _double(value: float) -> exp.Expr:
    return _cast(repr(value), "DOUBLE")


def _decimal(value: Decimal) -> exp.Expr:
    if not value.is_finite():
        raise ProgrammingError(f"the parameter {value} has no SQL decimal; pass a float")
    text = format(value, "f")
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    scale = len(text.partition(".")[2])
    precision = max(len(digits), scale, 1)
    if precision > 38:
        raise ProgrammingError(f"the parameter {value} has more than 38 digits; pass it as text")
    return _cast(text, f"DECIMAL({precision}, {scale})")


def _temporal(value: datetime | date | time | timedelta) -> exp.Expr:
    if isinstance(value, datetime):
        precision = 9 if getattr(value, "nanosecond", 0) else 6  # of pandas
        if value.tzinfo is None:
            return _cast(value.isoformat(sep=" "), f"TIMESTAMP({precision})")
        return _cast(value.astimezone(UTC).isoformat(sep=" "), f"TIMESTAMP_LTZ({precision})")
    if isinstance(value, date):
        return _cast(value.isoformat(), "DATE")
    if isinstance(value, time):
        return _cast(value.isoformat(), "TIME")
    microseconds = value // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    text = f"{'-' * (microseconds < 0)}{seconds}.{rest:06d}"
    return exp.Interval(this=exp.Literal.string(text), unit=exp.var("SECOND"))


def _signed(digits: str, *, negative: bool) -> exp.Expr:
    number = exp.Literal.number(digits)
    return exp.Paren(this=exp.Neg(this=number)) if negative else number


def _cast(text: str, type_name: str) -> exp.Expr:
    return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build(type_name, dialect=Flink))
