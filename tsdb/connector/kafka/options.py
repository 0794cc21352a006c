"""The options of Kafka tables, named as Flink names them, read into one value each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tsdb.connector.connector import ConnectorTable
from tsdb.connector.connector_options import check, require
from tsdb.connector.serde import SERDES
from tsdb.errors import OptionError
from tsdb.options import OptionSpec, parse_duration_ms

Poison = Literal["fail", "skip", "dead-letter"]

PROPERTIES = "properties."
METADATA_PREFIX = "tsdb.metadata."
VIRTUAL_PREFIX = "tsdb.virtual."

_SCAN = (
    OptionSpec("topic", "string", None, "The topic; to read also several, with `;` between them."),
    OptionSpec("topic-pattern", "string", None, "Regular expression for the topics to read, instead of `topic`."),
    OptionSpec(
        "scan.bounded.mode",
        "unbounded|latest|latest-offset|group-offsets|timestamp|specific-offsets",
        "unbounded",
        "Where reading ends; a batch query always ends at what is there when it begins.",
    ),
    OptionSpec("scan.bounded.specific-offsets", "string", None, "As `scan.startup.specific-offsets`; exclusive."),
    OptionSpec("scan.bounded.timestamp-millis", "int", None, "The first timestamp that is not read."),
    OptionSpec(
        "scan.topic-partition-discovery.interval", "duration", "10 s", "How often new topics and partitions are sought."
    ),
    OptionSpec(
        "scan.malformed-record",
        "fail|skip|dead-letter",
        "fail",
        "What becomes of a message that cannot be decoded: the query fails, or it is counted and left out, or sent on.",
    ),
    OptionSpec("scan.dead-letter.topic", "string", None, "Where `dead-letter` sends messages, with the reason."),
)
STARTUP = (
    OptionSpec(
        "scan.startup.mode",
        "earliest-offset|latest-offset|group-offsets|timestamp|specific-offsets",
        None,
        "Where reading begins: `group-offsets` if there is a `properties.group.id`, else `earliest-offset`.",
    ),
    OptionSpec("scan.startup.specific-offsets", "string", None, "`partition:0,offset:42;partition:1,offset:300`."),
    OptionSpec("scan.startup.timestamp-millis", "int", None, "The first timestamp that is read."),
)
_FORMATS = (
    OptionSpec("format", "string", None, "The format of values; `value.format` means the same."),
    OptionSpec("value.format", "string", None, "The format of values."),
    OptionSpec("key.format", "string", None, "The format of keys."),
    OptionSpec(
        "value.fields-include", "all|except_key", "ALL", "Whether values hold the key columns, too (`EXCEPT_KEY`)."
    ),
    OptionSpec("key.fields-prefix", "string", "", "What stands before the names of key columns in the table only."),
)
_AVRO_REGISTRY = (
    OptionSpec("avro-confluent.url", "string", None, "Address of the schema registry; several with `,` between them."),
    OptionSpec(
        "avro-confluent.subject",
        "string",
        None,
        "Subject to register under, instead of `<topic>-key`, `<topic>-value`.",
    ),
    OptionSpec("avro-confluent.schema", "string", None, "Avro schema to write with; by default that of the columns."),
    OptionSpec("avro-confluent.basic-auth.credentials-source", "user_info", "user_info", "Where the user is named."),
    OptionSpec("avro-confluent.basic-auth.user-info", "string", None, "`user:password` for the registry."),
    OptionSpec("avro-confluent.bearer-auth.token", "string", None, "A token for the registry, instead."),
    OptionSpec("avro-confluent.ssl.truststore.location", "string", None, "PEM file with the registry's authorities."),
)
REGISTRY = (
    *_AVRO_REGISTRY,
    *(OptionSpec(f"debezium-{o.key}", o.type, o.default, f"As `{o.key}`.") for o in _AVRO_REGISTRY),
)
KEY_FIELDS = (OptionSpec("key.fields", "string", None, "The columns of the key, with `;` between them."),)
_SINK = (
    OptionSpec("sink.delivery-guarantee", "at-least-once|exactly-once|none", "at-least-once",
               "`exactly-once`: a transaction for each checkpoint of the job; readers use `read_committed`."),
    OptionSpec("sink.transactional-id-prefix", "string", None, "How names of transactions begin."),
    OptionSpec("sink.partitioner", "default|fixed|round-robin", "default",
               "The partition of a message: by the hash of its key, always the first, or in turns."),
)  # fmt: skip
KAFKA_OPTIONS = (*_SCAN, *STARTUP, *_FORMATS, *KEY_FIELDS, *REGISTRY, *_SINK)
UPSERT_OPTIONS = (*_SCAN, *_FORMATS, *REGISTRY, *_SINK)


@dataclass(frozen=True, slots=True)
class Bound:
    """Where reading begins or ends. mode: without the `-offset`; offsets: by partition, for `specific`."""

    mode: Literal["earliest", "latest", "group", "timestamp", "specific", "unbounded"]
    timestamp_ms: int = 0
    offsets: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """The options of one table. values: all of them, checked; properties: of the client."""

    name: str
    values: Mapping[str, str]
    properties: Mapping[str, str]
    topics: tuple[str, ...]
    pattern: re.Pattern[str] | None
    start: Bound
    end: Bound
    discovery_s: float
    poison: Poison
    dead_letter: str | None
    upsert: bool

    @property
    def group(self) -> str | None:
        """The consumer group, if the user names one."""
        return self.properties.get("group.id")

    @property
    def exactly_once(self) -> bool:
        """Whether a job writes in transactions."""
        return self.values.get("sink.delivery-guarantee", "").lower() == "exactly-once"

    def topic(self) -> str:
        """The one topic to write to. Raises OptionError if there are several."""
        if len(self.topics) != 1:
            raise OptionError(f"table `{self.name}`: to write to it, 'topic' has to name one topic")
        return self.topics[0]


def read_options(table: ConnectorTable, *, upsert: bool) -> KafkaOptions:
    """The table's options, checked. Raises OptionError."""
    specs = [*(UPSERT_OPTIONS if upsert else KAFKA_OPTIONS), *(o for serde in SERDES.values() for o in serde.options)]
    sides = [
        OptionSpec(f"{side}.{o.key}", o.type, o.default, o.description) for o in specs for side in ("key", "value")
    ]
    values = check(table, (*specs, *sides), (PROPERTIES,))
    name = str(table.identifier)
    require(table, values, "properties.bootstrap.servers")
    topics, pattern = _topics(name, values)
    properties = {key.removeprefix(PROPERTIES): v for key, v in values.items() if key.startswith(PROPERTIES)}
    poison: Poison = values.get("scan.malformed-record", "fail").lower()  # type: ignore[assignment]  # checked above
    if poison == "fail" and any(k.endswith("ignore-parse-errors") and v.lower() == "true" for k, v in values.items()):
        poison = "skip"
    if poison == "dead-letter" and not values.get("scan.dead-letter.topic"):
        raise OptionError(f"table `{name}`: 'scan.malformed-record' = 'dead-letter' needs 'scan.dead-letter.topic'")
    return KafkaOptions(
        name=name,
        values=values,
        properties=properties,
        topics=topics,
        pattern=pattern,
        start=Bound("earliest") if upsert else _bound(name, values, "startup", _default_start(properties)),
        end=_bound(name, values, "bounded", "unbounded"),
        discovery_s=parse_duration_ms(values.get("scan.topic-partition-discovery.interval", "10 s")) / 1000,
        poison=poison,
        dead_letter=values.get("scan.dead-letter.topic"),
        upsert=upsert,
    )


