"""Kafka's own properties, as Java clients name them, to those of librdkafka, which names most of them alike."""

import functools
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException

from tsdb.errors import OptionError, nearest
from tsdb.kafka.properties import check_store, jaas_login
from tsdb.secrets import is_secret, resolved

_RENAMED = {
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.password": "ssl.key.password",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "max.request.size": "message.max.bytes",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "send.buffer.bytes": "socket.send.buffer.bytes",
}
# what only tunes another library's insides, and what this package decides itself
_WITHOUT_EFFECT = {
    "group.id", "auto.offset.reset", "enable.auto.commit", "max.poll.records", "max.block.ms", "buffer.memory",
    "bootstrap.timeout.ms", "ssl.truststore.type", "ssl.keystore.type", "sasl.jaas.config", "ssl.check.hostname",
}  # fmt: skip
_COMMON = (
    "bootstrap.servers", "security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "isolation.level",
    "client.id", "acks", "linger.ms", "batch.size", "compression.type", "request.timeout.ms", "delivery.timeout.ms",
    "fetch.min.bytes", "fetch.max.bytes", "max.partition.fetch.bytes", "session.timeout.ms", "transaction.timeout.ms",
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password", "enable.idempotence",
    "retries", "retry.backoff.ms", "message.max.bytes", *_RENAMED,
)  # fmt: skip
BOOTSTRAP_MS = "bootstrap.timeout.ms"


def configuration(properties: Mapping[str, str]) -> dict[str, str]:
    """What librdkafka is given. Raises OptionError for a property that it does not have, naming the nearest."""
    values = {key: resolved(f"properties.{key}", value) for key, value in properties.items()}
    found = {f"sasl.{key}": value for key, value in jaas_login(values.get("sasl.jaas.config", "")).items()}
    for key, value in values.items():
        check_store(key, value)
        if key == "ssl.check.hostname" and value.lower() == "false":
            found["ssl.endpoint.identification.algorithm"] = "none"
        if key in _WITHOUT_EFFECT:
            continue
        if key == "ssl.keystore.location":  # one PEM file with the key and its certificate, as Java reads it
            found.update({"ssl.certificate.location": value, "ssl.key.location": value})
            continue
        name = _RENAMED.get(key, key)
        found[name] = _value(name, value)
        _check(key, name, "" if is_secret(name) else found[name])
    if found.get("sasl.mechanism") and not found.get("security.protocol", "").upper().startswith("SASL"):
        raise OptionError(
            "'properties.sasl.mechanism' needs 'properties.security.protocol' = 'SASL_SSL' or 'SASL_PLAINTEXT'"
        )
    return found


def _value(name: str, value: str) -> str:
    if name == "ssl.endpoint.identification.algorithm":
        return "https" if value.lower() == "https" else "none"
    return value


@functools.lru_cache(maxsize=1024)
def _check(key: str, name: str, value: str) -> None:
    """Let the library look at one property: it has no list of them that could be asked for."""
    if name in ("bootstrap.servers", "debug"):  # would connect, would write
        return
    try:
        Consumer({"group.id": "none", "log_level": "0", name: value}).close()
    except KafkaException as err:
        text = err.args[0].str()
        if text.startswith("No such configuration property"):
            near = nearest(key, _COMMON)
            raise OptionError(
                f"the Kafka client confluent-kafka has no property '{key}' (option 'properties.{key}').{near}"
            ) from None
        if text.startswith(("Invalid value", "Configuration property")) and value:
            raise OptionError(f"'properties.{key}': {text}") from None
