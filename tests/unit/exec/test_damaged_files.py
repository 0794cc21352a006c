"""Every kind of file of a table, gone or damaged in several ways: an error that names it, or the right rows."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tsdb

TABLES = {
    "keyed": "(k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('changelog-producer' = 'input')",
    "append": "(k INT, v STRING)",
    "vectors": "(k INT, v STRING) WITH ('deletion-vectors.enabled' = 'true')",
    "dynamic": "(k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '-1')",
    "orc": "(k INT, v STRING) WITH ('file.format' = 'orc')",
    "avro": "(k INT, v STRING) WITH ('file.format' = 'avro')",
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "junk": lambda data: bytes((i * 7 + 13) & 255 for i in range(len(data))),
    "empty": lambda data: b"",
}
HINTS = ("EARLIEST", "LATEST")
FILES = ("schema-0", "snapshot-.*", "LATEST", "EARLIEST", "manifest-list-.*", "manifest-[0-9a-f].*", "data-.*")
CASES = [
    *((table, name, how) for table in TABLES for name in FILES for how in ("gone", *DAMAGES)),
    *(("vectors", name, how) for name in ("index-manifest-.*", "index-[0-9a-f].*") for how in ("gone", *DAMAGES)),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse: Path = tmp_path_factory.mktemp("made")
    with tsdb.connect(warehouse) as con:
        for table, ddl in TABLES.items():
            con.execute(f"CREATE TABLE {table} {ddl}")
            con.execute(f"INSERT INTO {table} VALUES (1, 'x'), (2, 'y')")
            con.execute(f"INSERT INTO {table} VALUES (3, 'z')")
        con.execute("DELETE FROM vectors WHERE k = 1")
    return warehouse


def rows(warehouse: Path, table: str) -> list[tuple[int, str]]:
    with tsdb.connect(warehouse) as con:
        return sorted(con.execute(f"SELECT k, v FROM {table}").fetchall())


@pytest.mark.parametrize(("table", "name", "how"), CASES, ids=["-".join(case) for case in CASES])
def test_a_damaged_file_is_named(table: str, name: str, how: str, made: Path, tmp_path: Path) -> None:
    wanted = rows(made, table)
    files = sorted(p for p in (made / "default.db" / table).rglob("*") if re.fullmatch(name, p.name))
    assert files
    found = []
    for i, original in enumerate(files):
        warehouse = tmp_path / str(i)  # another place each time: what never changes is remembered by its path
        shutil.copytree(made / "default.db" / table, warehouse / "default.db" / table)
        path = warehouse / original.relative_to(made)
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(DAMAGES[how](path.read_bytes()))
        try:
            got = rows(warehouse, table)
            # without its newest snapshot the table is as it was before that: so it is after a rollback, too
            assert got == wanted or (path.name.startswith("snapshot-") and how == "gone")
        except tsdb.Error as err:
            if not (name == "schema-0" and how == "gone"):  # a directory without a schema is no table
                assert isinstance(err, tsdb.OperationalError) and path.name in str(err)
            found.append(path.name)
    assert found or name in HINTS or (name == "snapshot-.*" and how == "gone")


def test_a_failed_write_leaves_nothing(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "default.db" / "keyed", tmp_path / "default.db" / "keyed")
    before = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    statements = [
        "INSERT INTO keyed VALUES (4, 'a'), (NULL, 'b')",
        "INSERT INTO keyed (v) VALUES ('b')",
        "INSERT INTO keyed VALUES (5000000000, 'b')",
        "INSERT INTO keyed SELECT k, v, 1 FROM keyed",
        "INSERT INTO keyed SELECT CAST(v AS INT), v FROM keyed",
        "ALTER TABLE keyed SET ('bukket' = '2')",
        "ALTER TABLE keyed ADD COLUMN n INT, ADD COLUMN n INT",
        "CREATE TABLE other (k INT) WITH ('file.format' = 'csv')",
    ]
    with tsdb.connect(tmp_path) as con:
        for statement in statements:
            with pytest.raises(tsdb.Error):
                con.execute(statement)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == before
    assert rows(tmp_path, "keyed") == [(1, "x"), (2, "y"), (3, "z")]
