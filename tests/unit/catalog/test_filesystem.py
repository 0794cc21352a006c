"""The catalog of a warehouse directory: names, what is refused at CREATE, and changes of schema."""

import json
import os

import pyarrow as pa
import pytest

from tsdb.catalog.catalog import ConnectorTable
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.data_types import DataField, parse_type
from tsdb.errors import (
    AlreadyExists,
    ColumnNotFound,
    CorruptFile,
    DatabaseNotFound,
    NotSupportedError,
    OptionError,
    ProgrammingError,
    TableNotFound,
    WarehouseError,
)
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.schema import TableSchema
from tsdb.table.commit import commit
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.schema_change import (
    AddColumn,
    DropColumn,
    ModifyColumn,
    RenameColumn,
    ResetOptions,
    SetComment,
    SetOptions,
)
from tsdb.table.table import Identifier, Table
from tsdb.table.write import TableWriter

T = Identifier("default", "t")


@pytest.fixture
def catalog(tmp_path):
    return FileSystemCatalog(LocalFileIO(), str(tmp_path))


def draft(columns=None, primary_keys=(), partition_keys=(), **options):
    columns = columns or {"k": "INT", "v": "STRING"}
    fields = tuple(DataField(0, name, parse_type(kind)) for name, kind in columns.items())
    return TableSchema(0, fields, tuple(partition_keys), tuple(primary_keys), options)


def test_databases(catalog):
    assert catalog.list_databases() == ["default"]
    catalog.create_database("db")
    catalog.create_database("db", if_not_exists=True)
    with pytest.raises(AlreadyExists, match="database `db` already exists"):
        catalog.create_database("db")
    catalog.create_table(Identifier("db", "t"), draft())
    with pytest.raises(ProgrammingError, match="has 1 tables"):
        catalog.drop_database("db")
    catalog.drop_database("db", cascade=True)
    catalog.drop_database("db", if_exists=True)
    with pytest.raises(DatabaseNotFound, match=r"database `defaul` not found\. Did you mean `default`"):
        catalog.list_tables("defaul")
    assert catalog.list_databases() == ["default"]


def test_create_fills_in_what_is_needed(catalog, tmp_path):
    columns = {"k": "INT", "r": {"type": "ROW", "fields": [{"id": 0, "name": "x", "type": "INT"}]}, "v": "STRING"}
    table = catalog.create_table(T, draft(columns, ["k"]))
    assert isinstance(table, Table) and table.options.bucket == 1
    assert [(f.id, f.name, f.type.sql()) for f in table.schema.fields] == [
        (0, "k", "INT NOT NULL"), (1, "r", "ROW<`x` INT>"), (3, "v", "STRING"),
    ]  # fmt: skip
    assert table.schema.fields[1].type.fields[0].id == 2 and table.schema.highest_field_id == 3
    stored = json.loads((tmp_path / "default.db" / "t" / "schema" / "schema-0").read_text())
    assert stored["options"] == {"bucket": "1"} and stored["primaryKeys"] == ["k"]
    assert catalog.create_table(Identifier("default", "a"), draft()).options.bucket == -1
    assert catalog.list_tables("default") == ["a", "t"]


def test_keys_may_be_options(catalog):
    options = {"primary-key": "p,k", "partition": "p"}
    table = catalog.create_table(T, draft({"p": "STRING", "k": "INT"}, **options))
    assert (table.schema.primary_keys, table.schema.partition_keys) == (("p", "k"), ("p",))
    assert dict(table.schema.options) == {"bucket": "1"}


def test_names(catalog):
    catalog.create_table(Identifier("default", "Orders"), draft())
    assert catalog.get_table(Identifier("DEFAULT", "orders")).identifier == Identifier("default", "Orders")
    with pytest.raises(TableNotFound, match=r"table `order` not found in database `default`\. Did you mean `Orders`"):
        catalog.get_table(Identifier("default", "order"))
    with pytest.raises(AlreadyExists, match=r"default\.Orders"):
        catalog.create_table(Identifier("default", "Orders"), draft())
    assert catalog.create_table(Identifier("default", "Orders"), draft(), if_not_exists=True)
    for name in ("a/b", " ", "t$snapshots", ".hidden", "_connector"):
        with pytest.raises(ProgrammingError, match="cannot be the name of a table"):
            catalog.create_table(Identifier("default", name), draft())


