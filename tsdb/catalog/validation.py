"""Whether a draft of a table can be one: columns, keys and options, checked before anything is written.

What is not supported is refused here, not at the first INSERT.
"""

from dataclasses import replace

from tsdb.catalog.field_options import check_field_options
from tsdb.catalog.option_ranges import check_ranges
from tsdb.data_types import TypeRoot
from tsdb.errors import ColumnNotFound, NotSupportedError, OptionError, ProgrammingError, nearest
from tsdb.metadata.file_index import wanted_indexes
from tsdb.metadata.hive_hash import check_hive_type
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions, check_table_options
from tsdb.table.bucket import is_cross_partition
from tsdb.table.bucket_fill import BUCKETS_MAX
from tsdb.table.default_value import default_scalar
from tsdb.table.file_choice import file_defaults
from tsdb.table.materialized import TYPE
from tsdb.table.record_expire import check_record_life
from tsdb.table.table import check_merging, check_writable
from tsdb.table.type_change import numbered

_NESTED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.MULTISET, TypeRoot.ROW, TypeRoot.VARIANT, TypeRoot.BLOB)
_RESERVED = ("_KEY_", "_SEQUENCE_NUMBER", "_VALUE_KIND", "_LEVEL", "_ROW_ID", "rowkind")
MOVED_OPTIONS = ("primary-key", "partition")


def complete(draft: TableSchema, name: str) -> TableSchema:
    """The schema that is written: ids given, keys NOT NULL, the bucket number explicit. Raises if it cannot be one.

    A primary-key table without 'bucket' gets one bucket, of which any number of jobs may write; Paimon's own default,
    dynamic buckets, lets only one. Where the primary key lacks a partition column, only that default can be.
    """
    draft = _with_keys_of_options(draft)
    for keys, what in ((draft.primary_keys, "PRIMARY KEY"), (draft.partition_keys, "PARTITIONED BY")):
        _check_listed(draft, keys, what, name)
    options = dict(draft.options)
    if draft.primary_keys:
        options.setdefault("bucket", "-1" if is_cross_partition(draft) else "1")
    options = {**file_defaults(TableOptions(options)), **options}
    fields, highest = numbered(
        [replace(f, type=f.type.with_nullable(False)) if f.name in draft.primary_keys else f for f in draft.fields]
    )
    schema = replace(draft, id=0, fields=fields, options=options, highest_field_id=highest)
    check_table_options(schema.options)
    if "path" in schema.options:
        raise NotSupportedError(f"'path' of table `{name}`: the catalog says where a table lies; leave the option out")
    _check(schema, name)
    return schema


def check_changed(schema: TableSchema, name: str, options_set: bool = False) -> None:
    """Raise for a schema that ALTER TABLE must not make. The table may be another engine's, with options of its own.

    options_set: whether ALTER TABLE gave options, which then have to be such as tsdb can write with.
    """
    _check_columns(schema, name)
    if options_set:
        _check(schema, name)
        return
    _check_option_columns(schema, TableOptions(schema.options), name)
    check_merging(schema, TableOptions(schema.options))


def _check(schema: TableSchema, name: str) -> None:
    """Raise for a schema that tsdb cannot write a table of."""
    _check_columns(schema, name)
    options = TableOptions(schema.options)
    if options.get("type", "table") not in ("table", TYPE):
        raise NotSupportedError(f"'type' = '{options.get('type')}': table `{name}` can only be of type 'table'")
    if ".." in (options.get("data-file.path-directory") or "").split("/"):
        raise OptionError(
            f"'data-file.path-directory' of table `{name}` is a directory inside the table's, not "
            f"'{options.get('data-file.path-directory')}'; use 'data-file.external-paths' for one outside"
        )
    if options.get("partition.expiration-time") is not None and not schema.partition_keys:
        raise OptionError(f"'partition.expiration-time': table `{name}` has no partitions, so none can expire")
    check_ranges(options)
    _check_buckets(schema, options, name)
    _check_option_columns(schema, options, name)
    if not schema.primary_keys:
        for key in ("merge-engine", "changelog-producer", "sequence.field", "rowkind.field"):
            if key in schema.options and options.get(key) not in ("none", "deduplicate"):
                raise OptionError(f"'{key}' needs a PRIMARY KEY, which table `{name}` does not have")
    _check_row_tracking(schema, options, name)
    _check_deletion_vectors(schema, options, name)
    wanted_indexes(schema.options, schema.fields)
    _check_partition_types(schema, options, name)
    check_writable(schema, options)


