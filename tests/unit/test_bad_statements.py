"""Wrong statements of every kind: each error has a place in the user's text, a code, and no words of the libraries."""

import re
from collections.abc import Iterator

import pytest

import tsdb

SETUP = """
CREATE TABLE t (id INT, k STRING, v DOUBLE, ts TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED);
INSERT INTO t VALUES (1, 'a', 1.5, TIMESTAMP '2024-01-01 00:00:00'), (2, 'b', 2.5, NULL);
CREATE TABLE u (id INT, name STRING, amount DECIMAL(10, 2));
CREATE TABLE p (dt STRING, id INT, v INT, PRIMARY KEY (dt, id) NOT ENFORCED) PARTITIONED BY (dt);
CREATE TABLE st (s ROW<k INT, n STRING>, id INT, arr ARRAY<INT>);
INSERT INTO st VALUES (ROW(1, 'q'), 1, ARRAY[1, 2, 3]);
CREATE VIEW vw AS SELECT k, sum(v) AS total FROM t GROUP BY k
"""

LEAKED = re.compile(
    r"datafusion|sqlglot|pyarrow|arrow error|traceback|utf8|int(32|64)|float64|optimizer|Some\(|\w+Error\(|"
    r"logical expression|ident \{",
    re.IGNORECASE,
)

