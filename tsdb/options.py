"""Options: the one table of every table option and session option, their types, defaults and meanings.

Docs, completion and the check of `WITH (…)` and `SET` come from `OPTIONS`. All values are text, as in schema files;
`TableOptions` reads them typed. Longer than other modules, because it is one table.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.foreign_options import KEPT_OPTIONS, REFUSED_OPTIONS

TABLE = "table"
SESSION = "session"
SCAN = "scan"  # may stand in a table, in a hint, or in the session

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One option. type: `int`, `double`, `bool`, `string`, `size`, `duration`, or words with `|` between them."""

    key: str
    type: str
    default: str | None
    description: str
    scope: str = TABLE


def _table(key: str, kind: str, default: str | None, description: str) -> OptionSpec:
    return OptionSpec(key, kind, default, description, TABLE)


def _scan(key: str, kind: str, default: str | None, description: str) -> OptionSpec:
    return OptionSpec(key, kind, default, description, SCAN)


def _session(key: str, kind: str, default: str | None, description: str) -> OptionSpec:
    return OptionSpec(key, kind, default, description, SESSION)


OPTIONS: tuple[OptionSpec, ...] = (
    _table("bucket", "int", None,
           "Number of buckets; -1: dynamic (with a primary key) or none; -2: chosen by the next compaction."),
    _table("bucket-key", "string", None, "Columns, separated by commas, whose hash chooses the bucket."),
    _table("bucket-function.type", "default|mod|hive", "default", "How the bucket follows from the bucket key."),
    _table("dynamic-bucket.target-row-num", "int", "2000000", "Keys of a dynamic bucket, before another is begun."),
    _table("dynamic-bucket.initial-buckets", "int", None, "Dynamic buckets over which the first keys are spread."),
    _table("dynamic-bucket.max-buckets", "int", "-1", "Dynamic buckets of a partition at the most; -1: 32768."),
    _table("cross-partition-upsert.index-ttl", "duration", None,
           "Files older than this are not searched for keys that come in another partition."),
    _table("postpone.default-bucket-num", "int", None, "Buckets that a compaction gives to a new partition."),
    _table("postpone.target-row-num-per-bucket", "int", None, "Else as many as leave so many rows for each."),
    _table("postpone.target-size-per-bucket", "size", "1 gb", "Else as many as leave so many bytes for each."),
    _table("postpone.batch-write-fixed-bucket", "bool", "false",
           "Batch statements write to real buckets at once."),
    _table("merge-engine", "deduplicate|partial-update|aggregation|first-row", "deduplicate",
           "What becomes of several rows of one primary key."),
    _table("changelog-producer", "none|input|lookup|full-compaction", "none", "How the table makes its changelog."),
    _table("changelog-producer.row-deduplicate", "bool", "false",
           "Leave -U and +U out of the changelog of `lookup` and `full-compaction` where the rows are equal."),
    _table("changelog-producer.row-deduplicate-ignore-fields", "string", None,
           "Columns, separated by commas, that do not count in that comparison."),
    _table("force-lookup", "bool", "false", "Compact level 0 with every commit, as `lookup` does."),
    _table("lookup-wait", "bool", "true", "A commit waits for the compaction that looks up; else that follows it."),
    _table("lookup-compact", "radical|gentle", "radical", "Compact level 0 with every commit, or when it is due."),
    _table("lookup-compact.max-interval", "int", None, "Runs of level 0 that make a `gentle` compaction due."),
    _table("full-compaction.delta-commits", "int", None, "After how many commits a writer compacts everything."),
    _table("sequence.field", "string", None, "Columns that decide which of two rows of a key is newer."),
    _table("sequence.field.sort-order", "ascending|descending", "ascending",
           "Which value of `sequence.field` is newer."),
    _table("ignore-delete", "bool", "false", "Drop -D and -U rows."),
    _table("ignore-update-before", "bool", "false", "Drop -U rows when writing."),
    _table("rowkind.field", "string", None, "A STRING column that holds the row kind."),
    _table("partial-update.remove-record-on-delete", "bool", "false", "-D removes the row of `partial-update`."),
    _table("partial-update.remove-record-on-sequence-group", "string", None,
           "Sequence columns, separated by commas: a -D that is the newest of their group removes the row."),
    _table("aggregation.remove-record-on-delete", "bool", "false", "-D removes the row of an `aggregation` table."),
    _table("file.format", "parquet|orc|avro", "parquet", "Format of new data files."),
    _table("file.format.per.level", "string", None, "Formats of new data files by level, such as `0:avro,5:parquet`."),
    _table("file.compression", "string", "zstd", "Compression of new data files."),
    _table("file.compression.per.level", "string", None, "Compressions by level, such as `0:lz4,5:zstd`."),
    _table("file.compression.zstd-level", "int", "1", "Level of zstd compression."),
    _table("file.block-size", "size", None, "Size of a row group or stripe."),
    _table("file.suffix.include.compression", "bool", "false", "Name the compression in the names of data files."),
    _table("manifest.format", "avro", "avro", "Format of manifests."),
    _table("manifest.compression", "zstd|zstandard|snappy|deflate|bzip2|null", "zstd", "Compression of manifests."),
    _table("manifest.target-file-size", "size", "8 mb", "Size from which manifests are no longer merged."),
    _table("manifest.merge-min-count", "int", "30", "How many small manifests are merged into one."),
    _table("manifest.full-compaction-threshold-size", "size", "16 mb", "Size of changed manifests that are rewritten."),
    _table("metadata.stats-mode", "string", "truncate(16)",
           "Which statistics of columns are kept: `none`, `counts`, `truncate(n)` or `full`; "
           "`fields.<column>.stats-mode` for one column."),
    _table("metadata.stats-mode.per.level", "string", None, "The same by level, such as `0:none`."),
    _table("metadata.stats-keep-first-n-columns", "int", "-1", "Keep statistics of so many columns only; -1: of all."),
    _table("metadata.stats-dense-store", "bool", "true", "Leave out statistics of columns that have none."),
    _table("data-file.path-directory", "string", None, "A directory in the table's for its data files."),
    _table("data-file.external-paths", "string", None, "Places elsewhere for new data files, `file:/a,file:/b`."),
    _table("data-file.external-paths.strategy", "string", "none", "`round-robin`: use them; `none`: do not."),
    _table("data-file.prefix", "string", "data-", "How names of data files begin."),
    _table("data-file.thin-mode", "bool", "false", "Leave the key columns out of data files."),
    _table("changelog-file.prefix", "string", "changelog-", "How names of changelog files begin."),
    _table("changelog-file.format", "parquet|orc|avro", None, "Format of new changelog files; that of data files."),
    _table("changelog-file.compression", "string", None, "Compression of new changelog files; that of data files."),
    _table("changelog-file.stats-mode", "string", None, "`metadata.stats-mode` of changelog files."),
    _table("target-file-size", "size", None, "Size of a data file; 128 MiB with a primary key, else 256 MiB."),
    _table("write-buffer-size", "size", "256 mb", "Memory a writer may use before it flushes."),
    _table("write-only", "bool", "false", "Write without compacting and expiring; another job does that."),
    _table("num-sorted-run.compaction-trigger", "int", "5", "Sorted runs of a bucket that start a compaction."),
    _table("num-sorted-run.stop-trigger", "int", None, "Sorted runs at which writing waits; trigger + 3."),
    _table("num-levels", "int", None, "Levels of the LSM tree; trigger + 1."),
    _table("compaction.max-size-amplification-percent", "int", "200",
           "Space amplification that starts a full compaction."),
    _table("compaction.size-ratio", "int", "1", "Percent by which runs may differ in size and still be merged."),
    _table("compaction.optimization-interval", "duration", None,
           "Compact everything when that was last done longer ago."),
    _table("compaction.total-size-threshold", "size", None, "Compact everything while a bucket is smaller."),
    _table("compaction.incremental-size-threshold", "size", None,
           "Compact everything when what is below the highest level is larger."),
    _table("compaction.force-up-level-0", "bool", "false", "Every compaction takes all of level 0."),
    _table("compaction.small-file-ratio", "double", "0.7", "Files below this part of the target size are small."),
    _table("compaction.delete-ratio-threshold", "double", "0.2",
           "The part of deleted rows from which on a file of an append table is written anew."),
    _table("compaction.min.file-num", "int", "5", "Small files of an append table that are compacted together."),
    _table("commit.force-compact", "bool", "false", "Compact before each commit."),
    _table("commit.max-retries", "int", "10", "How often a commit that lost a race is tried again."),
    _table("commit.min-retry-wait", "duration", "10 ms", "How long a commit that lost a race waits the first time."),
    _table("commit.max-retry-wait", "duration", "10 s", "How long it waits at the most; the wait doubles each time."),
    _table("source.split.target-size", "size", "128 mb", "Size of the files that are read as one unit."),
    _table("source.split.open-file-cost", "size", "4 mb", "What opening a file counts as, when units are formed."),
    _table("partition.default-name", "string", "__DEFAULT_PARTITION__", "Directory of NULL and blank values."),
    _table("partition.legacy-name", "bool", "true",
           "Write dates and times in partition paths as Paimon always has."),
    _table("dynamic-partition-overwrite", "bool", "true",
           "INSERT OVERWRITE replaces only partitions that get rows."),
    _table("snapshot.num-retained.min", "int", "10", "Snapshots that are always kept."),
    _table("snapshot.num-retained.max", "int", "2147483647", "Snapshots kept at the most."),
    _table("snapshot.time-retained", "duration", "1 h", "How long a snapshot is kept."),
    _table("snapshot.expire.limit", "int", "50", "Snapshots expired at once."),
    _table("snapshot.clean-empty-directories", "bool", "false", "Delete directories that expiring has emptied."),
    _table("changelog.num-retained.min", "int", None, "Changelogs that are always kept; else as for snapshots."),
    _table("changelog.num-retained.max", "int", None, "Changelogs kept at the most; else as for snapshots."),
    _table("changelog.time-retained", "duration", None, "How long a changelog is kept; else as for snapshots."),
    _table("tag.automatic-creation", "none|process-time|watermark|batch", "none",
           "Make a tag for every period, by the clock or by the watermark, or for batch commits."),
    _table("tag.creation-period", "daily|hourly|two-hours", "daily", "The period that a tag is made for."),
    _table("tag.creation-period-duration", "duration", None, "Another period; its tags are named `yyyyMMddHHmm`."),
    _table("tag.creation-delay", "duration", "0 ms", "How long after a period its tag is made."),
    _table("tag.period-formatter", "with_dashes|without_dashes|without_dashes_and_spaces", "with_dashes",
           "How tags are named after their periods."),
    _table("tag.num-retained-max", "int", None, "Automatic tags kept at the most."),
    _table("tag.default-time-retained", "duration", None, "How long an automatic tag is kept; else for ever."),
    _table("tag.time-expire-enabled", "bool", "true", "Delete tags whose time is over after commits."),
    _table("tag.automatic-completion", "bool", "false", "Also make the tags of periods without a snapshot."),
    _table("tag.batch.customized-name", "string", None, "Name of the tag of batch commits."),
    _table("sink.process-time-zone", "string", None, "Zone of the periods of `process-time`; UTC."),
    _table("sink.watermark-time-zone", "string", None, "Zone of the periods of `watermark`; UTC."),
    _table("consumer.expiration-time", "duration", None, "How long a consumer without a sign of life is kept."),
    _table("record-level.expire-time", "duration", None,
           "How long after its time a record of a primary-key table is kept; it goes when it is compacted."),
    _table("record-level.time-field", "string", None, "Column with that time: INT (seconds), BIGINT or TIMESTAMP."),
    _table("partition.expiration-time", "duration", None, "How long a partition is kept; else for ever."),
    _table("partition.expiration-check-interval", "duration", "1 h", "How often commits look for such partitions."),
    _table("partition.expiration-strategy", "values-time|update-time", "values-time",
           "Whether its values or its newest file tell the age of a partition."),
    _table("partition.expiration-max-num", "int", "100", "Partitions expired at once."),
    _table("partition.timestamp-pattern", "string", None,
           "The time in a partition's values, such as `$dt $hour:00:00`; else the first value."),
    _table("partition.timestamp-formatter", "string", None,
           "How that time is written, such as `yyyyMMdd`; else `yyyy-MM-dd`, with or without ` HH:mm:ss`."),
    _table("partition.mark-done-action", "string", "success-file", "What marks a partition as done."),
    _table("deletion-vectors.enabled", "bool", "false", "Keep deleted rows in vectors beside the files."),
    _table("deletion-vectors.merge-on-read", "bool", "false",
           "Whether rows that no compaction has seen yet are read, too."),
    _table("deletion-vectors.bitmap64", "bool", "false", "Write deletion vectors of 64 bit, as Iceberg has them."),
    _table("deletion-vector.index-file.target-size", "size", "2 mb", "Size of a file of deletion vectors."),
    _table("file-index.in-manifest-threshold", "size", "500 bytes",
           "Size up to which the index of a file is kept in the manifest, not in a file beside it."),
    _table("file-index.read.enabled", "bool", "true", "Whether the indexes of files are used to skip files."),
    _table("disable-explicit-type-casting", "bool", "false",
           "Let ALTER TABLE change types only where no value can be lost."),
    _table("alter-column-null-to-not-null.disabled", "bool", "true", "Refuse to make a column NOT NULL."),
    _table("add-column-before-partition", "bool", "false", "Put new columns before the partition columns."),
    _table("row-tracking.enabled", "bool", "false", "Give every row of an append table an id for good."),
    _table("data-evolution.enabled", "bool", "false", "Files may hold some columns of other files' rows."),
    _table("log.system", "none|kafka", "none", "`kafka`: a topic with the changes of every snapshot beside the table."),
    _table("log.consistency", "transactional|eventual", "transactional", "`eventual`: rows are seen before commit."),
    _table("log.changelog-mode", "auto|all|upsert", "auto", "`all` tells what rows were before; `upsert` goes by key."),
    _table("log.format", "arrow|json|debezium-json|avro", "arrow", "Messages are Arrow batches, or a row each."),
    _table("log.key.format", "none|json|avro|raw", None, "Of messages with a row each: the primary key, as json."),
    _table("log.scan", "full|latest|from-timestamp", "full", "Where a stream of the table begins."),
    _table("log.scan.timestamp-millis", "int", None, "For `from-timestamp`: changes committed at that time or later."),
    _table("log.retention", "duration", None, "How long the topic keeps changes; the broker's own setting."),
    _table("kafka.bootstrap.servers", "string", None, "Brokers of the log; `kafka.<property>` for other properties."),
    _table("kafka.topic", "string", None, "Topic of the log; by default `<database>.<table>`."),
    _table("kafka.delete-topic-on-drop", "bool", "false", "Whether DROP TABLE deletes the topic, too."),
    _table("connector", "string", None, "What the table is: absent for a table stored here, else a connector's name."),
    _table("type", "string", None, "Kind of table; only `table`."),
    _table("path", "string", None, "Location; set by the catalog."),
    _table("comment", "string", None, "What the table is for."),
    _scan("scan.mode",
          "default|latest-full|full|latest|from-snapshot|from-snapshot-full|from-timestamp|compacted-full|"
          "from-creation-timestamp|from-file-creation-time|incremental",
          "default", "Where a streaming read starts."),
    _scan("scan.snapshot-id", "int", None, "Snapshot to read, or to start from."),
    _scan("scan.timestamp-millis", "int", None, "Time to read at, or to start from, in epoch milliseconds."),
    _scan("scan.timestamp", "string", None, "The same as `yyyy-MM-dd HH:mm:ss` in UTC."),
    _scan("scan.tag-name", "string", None, "Tag to read."),
    _scan("scan.version", "string", None, "Tag or snapshot id to read."),
    _scan("scan.watermark", "int", None, "Read, or start from, the first snapshot with at least this watermark."),
    _scan("scan.file-creation-time-millis", "int", None, "Read only files made from this time on, then what follows."),
    _scan("scan.creation-time-millis", "int", None,
          "Start from the first snapshot from this time on, or if that has expired by the times of files."),
    _scan("scan.bounded.watermark", "int", None, "A stream ends before the first snapshot with a later watermark."),
    _scan("scan.fallback-branch", "string", None, "Branch to read the partitions from that the table does not have."),
    _scan("incremental-between", "string", None,
          "Two snapshots or two tags, `3,5`: a batch query reads what came after the first, up to the second."),
    _scan("incremental-between-timestamp", "string", None, "The same between two times, in UTC or epoch milliseconds."),
    _scan("incremental-to-auto-tag", "string", None, "The same from the automatic tag before this one to this one."),
    _scan("incremental-between-scan-mode", "auto|delta|changelog|diff", "auto",
          "What came: rows of new files, of changelog files, or the difference of both states."),
    _scan("incremental-between-tag-to-snapshot", "bool", "false", "Whether two tags mean their snapshots."),
    _scan("continuous.discovery-interval", "duration", None,
          "How long a stream that has read everything waits to look again; not said: `1 s` in object stores, else 0."),
    _scan("consumer-id", "string", None, "Name under which a streaming read keeps its place in the table."),
    _scan("consumer.mode", "exactly-once|at-least-once", "exactly-once", "How exact that place is; always exact here."),
    _scan("consumer.ignore-progress", "bool", "false", "Start where the options say, not where the consumer was."),
    _scan("scan.bounded.mode", "unbounded|latest", "unbounded",
          "`latest`: a stream ends at the state that held when it began."),
    _scan("streaming-read-overwrite", "bool", "true", "Whether INSERT OVERWRITE is seen by streaming reads."),
    _table("late-rows", "string", None,
           "Table that gets the rows of this one that come too late for a streaming job; see `docs/streaming.md`."),
    _scan("table.exec.emit.early-fire.enabled", "bool", "false",
          "Show windows of a table with a WATERMARK as they change, not once they are closed."),
    _scan("table.exec.source.idle-timeout", "duration", "0 ms",
          "A source that brings nothing for so long does not hold back the watermark of others; 0: it does."),
    _session("execution.mode", "batch|streaming", "batch",
             "How a query runs: over a snapshot, or as a changelog that goes on."),
    _session("execution.runtime-mode", "batch|streaming", "batch", "Flink's name of `execution.mode`."),
    _session("execution.changelog-mode", "retract|upsert", "retract",
             "`upsert`: a streaming SELECT gives only the row after an update, for who replaces rows by their key."),
    _session("execution.checkpointing.interval", "duration", "1 s", "How often a job commits and keeps its state."),
    _session("execution.checkpointing.num-retained", "int", "3", "Checkpoints of a job that are kept."),
    _session("execution.savepoint.path", "string", None,
             "The savepoint that the next jobs start from; see `STOP JOB … WITH SAVEPOINT`."),
    _session("execution.restore", "auto|none", "auto",
             "`none`: an INSERT whose job has ended starts that job anew, and the state it had is deleted."),
    _session("restart-strategy.type", "none|fixed-delay|exponential-delay", "none",
             "When a job goes on by itself after a failure of what is outside the program, from its last checkpoint."),
    _session("restart-strategy.fixed-delay.attempts", "int", "1", "How often `fixed-delay` restarts a job."),
    _session("restart-strategy.fixed-delay.delay", "duration", "1 s", "The pause before each attempt."),
    _session("restart-strategy.exponential-delay.initial-backoff", "duration", "1 s", "The first pause."),
    _session("restart-strategy.exponential-delay.max-backoff", "duration", "1 min", "The longest pause."),
    _session("restart-strategy.exponential-delay.backoff-multiplier", "double", "1.5",
             "Each pause is so many times the one before."),
    _session("restart-strategy.exponential-delay.reset-backoff-threshold", "duration", "1 h",
             "A job that ran so long without a failure begins with the first pause again."),
    _session("pipeline.name", "string", None, "Name of the next job; by default `insert-into_<database>.<table>`."),
    _session("memory.limit", "size", None, "Memory a query may use before it spills to disk."),
    _session("execution.state.memory", "size", "1 gb",
             "What the state of a streaming query holds in memory; more lies in files that are mapped."),
    _session("table.exec.state.ttl", "duration", "0 ms",
             "State of a stream that nothing has touched for so long is dropped, in silence; 0: never."),
    _session("sql.average", "flink|double", "flink",
             "What AVG gives: of integers an integer as in Flink, or always a DOUBLE as in most databases."),
    _session("python.replacement-scans", "true|false", "true",
             "A name in FROM that no table has stands for the caller's Python variable of that name."),
    _session("table.local-time-zone", "string", "UTC",
             "Zone whose clocks TIMESTAMP_LTZ is read and written by: a name such as Europe/Berlin, or +02:00."),
    _session("sql-client.execution.result-mode", "table|changelog", "table", "How the shell shows streaming results."),
)  # fmt: skip

