"""Which partition and bucket each row belongs to, for all rows at once.

A bucket is a function of the bucket key where a table has a number of buckets; tables without buckets have only bucket
0. Where an index decides (dynamic buckets, cross-partition upsert) or a later compaction (postponed buckets), see
`assigner`. Source: Paimon, `FixedBucketRowKeyExtractor`, `DefaultBucketFunction`, `ModBucketFunction`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.metadata.binary_row import bucket_of, encode_rows, hash_rows
from tsdb.metadata.data_file import EMPTY_ROW
from tsdb.metadata.hive_hash import hive_bucket_of
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

Codes = npt.NDArray[np.int64]
Buckets = npt.NDArray[np.int32]


class BucketMode(Enum):
    """fixed: 'bucket' = n > 0, a row's bucket is a function of its bucket key; unaware: an append table with only
    bucket 0; dynamic: a hash index knows the bucket of each key of a partition; cross-partition: the primary key lacks
    a partition column, so an index knows also the partition of each key; postponed: buckets are chosen by a compaction.
    """

    FIXED = "fixed"
    UNAWARE = "unaware"
    DYNAMIC = "dynamic"
    CROSS_PARTITION = "cross-partition"
    POSTPONED = "postponed"


@dataclass(frozen=True, slots=True)
class Placement:
    """buckets: the distinct (serialized partition, bucket) of some rows; codes[i]: the index in `buckets` of row i."""

    buckets: tuple[tuple[bytes, int], ...]
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PartitionCodes:
    """partitions: the distinct serialized partitions of some rows; codes[i]: the index in `partitions` of row i;
    first[p]: a row of partition p.
    """

    partitions: tuple[bytes, ...]
    codes: Codes
    first: Codes


def bucket_mode(schema: TableSchema, options: TableOptions) -> BucketMode:
    """How the table distributes rows."""
    if options.bucket > 0:
        return BucketMode.FIXED
    if options.bucket == -2:
        return BucketMode.POSTPONED
    if not schema.primary_keys:
        return BucketMode.UNAWARE
    return BucketMode.CROSS_PARTITION if is_cross_partition(schema) else BucketMode.DYNAMIC


def is_cross_partition(schema: TableSchema) -> bool:
    """Whether the rows of one primary key may come in different partitions."""
    return bool(schema.primary_keys) and not set(schema.partition_keys) <= set(schema.primary_keys)


def fixed_buckets(rows: pa.Table, schema: TableSchema, options: TableOptions, count: int) -> Buckets:
    """The bucket of each row among `count` buckets."""
    if count == 1:
        return np.zeros(rows.num_rows, np.int32)
    keys = schema.bucket_keys
    function = options.get("bucket-function.type", "default")
    columns, types = [rows[key] for key in keys], [schema.field(key).type for key in keys]
    if function == "mod":
        return np.asarray(np.mod(columns[0].cast(pa.int64()).to_numpy(), count)).astype(np.int32)
    if function == "hive":
        return hive_bucket_of(columns, types, count)
    return bucket_of(hash_rows(columns, types), count)


def placement(parted: PartitionCodes, buckets: Buckets) -> Placement:
    """The rows whose partitions and buckets these are."""
    partitions = parted.partitions
    if len(partitions) == 1:
        present = np.flatnonzero(np.bincount(buckets)) if len(buckets) else np.empty(0, np.int64)
        if len(present) == 0:
            return Placement((), buckets)
        index = np.zeros(int(present[-1]) + 1, np.int32)
        index[present] = np.arange(len(present))
        return Placement(tuple((partitions[0], int(b)) for b in present), index[buckets])
    width = int(buckets.max(initial=0)) + 1
    pairs = parted.codes * width + buckets
    first, codes = _numbered(pairs, len(partitions) * width)
    places = tuple((partitions[code // width], code % width) for code in pairs[first].tolist())
    return Placement(places, codes.astype(np.int32))


def partition_codes(rows: pa.Table, schema: TableSchema) -> PartitionCodes:
    """The partition of each row."""
    keys = schema.partition_keys
    if not keys:
        return PartitionCodes((EMPTY_ROW,), np.zeros(rows.num_rows, np.int64), np.zeros(1, np.int64))
    types = [schema.field(key).type for key in keys]
    first, inverse = _distinct_codes([rows[key] for key in keys], rows.num_rows)
    examples = rows.select(list(keys)).take(pa.array(first))
    serialized = encode_rows([examples[key] for key in keys], types)
    assert len(serialized) == len(first)
    return PartitionCodes(tuple(bytes(row) for row in serialized), inverse, first)


def _distinct_codes(columns: Sequence[pa.ChunkedArray], count: int) -> tuple[Codes, Codes]:
    """The first of the rows that are equal, for each such group, and the group of each row; NULL is a value."""
    first, codes = np.zeros(min(count, 1), np.int64), np.zeros(count, np.int64)
    for column in columns:
        encoded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        indices = np.asarray(encoded.indices.to_numpy()).astype(np.int64)
        width = len(encoded.dictionary) + 1
        first, codes = _numbered(codes * width + indices, len(first) * width)
    return first, codes


def _numbered(codes: Codes, span: int) -> tuple[Codes, Codes]:
    """The first place of each distinct code, by code, and the number of each place's code. span: codes are below."""
    if span > max(1024, 4 * len(codes)):
        _, first, numbers = np.unique(codes, return_index=True, return_inverse=True)
        return first.astype(np.int64), numbers.astype(np.int64)
    places = np.full(span, -1, np.int64)
    places[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # where a code comes again, the last written stays
    present = np.flatnonzero(places >= 0)
    number_of = np.empty(span, np.int64)
    number_of[present] = np.arange(len(present))
    return places[present], number_of[codes]