def test_dropping_and_renaming(catalog, tmp_path):
    catalog.create_table(T, draft())
    catalog.create_table(Identifier("default", "u"), draft())
    with pytest.raises(AlreadyExists):
        catalog.rename_table(T, Identifier("default", "u"))
    catalog.rename_table(T, Identifier("default", "w"))
    assert catalog.list_tables("default") == ["u", "w"]
    catalog.drop_table(Identifier("default", "w"))
    assert not (tmp_path / "default.db" / "w").exists()
    catalog.drop_table(Identifier("default", "w"), if_exists=True)
    with pytest.raises(TableNotFound):
        catalog.drop_table(Identifier("default", "w"))


def test_connector_tables(catalog, tmp_path):
    options = {"connector": "filesystem", "path": "x", "format": "json"}
    made = catalog.create_table(T, draft(primary_keys=["k"], **options))
    assert isinstance(made, ConnectorTable) and made.options == options and made.schema.primary_keys == ("k",)
    assert (tmp_path / "default.db" / "_connector" / "t.json").exists()
    assert catalog.list_tables("default") == ["t"]
    with pytest.raises(AlreadyExists):
        catalog.create_table(T, draft())
    assert made.with_options({"path": "y"}).options["path"] == "y"
    assert catalog.alter_table(T, [SetOptions({"path": "z"})]).options["path"] == "z"
    catalog.rename_table(T, Identifier("default", "u"))
    catalog.drop_table(Identifier("default", "u"))
    assert catalog.list_tables("default") == []


