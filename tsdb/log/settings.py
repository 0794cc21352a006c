"""The options of a table that concern its log system, read and checked.

`kafka.bootstrap.servers`, `kafka.topic` and every other property of a Kafka client stand under `kafka.`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.options import parse_bool, parse_duration_ms

PREFIX = "kafka."
LOG_SYSTEM = "log.system"
TOPIC = "kafka.topic"
FORMATS = ("arrow", "json", "debezium-json", "avro")
_NO_PROPERTY = (TOPIC, "kafka.delete-topic-on-drop")
_CHOICES = {
    LOG_SYSTEM: ("none", "kafka"),
    "log.consistency": ("transactional", "eventual"),
    "log.changelog-mode": ("auto", "all", "upsert"),
    "log.format": FORMATS,
    "log.scan": ("full", "latest", "from-timestamp"),
}
_SCANS = {"full": "latest-full", "latest": "latest", "from-timestamp": "from-timestamp"}
_STARTS = ("scan.timestamp", "scan.snapshot-id", "scan.tag-name", "scan.version", "scan.watermark")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the options say. properties: of the client; retention_ms: of the topic, None: the broker's own.

    is_eventual: rows are in the topic before their commit. is_upsert: a row that is gone, or changed, is not told with
    what it was.
    """

    topic: str
    properties: Mapping[str, str]
    retention_ms: int | None
    delete_on_drop: bool
    is_eventual: bool = False
    is_upsert: bool = False
    format: str = "arrow"
    key_format: str | None = None


def log_settings(options: Mapping[str, str], *, has_key: bool, has_changelog: bool) -> LogSettings | None:
    """The settings; None for a table without a log system. Raises OptionError or NotSupportedError.

    has_key: the table has a primary key. has_changelog: it makes a changelog, with rows as they were.
    """
    chosen = {key: _choice(options, key) for key in _CHOICES}
    if chosen[LOG_SYSTEM] == "none":
        return None
    for key in (TOPIC, "kafka.bootstrap.servers"):
        if not options.get(key):
            raise OptionError(f"'{LOG_SYSTEM}' = 'kafka' needs the option '{key}'")
    is_eventual, mode = chosen["log.consistency"] == "eventual", chosen["log.changelog-mode"]
    if mode == "upsert" and not has_key:
        raise OptionError("'log.changelog-mode' = 'upsert' is by key: the table needs a PRIMARY KEY")
    if mode == "all" and has_key and not has_changelog:
        raise NotSupportedError(
            "'log.changelog-mode' = 'all' tells what rows were before: the table needs a changelog; set "
            "'changelog-producer' = 'lookup' or 'full-compaction', or leave the mode out"
        )
    if is_eventual and not has_key:
        raise NotSupportedError(
            "'log.consistency' = 'eventual' shows rows before their commit, and after a failure once more: it is for "
            "tables with a PRIMARY KEY, by which the rows are put right"
        )
    if is_eventual and mode == "all":
        raise NotSupportedError("'log.consistency' = 'eventual' goes by key, so 'log.changelog-mode' is not 'all'")
    in_rows = chosen["log.format"] != "arrow"
    by_default = has_key and (is_eventual or in_rows or not has_changelog)
    retention = options.get("log.retention")
    return LogSettings(
        topic=options[TOPIC],
        properties={
            key.removeprefix(PREFIX): value
            for key, value in options.items()
            if key.startswith(PREFIX) and key not in _NO_PROPERTY
        },
        retention_ms=None if retention is None else int(parse_duration_ms(retention, "log.retention")),
        delete_on_drop=parse_bool(_NO_PROPERTY[1], options.get(_NO_PROPERTY[1], "false")),
        is_eventual=is_eventual,
        is_upsert=mode == "upsert" or (mode == "auto" and by_default),
        format=chosen["log.format"],
        key_format=None if options.get("log.key.format") is None else options["log.key.format"].lower(),
    )


def scan_options(options: Mapping[str, str]) -> dict[str, str]:
    """What `log.scan` says, in the words of `scan.mode`, under the options themselves. Raises OptionError.

    options: of the table, and those of the query over them.
    """
    millis = options.get("log.scan.timestamp-millis")
    scan = _choice(options, "log.scan")
    if (millis is not None) != (scan == "from-timestamp"):
        raise OptionError("'log.scan' = 'from-timestamp' and 'log.scan.timestamp-millis' go together")
    if options.get("scan.mode", "default") != "default" or any(key in options for key in _STARTS):
        return {}  # the query says it in the words of tables, which are more
    if options.get("log.scan") is None or "scan.timestamp-millis" in options:
        return {}
    more = {} if millis is None else {"scan.timestamp-millis": millis}
    return {"scan.mode": _SCANS[scan], **more}


def _choice(options: Mapping[str, str], key: str) -> str:
    words = _CHOICES[key]
    value = options.get(key, words[0]).lower()
    if value not in words:
        listed = ", ".join(f"'{word}'" for word in words)
        raise OptionError(f"'{key}' = '{value}': it is one of {listed}.{nearest(value, words)}")
    return value
