"""Dynamic buckets: against a dictionary from key to bucket, and against the index that Paimon Java wrote."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsdb
from tests.unit.table.tables import make_table
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.errors import CommitConflict, CorruptFile, OptionError
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import hash_rows
from tsdb.options import TableOptions
from tsdb.table.bucket_fill import BucketFill
from tsdb.table.commit import Overwrite, commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.hash_index import PartitionIndex, read_hashes
from tsdb.table.index_change import index_entries
from tsdb.table.read import read_table
from tsdb.table.replay import commit_rows
from tsdb.table.scan import live_files, plan_scan
from tsdb.table.table import Identifier
from tsdb.table.write import TableWriter, discard

JAVA = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse"
DYNAMIC = {"bucket": "-1", "dynamic-bucket.target-row-num": "10"}


def a_table(tmp_path, **options):
    columns = {"p": "STRING NOT NULL", "k": "BIGINT NOT NULL", "v": "BIGINT"}
    return make_table(tmp_path, columns, ("p", "k"), ("p",), DYNAMIC | options)


def rows(keys, value, partition=lambda k: "ab"[k % 2]):
    keys = [int(k) for k in keys]
    return pa.table({"p": [partition(k) for k in keys], "k": pa.array(keys, pa.int64()), "v": [value] * len(keys)})


def insert(table, keys, value, *, user="u", overwrite=None):
    with TableWriter(table, user=user, overwrite=overwrite is not None) as writer:
        writer.write(rows(keys, value))
        messages = writer.prepare_commit()
    commit(table, messages, user=user, overwrite=overwrite)
    return messages


def state(table):
    found = read_table(table, plan_scan(table, table.latest_snapshot())).to_pylist()
    assert len({row["k"] for row in found}) == len(found), "a key has one row"
    return {row["k"]: row["v"] for row in found}


def indexed(table):
    """(partition, bucket, hash) of every entry of the hash index; each once."""
    found = Counter(
        (entry.partition, entry.bucket, int(h))
        for entry in index_entries(table, table.latest_snapshot())
        for h in read_hashes(table, entry.file)
    )
    assert set(found.values()) <= {1}
    return set(found)


def buckets_of_files(table):
    return {(e.partition, e.bucket) for e in live_files(table, table.latest_snapshot())}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=6),
    st.integers(1, 5), st.sampled_from([-1, 1, 3, 8]), st.integers(1, 3),
)  # fmt: skip
def test_a_hash_keeps_its_bucket_and_buckets_fill_up_in_order(batches, rows_max, most, lanes):
    options = TableOptions(
        {"dynamic-bucket.target-row-num": str(rows_max), "dynamic-bucket.max-buckets": str(most),
         "dynamic-bucket.initial-buckets": str(lanes)}
    )  # fmt: skip
    index, known = PartitionIndex(BucketFill(options, {}), {}), {}
    written = {}
    lanes = min(lanes, most) if most > 0 else lanes
    for batch in batches:
        hashes = np.array([h * 7919 - 200_000 for h in batch], np.int32)
        buckets = index.assign(hashes).tolist()
        written.update({bucket: set(part.tolist()) for bucket, part in index.take_changed().items()})
        for h, bucket in zip(hashes.tolist(), buckets, strict=True):
            assert known.setdefault(h, bucket) == bucket
        sizes = Counter(known.values())
        assert written == {bucket: {h for h, b in known.items() if b == bucket} for bucket in sizes}
        if most == -1:
            assert all(size <= rows_max for size in sizes.values())
            assert all(abs(h) % lanes == bucket % lanes for h, bucket in known.items())
            for bucket in sizes:
                lane = [sizes[b] for b in range(bucket % lanes, max(sizes) + 1, lanes) if b in sizes]
                assert all(size == rows_max for size in lane[:-1]), "another bucket is begun when the last is full"
        else:
            assert all(bucket < most for bucket in sizes)


def test_upserts_over_many_commits(tmp_path):
    table, rng, wanted, where = a_table(tmp_path), np.random.default_rng(0), {}, {}
    with TableWriter(table, user="job") as writer:
        for step in range(12):
            keys = rng.integers(0, 150, 40)
            if step % 4 == 3:  # somebody else writes between two commits of the job
                insert(table, keys, step, user=f"other {step}")
            else:
                writer.write(rows(keys, step))
                commit(table, writer.prepare_commit(), user="job", identifier=step)
            wanted |= dict.fromkeys(keys.tolist(), step)
            assert state(table) == wanted
            now = {(p, h): b for p, b, h in indexed(table)}
            assert where.items() <= now.items() and len(now) == len(wanted), "a key stays in its bucket"
            where = now
    assert {(p, b) for p, b, _ in indexed(table)} == buckets_of_files(table)
    assert all(size <= 10 for size in Counter((p, b) for p, b, _ in indexed(table)).values())


def test_overwriting_a_partition_starts_its_index_anew(tmp_path):
    table = a_table(tmp_path)
    insert(table, range(60), 1)
    before = indexed(table)
    insert(table, [2, 4, 100], 2, overwrite=Overwrite("dynamic"))
    assert state(table) == dict.fromkeys(range(1, 60, 2), 1) | {2: 2, 4: 2, 100: 2}
    after = indexed(table)
    assert len(after) == 33 and len(after - before) <= 3
    commit(table, [], user="u", overwrite=Overwrite({"p": "a"}))
    assert len(indexed(table)) == 30
    insert(table, [2, 7], 3)
    assert state(table) == dict.fromkeys(range(1, 60, 2), 1) | {2: 3, 7: 3}


def index_files_there_and_named(table):
    snapshots = [table.snapshots.snapshot(i) for i in table.snapshots.ids()]
    named = {table.paths.index(e.file.file_name) for s in snapshots for e in index_entries(table, s)}
    return {status.path for status in table.file_io.list_files(f"{table.path}/index")}, named


def commit_both(table, first, second, changes_between=lambda: None):
    """Two writers begin at once; why the second one's commit was refused and had to be made again, or None."""
    with TableWriter(table, user="one") as one, TableWriter(table, user="two") as two:
        one.write(rows(first, 1))
        two.write(rows(second, 2))
        commit(table, one.prepare_commit(compact=False), user="one")
        changes_between()
        messages = two.prepare_commit(compact=False)
        try:
            commit(table, messages, user="two")
        except CommitConflict as err:
            discard(table, messages)
            two.abort()
            two.write(rows(second, 2))  # once more, from the new state
            commit(table, two.prepare_commit(compact=False), user="two")
            return str(err)
    return None


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (range(0, 40, 3), "put a key of this commit into another bucket"),  # the other has put them elsewhere
        (range(100, 140), None),  # other keys
        (range(4), None),  # known keys
    ],
)
def test_of_two_writers_that_add_keys_at_once(tmp_path, second, message):
    table = a_table(tmp_path)
    insert(table, range(4), 0)
    refused = commit_both(table, range(30), second)
    assert (message is None) == (refused is None) and (message or "") in (refused or "")
    assert state(table) == dict.fromkeys(range(30), 1) | dict.fromkeys(second, 2)
    there, named = index_files_there_and_named(table)
    assert there == named, "nothing of a lost commit remains"


