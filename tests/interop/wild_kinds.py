"""Random kinds of tables over everything that Paimon has."""

import random
import re
from dataclasses import dataclass, field

from tsdb.data_types import DataField, DataType, TypeRoot, parse_type

KEY_TYPES = (
    "INT", "INT", "STRING", "STRING", "BIGINT", "SMALLINT", "TINYINT", "BOOLEAN", "DECIMAL(9, 2)", "DECIMAL(38, 10)",
    "CHAR(4)", "VARCHAR(9)", "BINARY(3)", "BYTES", "DATE", "TIME(3)", "TIMESTAMP(0)", "TIMESTAMP(3)", "TIMESTAMP(6)",
    "TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(6)", "DOUBLE", "FLOAT",
)  # fmt: skip
PARTITION_TYPES = ("STRING", "STRING", "STRING", "INT", "DATE", "BOOLEAN", "BIGINT", "DECIMAL(9, 2)", "TIMESTAMP(3)",
                   "CHAR(4)", "VARCHAR(9)", "DOUBLE", "TIME(3)", "TIMESTAMP_LTZ(3)")  # fmt: skip
SCALARS = (*KEY_TYPES, "VARBINARY(9)", "TIME(0)", "DECIMAL(18, 4)", "DECIMAL(38, 0)", "TIMESTAMP(9)", "STRING", "INT")
MAP_KEYS = ("STRING", "INT", "BIGINT", "DATE", "VARCHAR(9)")
NAMES = ("a", "B", "c d", "é", "select", "_x", "日本", "v1", "Value", "n", "x-y", "key", "t", "f.g", "0", "p=q", "q'")
NUMBERS = ("INT", "BIGINT", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "DECIMAL(9, 2)", "DECIMAL(38, 10)")
ANY_AGGREGATE = ("max", "min", "last_value", "last_non_null_value", "first_value", "first_non_null_value")
RETRACTABLE = ("sum", "product", "last_value", "last_non_null_value", "collect", "merge_map")
PRODUCERS = {
    "deduplicate": ("none", "none", "input", "lookup", "full-compaction"),
    "first-row": ("none", "lookup"),
    "aggregation": ("none", "lookup", "full-compaction"),
    "partial-update": ("none", "lookup", "full-compaction"),
}


@dataclass
class Kind:
    """A random kind of table. deletes: rows of other kinds than +I may be written."""

    columns: dict[str, DataType]
    primary: list[str] = field(default_factory=list)
    partition: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    deletes: bool = True

    @property
    def engine(self) -> str:
        """The merge engine, or append."""
        return self.options.get("merge-engine", "deduplicate") if self.primary else "append"

    @property
    def crosses(self) -> bool:
        """Whether a key may move to another partition."""
        return bool(self.primary) and not set(self.partition) <= set(self.primary)

    def ddl(self, table: str) -> str:
        """CREATE TABLE."""
        parts = [f"`{name}` {kind.sql()}" for name, kind in self.columns.items()]
        if self.primary:
            parts.append(f"PRIMARY KEY ({backticks(self.primary)}) NOT ENFORCED")
        partitioned = f" PARTITIONED BY ({backticks(self.partition)})" if self.partition else ""
        options = ", ".join(f"{text(key)} = {text(value)}" for key, value in self.options.items())
        return f"CREATE TABLE {table} ({', '.join(parts)}){partitioned} WITH ({options})"


def text(value: str) -> str:
    """As a text of SQL."""
    return "'{}'".format(value.replace("'", "''"))


def backticks(names: list[str]) -> str:
    """Names as identifiers of SQL."""
    return ", ".join(f"`{name}`" for name in names)


def random_type(chance: random.Random, form: str, depth: int = 2) -> DataType:
    """Any type that the format takes as a value."""
    if depth and chance.random() < 0.35:
        roots = [TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.ROW, TypeRoot.ROW]
        root = chance.choice([*roots, *([] if form == "avro" else [TypeRoot.MULTISET])])  # Java fails to write them
        if root is TypeRoot.MAP:
            key = parse_type(chance.choice(MAP_KEYS)).with_nullable(False)
            return DataType(root, key=key, value=random_type(chance, form, depth - 1))
        if root is TypeRoot.MULTISET:
            return DataType(root, element=parse_type(chance.choice(MAP_KEYS)).with_nullable(False))
        if root is TypeRoot.ARRAY:
            return DataType(root, element=random_type(chance, form, depth - 1))
        names = chance.sample(
            ["x", "y", "Z", "_1", *(["a b", "é"] if form != "avro" else [])], chance.choice([1, 2, 3])
        )
        fields = [DataField(i, name, random_type(chance, form, depth - 1)) for i, name in enumerate(names)]
        return DataType(root, fields=tuple(fields))
    kind = parse_type(chance.choice(SCALARS))
    return parse_type("TIMESTAMP(6)") if form == "avro" and kind.precision == 9 and is_time(kind) else kind