BAD = """
SELEC 1
SELECT
SELECT 1 +
SELECT (1
SELECT 1)
SELECT 'abc
SELECT "abc
SELECT /* abc
SELECT id FRM t
SELECT id FROM
SELECT id FROM t WHER id = 1
SELECT id FROM t GROUP id
SELECT id FROM t ORDER id
SELECT id, FROM t
SELECT id FROM t WHERE
SELECT id FROM t LIMIT x
SELECT id FROM t LIMIT -1
SELECT id FROM t LIMIT 'a'
SELECT id FROM t OFFSET -1
SELECT nope FROM t
SELECT t.nope FROM t
SELECT x.id FROM t
SELECT id FROM nope
SELECT id FROM nope.t
SELECT id FROM nope.nope.t
SELECT id FROM a.b.c.d
SELECT idd FROM t
SELECT id FROM t, u
SELECT id FROM t JOIN u ON t.id = u.idd
SELECT foo(id) FROM t
SELECT abss(id) FROM t
SELECT abs() FROM t
SELECT abs('a') FROM t
SELECT abs(id, id) FROM t
SELECT count(DISTINCT) FROM t
SELECT regexp_extract(k, '(') FROM t
SELECT printf()
SELECT instr('a')
SELECT instr('a', 'b', 1, 0)
SELECT substr(id) FROM t
SELECT upper(1, 2)
SELECT sum(k) FROM t
SELECT sum(sum(id)) FROM t
SELECT id, sum(v) FROM t
SELECT sum(v) FROM t WHERE sum(v) > 1
SELECT k FROM t GROUP BY id
SELECT id FROM t HAVING id > 1
SELECT id FROM t GROUP BY 5
SELECT id FROM t ORDER BY 5
SELECT 1 + 'a'
SELECT 'a' + 'b'
SELECT id + k FROM t
SELECT id || 1 FROM t
SELECT NOT id FROM t
SELECT id AND TRUE FROM t
SELECT id FROM t WHERE k
SELECT id FROM t WHERE id = 'x'
SELECT id FROM t WHERE id LIKE 5
SELECT id FROM t WHERE ts = 'x'
SELECT id FROM t WHERE ts > 5
SELECT COALESCE(id, 'a') FROM t
SELECT CAST(k AS INT) FROM t
SELECT CAST(id AS NOPE) FROM t
SELECT CAST(id AS) FROM t
SELECT CAST('2024-13-01' AS DATE)
SELECT DATE '2024-13-01'
SELECT TIMESTAMP 'x'
SELECT INTERVAL 'x' DAY
SELECT INTERVAL '1' NOPE
SELECT 1/0
SELECT id/0 FROM t
SELECT 5 % 0
SELECT CAST(300 AS TINYINT)
SELECT CAST(1e10 AS INT)
SELECT CAST('1.5' AS INT)
SELECT CAST(123456 AS DECIMAL(3,1))
SELECT sqrt('x')
SELECT id FROM t UNION SELECT id, k FROM t
SELECT id FROM t UNION SELECT arr FROM st
SELECT * FROM (SELECT id FROM t) x JOIN y ON 1=1
SELECT (SELECT id FROM t)
SELECT (SELECT id, k FROM t LIMIT 1)
SELECT id IN (SELECT id, k FROM t) FROM t
SELECT row_number() FROM t
SELECT row_number() OVER (ORDER BY nope) FROM t
SELECT lag(id) FROM t
SELECT sum(id) OVER (ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING) FROM t
SELECT sum(id) OVER w FROM t
SELECT arr['a'] FROM st
SELECT s.nope FROM st
SELECT s['nope'] FROM st
SELECT id.x FROM t
SELECT unnest(id) FROM t
SELECT * FROM unnest(5)
SELECT * FROM nofunc(1)
SELECT * FROM generate_series('a')
SELECT * FROM t WHERE EXISTS (SELECT nope FROM u)
SELECT * FROM t JOIN u USING (nope)
WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a
WITH a(x, y) AS (SELECT 1) SELECT * FROM a
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT nope FROM r) SELECT * FROM r
SELECT * FROM t VERSION AS OF 'nope'
SELECT * FROM t FOR SYSTEM_TIME AS OF 'x'
SELECT * FROM t$nope
SELECT * FROM '/nope.parquet'
SELECT * FROM read_csv('/nope.csv')
SELECT * FROM t /*+ OPTIONS('nope'='1') */
SELECT * FROM t TABLESAMPLE SYSTEM (10) REPEATABLE (1)
VALUES (1), (1, 2)
VALUES (1), ('a')
INSERT INTO t VALUES (1)
INSERT INTO t (id, nope) VALUES (1, 2)
INSERT INTO t (id, id) VALUES (1, 2)
INSERT INTO t VALUES ('x', 'a', 1, NULL)
INSERT INTO t VALUES (NULL, 'a', 1, NULL)
INSERT INTO t SELECT id, k, v, 'x' FROM t
INSERT INTO t SELECT CAST(k AS INT), k, v, ts FROM t
INSERT INTO nope VALUES (1)
INSERT INTO u VALUES (99999999999, 'a', 1)
INSERT INTO u VALUES (1, 'a', 99999999999.5)
INSERT INTO p PARTITION (nope='x') VALUES (1, 2)
UPDATE t SET nope = 1
UPDATE t SET id = 5
UPDATE t SET v = 'x'
UPDATE t SET v = nope
UPDATE t SET v = CAST(k AS DOUBLE)
UPDATE nope SET a = 1
DELETE FROM t WHERE nope = 1
DELETE FROM nope
MERGE INTO t USING u ON t.id = u.nope WHEN MATCHED THEN DELETE
CREATE TABLE t (a INT)
CREATE TABLE y (a INT, a INT)
CREATE TABLE y (a NOPE)
CREATE TABLE y (a INT, PRIMARY KEY (b) NOT ENFORCED)
CREATE TABLE y (a INT) PARTITIONED BY (b)
CREATE TABLE y (a INT) WITH ('nope' = '1')
CREATE TABLE y (a INT) WITH ('bucket' = 'x')
CREATE TABLE y (a INT DEFAULT 'x')
CREATE TABLE y (a DECIMAL(50, 2))
CREATE TABLE y (a VARCHAR(-1))
CREATE TABLE y AS SELECT nope FROM t
CREATE TABLE y (a) AS SELECT 1, 2
CREATE VIEW y AS SELECT nope FROM t
CREATE VIEW t AS SELECT 1
DROP TABLE nope
DROP VIEW t
DROP VIEW nope
DROP DATABASE nope
DROP DATABASE default
ALTER TABLE t DROP nope
ALTER TABLE t DROP id
ALTER TABLE t RENAME nope TO x
ALTER TABLE t ADD k INT
ALTER TABLE t SET ('nope'='1')
ALTER TABLE nope ADD x INT
USE nope
SET 'execution.mod' = 'batch'
SET 'execution.mode' = 'x'
CALL sys.nope()
CALL sys.compact()
CALL sys.compact('nope')
CALL sys.compact(nope => 1)
CALL sys.rollback_to('t', 'x')
SHOW NOPE
SHOW CREATE TABLE nope
DESCRIBE nope
EXPLAIN SELECT nope FROM t
COPY nope TO 'x.csv'
COPY t TO 'x.nope'
COPY u FROM '/nope.csv'
TRUNCATE nope
DROP JOB nope
SELECT * FROM information_schema.tabels
SELECT regexp_like('a', '(')
SELECT date_trunc('nope', ts) FROM t
SELECT extract(nope FROM ts) FROM t
SELECT json_value('{}', 'a b')
SELECT array_transform(arr, 5) FROM st
SELECT array_transform(arr, x -> nope) FROM st
SELECT ARRAY[1, 'a']
SELECT MAP['a']
SELECT from_base64('!!')
SELECT decode('zz', 'hex')
SELECT nullif(1)
SELECT greatest()
SELECT least()
SELECT split_index('a', ',', 'x')
SELECT split_index('a', ',', 1.5)
SELECT count(*, 1) FROM t
SELECT max(*) FROM t
SELECT * FROM (SELECT 1 AS a, 2 AS a) x WHERE a = 1
SELECT id FROM t WHERE id = ALL (1)
SELECT id FROM t WHERE (id, k) IN ((1, 'a', 2))
SELECT id FROM t WHERE id BETWEEN 1
SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(nope), INTERVAL '1' DAY)
SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(id), INTERVAL '1' DAY)
SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts))
SELECT * FROM TUMBLE(TABLE nope, DESCRIPTOR(ts), INTERVAL '1' DAY)
""".strip().split("\n")


