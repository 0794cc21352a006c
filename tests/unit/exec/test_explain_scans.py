"""EXPLAIN says what is read: partitions, buckets, files, rows, bytes; and of which statements."""

import pytest

import tsdb


def test_what_a_scan_reads_is_counted() -> None:
    with tsdb.connect() as con:
        con.execute(
            "CREATE TABLE p (d STRING, k INT, PRIMARY KEY (d, k) NOT ENFORCED) PARTITIONED BY (d) WITH ('bucket' = '2')"
        )
        con.execute("INSERT INTO p VALUES ('a', 1), ('a', 2), ('a', 3), ('b', 1)")
        (size,) = con.execute("SELECT sum(file_size_in_bytes) FROM p$files WHERE partition LIKE '%a%'").fetchone() or ()
        ((plan,),) = con.execute("EXPLAIN SELECT k FROM p WHERE d = 'a'").fetchall()
        assert f"partitions 1 (d=a), buckets 2, rows 3, bytes {size}, raw" in plan
        assert "files 2 of 2" in plan
        ((plan,),) = con.execute("EXPLAIN DELETE FROM p AS x WHERE x.d = 'b'").fetchall()
        assert "partitions 1 (d=b), buckets 1, rows 1" in plan
        con.execute("INSERT INTO p VALUES ('a', 1)")
        ((plan,),) = con.execute("EXPLAIN UPDATE p SET k = 1 WHERE d = 'a'").fetchall()
        assert "1 of 2 splits merged on read" in plan
        with pytest.raises(tsdb.NotSupportedError, match="EXPLAIN is for"):
            con.execute("EXPLAIN DROP TABLE p")
