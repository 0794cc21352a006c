"""The rows of the storage benchmarks: (id bigint, name string, a bigint, b double), as an Arrow file both sides map."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.side import CACHE

BATCH = 1_000_000


def arrow_file(rows: int, *, keys: int, seed: int) -> Path:
    """A file of `rows` rows with ids below `keys`: each once and shuffled when keys == rows, else drawn at random."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"rows-{rows}-{keys}-{seed}.arrow"
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    ids = rng.permutation(rows) if keys == rows else rng.permutation(keys)[:rows]
    schema = pa.schema([("id", pa.int64()), ("name", pa.string()), ("a", pa.int64()), ("b", pa.float64())])
    unfinished = path.with_suffix(".tmp")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for at in range(0, rows, BATCH):
            some = ids[at : at + BATCH].astype(np.int64)
            name = pa.array(rng.integers(0, 100_000, len(some))).cast(pa.string())
            a = rng.integers(0, 1000, len(some))
            writer.write(
                pa.record_batch([pa.array(some), name, pa.array(a), pa.array(rng.random(len(some)))], schema=schema)
            )
    unfinished.rename(path)
    return path
