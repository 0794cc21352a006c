"""Column types: Paimon's type system, its text in schema files, and its mapping to Arrow.

A type is a value: equal types compare equal, and `parse_type(t.to_json()) == t`.
Source: Paimon, `DataTypes`, `DataTypeJsonParser`; facts checked against files written by Paimon Java.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import pyarrow as pa

from tsdb.errors import NotSupportedError, ProgrammingError

MAX_LENGTH = 2147483647
TypeJson = str | dict[str, Any]


class TypeRoot(Enum):
    """The kinds of types; the value is the name in schema files."""

    BOOLEAN = "BOOLEAN"
    TINYINT = "TINYINT"
    SMALLINT = "SMALLINT"
    INT = "INT"
    BIGINT = "BIGINT"
    FLOAT = "FLOAT"
    DOUBLE = "DOUBLE"
    DECIMAL = "DECIMAL"
    CHAR = "CHAR"
    VARCHAR = "VARCHAR"
    BINARY = "BINARY"
    VARBINARY = "VARBINARY"
    DATE = "DATE"
    TIME = "TIME"
    TIMESTAMP = "TIMESTAMP"
    TIMESTAMP_LTZ = "TIMESTAMP WITH LOCAL TIME ZONE"
    ARRAY = "ARRAY"
    MAP = "MAP"
    MULTISET = "MULTISET"
    ROW = "ROW"
    VARIANT = "VARIANT"
    BLOB = "BLOB"


@dataclass(frozen=True, slots=True)
class DataType:
    """A type. length: CHAR … VARBINARY; precision: DECIMAL and times; element: ARRAY, MULTISET; key, value: MAP."""

    root: TypeRoot
    nullable: bool = True
    length: int = 0
    precision: int = 0
    scale: int = 0
    element: "DataType | None" = None
    key: "DataType | None" = None
    value: "DataType | None" = None
    fields: "tuple[DataField, ...]" = ()

    def with_nullable(self, nullable: bool) -> "DataType":
        """The same type, nullable or not."""
        return self if nullable == self.nullable else replace(self, nullable=nullable)

    def to_json(self) -> TypeJson:
        """A str for a scalar type, a dict for a structured one, as in schema files."""
        mark = "" if self.nullable else " NOT NULL"
        name = self.root.value + mark
        match self.root:
            case TypeRoot.ARRAY | TypeRoot.MULTISET:
                return {"type": name, "element": _part(self.element).to_json()}
            case TypeRoot.MAP:
                return {"type": name, "key": _part(self.key).to_json(), "value": _part(self.value).to_json()}
            case TypeRoot.ROW:
                return {"type": name, "fields": [f.to_json() for f in self.fields]}
        return _scalar_text(self) + mark

    def sql(self) -> str:
        """The type as SQL, with NOT NULL if it is not nullable."""
        mark = "" if self.nullable else " NOT NULL"
        match self.root:
            case TypeRoot.ARRAY | TypeRoot.MULTISET:
                return f"{self.root.value}<{_part(self.element).sql()}>{mark}"
            case TypeRoot.MAP:
                return f"MAP<{_part(self.key).sql()}, {_part(self.value).sql()}>{mark}"
            case TypeRoot.ROW:
                return "ROW<" + ", ".join(f"`{f.name}` {f.type.sql()}" for f in self.fields) + ">" + mark
            case TypeRoot.TIMESTAMP_LTZ:
                return f"TIMESTAMP_LTZ({self.precision}){mark}"
        return _scalar_text(self) + mark

    def __str__(self) -> str:
        """As SQL."""
        return self.sql()


@dataclass(frozen=True, slots=True)
class DataField:
    """A column, or a field of a ROW. id: unique in its table, also over nested fields; never used again."""

    id: int
    name: str
    type: DataType
    description: str | None = None
    default_value: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in schema files."""
        out: dict[str, Any] = {"id": self.id, "name": self.name, "type": self.type.to_json()}
        if self.description is not None:
            out["description"] = self.description
        if self.default_value is not None:
            out["defaultValue"] = self.default_value
        return out


def field_from_json(spec: dict[str, Any]) -> DataField:
    """A field of a schema file; unknown keys are ignored."""
    return DataField(
        spec["id"], spec["name"], parse_type(spec["type"]), spec.get("description"), spec.get("defaultValue")
    )


