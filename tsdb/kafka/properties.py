"""Kafka's own properties, as Java clients name them, to the arguments of kafka-python."""

import re
from collections.abc import Mapping
from typing import Any

from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.options import parse_bool
from tsdb.secrets import resolved, shown

_RENAMED = {
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "ssl.truststore.location": "ssl_cafile",
    "ssl.ca.location": "ssl_cafile",
    "ssl.keystore.location": "ssl_certfile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.keystore.password": "ssl_password",
    "max.in.flight.requests.per.connection": "max_in_flight_requests_per_connection",
    "transaction.timeout.ms": "transaction_timeout_ms",
}
_NUMBERS = {"receive_buffer_bytes", "send_buffer_bytes", "retries"}
_NOT_TEXT = {"ssl_context", "selector", "kafka_client", "metric_reporters", "sasl_oauth_token_provider",
             "socket_options", "partitioner", "partition_assignment_strategy", "key_deserializer",
             "value_deserializer", "key_serializer", "value_serializer", "default_offset_commit_callback",
             "consumer_timeout_ms", "transactional_id", "group_id"}  # fmt: skip
_OURS = {
    "group.id", "auto.offset.reset", "enable.auto.commit", "ssl.truststore.type", "ssl.keystore.type",
    "ssl.endpoint.identification.algorithm", "sasl.jaas.config",
}  # fmt: skip
_JAAS = re.compile(r"""(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s;]+))""")


def arguments(properties: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for a client class. known: the names of all clients' arguments and their defaults.

    Raises OptionError for a property that no client has, naming the nearest, or for a value that does not fit.
    """
    values = {key: resolved(f"properties.{key}", value) for key, value in properties.items()}
    login = jaas_login(values.get("sasl.jaas.config", ""))
    found: dict[str, Any] = {f"sasl_plain_{key}": value for key, value in login.items()}
    for key, value in values.items():
        if key in _OURS:
            _check_ours(key, value, found)
            continue
        name = _RENAMED.get(key, key.replace(".", "_"))
        if name not in known or name in _NOT_TEXT:
            near = nearest(name, set(known) - _NOT_TEXT).replace("_", ".")
            raise OptionError(f"the Kafka client has no property '{key}' (option 'properties.{key}').{near}")
        found[name] = _value(key, name, value, known[name])
    mechanism = found.get("sasl_mechanism")
    if mechanism and not found.get("security_protocol", "").upper().startswith("SASL"):
        raise OptionError(
            "'properties.sasl.mechanism' needs 'properties.security.protocol' = 'SASL_SSL' or 'SASL_PLAINTEXT'"
        )
    return found


def _value(key: str, name: str, value: str, default: Any) -> Any:
    if isinstance(default, bool):
        return parse_bool(f"properties.{key}", value)
    if name == "acks":
        return "all" if value in ("all", "-1") else int(value)
    if isinstance(default, int | float) or name in _NUMBERS:
        try:
            return int(value)
        except ValueError:
            raise OptionError(f"'properties.{key}' is a whole number, not '{shown(key, value)}'") from None
    if name == "bootstrap_servers":
        return [server.strip() for server in value.split(",") if server.strip()]
    return None if name == "compression_type" and value == "none" else value


def _check_ours(key: str, value: str, found: dict[str, Any]) -> None:
    """Properties that have no argument of their own."""
    check_store(key, value)
    if key == "ssl.endpoint.identification.algorithm":
        found["ssl_check_hostname"] = value.lower() == "https"


def jaas_login(text: str) -> dict[str, str]:
    """`username` and `password` of `…LoginModule required username="u" password="p";`."""
    parts = {m[1]: re.sub(r"\\(.)", r"\1", m[2]) if m[2] is not None else m[3] or m[4] for m in _JAAS.finditer(text)}
    return {key: parts[key] for key in ("username", "password") if key in parts}


def check_store(key: str, value: str) -> None:
    """Raises NotSupportedError for a kind of certificate store that no client of ours reads."""
    if key.endswith("store.type") and value.upper() != "PEM":
        raise NotSupportedError(
            f"'properties.{key}' = '{value}': certificates are read as PEM files; convert the store"
        )
