"""Options of the format json, under the names that Flink gives them."""

from pathlib import Path

import pytest

import tsdb


def test_json_options_as_flink_names_them(tmp_path: Path) -> None:
    with tsdb.connect() as con:
        path = tmp_path / "out.json"
        options = f"'connector' = 'filesystem', 'path' = '{path}', 'format' = 'json'"
        written = "'json.timestamp-format.standard' = 'SQL', 'json.encode.ignore-null-fields' = 'true'"
        more = "'json.encode.decimal-as-plain-number' = 'true', 'json.map-null-key.mode' = 'DROP'"
        columns = "id INT, ts TIMESTAMP(3), z TIMESTAMP_LTZ(3), d DECIMAL(10, 8), v STRING"
        con.execute(f"CREATE TABLE t ({columns}) WITH ({options}, {written}, {more})")
        stamp = "TIMESTAMP '2024-01-02 03:04:05.678'"
        con.execute(f"INSERT INTO t VALUES (1, {stamp}, {stamp}, 0.00000001, 'T'), (NULL, NULL, NULL, NULL, NULL)")
        assert path.read_text().splitlines() == [
            '{"id":1,"ts":"2024-01-02 03:04:05.678","z":"2024-01-02 03:04:05.678Z","d":0.00000001,"v":"T"}',
            "{}",
        ]
        rows = con.execute("SELECT id, v FROM t").fetchall()
        assert rows == [(1, "T"), (None, None)]
        strict = "/*+ OPTIONS('json.fail-on-missing-field' = 'true') */"
        with pytest.raises(tsdb.DataError, match=r"line 2: column `id` is absent"):
            con.execute(f"SELECT * FROM t {strict}").fetchall()
        both = "/*+ OPTIONS('json.fail-on-missing-field' = 'true', 'json.ignore-parse-errors' = 'true') */"
        with pytest.raises(tsdb.ProgrammingError, match="not both"):
            con.execute(f"SELECT * FROM t {both}").fetchall()
