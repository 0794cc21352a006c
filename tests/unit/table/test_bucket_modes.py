"""Who chooses the bucket makes no difference to what a table holds: the same statements with each 'bucket'."""

import itertools

import pytest

import tsdb

ENGINES = {
    "deduplicate": "",
    "sequence": ", 'sequence.field' = 's'",
    "partial-update": ", 'merge-engine' = 'partial-update'",
    "aggregation": ", 'merge-engine' = 'aggregation', 'fields.v.aggregate-function' = 'sum'",
    "first-row": ", 'merge-engine' = 'first-row'",
    "vectors": ", 'deletion-vectors.enabled' = 'true'",
}
PRODUCERS = ["none", "input", "lookup", "full-compaction"]
BUCKETS = {
    "one": "'bucket' = '1'",
    "dynamic": "'bucket' = '-1', 'dynamic-bucket.target-row-num' = '4'",
    "postponed": "'bucket' = '-2', 'postpone.default-bucket-num' = '3'",
    "three": "'bucket' = '3'",
}
CASES = [
    (engine, producer)
    for engine, producer in itertools.product(ENGINES, PRODUCERS)
    if producer == "none" or engine in ("deduplicate", "vectors" if producer == "lookup" else "aggregation")
]
STREAMS = [("deduplicate", producer) for producer in PRODUCERS] + [("aggregation", "lookup"), ("vectors", "lookup")]
FOLLOWED = ("dynamic", "postponed")


@pytest.mark.parametrize(("engine", "producer"), CASES)
def test_the_same_statements(tmp_path, engine, producer):
    with tsdb.connect(tmp_path) as con:
        streams = {}
        for name, bucket in BUCKETS.items():
            con.execute(
                f"CREATE TABLE {name} (p STRING, k INT, v BIGINT, s INT, PRIMARY KEY (p, k) NOT ENFORCED) "
                f"PARTITIONED BY (p) WITH ({bucket}, 'changelog-producer' = '{producer}'{ENGINES[engine]})"
            )
            if name in FOLLOWED and (engine, producer) in STREAMS:
                con.execute("SET 'execution.mode' = 'streaming'")
                streams[name] = con.execute(f"SELECT * FROM {name}")
                con.execute("SET 'execution.mode' = 'batch'")
        changes = ["DELETE FROM {t} WHERE k % 5 = 1", "UPDATE {t} SET v = v + 1 WHERE k > 8"]
        statements = [
            "INSERT INTO {t} SELECT 'a', value, value, value % 3 FROM generate_series(0, 12) AS g(value)",
            "INSERT INTO {t} SELECT CASE WHEN value % 2 = 0 THEN 'a' ELSE 'b' END, value, 2 * value, 1 "
            "FROM generate_series(5, 20) AS g(value)",
            *(changes if engine in ("deduplicate", "sequence", "vectors") else []),
            "INSERT INTO {t} VALUES ('a', 1, 100, 0), ('b', 2, 200, 9), ('b', 2, 201, 8)",
            "INSERT OVERWRITE {t} PARTITION (p = 'b') SELECT k, v, s FROM {t} WHERE p = 'a' AND k < 9",
            "INSERT INTO {t} VALUES ('b', 1, 7, 9), ('c', 1, 8, 0)",
        ]
        for statement in statements:
            for name in BUCKETS:
                con.execute(statement.format(t=name))
                con.execute(f"CALL sys.compact('default.{name}')")
            states = {name: sorted(con.execute(f"SELECT * FROM {name}").fetchall()) for name in BUCKETS}
            assert states["one"]
            for name, state in states.items():
                assert state == states["one"], (name, statement)
        for name, stream in streams.items():
            live = []
            while sorted(live) != states[name]:
                part = stream.poll(10)
                assert part.num_rows, (name, live)
                for row in part.to_pylist():
                    op, values = row.pop("op"), tuple(row.values())
                    live.append(values) if op in ("+I", "+U") else live.remove(values)
            stream.close()


@pytest.mark.parametrize("producer", PRODUCERS)
@pytest.mark.parametrize("more", ["", ENGINES["vectors"]])
def test_a_key_that_moves_is_as_in_a_table_without_partitions(tmp_path, producer, more):
    """With `deduplicate` a partition column that is not in the primary key is a column like any other."""
    if more and producer not in ("none", "lookup"):
        return
    with tsdb.connect(tmp_path) as con:
        columns = "(p STRING, k INT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)"
        options = f"'changelog-producer' = '{producer}'{more}"
        con.execute(f"CREATE TABLE plain {columns} WITH ({options})")
        con.execute(
            f"CREATE TABLE moving {columns} PARTITIONED BY (p) WITH ({options}, 'dynamic-bucket.target-row-num' = '4')"
        )
        con.execute("SET 'execution.mode' = 'streaming'")
        stream = con.execute("SELECT * FROM moving")
        con.execute("SET 'execution.mode' = 'batch'")
        for statement in (
            "INSERT INTO {t} SELECT 'a', value, value FROM generate_series(0, 12) AS g(value)",
            "INSERT INTO {t} VALUES ('b', 1, 10), ('c', 1, 11), ('a', 2, 12), ('b', 3, 13), ('a', 3, 14), (NULL, 9, 0)",
            "UPDATE {t} SET p = 'c', v = v + 1 WHERE k % 2 = 0",
            "DELETE FROM {t} WHERE k IN (4, 5)",
            "INSERT INTO {t} VALUES ('b', 4, 40), ('a', 6, 60), ('a', 20, 1)",
            "UPDATE {t} SET p = NULL WHERE p = 'a'",
        ):
            for name in ("plain", "moving"):
                con.execute(statement.format(t=name))
                con.execute(f"CALL sys.compact('default.{name}')")
            plain, moving = (sorted(con.execute(f"SELECT * FROM {t}").fetchall(), key=str) for t in ("plain", "moving"))
            assert moving == plain, statement
        live = []
        while sorted(live, key=str) != moving:
            part = stream.poll(10)
            assert part.num_rows, live
            for row in part.to_pylist():
                op, values = row.pop("op"), tuple(row.values())
                live.append(values) if op in ("+I", "+U") else live.remove(values)
        stream.close()