@pytest.fixture(scope="module")
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as con:
        con.execute(SETUP)
        yield con


@pytest.mark.parametrize("sql", BAD)
def test_the_error_has_a_place_and_is_in_our_words(con: tsdb.Connection, sql: str) -> None:
    with pytest.raises(tsdb.Error) as caught:
        cursor = con.execute(sql)
        if cursor.description:
            cursor.fetchall()
    error = caught.value
    assert error.code and not isinstance(error, tsdb.InternalError)
    assert not LEAKED.search(error.message), error.message
    assert error.position is not None and error.position.line == 1
    assert error.position.text == sql and 1 <= error.position.column <= len(sql) + 1


PLACED = {
    "INSERT INTO u VALUES (1, 'a', 2), (2, 'b', 'x')": "'x'",
    "INSERT INTO u VALUES (1, 'a', 2), (99999999999, 'b', 3)": "99999999999",
    "INSERT INTO u SELECT 'a', k, 1 FROM t": "'a'",
    "INSERT INTO u (name, id) SELECT id, id FROM t": "id, id FROM",
    "INSERT INTO u VALUES (1, 'a', 2), (2, 'b')": "2, 'b'",
    "SELECT k, count(*) FROM t GROUP BY k HAVING v > 1": "v > 1",
    "SELECT sum(count(*)) FROM t": "sum",
    "SELECT t.id FROM t LEFT JOIN u": "u",
    "SELECT id FROM t LIMIT id": "id",
    "SELECT DISTINCT id FROM t ORDER BY v": "v",
    "SELECT date_trunc('foo', ts) FROM t": "'foo'",
    "SELECT k, substr(k) FROM t": "substr",
    "SELECT id.x FROM t": "id.x",
    "WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a": "a AS (SELECT 1)",
    "SELECT COUNT(DISTINCT *) FROM t": "*) FROM",
    "SELECT id, ntile(0) OVER (ORDER BY id) FROM t": "ntile",
}


@pytest.mark.parametrize("sql", PLACED)
def test_the_error_points_at_what_is_wrong(con: tsdb.Connection, sql: str) -> None:
    with pytest.raises(tsdb.Error) as raised:
        con.execute(sql).fetchall()
    assert raised.value.position is not None
    assert sql[raised.value.position.column - 1 :].startswith(PLACED[sql]), raised.value
    assert len(raised.value.message) < 200, raised.value


def test_an_error_of_a_stream_points_at_it_too(con: tsdb.Connection) -> None:
    con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
    try:
        with pytest.raises(tsdb.DataError, match="column 16: a subquery that stands for one value gave 2 rows"):
            con.execute("SELECT (SELECT id FROM t) FROM u").fetchall()
    finally:
        con.execute("RESET 'execution.mode'; RESET 'scan.bounded.mode'")


def test_an_error_inside_a_view_points_at_the_view() -> None:
    with tsdb.connect() as con:
        con.execute(
            "CREATE TABLE a (id INT, s STRING); CREATE VIEW v AS SELECT s FROM a; CREATE VIEW w AS SELECT s FROM v"
        )
        con.execute("ALTER TABLE a DROP s")
        with pytest.raises(tsdb.Error, match="column 15: in view `w`: column `s` does not exist"):
            con.execute("SELECT * FROM w")
        con.execute("DROP TABLE a")
        with pytest.raises(tsdb.Error, match=r"column 15: in view `w`: table .*`? does not exist"):
            con.execute("SELECT s FROM w")
