"""Random values of every type in the judge's plain form, and that form as Arrow and as SQL."""

import base64
import datetime as dt
import random
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tsdb.data_types import DataType, TypeRoot, timestamp_unit, to_arrow

TEXTS = ("", " ", "a", "b", "ab", "B", "é", "日本", "x y", "a/b", "a=b", "%41", "null", "NULL", "'q\"", "😀", "0", "\t",
         "zz\n", "true", "A:b", "ÿ", "__DEFAULT_PARTITION__")  # fmt: skip
LONG = "a text that is longer than the sixteen characters of statistics, 日本語 😀"
BYTES = (b"", b"\x00", b"\xff", b"abc", b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", b"\xff\xff\xff")
INTEGERS = {TypeRoot.TINYINT: 8, TypeRoot.SMALLINT: 16, TypeRoot.INT: 32, TypeRoot.BIGINT: 64}
FLOATS = ("0.0", "-0.0", "1.5", "-1.5", "0.1", "100.0", "1.0E10", "NaN", "Infinity", "-Infinity")
TIMES_OF_DAY = (0, 1, 999, 1000, 3661000, 45296789, 86399999)
SECONDS = (0, 1, 86399, 86400, 1715693696, 951782400, 7289654399, -1, -126230402)


class Values:
    """Random values. nan: whether floats may be something else than numbers; old: times before 1970, too."""

    def __init__(self, chance: random.Random, form: str) -> None:
        self.chance = chance
        self.old = form != "orc"

    def key(self, kind: DataType, domain: int) -> Any:
        """One of a few values of a type, so that rows meet."""
        state = self.chance.getstate()
        number = self.chance.randrange(domain)
        self.chance.seed(f"{kind.sql()} {number}")
        value = self.value(kind.with_nullable(False), 0)
        self.chance.setstate(state)
        value = "2.5" if value == "NaN" else value  # which Java finds equal to any other key
        self.chance.random()
        return value

    def value(self, kind: DataType, nulls: float = 0.15) -> Any:
        """Any value of a type."""
        chance = self.chance
        if kind.nullable and chance.random() < nulls:
            return None
        match kind.root:
            case TypeRoot.BOOLEAN:
                return chance.random() < 0.5
            case TypeRoot.TINYINT | TypeRoot.SMALLINT | TypeRoot.INT | TypeRoot.BIGINT:
                most = 2 ** (INTEGERS[kind.root] - 1)
                return chance.choice([0, 1, 2, 3, -1, 7, 100, -100, most - 1, -most])
            case TypeRoot.FLOAT | TypeRoot.DOUBLE:
                return chance.choice(FLOATS)
            case TypeRoot.DECIMAL:
                digits = chance.choice([1, 2, 3, kind.precision, kind.precision])
                number = chance.choice([0, 1, 10**digits - 1, 5 * 10 ** (digits - 1)]) * chance.choice([1, 1, -1])
                digits_of = tuple(map(int, str(abs(number))))
                return f"{Decimal((int(number < 0), digits_of, -kind.scale)):f}"
            case TypeRoot.CHAR | TypeRoot.VARCHAR:
                text = chance.choice((*TEXTS, LONG) if kind.length > 100 else TEXTS)
                return text[: kind.length]
            case TypeRoot.BINARY:
                return encoded((chance.choice(BYTES) + bytes(kind.length))[: kind.length])
            case TypeRoot.VARBINARY:
                return encoded(chance.choice(BYTES)[: kind.length])
            case TypeRoot.DATE:
                return chance.choice([0, 1, -1, 19857, 2932896, -719162, 11016])
            case TypeRoot.TIME:
                return self._time(kind)
            case TypeRoot.TIMESTAMP | TypeRoot.TIMESTAMP_LTZ:
                return self._timestamp(kind)
            case TypeRoot.ARRAY:
                assert kind.element is not None
                return [self.value(kind.element) for _ in range(chance.choice([0, 1, 1, 2, 3]))]
            case TypeRoot.MAP:
                assert kind.key is not None and kind.value is not None
                keys = {str(k): k for k in (self.value(kind.key, 0) for _ in range(chance.choice([0, 1, 2, 3])))}
                return [[k, none_as_text(self.value(kind.value))] for k in keys.values()]
            case TypeRoot.MULTISET:
                assert kind.element is not None
                keys = {str(k): k for k in (self.value(kind.element, 0) for _ in range(chance.choice([0, 1, 2])))}
                return [[k, chance.randint(1, 3)] for k in keys.values()]
            case TypeRoot.ROW:
                return [self.value(f.type) for f in kind.fields]
        raise TypeError(kind)

    def _time(self, kind: DataType) -> int:
        millis = self.chance.choice(TIMES_OF_DAY)
        return millis if kind.precision >= 3 else millis // 1000 * 1000

    def _timestamp(self, kind: DataType) -> str:
        seconds = self.chance.choice(SECONDS)
        nanos = self.chance.choice([0, 0, 123456789, 999999999, 500000000])
        nanos -= nanos % 10 ** (9 - kind.precision)
        if seconds < 0 and not self.old:
            seconds = -seconds
        return f"{seconds * 1000 + nanos // 10**6}:{nanos % 10**6}"


def none_as_text(value: Any) -> Any:
    """As the judge shows NULL in a map."""
    return "NULL" if value is None else value


def encoded(value: bytes) -> str:
    """As the judge shows bytes."""
    return base64.b64encode(value).decode()


def arrow_table(columns: dict[str, DataType], rows: list[list[Any]]) -> pa.Table:
    """Plain rows as an Arrow table."""
    arrays = [
        pa.array([python_value(row[i], kind) for row in rows], to_arrow(kind))
        for i, kind in enumerate(columns.values())
    ]
    return pa.table(arrays, names=list(columns))


def python_value(value: Any, kind: DataType) -> Any:
    """A plain value as pyarrow takes it for the type."""
    if value is None:
        return None
    match kind.root:
        case TypeRoot.FLOAT | TypeRoot.DOUBLE:
            return float(value)
        case TypeRoot.DECIMAL:
            return Decimal(value)
        case TypeRoot.BINARY | TypeRoot.VARBINARY:
            return base64.b64decode(value)
        case TypeRoot.TIMESTAMP | TypeRoot.TIMESTAMP_LTZ:
            millis, nanos = map(int, value.split(":"))
            return (millis * 10**6 + nanos) // {"ms": 10**6, "us": 1000, "ns": 1}[timestamp_unit(kind.precision)]
        case TypeRoot.ARRAY:
            return [python_value(v, _of(kind.element)) for v in value]
        case TypeRoot.MAP:
            return [(python_value(k, _of(kind.key)), _entry(v, _of(kind.value))) for k, v in value]
        case TypeRoot.MULTISET:
            return [(python_value(k, _of(kind.element)), v) for k, v in value]
        case TypeRoot.ROW:
            return {f.name: python_value(v, f.type) for f, v in zip(kind.fields, value, strict=True)}
    return value


def _entry(value: Any, kind: DataType) -> Any:
    return None if value == "NULL" else python_value(value, kind)


def _of(kind: DataType | None) -> DataType:
    assert kind is not None
    return kind


def canonical(value: Any, kind: DataType) -> Any:
    """A plain value so that equal ones are equal: floats by their bits, maps in order."""
    if value is None:
        return None
    match kind.root:
        case TypeRoot.FLOAT:
            return struct.pack(">f", float(value)).hex()
        case TypeRoot.DOUBLE:
            return struct.pack(">d", float(value)).hex()
        case TypeRoot.ARRAY:
            return [canonical(v, _of(kind.element)) for v in value]
        case TypeRoot.MAP:
            pairs = [[canonical(k, _of(kind.key)), v if v == "NULL" else canonical(v, _of(kind.value))]
                     for k, v in value]  # fmt: skip
            return sorted(pairs, key=str)
        case TypeRoot.MULTISET:
            return sorted(([canonical(k, _of(kind.element)), v] for k, v in value), key=str)
        case TypeRoot.ROW:
            return [canonical(v, f.type) for f, v in zip(kind.fields, value, strict=True)]
    return value


def literal(value: Any, kind: DataType) -> str:
    """A plain scalar as SQL."""
    number: Callable[[Any], str] = lambda v: f"CAST('{v}' AS {kind.with_nullable(True).sql()})"  # noqa: E731
    match kind.root:
        case TypeRoot.CHAR | TypeRoot.VARCHAR:
            return "'{}'".format(value.replace("'", "''"))
        case TypeRoot.BOOLEAN:
            return str(value).lower()
        case TypeRoot.BINARY | TypeRoot.VARBINARY:
            return f"x'{base64.b64decode(value).hex()}'"
        case TypeRoot.DATE:
            return f"DATE '{dt.date(1970, 1, 1) + dt.timedelta(value)}'"
        case TypeRoot.TIME:
            return f"TIME '{(dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=value)).time()}'"
        case TypeRoot.TIMESTAMP | TypeRoot.TIMESTAMP_LTZ:
            millis, nanos = map(int, value.split(":"))
            whole = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=millis - millis % 1000)
            return f"CAST('{whole}.{millis % 1000 * 10**6 + nanos:09}' AS {kind.with_nullable(True).sql()})"
    return number(value)