BY_KEY: Mapping[str, OptionSpec] = {option.key: option for option in OPTIONS}

# prefixes under which any key is accepted: they carry a column's name or are meant for other engines
OPEN_PREFIXES = (
    "fields.", "file-index.", "metadata.iceberg.", "tag.", "changelog.", "lookup", "partition.", "orc.", "parquet.",
    "kafka.", "schema.", "materialized-table.",
)  # fmt: skip


def check_table_options(options: Mapping[str, str]) -> None:
    """Raises OptionError for an unknown key (naming the nearest) or a value that does not fit.

    Raises NotSupportedError for an option of Paimon that would change what the table holds, but would not here.
    """
    for key, value in options.items():
        _check(key, value, (TABLE, SCAN), OPEN_PREFIXES)


def check_session_option(key: str, value: str) -> None:
    """The same for SET."""
    _check(key, value, (SESSION, SCAN), ())


def _check(key: str, value: str, scopes: Iterable[str], open_prefixes: tuple[str, ...]) -> None:
    option = BY_KEY.get(key)
    if option is None and TABLE in scopes:
        if key in REFUSED_OPTIONS:
            _check_default(key, value)
            return
        if key in KEPT_OPTIONS or key.startswith(open_prefixes):
            return
    if key in ("primary-key", "partition"):
        raise OptionError(f"'{key}' is for CREATE TABLE; the keys of a table cannot be changed")
    if option is None or option.scope not in scopes:
        near = nearest(key, [o.key for o in OPTIONS if o.scope in scopes])
        raise OptionError(f"unknown option '{key}'.{near}")
    check_value(option, value)


