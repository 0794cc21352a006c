"""Values come into a column's type by place, never by a name they happen to have."""

import pyarrow as pa
import pytest

from tsdb.table.row_check import in_place


def test_fields_of_rows_match_by_place() -> None:
    given = pa.chunked_array([pa.array([{"c0": 7, "c1": "x"}, None, {"c0": None, "c1": "y"}])])
    wanted = pa.struct([("x", pa.int32()), ("y", pa.string())])
    assert in_place(given, wanted).cast(wanted).to_pylist() == [{"x": 7, "y": "x"}, None, {"x": None, "y": "y"}]
    assert in_place(given.slice(2), wanted).cast(wanted).to_pylist() == [{"x": None, "y": "y"}]


def test_also_inside_arrays() -> None:
    given = pa.chunked_array([pa.array([[{"c0": 1}, {"c0": 2}], None, [], [{"c0": 3}]])])
    wanted = pa.list_(pa.struct([("e", pa.int32())]))
    assert in_place(given, wanted).cast(wanted).to_pylist() == [[{"e": 1}, {"e": 2}], None, [], [{"e": 3}]]
    assert in_place(given.slice(3), wanted).cast(wanted).to_pylist() == [[{"e": 3}]]


def test_another_number_of_fields_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid, match="2 fields"):
        in_place(pa.chunked_array([pa.array([{"a": 1, "b": 2}])]), pa.struct([("x", pa.int32())]))