def _default_start(properties: Mapping[str, str]) -> str:
    return "group-offsets" if properties.get("group.id") else "earliest-offset"


def _topics(name: str, values: Mapping[str, str]) -> tuple[tuple[str, ...], re.Pattern[str] | None]:
    topics = tuple(t.strip() for t in values.get("topic", "").split(";") if t.strip())
    pattern = values.get("topic-pattern")
    if bool(topics) == bool(pattern):
        raise OptionError(f"table `{name}`: give either 'topic' or 'topic-pattern'")
    try:
        return topics, None if pattern is None else re.compile(pattern)
    except re.error as err:
        raise OptionError(f"table `{name}`: 'topic-pattern' is no regular expression: {err}") from err


def _bound(name: str, values: Mapping[str, str], which: str, default: str) -> Bound:
    word = values.get(f"scan.{which}.mode", default).lower()
    if word in ("timestamp", "specific-offsets"):
        key = f"scan.{which}." + ("timestamp-millis" if word == "timestamp" else word)
        text = values.get(key)
        if text is None:
            raise OptionError(f"table `{name}`: 'scan.{which}.mode' = '{word}' needs '{key}'")
        if word == "timestamp":
            if int(text) < 0:
                raise OptionError(f"'{key}' = '{text}': it is in milliseconds since 1970, so 0 or more")
            return Bound("timestamp", timestamp_ms=int(text))
        return Bound("specific", offsets=_specific(key, text))
    if word == "group-offsets" and not values.get("properties.group.id"):
        raise OptionError(f"table `{name}`: 'scan.{which}.mode' = 'group-offsets' needs 'properties.group.id'")
    return Bound(word.removesuffix("-offset").removesuffix("-offsets"))  # type: ignore[arg-type]  # checked words


def _specific(key: str, text: str) -> dict[int, int]:
    offsets = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        match = re.fullmatch(r"partition:(\d+)\s*,\s*offset:(\d+)", part)
        if match is None:
            raise OptionError(f"'{key}' is like 'partition:0,offset:42;partition:1,offset:300', not '{text}'")
        offsets[int(match[1])] = int(match[2])
    return offsets