def _check_row_tracking(schema: TableSchema, options: TableOptions, name: str) -> None:
    if options.flag("row-tracking.enabled") and (schema.primary_keys or options.bucket != -1):
        raise OptionError(
            f"'row-tracking.enabled' is for tables without a primary key and buckets; leave out the PRIMARY KEY and "
            f"'bucket' of table `{name}`"
        )
    if options.flag("data-evolution.enabled") and not options.flag("row-tracking.enabled"):
        raise OptionError("'data-evolution.enabled' needs 'row-tracking.enabled' = 'true'")


def _with_keys_of_options(draft: TableSchema) -> TableSchema:
    """'primary-key' and 'partition' in WITH are another way to say PRIMARY KEY and PARTITIONED BY."""
    options = TableOptions(draft.options)
    rest = {key: value for key, value in draft.options.items() if key not in MOVED_OPTIONS}
    primary, partition = options.words("primary-key"), options.words("partition")
    if (primary and draft.primary_keys) or (partition and draft.partition_keys):
        raise OptionError("keys are given both as a clause and as an option; leave out the option")
    return replace(
        draft,
        options=rest,
        primary_keys=draft.primary_keys or primary,
        partition_keys=draft.partition_keys or partition,
    )


def _check_columns(schema: TableSchema, name: str) -> None:
    if not schema.fields:
        raise ProgrammingError(f"table `{name}` has no columns")
    seen: set[str] = set()
    for field in schema.fields:
        if field.name in seen:
            raise ProgrammingError(f"table `{name}` has two columns `{field.name}`")
        seen.add(field.name)
        if not field.name.strip() or field.name.startswith(_RESERVED[0]) or field.name in _RESERVED[1:]:
            raise ProgrammingError(f"`{field.name}` cannot be the name of a column; choose another")
        if field.type.root is TypeRoot.BLOB:
            raise NotSupportedError(f"column `{field.name}`: type {field.type.sql()} is not supported yet")
        if field.default_value is not None:
            default_scalar(field)
    for key in (*schema.primary_keys, *schema.partition_keys):
        if schema.field(key).type.root in _NESTED:
            raise ProgrammingError(
                f"`{key}` is {schema.field(key).type.sql()}, which cannot be a key of table `{name}`"
            )
    if schema.primary_keys and set(schema.primary_keys) == set(schema.partition_keys):
        raise ProgrammingError(f"the primary key of table `{name}` needs a column that is no partition column")


def _check_partition_types(schema: TableSchema, options: TableOptions, name: str) -> None:
    """Types whose values have no name of a directory of their own."""
    for key in schema.partition_keys:
        kind = schema.field(key).type
        if kind.root in (TypeRoot.BINARY, TypeRoot.VARBINARY) and options.flag("partition.legacy-name"):
            raise NotSupportedError(
                f"partition column `{key}` of table `{name}` is {kind.sql()}, for which Paimon has no stable name of a "
                f"directory with 'partition.legacy-name' = 'true'; set that to 'false', or use STRING"
            )


def _check_listed(schema: TableSchema, names: tuple[str, ...], what: str, table_name: str) -> None:
    for name in names:
        if not schema.has(name):
            raise ColumnNotFound(f"{what}: table `{table_name}` has no column `{name}`.{nearest(name, schema.names)}")
    if len(set(names)) != len(names):
        raise ProgrammingError(f"{what} of table `{table_name}` names a column twice: {', '.join(names)}")