def _check_default(key: str, value: str) -> None:
    default = REFUSED_OPTIONS[key]
    if default is None or value.strip().lower() != default:
        raise NotSupportedError(f"option '{key}' = '{value}' is Paimon's, but not supported here yet; leave it out")


def check_value(option: OptionSpec, value: str) -> None:
    """Raises OptionError unless the text is a value of the option's type."""
    match option.type:
        case "int":
            if not re.fullmatch(r"\s*[+-]?\d+\s*", value):
                raise OptionError(f"'{option.key}' is a whole number, not '{value}'")
        case "double":
            if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", value):
                raise OptionError(f"'{option.key}' is a number, not '{value}'")
        case "bool":
            parse_bool(option.key, value)
        case "size":
            parse_size(value, option.key)
        case "duration":
            parse_duration_ms(value, option.key)
        case words if words != "string":
            if value.strip().lower() not in words.split("|"):
                allowed = ", ".join(f"'{w}'" for w in words.split("|"))
                near = nearest(value, words.split("|"))
                raise OptionError(f"'{option.key}' is one of {allowed}, not '{value}'.{near}")


def parse_bool(key: str, value: str) -> bool:
    """`true` or `false`, in any case."""
    word = value.strip().lower()
    if word not in ("true", "false"):
        raise OptionError(f"'{key}' is 'true' or 'false', not '{value}'")
    return word == "true"


