"""Rows are told their partition and bucket by their values, NULLs among them, as reading them one by one would."""

import numpy as np
import pyarrow as pa
import pytest

from tsdb.data_types import DataField, parse_type
from tsdb.metadata.schema import TableSchema
from tsdb.table.bucket import partition_codes, placement


@pytest.mark.parametrize(("rows", "days", "buckets"), [(1, 1, 1), (50, 3, 2), (3000, 40, 7), (3000, 3000, 5)])
def test_each_row_goes_to_the_place_that_its_values_say(rows: int, days: int, buckets: int) -> None:
    random = np.random.default_rng(rows + days)
    day = pa.array(random.integers(0, days, rows), pa.int32(), mask=random.random(rows) < 0.1)
    kind = pa.array(random.choice(["a", "b", None], rows), pa.string())
    table = pa.table({"day": day, "kind": kind})
    types = {"day": "INT", "kind": "STRING"}
    fields = tuple(DataField(i, name, parse_type(text)) for i, (name, text) in enumerate(types.items()))
    schema = TableSchema(id=0, fields=fields, highest_field_id=1, partition_keys=("day", "kind"))

    parted = partition_codes(table, schema)
    bucket = random.integers(0, buckets, rows).astype(np.int32)
    placed = placement(parted, bucket)

    values = list(zip(day.to_pylist(), kind.to_pylist(), strict=True))
    assert len(parted.partitions) == len(set(values)) == len(set(parted.partitions))
    first_of: dict[tuple[object, object], int] = {}
    for row, value in enumerate(values):
        first = first_of.setdefault(value, row)
        assert parted.codes[row] == parted.codes[first]
        assert placed.buckets[placed.codes[row]] == (parted.partitions[parted.codes[row]], bucket[row])
    assert sorted(first_of.values()) == sorted(parted.first.tolist())
    assert len(set(placed.buckets)) == len(placed.buckets) == len(set(zip(values, bucket.tolist(), strict=True)))