_BY_NAME = {
    **{root.value: root for root in TypeRoot},
    "INTEGER": TypeRoot.INT,
    "NUMERIC": TypeRoot.DECIMAL,
    "DEC": TypeRoot.DECIMAL,
    "DOUBLE PRECISION": TypeRoot.DOUBLE,
    "STRING": TypeRoot.VARCHAR,
    "BYTES": TypeRoot.VARBINARY,
    "TIMESTAMP_LTZ": TypeRoot.TIMESTAMP_LTZ,
    "TIMESTAMP WITHOUT TIME ZONE": TypeRoot.TIMESTAMP,
}
_STRINGS = (TypeRoot.CHAR, TypeRoot.VARCHAR, TypeRoot.BINARY, TypeRoot.VARBINARY)
_TIMES = (TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_PATTERN = re.compile(r"\s*([A-Za-z_]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*([A-Za-z ]*?)\s*")


def parse_type(spec: TypeJson) -> DataType:
    """The type of a schema file (str or dict) or of SQL text for a scalar type. Raises ProgrammingError."""
    if isinstance(spec, dict):
        return _parse_structured(spec)
    match = _PATTERN.fullmatch(spec)
    if match is None:
        raise ProgrammingError(f"`{spec}` is not a type")
    name, first, second, rest = match[1].upper(), match[2], match[3], " ".join(match[4].upper().split())
    nullable = True
    for ending, value in (("NOT NULL", False), ("NULL", True)):
        if rest == ending or rest.endswith(" " + ending):
            nullable, rest = value, rest[: -len(ending)].strip()
            break
    root = _BY_NAME.get(f"{name} {rest}".strip())
    if root is None or root in (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.ROW, TypeRoot.MULTISET):
        raise ProgrammingError(f"`{spec}` is not a type")
    numbers = [int(n) for n in (first, second) if n is not None]
    return _checked(_scalar(root, name, numbers).with_nullable(nullable), spec)


def _scalar(root: TypeRoot, name: str, numbers: list[int]) -> DataType:
    """A scalar type with its defaults: CHAR(1), DECIMAL(10, 0), TIME(0), TIMESTAMP(6)."""
    if root in _STRINGS:
        default = MAX_LENGTH if name in ("STRING", "BYTES") else 1
        return DataType(root, length=numbers[0] if numbers else default)
    if root is TypeRoot.DECIMAL:
        precision, scale = (numbers + [10, 0][len(numbers) :])[:2]
        return DataType(root, precision=precision, scale=scale)
    if root in _TIMES:
        return DataType(root, precision=numbers[0] if numbers else (0 if root is TypeRoot.TIME else 6))
    return DataType(root)


def _checked(kind: DataType, spec: str) -> DataType:
    if kind.root is TypeRoot.DECIMAL and not (1 <= kind.precision <= 38 and 0 <= kind.scale <= kind.precision):
        raise ProgrammingError(f"`{spec}`: DECIMAL has a precision of 1 to 38 and a scale of 0 to the precision")
    if kind.root in _TIMES and kind.precision > 9:
        raise ProgrammingError(f"`{spec}`: {kind.root.value} has a precision of 0 to 9")
    if kind.root in _STRINGS and kind.length < 1:
        raise ProgrammingError(f"`{spec}`: the length must be at least 1")
    return kind


def _parse_structured(spec: dict[str, Any]) -> DataType:
    text = " ".join(str(spec.get("type")).upper().split())
    nullable = not text.endswith(" NOT NULL")
    match text.removesuffix(" NOT NULL"):
        case "ARRAY":
            return DataType(TypeRoot.ARRAY, nullable, element=parse_type(spec["element"]))
        case "MULTISET":
            return DataType(TypeRoot.MULTISET, nullable, element=parse_type(spec["element"]))
        case "MAP":
            return DataType(TypeRoot.MAP, nullable, key=parse_type(spec["key"]), value=parse_type(spec["value"]))
        case "ROW":
            fields = [{"id": 0, **field} for field in spec["fields"]]
            return DataType(TypeRoot.ROW, nullable, fields=tuple(field_from_json(f) for f in fields))
    raise NotSupportedError(f"type `{spec.get('type')}` is not supported")


def _scalar_text(kind: DataType) -> str:
    root = kind.root
    if root is TypeRoot.VARCHAR and kind.length == MAX_LENGTH:
        return "STRING"
    if root is TypeRoot.VARBINARY and kind.length == MAX_LENGTH:
        return "BYTES"
    if root in _STRINGS:
        return f"{root.value}({kind.length})"
    if root is TypeRoot.DECIMAL:
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if root is TypeRoot.TIMESTAMP_LTZ:
        return f"TIMESTAMP({kind.precision}) WITH LOCAL TIME ZONE"
    if root in _TIMES:
        return f"{root.value}({kind.precision})"
    return str(root.value)


def _part(kind: DataType | None) -> DataType:
    assert kind is not None
    return kind


_ARROW: dict[TypeRoot, pa.DataType] = {
    TypeRoot.BOOLEAN: pa.bool_(),
    TypeRoot.TINYINT: pa.int8(),
    TypeRoot.SMALLINT: pa.int16(),
    TypeRoot.INT: pa.int32(),
    TypeRoot.BIGINT: pa.int64(),
    TypeRoot.FLOAT: pa.float32(),
    TypeRoot.DOUBLE: pa.float64(),
    TypeRoot.CHAR: pa.string(),
    TypeRoot.VARCHAR: pa.string(),
    TypeRoot.BINARY: pa.binary(),
    TypeRoot.VARBINARY: pa.binary(),
    TypeRoot.BLOB: pa.binary(),
    TypeRoot.DATE: pa.date32(),
    TypeRoot.TIME: pa.time32("ms"),
    TypeRoot.VARIANT: pa.struct(
        [pa.field("value", pa.binary(), nullable=False), pa.field("metadata", pa.binary(), nullable=False)]
    ),
}


def timestamp_unit(precision: int) -> str:
    """The Arrow unit that holds a TIMESTAMP of this precision: `ms`, `us` or `ns`."""
    return "ms" if precision <= 3 else "us" if precision <= 6 else "ns"


def to_arrow(kind: DataType) -> pa.DataType:
    """The Arrow type of a column of this type."""
    match kind.root:
        case TypeRoot.DECIMAL:
            return pa.decimal128(kind.precision, kind.scale)
        case TypeRoot.TIMESTAMP:
            return pa.timestamp(timestamp_unit(kind.precision))
        case TypeRoot.TIMESTAMP_LTZ:
            return pa.timestamp(timestamp_unit(kind.precision), "UTC")
        case TypeRoot.ARRAY:
            element = _part(kind.element)
            return pa.list_(pa.field("element", to_arrow(element), element.nullable))
        case TypeRoot.MAP:
            value = _part(kind.value)
            return pa.map_(to_arrow(_part(kind.key)), pa.field("value", to_arrow(value), value.nullable))
        case TypeRoot.MULTISET:
            return pa.map_(to_arrow(_part(kind.element)), pa.field("value", pa.int32(), nullable=False))
        case TypeRoot.ROW:
            return pa.struct([pa.field(f.name, to_arrow(f.type), f.type.nullable) for f in kind.fields])
    return _ARROW[kind.root]


def arrow_schema(fields: Sequence[DataField]) -> pa.Schema:
    """The Arrow schema of columns, nullability included."""
    return pa.schema([pa.field(f.name, to_arrow(f.type), f.type.nullable) for f in fields])


def sql_name(kind: pa.DataType) -> str:
    """An Arrow type as SQL text; Arrow's own name for one that tables do not have."""
    try:
        return from_arrow(kind).sql()
    except NotSupportedError:
        return str(kind).upper()


def from_arrow(kind: pa.DataType, nullable: bool = True) -> DataType:
    """The narrowest type that holds every value of an Arrow type. Raises NotSupportedError for one that has none."""
    for root, arrow in _ARROW.items():
        if kind == arrow and root not in (TypeRoot.CHAR, TypeRoot.BINARY, TypeRoot.BLOB):
            length = MAX_LENGTH if root in _STRINGS else 0
            return DataType(root, nullable, length=length, precision=3 if root is TypeRoot.TIME else 0)
    widened = {pa.uint8(): TypeRoot.SMALLINT, pa.uint16(): TypeRoot.INT, pa.uint32(): TypeRoot.BIGINT}
    if kind in widened:
        return DataType(widened[kind], nullable)
    if kind == pa.uint64():
        return DataType(TypeRoot.DECIMAL, nullable, precision=20)
    if pa.types.is_float16(kind):
        return DataType(TypeRoot.FLOAT, nullable)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return DataType(TypeRoot.VARCHAR, nullable, length=MAX_LENGTH)
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return DataType(TypeRoot.VARBINARY, nullable, length=MAX_LENGTH)
    if pa.types.is_decimal(kind) and 0 <= kind.scale <= kind.precision <= 38:
        return DataType(TypeRoot.DECIMAL, nullable, precision=kind.precision, scale=kind.scale)
    if pa.types.is_timestamp(kind):
        root = TypeRoot.TIMESTAMP if kind.tz is None else TypeRoot.TIMESTAMP_LTZ
        return DataType(root, nullable, precision={"s": 0, "ms": 3, "us": 6, "ns": 9}[kind.unit])
    if pa.types.is_time(kind):
        return DataType(TypeRoot.TIME, nullable, precision=3)
    if pa.types.is_date(kind):
        return DataType(TypeRoot.DATE, nullable)
    if pa.types.is_dictionary(kind):
        return from_arrow(kind.value_type, nullable)
    if pa.types.is_null(kind):
        return DataType(TypeRoot.VARCHAR, nullable, length=MAX_LENGTH)
    return _nested_from_arrow(kind, nullable)


def _nested_from_arrow(kind: pa.DataType, nullable: bool) -> DataType:
    if pa.types.is_map(kind):
        key, value = from_arrow(kind.key_type, False), from_arrow(kind.item_type, kind.item_field.nullable)
        return DataType(TypeRoot.MAP, nullable, key=key, value=value)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        element = from_arrow(kind.value_type, kind.value_field.nullable)
        return DataType(TypeRoot.ARRAY, nullable, element=element)
    if pa.types.is_struct(kind):
        fields = [DataField(i, f.name, from_arrow(f.type, f.nullable)) for i, f in enumerate(kind)]
        return DataType(TypeRoot.ROW, nullable, fields=tuple(fields))
    raise NotSupportedError(f"a column of the Arrow type {kind} has no type in a table; cast it in the query")
