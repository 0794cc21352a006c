"""What a table refuses to take, and in which words."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tsdb.data_types import DataField, parse_type
from tsdb.errors import ColumnNotFound, DataError, NullKeyError
from tsdb.metadata.schema import TableSchema
from tsdb.table.row_check import conform


def schema_of(primary_keys=("k",), **columns):
    fields = tuple(
        DataField(i, name, parse_type(kind))
        if isinstance(kind, str)
        else DataField(i, name, parse_type(kind[0]), default_value=kind[1])
        for i, (name, kind) in enumerate(columns.items())
    )
    return TableSchema(0, fields, primary_keys=primary_keys, highest_field_id=len(fields) - 1)


SCHEMA = schema_of(
    k="BIGINT NOT NULL", name="VARCHAR(3)", d="DECIMAL(5, 2)", raw="VARBINARY(2)", day="DATE", q=("INT", "7")
)
ROWS = {
    "k": [1, 2],
    "name": ["é中x", None],
    "d": [None, None],
    "raw": [b"ab", None],
    "day": [None, None],
    "q": [None, 5],
}


def test_columns_are_matched_by_name_cast_and_get_their_defaults():
    rows = conform(pa.table({name: ROWS[name] for name in reversed(ROWS)}), SCHEMA, "db.t")
    assert rows.schema.names == list(SCHEMA.names) and rows.schema == SCHEMA.arrow_schema
    assert rows["q"].to_pylist() == [7, 5] and rows["d"].type == pa.decimal128(5, 2)


def test_whole_numbers_are_decimals():
    rows = conform(pa.table(ROWS | {"d": [999, -1]}), SCHEMA, "db.t")
    assert rows["d"].to_pylist() == [999, -1]


def test_digits_that_the_column_lacks_are_rounded_half_away_from_zero():
    rows = conform(pa.table(ROWS | {"d": [Decimal("1.2350"), Decimal("-1.2350")]}), SCHEMA, "db.t")
    assert rows["d"].to_pylist() == [Decimal("1.24"), Decimal("-1.24")]
    with pytest.raises(DataError, match="in row 1: Decimal value does not fit in precision 5"):
        conform(pa.table(ROWS | {"d": [Decimal("999.995"), Decimal("0.001")]}), SCHEMA, "db.t")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": [1, None]}, NullKeyError, "NULL in row 12: column `k` of table `db.t` is part of the primary key"),
        (
            {"name": ["a", "abcd"]},
            DataError,
            "the value 'abcd' in row 12 has 4 characters, but column `name` of table `db.t` is VARCHAR",
        ),
        ({"raw": [b"abc", b""]}, DataError, "in row 11 has 3 bytes"),
        (
            {"k": [1.5, 2.0]},
            DataError,
            "column `k` of table `db.t` is BIGINT NOT NULL; values of type DOUBLE do not fit",
        ),
        (
            {"day": ["2024-01-01", None]},
            DataError,
            "column `day` of table `db.t` is DATE; values of type STRING do not fit: use CAST",
        ),
        ({"d": [12345.678, None]}, DataError, "column `d`"),
        ({"d": [1000, None]}, DataError, "column `d`"),
        ({"q": [datetime.date(2024, 1, 1), None]}, DataError, "column `q`"),
    ],
)
def test_rows_that_do_not_fit(change, error, words):
    with pytest.raises(error) as caught:
        conform(pa.table(ROWS | change), SCHEMA, "db.t", first_row=11)
    assert words in str(caught.value)


def test_columns_that_do_not_fit():
    with pytest.raises(ColumnNotFound, match=r"no column `nam`\. Did you mean `name`\?"):
        conform(pa.table(ROWS | {"nam": [1, 2]}), SCHEMA, "db.t")
    with pytest.raises(ColumnNotFound, match=r"lack `day`, `q`"):
        conform(pa.table({n: ROWS[n] for n in ("k", "name", "d", "raw")}), SCHEMA, "db.t")
    twice = pa.Table.from_arrays([pa.array(np.arange(2))] * 7, names=[*SCHEMA.names, "k"])
    with pytest.raises(ColumnNotFound, match="twice"):
        conform(twice, SCHEMA, "db.t")
