"""Tables that Flink wrote read as Flink itself read them: every snapshot, by id, time and tag, and the streams."""

import base64
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.fs.local import LocalFileIO
from tsdb.table.read import read_table
from tsdb.table.refs import resolve_snapshot
from tsdb.table.scan import plan_scan
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.table import Identifier

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
EXPECTED = FIXTURES / "flink-expected"
CATALOG = FileSystemCatalog(LocalFileIO(), str(FIXTURES / "flink-warehouse"))
FEATURES = {
    "orders": "primary-key tables",
    "orders_lookup": "changelog producer `lookup`",
    "events": "append tables",
    "grown": "schema evolution",
    "types": "all types as columns",
    "seen": "merge engine `first-row`",
    "profile": "merge engine `partial-update`",
    "totals": "merge engine `aggregation`",
}


def cases(mode):
    tables = json.loads((EXPECTED / "manifest.json").read_text())["tables"]
    for table in tables:
        for expected in table["expected"]:
            if expected["mode"] == mode and "GROUP BY" not in expected["query"]:
                name, file = table["table"], expected["file"]
                marks = pytest.mark.judged(FEATURES[name], "Flink", "is read")
                yield pytest.param(name, file, id=file.removesuffix(".json"), marks=marks)


def options_of(query):
    if "OPTIONS(" not in query:
        return {}
    pairs = query.split("OPTIONS(")[1].split(")")[0].replace("'", "").split(",")
    return dict(pair.split("=") for pair in pairs)


def nanos(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = (dt.datetime.fromisoformat(whole) - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1)
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def canonical(value, kind):
    """The value of the expected file as what `plain` makes of ours."""
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return nanos(value)
    if pa.types.is_floating(kind):
        return np.float32(value) if pa.types.is_float32(kind) else float(value)
    if pa.types.is_decimal(kind):
        return Decimal(str(value))
    if pa.types.is_binary(kind):
        return base64.b64decode(value)
    if pa.types.is_date(kind):
        return dt.date.fromisoformat(value)
    if pa.types.is_time(kind):
        return dt.time.fromisoformat(value)
    if pa.types.is_struct(kind):
        return tuple(canonical(value[field.name], field.type) for field in kind)
    if pa.types.is_map(kind):
        return tuple(sorted((k, canonical(v, kind.item_type)) for k, v in value.items()))
    if pa.types.is_list(kind):
        return tuple(canonical(v, kind.value_type) for v in value)
    return value


def plain(scalar):
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind):
        return scalar.value * {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
    if pa.types.is_float32(kind):
        return np.float32(scalar.as_py())
    if pa.types.is_struct(kind):
        return tuple(plain(scalar[i]) for i in range(len(kind)))
    if pa.types.is_map(kind):
        return tuple(sorted((item["key"].as_py(), plain(item["value"])) for item in scalar.values))
    if pa.types.is_list(kind):
        return tuple(plain(v) for v in scalar.values)
    return scalar.as_py()


def rows_of(rows):
    return [tuple(plain(column[i]) for column in rows.columns) for i in range(rows.num_rows)]


@pytest.mark.parametrize(("name", "file"), list(cases("batch")))
def test_batch(name, file):
    expected = json.loads((EXPECTED / file).read_text())
    table = CATALOG.get_table(Identifier("fx", name))
    options = options_of(expected["query"])
    snapshot = resolve_snapshot(table, options)
    plan = plan_scan(table, snapshot)
    columns = [column["name"] for column in expected["columns"]]
    rows = read_table(table, plan, columns)
    kinds = [field.type for field in rows.schema]
    wanted = [tuple(map(canonical, row, kinds)) for row in expected["rows"]]
    assert sorted(rows_of(rows), key=repr) == sorted(wanted, key=repr)


@pytest.mark.parametrize(("name", "file"), list(cases("streaming")))
def test_stream(name, file):
    expected = json.loads((EXPECTED / file).read_text())
    table = CATALOG.get_table(Identifier("fx", name))
    scan = StreamScan(table, options_of(expected["query"]))
    kinds = [field.type for field in table.schema.arrow_schema]
    symbols = ["INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE"]
    got = []
    while (plan := scan.plan()) is not None:
        for batch, row_kinds in read_changes(table, plan):
            got += [(symbols[kind], row) for kind, row in zip(row_kinds, rows_of(batch), strict=True)]
    wanted = [(row["kind"], tuple(map(canonical, row["fields"], kinds))) for row in expected["rows"]]
    # Flink interleaves buckets; for one key the order is that of the changes
    key = [table.schema.names.index(k) for k in table.schema.primary_keys]

    def by_key(rows):
        return sorted(rows, key=lambda row: [row[1][i] for i in key])

    assert by_key(got) == by_key(wanted)
    assert scan.changelog_mode == "all"