_SIZES = {"": 1, "b": 1, "bytes": 1}
for _power, _letter in enumerate("kmgt", start=1):
    for _ending in ("", "b", "ib"):
        _SIZES[_letter + _ending] = 1 << (10 * _power)

_DURATIONS_MS = {
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds", ""), 1.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000.0),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000.0),
    **dict.fromkeys(("d", "day", "days"), 86_400_000.0),
    **dict.fromkeys(("us", "micro", "micros"), 0.001),
}


def parse_size(value: str, key: str = "size") -> int:
    """Bytes of `128 mb`, `1g`, `4096`; units are powers of 1024."""
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].lower() not in _SIZES:
        raise OptionError(f"'{key}' is a size such as '128 mb', not '{value}'")
    return int(match[1]) * _SIZES[match[2].lower()]


def parse_duration_ms(value: str, key: str = "duration") -> float:
    """Milliseconds of `1 h`, `30 s`, `500 ms`, `200`."""
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].lower() not in _DURATIONS_MS:
        raise OptionError(f"'{key}' is a duration such as '30 s', not '{value}'")
    return int(match[1]) * _DURATIONS_MS[match[2].lower()]


class TableOptions:
    """The options of one table, typed. Absent ones have the default of `OPTIONS`."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values: Mapping[str, str] = dict(values)

    def get(self, key: str, default: str | None = None) -> str | None:
        """The text, else `default`, else the option's own default."""
        if key in self.values:
            return self.values[key]
        if default is not None:
            return default
        option = BY_KEY.get(key)
        return None if option is None else option.default

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number. Raises OptionError if it is none."""
        text = self.get(key)
        if text is None:
            assert default is not None, key
            return default
        check_value(OptionSpec(key, "int", None, ""), text)
        return int(text)

    def flag(self, key: str) -> bool:
        """`true` or `false`."""
        return parse_bool(key, self.get(key) or "false")

    def words(self, key: str) -> tuple[str, ...]:
        """The parts of a comma-separated list."""
        return tuple(w.strip() for w in (self.get(key) or "").split(",") if w.strip())

    @property
    def bucket(self) -> int:
        """Number of buckets; -1 if absent."""
        return self.integer("bucket", -1)

    @property
    def bucket_key(self) -> tuple[str, ...]:
        """Columns of `bucket-key`, or ()."""
        return self.words("bucket-key")

    @property
    def merge_engine(self) -> str:
        """`deduplicate`, …"""
        return (self.get("merge-engine") or "").lower()

    @property
    def changelog_producer(self) -> str:
        """`none`, `input`, …"""
        return (self.get("changelog-producer") or "").lower()

    @property
    def sequence_field(self) -> tuple[str, ...]:
        """Columns of `sequence.field`, or ()."""
        return self.words("sequence.field")

    @property
    def looks_up(self) -> bool:
        """Whether compactions take all of level 0 and look up its keys in older levels."""
        return (
            self.changelog_producer == "lookup"
            or self.merge_engine == "first-row"
            or self.deletion_vectors_enabled
            or self.flag("force-lookup")
        )

    @property
    def compacts_after_commit(self) -> bool:
        """Whether compactions that look up follow the commit of the rows that need them."""
        return self.looks_up and not self.flag("lookup-wait")

    @property
    def write_only(self) -> bool:
        """Whether writers leave compaction to others."""
        return self.flag("write-only")

    @property
    def ignore_delete(self) -> bool:
        """Whether -D and -U rows are dropped."""
        return self.flag("ignore-delete")

    @property
    def ignore_update_before(self) -> bool:
        """Whether -U rows are dropped."""
        return self.flag("ignore-update-before")

    @property
    def commit_force_compact(self) -> bool:
        """Whether each commit compacts first."""
        return self.flag("commit.force-compact")

    @property
    def deletion_vectors_enabled(self) -> bool:
        """Whether deleted rows are kept in vectors."""
        return self.flag("deletion-vectors.enabled")

    def target_file_size_bytes(self, has_primary_key: bool) -> int:
        """Size at which a file is closed and the next begun."""
        text = self.get("target-file-size")
        return parse_size(text, "target-file-size") if text else (128 if has_primary_key else 256) * MIB

    @property
    def write_buffer_size_bytes(self) -> int:
        """Memory of a writer."""
        return parse_size(self.get("write-buffer-size") or "", "write-buffer-size")

    @property
    def num_sorted_run_compaction_trigger(self) -> int:
        """Sorted runs that start a compaction."""
        return self.integer("num-sorted-run.compaction-trigger")

    @property
    def num_sorted_run_stop_trigger(self) -> int:
        """Sorted runs at which writing waits."""
        return max(self.integer("num-sorted-run.stop-trigger", self.num_sorted_run_compaction_trigger + 3),
                   self.num_sorted_run_compaction_trigger)  # fmt: skip

    @property
    def num_levels(self) -> int:
        """Levels of the LSM tree, level 0 included."""
        return self.integer("num-levels", self.num_sorted_run_compaction_trigger + 1)

    @property
    def max_level(self) -> int:
        """The last level."""
        return self.num_levels - 1

    @property
    def max_size_amplification_percent(self) -> int:
        """See `compaction.max-size-amplification-percent`."""
        return self.integer("compaction.max-size-amplification-percent")

    @property
    def small_file_ratio(self) -> float:
        """See `compaction.small-file-ratio`."""
        return float(self.get("compaction.small-file-ratio") or 0.7)

    def millis(self, key: str) -> int | None:
        """The value of a duration option; None where there is none."""
        value = self.get(key)
        return None if value is None else int(parse_duration_ms(value, key))

    def bytes(self, key: str) -> int | None:
        """The value of a size option; None where there is none."""
        value = self.get(key)
        return None if value is None else parse_size(value, key)

    @property
    def size_ratio_percent(self) -> int:
        """See `compaction.size-ratio`."""
        return self.integer("compaction.size-ratio")


NO_OPTIONS = TableOptions({})