@pytest.mark.parametrize("lanes", ["1", "3"])
def test_two_writers_of_any_keys(tmp_path, lanes):
    table, rng, wanted = a_table(tmp_path, **{"dynamic-bucket.initial-buckets": lanes}), np.random.default_rng(5), {}
    outcomes = []
    for _ in range(12):
        first, second = (rng.integers(0, 400, int(rng.integers(1, 25))) for _ in "12")
        outcomes.append(commit_both(table, first, second) is None)
        wanted |= dict.fromkeys(first.tolist(), 1) | dict.fromkeys(second.tolist(), 2)
        assert state(table) == wanted
        assert len({(p, h) for p, _, h in indexed(table)}) == len(wanted) == len(indexed(table))
    assert any(outcomes)


def test_a_job_and_statements_at_once(tmp_path):
    table, rng, wanted = a_table(tmp_path), np.random.default_rng(7), {}
    with TableWriter(table, user="job") as job:
        for step in range(10):
            mine, others = rng.integers(0, 120, 30), rng.integers(0, 120, 30)
            job.write(rows(mine, step))
            messages = [CommitMessage.from_json(m.to_json()) for m in job.prepare_commit()]
            overwrite = Overwrite("dynamic") if step % 4 == 3 else None
            insert(table, others, 100 + step, user=f"other {step}", overwrite=overwrite)
            if overwrite is not None:
                gone = {k % 2 for k in others.tolist()}
                wanted = {k: v for k, v in wanted.items() if k % 2 not in gone}
            wanted |= dict.fromkeys(others.tolist(), 100 + step)
            for _ in "12":  # the second time it is there already
                commit_rows(table, messages, user="job", identifier=step)
            wanted |= dict.fromkeys(mine.tolist(), step)
            now = state(table)
            # of rows of a key that were written at once either may stay, as in any table
            wanted |= {k: now[k] for k in {*mine.tolist(), *others.tolist()} if now.get(k) in (step, 100 + step)}
            assert now == wanted
            assert len({(p, h) for p, _, h in indexed(table)}) == len(wanted) == len(indexed(table))
    there, named = index_files_there_and_named(table)
    assert there == named