VECTORS = {"deletion-vectors.enabled": "true"}
REFUSED = [
    (OptionError, r"unknown option 'buckt'\. Did you mean `bucket`", {}, (), (), {"buckt": "1"}),
    (OptionError, "'bucket' is a whole number", {}, (), (), {"bucket": "x"}),
    (OptionError, "'bucket' = '0' is no number of buckets", {}, ("k",), (), {"bucket": "0"}),
    (OptionError, "'bucket' = '-2' .postponed. needs one", {}, (), (), {"bucket": "-2"}),
    (OptionError, "'bucket-key' .* needs 'bucket' = 'n'", {}, ("k",), (), {"bucket": "-1", "bucket-key": "k"}),
    (OptionError, "'dynamic-bucket.max-buckets' = '0'", {}, ("k",), (), {"dynamic-bucket.max-buckets": "0"}),
    (OptionError, "'dynamic-bucket.target-row-num' = '0'", {}, ("k",), (), {"dynamic-bucket.target-row-num": "0"}),
    (OptionError, "'sequence.field' cannot order", {}, ("k",), ("v",), {"sequence.field": "k"}),
    (OptionError, "needs one bucket key", {}, ("v",), (), {"bucket": "2", "bucket-function.type": "mod"}),
    (OptionError, "needs a 'bucket-key'", {}, (), (), {"bucket": "2"}),
    (OptionError, "'bucket-key': `v` is not in the primary key", {}, ("k",), (), {"bucket-key": "v"}),
    (
        ColumnNotFound,
        "'bucket-key': table `default.t` has no column `x`",
        {},
        (),
        (),
        {"bucket": "2", "bucket-key": "x"},
    ),
    (
        OptionError,
        "'changelog-producer' = 'none' or 'lookup', not 'input'",
        {},
        ("k",),
        (),
        {"merge-engine": "first-row", "changelog-producer": "input"},
    ),
    (
        OptionError,
        "there is no such function. Did you mean `sum`",
        {},
        ("k",),
        (),
        {"merge-engine": "aggregation", "fields.v.aggregate-function": "summ"},
    ),
    (
        OptionError,
        "STRING, which 'sum' does not take",
        {"k": "INT", "s": "STRING"},
        ("k",),
        (),
        {"merge-engine": "aggregation", "fields.s.aggregate-function": "sum"},
    ),
    (
        OptionError,
        r"BINARY\(8\), which 'rbm64' does not take",
        {"k": "INT", "b": "BINARY(8)"},
        ("k",),
        (),
        {"merge-engine": "aggregation", "fields.b.aggregate-function": "rbm64"},
    ),
    (
        ColumnNotFound,
        "no column `vv`. Did you mean `v`",
        {},
        ("k",),
        (),
        {"merge-engine": "aggregation", "fields.vv.aggregate-function": "sum"},
    ),
    (
        OptionError,
        "unknown option 'fields.v.agregate-function'. Did you mean `aggregate-function`",
        {},
        ("k",),
        (),
        {"merge-engine": "aggregation", "fields.v.agregate-function": "sum"},
    ),
    (
        OptionError,
        "has no effect with 'merge-engine' = 'deduplicate'",
        {},
        ("k",),
        (),
        {"fields.v.aggregate-function": "sum"},
    ),
    (
        OptionError,
        "is in no sequence group",
        {},
        ("k",),
        (),
        {"merge-engine": "partial-update", "fields.v.aggregate-function": "max"},
    ),
    (
        OptionError,
        "column `k` is part of the primary key",
        {},
        ("k",),
        (),
        {"merge-engine": "partial-update", "fields.k.sequence-group": "v"},
    ),
    (
        OptionError,
        "is in 'fields.g.sequence-group' already",
        {"k": "INT", "v": "INT", "g": "INT"},
        ("k",),
        (),
        {"merge-engine": "partial-update", "fields.g.sequence-group": "v", "fields.v.sequence-group": ""},
    ),
    (
        OptionError,
        "'ignore-delete' and 'partial-update.remove-record-on-delete' contradict",
        {},
        ("k",),
        (),
        {"merge-engine": "partial-update", "ignore-delete": "true", "partial-update.remove-record-on-delete": "true"},
    ),
    (OptionError, "'merge-engine' needs a PRIMARY KEY", {}, (), (), {"merge-engine": "aggregation"}),
    (OptionError, "'merge-engine' is one of", {}, ("k",), (), {"merge-engine": "dedup"}),
    (ColumnNotFound, "PRIMARY KEY: table `default.t` has no column `kk`", {}, ("kk",), (), {}),
    (ColumnNotFound, "PARTITIONED BY: table `default.t` has no column `p`", {}, (), ("p",), {}),
    (OptionError, "partition column `v` .* is not in its primary key", {}, ("k",), ("v",), {"bucket": "2"}),
    (ProgrammingError, "needs a column that is no partition column", {}, ("k",), ("k",), {}),
    (ProgrammingError, "`a` is ARRAY<INT>", {"a": {"type": "ARRAY", "element": "INT"}}, ("a",), (), {}),
    (ProgrammingError, "`_KEY_k` cannot be the name of a column", {"_KEY_k": "INT"}, (), (), {}),
    (ColumnNotFound, "'sequence.field'", {}, ("k",), (), {"sequence.field": "ts"}),
    (OptionError, "'rowkind.field' `k` is INT", {}, ("k",), (), {"rowkind.field": "k"}),
    (OptionError, "full-compaction", {}, ("k",), (), {**VECTORS, "changelog-producer": "full-compaction"}),
    (NotSupportedError, "cannot be compressed with 'lz5'", {}, (), (), {"file.compression": "lz5"}),
    (NotSupportedError, "format 'csv' cannot be written", {}, (), (), {"file.format.per.level": "0:csv"}),
    (OptionError, "list such as '0:avro", {}, (), (), {"file.format.per.level": "avro"}),
    (NotSupportedError, "six digits", {"k": "TIMESTAMP(9)"}, (), (), {"file.format": "avro"}),
    (OptionError, "inside the table's", {"k": "INT"}, (), (), {"data-file.path-directory": "a/../../b"}),
    (OptionError, "has no partitions", {"k": "INT"}, (), (), {"partition.expiration-time": "1 d"}),
    (NotSupportedError, "the catalog says where", {"k": "INT"}, (), (), {"path": "/tmp/x"}),
    (NotSupportedError, "only be of type", {"k": "INT"}, (), (), {"type": "format-table"}),
    (OptionError, "'truncate", {}, (), (), {"fields.k.stats-mode": "some"}),
    (
        NotSupportedError,
        "'hive' with a bucket key of type DECIMAL",
        {"d": "DECIMAL(9, 2)"},
        (),
        (),
        {"bucket": "2", "bucket-key": "d", "bucket-function.type": "hive"},
    ),
]


@pytest.mark.parametrize(("error", "message", "columns", "pk", "part", "options"), REFUSED, ids=lambda v: None)
def test_refused_at_create(catalog, error, message, columns, pk, part, options):
    with pytest.raises(error, match=message):
        catalog.create_table(T, draft(columns, pk, part, **options))
    assert catalog.list_tables("default") == []


def write(table, rows):
    with TableWriter(table, user="u") as writer:
        writer.write(rows)
        commit(table, writer.prepare_commit(), user="u")


def contents(catalog):
    table = catalog.get_table(T)
    return read_table(table, plan_scan(table, table.latest_snapshot())).sort_by("k").to_pylist()


