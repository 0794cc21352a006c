"""Which partition and bucket each row belongs to, for all rows at once.

A bucket is abs(hash(bucket key) % buckets), the hash being Murmur3 over the key's BinaryRow; tables without buckets
have only bucket 0. Source: Paimon, `FixedBucketRowKeyExtractor` and `DefaultBucketFunction`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import NotSupportedError
from tsdb.metadata.binary_row import bucket_of, encode_rows, hash_rows
from tsdb.metadata.data_file import EMPTY_ROW
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions


class BucketMode(Enum):
    """fixed: 'bucket' = n > 0, a row's bucket is a function of its bucket key; unaware: an append table with only
    bucket 0.
    """

    FIXED = "fixed"
    UNAWARE = "unaware"


@dataclass(frozen=True, slots=True)
class Placement:
    """buckets: the distinct (serialized partition, bucket) of some rows; codes[i]: the index in `buckets` of row i."""

    buckets: tuple[tuple[bytes, int], ...]
    codes: npt.NDArray[np.int32]


def bucket_mode(schema: TableSchema, options: TableOptions) -> BucketMode:
    """How the table distributes rows. Raises NotSupportedError for dynamic (-1 with a primary key) and postponed
    buckets (-2).
    """
    if options.bucket > 0:
        return BucketMode.FIXED
    if options.bucket == -1 and not schema.primary_keys:
        return BucketMode.UNAWARE
    kind = "dynamic" if options.bucket == -1 else "postponed"
    raise NotSupportedError(
        f"writing to a table with {kind} buckets ('bucket' = '{options.bucket}') is not supported yet; "
        f"use 'bucket' = 'n' with n > 0"
    )


def total_buckets(options: TableOptions) -> int:
    """What the manifest records: the number of buckets, -1 for unaware tables."""
    return options.bucket


def place(rows: pa.Table, schema: TableSchema, options: TableOptions) -> Placement:
    """The partition and bucket of each row."""
    buckets = _buckets(rows, schema, options)
    partitions, partition_codes = _partitions(rows, schema)
    if len(partitions) == 1:
        present = np.flatnonzero(np.bincount(buckets)) if len(buckets) else np.empty(0, np.int64)
        if len(present) == 0:
            return Placement((), buckets)
        index = np.zeros(int(present[-1]) + 1, np.int32)
        index[present] = np.arange(len(present))
        return Placement(tuple((partitions[0], int(b)) for b in present), index[buckets])
    width = max(options.bucket, 1)
    distinct, codes = np.unique(partition_codes * width + buckets, return_inverse=True)
    pairs = tuple((partitions[int(code) // width], int(code) % width) for code in distinct)
    return Placement(pairs, codes.astype(np.int32))


def _buckets(rows: pa.Table, schema: TableSchema, options: TableOptions) -> npt.NDArray[np.int32]:
    if bucket_mode(schema, options) is BucketMode.UNAWARE or options.bucket == 1:
        return np.zeros(rows.num_rows, np.int32)
    keys = schema.bucket_keys
    function = options.get("bucket-function.type", "default")
    if function == "mod":
        values = rows[keys[0]].cast(pa.int64()).to_numpy()
        return np.asarray(np.mod(values, options.bucket)).astype(np.int32)
    if function != "default":
        raise NotSupportedError(f"'bucket-function.type' = '{function}' is not supported; use 'default' or 'mod'")
    hashes = hash_rows([rows[key] for key in keys], [schema.field(key).type for key in keys])
    return np.asarray(bucket_of(hashes, options.bucket))


def _partitions(rows: pa.Table, schema: TableSchema) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """The distinct serialized partitions, and for each row the index of its own (nothing if unpartitioned)."""
    keys = schema.partition_keys
    if not keys:
        return [EMPTY_ROW], np.zeros(0, np.int64)
    types = [schema.field(key).type for key in keys]
    codes = _distinct_codes([rows[key] for key in keys], rows.num_rows)
    distinct, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    examples = rows.select(list(keys)).take(pa.array(first))
    serialized = encode_rows([examples[key] for key in keys], types)
    assert len(serialized) == len(distinct)
    return [bytes(row) for row in serialized], inverse.astype(np.int64)


def _distinct_codes(columns: Sequence[pa.ChunkedArray], count: int) -> npt.NDArray[np.int64]:
    """A number for each row, equal for equal rows only; NULL is a value."""
    codes = np.zeros(count, np.int64)
    for column in columns:
        encoded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        indices = np.asarray(encoded.indices.to_numpy()).astype(np.int64)
        codes = np.unique(codes * (len(encoded.dictionary) + 1) + indices, return_inverse=True)[1].astype(np.int64)
    return codes
