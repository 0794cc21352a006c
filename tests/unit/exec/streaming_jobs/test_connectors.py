"""Jobs between tables of connectors and tables of the warehouse."""

import json
from pathlib import Path

import pytest

from tests.unit.exec.streaming_jobs.warehouse import contents, insert, make_table, plan
from tsdb.catalog.catalog import ConnectorTable
from tsdb.data_types import DataField, parse_type
from tsdb.errors import NotSupportedError
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO
from tsdb.metadata.schema import TableSchema
from tsdb.table.table import Identifier

EACH_STEP = {"execution.checkpointing.interval": "0 ms"}
ORDERS = {"id": "BIGINT NOT NULL", "customer": "STRING", "amount": "BIGINT"}
SUMS = {"customer": "STRING NOT NULL", "n": "BIGINT", "total": "BIGINT"}
GROUPED = "SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer"


def outside(name: str, columns: dict[str, str], key: tuple[str, ...], options: dict[str, str]) -> ConnectorTable:
    fields = tuple(DataField(i, column, parse_type(kind)) for i, (column, kind) in enumerate(columns.items()))
    schema = TableSchema(
        0, fields, partition_keys=(), primary_keys=key, options=options, highest_field_id=len(fields) - 1
    )
    return ConnectorTable(Identifier("db", name), schema)


def envelope(op: str, before: dict | None, after: dict | None) -> str:
    return json.dumps({"op": op, "before": before, "after": after}) + "\n"


def row(id: int, customer: str, amount: int) -> dict:
    return {"id": id, "customer": customer, "amount": amount}


def test_a_change_log_in_a_file_is_followed_into_a_table_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    options = {"connector": "filesystem", "path": str(path), "format": "debezium-json"}
    log = outside("orders", ORDERS, ("id",), options)
    target = make_table(tmp_path, "copy", ORDERS, ("id",))
    path.write_text(envelope("c", None, row(1, "ann", 10)) + envelope("c", None, row(2, "bob", 20)))
    for change, expected in (
        (envelope("u", row(1, "ann", 10), row(1, "ann", 11)), [(1, "ann", 11), (2, "bob", 20)]),
        (envelope("d", row(2, "bob", 20), None), [(1, "ann", 11)]),
    ):
        jobs = JobRegistry(LocalFileIO(), str(tmp_path))
        job = jobs.submit(plan("SELECT * FROM orders", log), target, "INSERT", "copy", options=EACH_STEP)
        job.checkpoint(20)
        with path.open("a") as file:
            file.write(change)
        job.checkpoint(20)
        assert contents(target) == expected
        jobs.close()


def test_a_sink_of_files_gets_every_change_once_and_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    insert(orders, ("+I", 1, "ann", 10), ("+I", 2, "bob", 20))
    out = tmp_path / "sums.json"
    options = {"connector": "filesystem", "path": str(out), "format": "json"}
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    with pytest.raises(NotSupportedError, match="can only take new rows"):
        jobs.submit(plan(GROUPED, orders), outside("sums", SUMS, (), options), "INSERT", "sums", options=EACH_STEP)
    changes = outside("sums", SUMS, ("customer",), options | {"format": "debezium-json"})
    job = jobs.submit(plan(GROUPED, orders), changes, "INSERT", "sums", options=EACH_STEP)
    job.checkpoint(20)
    insert(orders, ("+U", 1, "ann", 15))
    job.checkpoint(20)
    jobs.close()
    copy = make_table(tmp_path, "copy", SUMS, ("customer",))
    back = jobs.submit(plan("SELECT * FROM sums", changes), copy, "INSERT", "back", options=EACH_STEP)
    back.checkpoint(20)
    jobs.close()
    assert contents(copy) == [("ann", 1, 15), ("bob", 1, 20)]
    assert len(out.read_text().splitlines()) <= 4


def test_print_shows_net_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    insert(orders, ("+I", 1, "ann", 10))
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    target = outside("screen", SUMS, ("customer",), {"connector": "print"})
    job = jobs.submit(plan(GROUPED, orders), target, "INSERT", "screen", options=EACH_STEP)
    job.checkpoint(20)
    insert(orders, ("+U", 1, "ann", 15))
    job.checkpoint(20)
    jobs.close()
    assert capsys.readouterr().out.splitlines() == ["+I[ann, 1, 10]", "-U[ann, 1, 10]", "+U[ann, 1, 15]"]