def _check_buckets(schema: TableSchema, options: TableOptions, name: str) -> None:
    bucket, keys = options.bucket, options.bucket_key
    if bucket == 0 or bucket < -2:
        raise OptionError(f"'bucket' = '{bucket}' is no number of buckets; use 1 or more, or -1 for an append table")
    _check_listed(schema, keys, "'bucket-key'", name)
    if schema.primary_keys:
        missing = [key for key in schema.partition_keys if key not in schema.primary_keys]
        if missing and bucket != -1:
            raise OptionError(
                f"partition column `{missing[0]}` of table `{name}` is not in its primary key "
                f"({', '.join(schema.primary_keys)}); add it, so that a key stays in one partition, or set 'bucket' = "
                f"'-1', so that an index finds the partition of each key"
            )
        outside = [key for key in keys if key not in schema.trimmed_primary_keys]
        if outside:
            raise OptionError(f"'bucket-key': `{outside[0]}` is not in the primary key of table `{name}`")
    elif bucket > 0 and not keys:
        raise OptionError(f"table `{name}` has no primary key: 'bucket' = '{bucket}' needs a 'bucket-key'")
    elif bucket == -2:
        raise OptionError(f"table `{name}` has no primary key; 'bucket' = '-2' (postponed) needs one")
    if bucket < 0 and keys:
        raise OptionError(f"'bucket-key' of table `{name}` needs 'bucket' = 'n' with n > 0")
    _check_bucket_function(schema, options, name)
    _check_dynamic(schema, options, name)


def _check_deletion_vectors(schema: TableSchema, options: TableOptions, name: str) -> None:
    if not options.deletion_vectors_enabled or not schema.primary_keys:
        return
    if options.changelog_producer not in ("none", "input", "lookup"):
        raise OptionError(
            f"table `{name}`: 'changelog-producer' = '{options.changelog_producer}' does not go with "
            f"'deletion-vectors.enabled'; use 'none', 'input' or 'lookup'"
        )
    if options.merge_engine == "first-row":
        raise OptionError(f"table `{name}`: 'first-row' replaces no rows; leave out 'deletion-vectors.enabled'")


def _check_bucket_function(schema: TableSchema, options: TableOptions, name: str) -> None:
    function = options.get("bucket-function.type", "default")
    types = [schema.field(key).type for key in schema.bucket_keys]
    if function == "mod" and [kind.root for kind in types] not in ([TypeRoot.INT], [TypeRoot.BIGINT]):
        raise OptionError(f"'bucket-function.type' = 'mod' of table `{name}` needs one bucket key, an INT or a BIGINT")
    if function == "hive":
        for kind in types:
            check_hive_type(kind)


def _check_dynamic(schema: TableSchema, options: TableOptions, name: str) -> None:
    """Limits of dynamic buckets that could never work, and what a key that moves between partitions rules out."""
    for key, least in (("dynamic-bucket.target-row-num", 1), ("dynamic-bucket.initial-buckets", 1)):
        if options.integer(key, least) < least:
            raise OptionError(f"'{key}' = '{options.get(key)}' of table `{name}`; use {least} or more")
    most = options.integer("dynamic-bucket.max-buckets")
    if most != -1 and not 1 <= most <= BUCKETS_MAX:
        raise OptionError(f"'dynamic-bucket.max-buckets' = '{most}' of table `{name}`; use 1 to {BUCKETS_MAX}, or -1")
    if is_cross_partition(schema) and options.sequence_field:
        raise OptionError(
            f"table `{name}`: 'sequence.field' cannot order the rows of a key in several partitions; put the partition "
            f"columns ({', '.join(schema.partition_keys)}) into the primary key, or leave out 'sequence.field'"
        )


def _check_option_columns(schema: TableSchema, options: TableOptions, name: str) -> None:
    _check_listed(schema, options.sequence_field, "'sequence.field'", name)
    if options.sequence_field and options.merge_engine == "first-row":
        raise OptionError("'sequence.field' has no meaning with 'merge-engine' = 'first-row'; leave it out")
    if options.merge_engine == "first-row" and options.changelog_producer not in ("none", "lookup"):
        raise OptionError(
            f"'merge-engine' = 'first-row' of table `{name}` goes with 'changelog-producer' = 'none' or 'lookup', not "
            f"'{options.changelog_producer}'"
        )
    check_field_options(schema, options)
    check_record_life(schema, options, name)
    kind = options.get("rowkind.field")
    if kind is not None:
        _check_listed(schema, (kind,), "'rowkind.field'", name)
        if schema.field(kind).type.root is not TypeRoot.VARCHAR:
            raise OptionError(f"'rowkind.field' `{kind}` is {schema.field(kind).type.sql()}; it has to be STRING")
