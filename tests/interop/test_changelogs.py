"""Changelogs that compactions write by comparing: Paimon Java and tsdb write the same ones, and read each other's."""

from pathlib import Path
from typing import Any

import pytest
from judge import PaimonJava, in_order, plain_rows

import tsdb

DDL = "CREATE TABLE {} (k INT, v STRING, n INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1', {})"
ENGINES = {
    "deduplicate": "'merge-engine' = 'deduplicate'",
    "row-deduplicate": "'merge-engine' = 'deduplicate', 'changelog-producer.row-deduplicate' = 'true'",
    "sequence": "'merge-engine' = 'deduplicate', 'sequence.field' = 'n'",
    "sum": "'merge-engine' = 'aggregation', 'fields.n.aggregate-function' = 'sum'",
    "partial": "'merge-engine' = 'partial-update'",
    "first-row": "'merge-engine' = 'first-row'",
}
COMMITS: tuple[list[list[Any]], ...] = (
    [["+I", 1, "a", 1], ["+I", 2, "b", 2], ["+I", 3, None, 3]],
    [["+I", 1, "a2", 5], ["+I", 1, "a3", 4], ["+I", 4, "d", 1]],
    [["-D", 2, "b", 2]],
    [["+I", 1, None, 5], ["+I", 3, "c", 2]],
    [["+I", 2, "again", 9], ["-D", 4, "d", 1]],
    [["+I", 2, "again", 9]],
)


class Pair:
    """Two tables with the same commits: `mine` is written here, `theirs` by Paimon Java, each as `turn` says."""

    def __init__(self, con: tsdb.Connection, warehouse: Path, java: PaimonJava, options: str, deletes: bool) -> None:
        self.con, self.warehouse, self.java, self.deletes = con, warehouse, java, deletes
        for name in ("mine", "theirs"):
            con.execute(DDL.format(name, options))

    def commit(self, number: int, *, swapped: bool = False, compact: bool = False) -> None:
        """The same rows into both; swapped: Java goes on with our table and we with Java's. compact: fully, too."""
        rows = [row for row in COMMITS[number] if self.deletes or row[0] == "+I"]
        here, there = ("theirs", "mine") if swapped else ("mine", "theirs")
        inserts = [row[1:] for row in rows if row[0] == "+I"]
        gone = [str(row[1]) for row in rows if row[0] == "-D"]
        # one commit each, so that a commit with deletions has only those, or comes after
        for part in ([row for row in rows if row[0] == "+I"], [row for row in rows if row[0] == "-D"]):
            if part:
                identifier = number * 2 + (part[0][0] == "-D") + 1
                self.java.write(self.warehouse, f"default.{there}", part, identifier=identifier)
        if inserts:
            self.con.executemany(f"INSERT INTO {here} VALUES (?, ?, ?)", inserts)
        if gone:
            self.con.execute(f"DELETE FROM {here} WHERE k IN ({', '.join(gone)})")
        if compact:
            self.con.execute(f"CALL sys.compact('{here}')")
            self.java.compact(self.warehouse, f"default.{there}")

    def changes(self, name: str) -> list[list[list[Any]]]:
        """The changes of each snapshot that has any; Java and tsdb read them alike."""
        last = self.con.execute(f"SELECT max(snapshot_id) FROM `{name}$snapshots`").fetchall()[0][0]
        found = []
        for number in range(1, last):
            options = {"incremental-between": f"{number},{number + 1}", "incremental-between-scan-mode": "changelog"}
            hint = ", ".join(f"'{key}' = '{value}'" for key, value in options.items())
            ours = self.con.execute(f"SELECT * FROM `{name}$audit_log` /*+ OPTIONS({hint}) */").fetchall()
            java = self.java.read(self.warehouse, f"default.{name}$audit_log", **options)
            assert in_order(plain_rows(ours)) == in_order(java), (name, number)
            if java:
                found.append(in_order(java))
        return found


@pytest.mark.parametrize(
    ("producer", "engine"),
    [
        pytest.param(
            producer,
            engine,
            marks=pytest.mark.judged(f"changelog producer `{producer}`", "Paimon Java", "reads", "writes"),
        )
        for producer in ("lookup", "full-compaction")
        for engine in ENGINES
        if (producer, engine) != ("full-compaction", "first-row")
    ],
)
def test_the_same_commits_have_the_same_changelog(producer: str, engine: str, tmp_path: Path, java: PaimonJava) -> None:
    with tsdb.connect(tmp_path) as con:
        options = f"'changelog-producer' = '{producer}', {ENGINES[engine]}"
        pair = Pair(con, tmp_path, java, options, engine in ("deduplicate", "row-deduplicate"))
        for number in range(len(COMMITS)):
            pair.commit(number, swapped=number >= 3, compact=producer == "full-compaction")
        mine, theirs = pair.changes("mine"), pair.changes("theirs")
        assert mine == theirs
        assert mine
