"""Filling the buckets of a partition: new keys go to the first bucket with room, then to new buckets.

Law: of two writers that start from the same counts and both place a new key, both touch the first bucket with room of
the key's lane, so that they cannot go unnoticed when both commit. Source: Paimon, `PartitionIndex.assign`.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from tsdb.errors import OptionError
from tsdb.options import TableOptions

BUCKETS_MAX = 1 << 15  # Paimon keeps a bucket in a signed 16-bit number


class BucketFill:
    """How many keys the buckets of one partition hold. counts: by bucket.

    With 'dynamic-bucket.initial-buckets' = n, bucket b belongs to lane b % n, and a key to lane |hash| % n, so that
    even few keys spread over n buckets.
    """

    def __init__(self, options: TableOptions, counts: Mapping[int, int]) -> None:
        most = options.integer("dynamic-bucket.max-buckets")
        self._rows_max = options.integer("dynamic-bucket.target-row-num")
        self._is_limited = most != -1
        self._buckets_max = BUCKETS_MAX if most == -1 else most
        self._lanes = min(options.integer("dynamic-bucket.initial-buckets", 1), self._buckets_max)
        self.counts = dict(counts)

    def place(self, hashes: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """The bucket of each new key. Raises OptionError when there are too many buckets."""
        spread = np.abs(hashes.astype(np.int64))
        if self._lanes == 1:
            return self._place(spread, 0)
        out = np.empty(len(hashes), np.int32)
        lanes = spread % self._lanes
        for lane in np.unique(lanes).tolist():
            rows = np.flatnonzero(lanes == lane)
            out[rows] = self._place(spread[rows], lane)
        return out

    def leave(self, buckets: npt.NDArray[np.int32]) -> None:
        """Keys that are no longer in these buckets, one a bucket."""
        for bucket, count in zip(*(part.tolist() for part in np.unique(buckets, return_counts=True)), strict=True):
            self.counts[bucket] -= count

    def _place(self, spread: npt.NDArray[np.int64], lane: int) -> npt.NDArray[np.int32]:
        chosen: list[int] = []
        sizes: list[int] = []
        left = len(spread)
        for bucket in self._candidates(lane):
            if left == 0:
                break
            taken = min(left, self._rows_max - self.counts.get(bucket, 0))
            if taken > 0:
                chosen.append(bucket)
                sizes.append(taken)
                self.counts[bucket] = self.counts.get(bucket, 0) + taken
                left -= taken
        placed = np.repeat(np.array(chosen, np.int32), np.array(sizes, np.int64))
        return placed if left == 0 else np.concatenate([placed, self._over(spread[len(placed) :])])

    def _candidates(self, lane: int) -> Iterator[int]:
        """The buckets of a lane that are there, then those that may be made."""
        yield from sorted(bucket for bucket in self.counts if bucket % self._lanes == lane)
        yield from (bucket for bucket in range(lane, self._buckets_max, self._lanes) if bucket not in self.counts)

    def _over(self, spread: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """All buckets are full: with 'dynamic-bucket.max-buckets' they take more than their share."""
        if not self._is_limited:
            raise OptionError(
                f"a partition would need more than {BUCKETS_MAX} buckets of {self._rows_max} keys; raise "
                f"'dynamic-bucket.target-row-num'"
            )
        there = np.array(sorted(self.counts), np.int32)
        buckets = there[spread % len(there)]
        for bucket, count in zip(*(part.tolist() for part in np.unique(buckets, return_counts=True)), strict=True):
            self.counts[bucket] += count
        return buckets