def test_rows_for_a_partition_that_was_overwritten_are_refused(tmp_path):
    table = a_table(tmp_path)
    insert(table, range(20), 0)
    overwrite = lambda: insert(table, [2, 300], 9, user="o", overwrite=Overwrite("dynamic"))  # noqa: E731
    assert "has overwritten rows" in commit_both(table, [1], [4, 2], overwrite)
    assert state(table) == dict.fromkeys(range(1, 20, 2), 0) | {1: 1, 2: 2, 4: 2, 300: 9}
    assert len(indexed(table)) == len(state(table))


def test_two_writers_of_known_keys_both_win(tmp_path):
    table = a_table(tmp_path)
    insert(table, range(20), 0)
    with TableWriter(table, user="one") as one, TableWriter(table, user="two") as two:
        one.write(rows(range(10), 1))
        two.write(rows(range(10, 20), 2))
        commit(table, one.prepare_commit(compact=False), user="one")
        commit(table, two.prepare_commit(compact=False), user="two")
    assert state(table) == dict.fromkeys(range(10), 1) | dict.fromkeys(range(10, 20), 2)


def test_an_aborted_writer_leaves_nothing(tmp_path):
    table = a_table(tmp_path)
    with TableWriter(table, user="u") as writer:
        writer.write(rows(range(20), 1))
        writer.abort()
        writer.write(rows(range(3), 2))
        commit(table, writer.prepare_commit(), user="u")
    assert state(table) == dict.fromkeys(range(3), 2) and len(indexed(table)) == 3


def test_too_many_buckets(tmp_path):
    fill = BucketFill(TableOptions({"dynamic-bucket.target-row-num": "1"}), dict.fromkeys(range(32768), 1))
    with pytest.raises(OptionError, match=r"raise 'dynamic-bucket\.target-row-num'"):
        fill.place(np.array([5]))


def test_a_cut_index_file_is_named(tmp_path):
    table = a_table(tmp_path)
    insert(table, range(4), 0)
    entry = index_entries(table, table.latest_snapshot())[0]
    path = Path(table.paths.index(entry.file.file_name))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=entry.file.file_name):
        insert(table, range(8), 1)
    path.unlink()
    with pytest.raises(CorruptFile, match="is missing"):
        insert(table, range(8), 1)
    assert state(table) == dict.fromkeys(range(4), 0), "the table is readable all the same"


def test_the_index_of_paimon_java_goes_on(tmp_path):
    warehouse = tmp_path / "w"
    shutil.copytree(JAVA / "db.db" / "dyn", warehouse / "db.db" / "dyn")
    table = FileSystemCatalog(LocalFileIO(), str(warehouse)).get_table(Identifier("db", "dyn"))
    java = indexed(table)
    hashes = hash_rows([pa.array(range(10), pa.int32())], [table.schema.field("k").type]).tolist()
    assert {h for _, _, h in java} == set(hashes) and {b for _, b, _ in java} == {0, 1}
    with tsdb.connect(warehouse) as con:
        con.execute("INSERT INTO db.dyn SELECT value, 'ours' FROM generate_series(8, 12) AS g(value)")
        con.execute("DELETE FROM db.dyn WHERE k = 1")
        kept = [(0, "v0"), *((k, f"v{k}") for k in range(2, 8)), *((k, "ours") for k in range(8, 13))]
        assert sorted(con.execute("SELECT k, v FROM db.dyn").fetchall()) == kept
    assert java < indexed(table) and {b for _, b, _ in indexed(table) - java} == {2}