def test_columns_come_go_and_change(catalog):
    table = catalog.create_table(T, draft({"k": "INT", "a": "INT", "b": "STRING"}, ["k"]))
    write(table, pa.table({"k": pa.array([1, 2], pa.int32()), "a": pa.array([10, None], pa.int32()), "b": ["x", "y"]}))
    table = catalog.alter_table(
        T,
        [
            AddColumn("c", parse_type("DOUBLE"), comment="new", after="k"),
            RenameColumn("b", "label"),
            ModifyColumn("a", type=parse_type("BIGINT")),
        ],
    )
    assert table.schema.id == 1 and table.schema.names == ("k", "c", "a", "label")
    assert contents(catalog)[0] == {"k": 1, "c": None, "a": 10, "label": "x"}
    big = pa.table({"k": pa.array([2], pa.int32()), "c": [0.5], "a": [2**40], "label": ["z"]})
    write(table, big)
    assert contents(catalog)[1] == {"k": 2, "c": 0.5, "a": 2**40, "label": "z"}
    catalog.alter_table(T, [DropColumn("label"), AddColumn("label", parse_type("STRING"))])
    assert [row["label"] for row in contents(catalog)] == [None, None], "a dropped column's values do not come back"
    catalog.alter_table(T, [DropColumn("nothing", if_exists=True), SetComment("c")])
    assert catalog.get_table(T).schema.comment == "c"


def test_options_change(catalog):
    catalog.create_table(T, draft(primary_keys=["k"]))
    table = catalog.alter_table(T, [SetOptions({"write-only": "true"})])
    assert table.options.write_only and table.schema.id == 1
    assert not catalog.alter_table(T, [ResetOptions(("write-only",))]).options.write_only
    assert catalog.alter_table(T, [ResetOptions(("write-only",))]).schema.id == 2, "no change is no version"


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (AlreadyExists, "already has a column `v`", AddColumn("v", parse_type("INT"))),
        (NotSupportedError, "cannot be added .* as NOT NULL", AddColumn("n", parse_type("INT NOT NULL"))),
        (ColumnNotFound, r"has no column `vv`\. Did you mean `v`", DropColumn("vv")),
        (NotSupportedError, "`k` .* is one of the primary key and cannot be dropped", DropColumn("k")),
        (NotSupportedError, "`k` .* cannot be changed in type", ModifyColumn("k", type=parse_type("BIGINT"))),
        (NotSupportedError, "cannot become BYTES", ModifyColumn("i", type=parse_type("BYTES"))),
        (NotSupportedError, "cannot become NOT NULL", ModifyColumn("v", nullable=False)),
        (NotSupportedError, "used by 'sequence.field'", DropColumn("s")),
        (OptionError, "'bucket' cannot be changed", SetOptions({"bucket": "-1"})),
        (OptionError, "unknown option", SetOptions({"buckets": "5"})),
        (OptionError, "is for CREATE TABLE", SetOptions({"primary-key": "v"})),
        (OptionError, "has no partitions", SetOptions({"partition.expiration-time": "1 d"})),
        (AlreadyExists, "already has a column `k`", RenameColumn("v", "k")),
    ],
)
def test_refused_changes(catalog, error, message, change):
    columns = {"k": "INT", "v": "STRING", "i": "INT", "s": "INT"}
    catalog.create_table(T, draft(columns, ["k"], **{"sequence.field": "s"}))
    with pytest.raises(error, match=message):
        catalog.alter_table(T, [change])
    assert catalog.get_table(T).schema.id == 0


def test_a_renamed_key_is_still_the_key(catalog):
    table = catalog.create_table(T, draft(primary_keys=["k"], **{"bucket": "3", "bucket-key": "k"}))
    write(table, pa.table({"k": pa.array([1, 2, 3], pa.int32()), "v": ["a", "b", "c"]}))
    table = catalog.alter_table(T, [RenameColumn("k", "key")])
    assert table.schema.primary_keys == ("key",) and table.options.bucket_key == ("key",)
    write(table, pa.table({"key": pa.array([2], pa.int32()), "v": ["B"]}))
    rows = read_table(table, plan_scan(table, table.latest_snapshot())).sort_by("key").to_pylist()
    assert rows == [{"key": 1, "v": "a"}, {"key": 2, "v": "B"}, {"key": 3, "v": "c"}]


def test_damaged_files_are_named(catalog, tmp_path):
    catalog.create_table(T, draft())
    schema = tmp_path / "default.db" / "t" / "schema" / "schema-0"
    schema.write_text("{")
    with pytest.raises(CorruptFile, match="schema-0"):
        catalog.get_table(T)


def test_a_warehouse_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.db").write_text("")
    with pytest.raises(WarehouseError, match="cannot be read"):
        FileSystemCatalog(LocalFileIO(), os.fspath(tmp_path / "file")).create_table(T, draft())
    with pytest.raises(WarehouseError, match=r"warehouse `.*` cannot be changed: File exists"):
        FileSystemCatalog(LocalFileIO(), os.fspath(tmp_path)).create_database("bad")
