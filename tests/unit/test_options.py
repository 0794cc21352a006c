"""Options: their values are checked, and a mistake is answered with what was meant."""

import pytest

from tsdb.errors import NotSupportedError, OptionError
from tsdb.foreign_options import KEPT_OPTIONS, REFUSED_OPTIONS
from tsdb.options import (
    BY_KEY,
    OPTIONS,
    SCAN,
    SESSION,
    TABLE,
    TableOptions,
    check_session_option,
    check_table_options,
    check_value,
    parse_duration_ms,
    parse_size,
)

SIZES = [("128 mb", 128 << 20), ("1g", 1 << 30), ("4096", 4096), ("2 KiB", 2048), ("7 bytes", 7), ("1 tb", 1 << 40)]
DURATIONS = [("1 h", 3_600_000), ("30s", 30_000), ("500 ms", 500), ("200", 200), ("2 days", 172_800_000)]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "ms"), DURATIONS)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "mb", "-1 mb", "1 parsec", "1.5 gb", "1 mb 2"])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(OptionError, match=r"'target-file-size' is a size such as '128 mb'"):
        parse_size(text, "target-file-size")
    with pytest.raises(OptionError, match=r"duration"):
        parse_duration_ms(text)


BAD = [
    ("bukcet", "1", r"unknown option 'bukcet'\. Did you mean `bucket`"),
    ("bucket", "many", r"'bucket' is a whole number, not 'many'"),
    ("write-only", "yes", r"'write-only' is 'true' or 'false', not 'yes'"),
    ("merge-engine", "dedupe", r"one of 'deduplicate'.*not 'dedupe'"),
    ("changelog-producer", "inputs", r"Did you mean `input`"),
    ("manifest.format", "orc", r"one of 'avro', not 'orc'"),
    ("manifest.compression", "lz4", r"one of 'zstd'"),
    ("snapshot.time-retained", "soon", r"a duration such as '30 s'"),
    ("execution.mode", "batch", r"unknown option 'execution.mode'"),
    ("compaction.size-ratoi", "1", r"Did you mean `compaction.size-ratio`"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_wrong_table_options(key: str, value: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_table_options({"bucket": "1", key: value})


def test_options_of_paimon() -> None:
    check_table_options({"read.batch-size": "1024", "sink.parallelism": "4", "fields.v.aggregate-function": "sum"})
    check_table_options({"primary-key.nullable": "FALSE", "consumer.mode": "exactly-once"})
    for key, value in (("primary-key.nullable", "true"), ("query-auth.enabled", "true")):
        with pytest.raises(NotSupportedError, match=key):
            check_table_options({key: value})
    check_table_options({"sink.writer-cpu": "1.0", "scan.bounded": "false", "metastore.partitioned-table": "true"})
    for key in ("pk-btree.index.columns", "scan.watermark.idle-timeout", "branch"):
        with pytest.raises(NotSupportedError, match=key):
            check_table_options({key: "1"})
    for key in ("read.batch-size", "primary-key.nullable", "bucket"):
        with pytest.raises(OptionError, match="unknown"):
            check_session_option(key, "1")


def test_the_lists_are_apart_and_every_default_is_a_value() -> None:
    assert len(BY_KEY) == len(OPTIONS)
    assert not KEPT_OPTIONS & REFUSED_OPTIONS.keys() and not (KEPT_OPTIONS | REFUSED_OPTIONS.keys()) & BY_KEY.keys()
    for option in OPTIONS:
        assert option.scope in (TABLE, SCAN, SESSION) and option.description.endswith(".")
        if option.default is not None:
            check_value(option, option.default)


def test_session_options() -> None:
    check_session_option("execution.mode", "streaming")
    check_session_option("scan.bounded.mode", "latest")
    with pytest.raises(OptionError, match=r"one of 'batch', 'streaming', not 'steraming'\. Did you mean `streaming`"):
        check_session_option("execution.mode", "steraming")


def test_typed_options_and_their_defaults() -> None:
    options = TableOptions({})
    assert (options.bucket, options.bucket_key, options.merge_engine) == (-1, (), "deduplicate")
    assert (options.num_levels, options.max_level, options.num_sorted_run_stop_trigger) == (6, 5, 8)
    assert options.target_file_size_bytes(True) == 128 << 20 and options.target_file_size_bytes(False) == 256 << 20
    assert options.write_buffer_size_bytes == 256 << 20 and not options.write_only
    given = TableOptions({
        "bucket": " 4 ", "bucket-key": "a, b,", "num-sorted-run.compaction-trigger": "3", "write-only": "TRUE",
        "num-sorted-run.stop-trigger": "1", "target-file-size": "1 mb", "merge-engine": "First-Row",
    })  # fmt: skip
    assert (given.bucket, given.bucket_key, given.merge_engine) == (4, ("a", "b"), "first-row")
    assert (given.num_levels, given.num_sorted_run_stop_trigger, given.write_only) == (4, 3, True)
    assert given.target_file_size_bytes(True) == 1 << 20
    with pytest.raises(OptionError, match="whole number"):
        TableOptions({"bucket": "x"}).bucket  # noqa: B018
