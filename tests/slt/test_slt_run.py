"""The runner takes other people's files as they are: labels, hashes, one value a line, values between spaces."""

from pathlib import Path

import pytest
from slt_run import Mismatch, count_file, run_file

CLASSIC = """hash-threshold 8

statement ok
CREATE TABLE t1(a INTEGER, b INTEGER, c VARCHAR(10))

statement ok
INSERT INTO t1 VALUES(1, 2, 'one'), (3, NULL, ''), (5, 6, 'x y')

onlyif mysql # aggregate syntax
query I rowsort label-0
SELECT nonsense

skipif mysql # not compatible
skipif postgresql
query ITR rowsort label-0
SELECT a, c, b FROM t1
----
1
one
2.000
3
(empty)
NULL
5
x y
6.000

skipif mysql
skipif tsdb
query I nosort
SELECT nonsense

query I nosort # the letters say number, the column is text
SELECT c FROM t1 ORDER BY a
----
0
0
0

query II valuesort
SELECT a, b FROM t1 WHERE b IS NOT NULL
----
1
2
5
6

query III nosort big
SELECT a, a + 1, a + 2 FROM t1 ORDER BY a
----
9 values hashing to d83c7f428308fa8ba4596a8f817eb69d

query IIT rowsort
SELECT a, b, c FROM t1 WHERE a <> 3
----
1 2 one
5 6 x y

onlyif mssql
halt

statement error
SELECT nonsense

onlyif tsdb
halt

query I nosort
SELECT nonsense
----
1
"""


def test_a_file_of_another_runner(tmp_path: Path) -> None:
    path = tmp_path / "classic.test"
    path.write_text(CLASSIC)
    assert run_file(path, engine="tsdb").queries == 5


def test_labels_are_another_engines(tmp_path: Path) -> None:
    path = tmp_path / "labels.test"
    path.write_text("skipif other\nquery I\nSELECT 1\n----\n2\n\nonlyif Other\nquery I\nSELECT 1\n----\n1\n")
    assert run_file(path, engine="other").queries == 1
    with pytest.raises(Mismatch):
        run_file(path)


def test_failures_are_counted_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "bad.test"
    path.write_text("query I\nSELECT 1\n----\n2\n\nquery I\nSELECT nonsense\n----\n2\n\nquery I\nSELECT 1\n----\n1\n")
    runner = count_file(path, mirror=False)
    assert (runner.queries, len(runner.failures or [])) == (3, 2)


@pytest.mark.parametrize("digest", ["0" * 32, "f" * 32])
def test_a_wrong_hash_is_a_mismatch(tmp_path: Path, digest: str) -> None:
    path = tmp_path / "hash.test"
    path.write_text(f"query I nosort\nSELECT 1\n----\n1 values hashing to {digest}\n")
    with pytest.raises(Mismatch):
        run_file(path)