def is_time(kind: DataType) -> bool:
    """Whether the precision is one of a time."""
    return kind.root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ, TypeRoot.TIME)


def random_kind(chance: random.Random) -> Kind:
    """Any combination."""
    form = chance.choice(["parquet", "parquet", "parquet", "orc", "avro"])
    engine = chance.choice(["append", "append", "deduplicate", "deduplicate", "deduplicate", "first-row",
                            "aggregation", "aggregation", "partial-update", "partial-update"])  # fmt: skip
    names = chance.sample(NAMES, len(NAMES))
    if engine in ("aggregation", "partial-update"):
        names.remove("f.g")  # options end the name of a column at a dot
    if form == "avro":  # whose names are words
        names = [name for name in names if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)] + ["w", "x1", "y2", "z3", "u_"]
    columns: dict[str, DataType] = {}
    keys = [names.pop() for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    parts = [names.pop() for _ in range(chance.choice([0, 0, 0, 1, 1, 2]))]
    columns.update({name: parse_type(chance.choice(KEY_TYPES)) for name in keys})
    columns.update({name: parse_type(chance.choice(PARTITION_TYPES)) for name in parts})
    columns.update({names.pop(): random_type(chance, form) for _ in range(chance.choice([1, 2, 3, 5]))})
    order = list(columns)
    chance.shuffle(order)
    kind = Kind({name: columns[name] for name in order}, partition=parts)
    values = [name for name in order if name not in keys and name not in parts]
    kind.options["file.format"] = form
    if engine == "append":
        _append(kind, chance, keys)
    else:
        crosses = bool(parts) and engine in ("deduplicate", "first-row") and chance.random() < 0.15
        kind.primary = [name for name in order if name in keys or (name in parts and not crosses)]
        chance.shuffle(kind.primary)
        for name in kind.primary:
            kind.columns[name] = kind.columns[name].with_nullable(False)
        _keyed(kind, chance, engine, keys, values)
    _files(kind, chance, form, values)
    if kind.options.get("changelog-producer") == "lookup" or "deletion-vectors.enabled" in kind.options:
        for name in kind.primary:  # Java cannot look up bytes
            if kind.columns[name].root in (TypeRoot.BINARY, TypeRoot.VARBINARY):
                kind.columns[name] = parse_type("STRING NOT NULL")
    return kind


def _append(kind: Kind, chance: random.Random, keys: list[str]) -> None:
    options = kind.options
    options["bucket"] = chance.choice(["-1", "-1", "2", "3"])
    if options["bucket"] != "-1":
        options["bucket-key"] = ",".join(keys)
    elif chance.random() < 0.4:
        options["deletion-vectors.enabled"] = "true"
        options["deletion-vectors.bitmap64"] = chance.choice(["true", "false"])
    elif chance.random() < 0.2:
        options["row-tracking.enabled"] = "true"


def _keyed(kind: Kind, chance: random.Random, engine: str, keys: list[str], values: list[str]) -> None:
    options = kind.options
    options["merge-engine"] = engine
    options["bucket"] = "-1" if kind.crosses else chance.choice(["1", "2", "3", "-1", "-1"])
    if options["bucket"] == "-1" and chance.random() < 0.5:
        options["dynamic-bucket.target-row-num"] = "5"
    if len(keys) > 1 and int(options["bucket"]) > 1 and chance.random() < 0.5:
        options["bucket-key"] = keys[0]
    options["changelog-producer"] = producer = chance.choice(PRODUCERS[engine])
    if engine == "first-row":
        options["ignore-delete"] = "true"
        kind.deletes = False
    elif producer in ("none", "lookup") and chance.random() < 0.4:
        options["deletion-vectors.enabled"] = "true"
        options["deletion-vectors.bitmap64"] = chance.choice(["true", "false"])
    scalars = [name for name in values if kind.columns[name].root not in NESTED]
    if engine == "aggregation":
        _aggregation(kind, chance, values)
    elif engine == "partial-update":
        _partial_update(kind, chance, scalars, values)
    if engine == "deduplicate" and chance.random() < 0.2:
        options["ignore-delete"] = "true"
        kind.deletes = False
    if engine in ("deduplicate", "aggregation") and not kind.crosses and scalars and chance.random() < 0.35:
        fields = chance.sample(scalars, min(len(scalars), chance.choice([1, 1, 2])))
        if not any(f"fields.{name}.aggregate-function" in options for name in fields):
            options["sequence.field"] = ",".join(fields)
            options["sequence.field.sort-order"] = chance.choice(["ascending", "descending"])
    if producer in ("lookup", "full-compaction") and chance.random() < 0.3:
        options["changelog-producer.row-deduplicate"] = "true"


NESTED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.ROW, TypeRoot.MULTISET)


