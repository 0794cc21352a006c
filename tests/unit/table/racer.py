"""One process of a race: racer.py ROLE WAREHOUSE SECONDS. It changes the table `t` (p, k, n) until the time is over.

Every commit of every role leaves the sum of `n` at 0, in each partition, so a reader that sees half a commit, or one
that is lost or done twice, sees another sum. Prints how many commits it made and how many it lost to another writer.
"""

import random
import sys
import time

import pyarrow as pa

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.errors import CommitConflict
from tsdb.fs.local import LocalFileIO
from tsdb.table.changelog import Retention
from tsdb.table.compact import compact
from tsdb.table.expire import expire_snapshots
from tsdb.table.replay import commit_rows
from tsdb.table.table import Identifier
from tsdb.table.write import TableWriter

KEYS = 20
KEPT_MS = 3_000


def table_of(warehouse):
    table = FileSystemCatalog(LocalFileIO(), warehouse).get_table(Identifier("default", "t"))
    return table.with_options({"commit.max-retries": "200"})


class Writer:
    """Moves amounts between its own keys, which nobody else writes; every third commit is handed in twice."""

    def __init__(self, warehouse, name):
        self.table, self.name, self.identifier = table_of(warehouse), name, 0
        self.writer = TableWriter(self.table, user=name)
        self.amounts = [0] * KEYS

    def step(self, rng):
        source, target = rng.sample(range(KEYS), 2)
        self.amounts[source] -= 7
        self.amounts[target] += 7
        keys = [source, target]
        self.identifier += 1
        self.writer.write(
            pa.table(
                {
                    "p": [self.name] * 2,
                    "k": pa.array(keys, pa.int32()),
                    "n": pa.array([self.amounts[key] for key in keys], pa.int64()),
                }
            )
        )
        messages = self.writer.prepare_commit()
        for _ in range(2 if self.identifier % 3 == 0 else 1):
            assert commit_rows(self.table, messages, user=self.name, identifier=self.identifier) is not None


class Compactor:
    def __init__(self, warehouse, name):
        self.table, self.name = table_of(warehouse), name

    def step(self, rng):
        compact(self.table, full=rng.random() < 0.3, user=self.name)


class Overwriter:
    """Replaces a whole partition, or empties it."""

    def __init__(self, warehouse, name):
        self.connection = tsdb.connect(warehouse)

    def step(self, rng):
        keys = rng.sample(range(KEYS), 4)
        rows = ", ".join(f"({key}, {n})" for key, n in zip(keys, (5, -5, 9, -9), strict=True))
        where = "" if rng.random() < 0.8 else " WHERE false"
        self.connection.execute(
            f"INSERT OVERWRITE t PARTITION (p = 'replaced') SELECT k, n FROM (VALUES {rows}) AS v (k, n){where}"
        )


class Deleter:
    """Adds pairs that cancel each other, and takes some of them away again."""

    def __init__(self, warehouse, name):
        self.connection = tsdb.connect(warehouse)

    def step(self, rng):
        pair = rng.randrange(KEYS // 2)
        if rng.random() < 0.5:
            n = rng.randrange(1, 100)
            self.connection.execute(f"INSERT INTO t VALUES ('pairs', {2 * pair}, {n}), ('pairs', {2 * pair + 1}, {-n})")
        else:
            self.connection.execute(f"DELETE FROM t WHERE p = 'pairs' AND k IN ({2 * pair}, {2 * pair + 1})")


class Expirer:
    """Keeps what a reader may still need."""

    def __init__(self, warehouse, name):
        self.table = table_of(warehouse)

    def step(self, rng):
        expire_snapshots(self.table, Retention(1, 2**31, int(time.time() * 1000) - KEPT_MS, 50))
        time.sleep(0.2)


ROLES = {"writer": Writer, "compactor": Compactor, "overwriter": Overwriter, "deleter": Deleter, "expirer": Expirer}


def main():
    name, warehouse, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    rng = random.Random(name)
    racer = ROLES[name.split("-")[0]](warehouse, name)
    print("ready", flush=True)
    sys.stdin.readline()
    made = lost = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            racer.step(rng)
            made += 1
        except CommitConflict:
            lost += 1
    print(made, lost, flush=True)


if __name__ == "__main__":
    main()
