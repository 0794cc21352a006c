"""The options of a table that concern its log system, read and checked.

`kafka.bootstrap.servers`, `kafka.topic` and every other property of a Kafka client stand under `kafka.`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tsdb.errors import NotSupportedError, OptionError
from tsdb.options import parse_bool, parse_duration_ms

PREFIX = "kafka."
LOG_SYSTEM = "log.system"
TOPIC = "kafka.topic"
_NO_PROPERTY = (TOPIC, "kafka.delete-topic-on-drop")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the options say. properties: of the client; retention_ms: of the topic, None: the broker's own."""

    topic: str
    properties: Mapping[str, str]
    retention_ms: int | None
    delete_on_drop: bool


def log_settings(options: Mapping[str, str]) -> LogSettings | None:
    """The settings; None for a table without a log system. Raises OptionError or NotSupportedError."""
    system = options.get(LOG_SYSTEM, "none").lower()
    if system == "none":
        return None
    for key, only in _ONLY.items():
        value = options.get(key)
        if value is not None and value.lower() not in only:
            words = " or ".join(f"'{word}'" for word in only)
            raise NotSupportedError(f"'{key}' = '{value}' is not there yet; leave it out, or write {words}")
    properties = {
        key.removeprefix(PREFIX): value
        for key, value in options.items()
        if key.startswith(PREFIX) and key not in _NO_PROPERTY
    }
    for key in (TOPIC, "kafka.bootstrap.servers"):
        if not options.get(key):
            raise OptionError(f"'{LOG_SYSTEM}' = 'kafka' needs the option '{key}'")
    retention = options.get("log.retention")
    return LogSettings(
        topic=options[TOPIC],
        properties=properties,
        retention_ms=None if retention is None else int(parse_duration_ms(retention, "log.retention")),
        delete_on_drop=parse_bool(_NO_PROPERTY[1], options.get(_NO_PROPERTY[1], "false")),
    )


_ONLY = {
    "log.consistency": ("transactional",),
    "log.changelog-mode": ("auto",),
    "log.format": ("arrow",),
    "log.key.format": ("none",),
}