def aggregates_of(kind: DataType) -> tuple[str, ...]:
    """Functions that take the type."""
    plain = ("last_value", "last_non_null_value", "first_value", "first_non_null_value")
    match kind.root:
        case TypeRoot.ARRAY:
            return (*plain, "collect", "collect")
        case TypeRoot.MAP:
            return (*plain, "merge_map", "merge_map")
        case TypeRoot.ROW | TypeRoot.MULTISET:
            return plain
        case TypeRoot.BOOLEAN:
            return (*ANY_AGGREGATE, "bool_and", "bool_or")
        case TypeRoot.VARCHAR:
            return (*ANY_AGGREGATE, "listagg", "listagg")
    return (*ANY_AGGREGATE, *(("sum", "sum", "product") if kind.sql() in NUMBERS else ()))


def _aggregate(kind: Kind, chance: random.Random, name: str) -> str:
    function = chance.choice(aggregates_of(kind.columns[name]))
    kind.options[f"fields.{name}.aggregate-function"] = function
    if function == "collect" and chance.random() < 0.5:
        kind.options[f"fields.{name}.distinct"] = "true"
    if function == "listagg" and chance.random() < 0.5:
        kind.options[f"fields.{name}.list-agg-delimiter"] = chance.choice(["|", ", ", "--"])
    if function not in RETRACTABLE and chance.random() < 0.5:
        kind.options[f"fields.{name}.ignore-retract"] = "true"
        return "ignored"
    return function


def _aggregation(kind: Kind, chance: random.Random, values: list[str]) -> None:
    if chance.random() < 0.2:
        kind.options["fields.default-aggregate-function"] = "last_non_null_value"
    used = [_aggregate(kind, chance, name) for name in values if chance.random() < 0.9]
    kind.deletes = all(function in (*RETRACTABLE, "ignored") for function in used)
    if "ignored" not in used and chance.random() < 0.2:
        kind.options["aggregation.remove-record-on-delete"] = "true"
        kind.deletes = True


def _partial_update(kind: Kind, chance: random.Random, scalars: list[str], values: list[str]) -> None:
    how = chance.choice(["ignore", "group", "group", "group", "remove", "refuse"])
    kind.deletes = how in ("group", "remove")
    if how == "ignore":
        kind.options["ignore-delete"] = "true"
    elif how == "remove":
        kind.options["partial-update.remove-record-on-delete"] = "true"
    elif how == "group" and scalars and len(values) > 1:
        sequence = chance.sample(scalars, min(len(scalars), len(values) - 1, chance.choice([1, 1, 2])))
        rest = [name for name in values if name not in sequence]
        grouped = chance.sample(rest, chance.randint(1, len(rest)))
        kind.options[f"fields.{','.join(sequence)}.sequence-group"] = ",".join(grouped)
        used = [_aggregate(kind, chance, name) for name in grouped if chance.random() < 0.4]
        kind.deletes = all(function in (*RETRACTABLE, "ignored") for function in used)
    else:
        kind.deletes = False


def _files(kind: Kind, chance: random.Random, form: str, values: list[str]) -> None:
    """How files are written."""
    options = kind.options
    if chance.random() < 0.3:
        options["num-sorted-run.compaction-trigger"] = chance.choice(["2", "3"])
    if chance.random() < 0.4:
        options["metadata.stats-mode"] = chance.choice(["full", "none", "counts", "truncate(2)", "truncate(16)"])
    if chance.random() < 0.2:
        options["metadata.stats-dense-store"] = "false"
    if chance.random() < 0.3:
        known = {"parquet": ["zstd", "snappy", "gzip", "lz4", "none"], "orc": ["zstd", "snappy", "lz4", "zlib", "none"],
                 "avro": ["zstd", "snappy", "deflate", "null"]}  # fmt: skip
        options["file.compression"] = chance.choice(known[form])
    if form == "avro" and chance.random() < 0.2 and kind.primary:
        options["file.compression"] = "zstd"
        options["file.format.per.level"] = chance.choice(["0:avro", "0:orc", "5:orc", "0:parquet,5:avro"])
    if chance.random() < 0.2 and kind.primary:
        options["data-file.thin-mode"] = "true"
    for index in ("bloom-filter", "bitmap"):
        takes = [n for n in values if kind.columns[n].root in (TypeRoot.INT, TypeRoot.BIGINT, TypeRoot.VARCHAR)]
        if takes and chance.random() < 0.2:
            options[f"file-index.{index}.columns"] = ",".join(takes)
    if kind.partition and chance.random() < 0.2:
        options["partition.legacy-name"] = "false"
    if chance.random() < 0.1:
        options["target-file-size"] = "1 kb"
    if chance.random() < 0.1 and kind.primary:
        options["file.block-size"] = "1 kb"
