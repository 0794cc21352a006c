"""A client of schema registries (Confluent's REST API, which others speak, too): schemas by id, and ids of schemas.

A schema never changes under its id, so what was asked for once is kept. A registry that goes away is `Unreachable`, as
a broker is; one that never answered, or that refuses, is an error.
"""

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from tsdb.errors import OperationalError, OptionError
from tsdb.kafka.client import Unreachable
from tsdb.secrets import resolved

_ANSWER_S = 10.0
_TYPE = "application/vnd.schemaregistry.v1+json"


class UnknownSchema(Exception):
    """The registry does not have it."""


class Registry:
    """One registry, as the options of a format name it; nothing is asked yet."""

    def __init__(self, form: str, options: Mapping[str, str]) -> None:
        """form: the format, whose options begin with its name. Raises OptionError."""
        self._urls = [u.strip().rstrip("/") for u in options.get(f"{form}.url", "").split(",") if u.strip()]
        if not self._urls:
            raise OptionError(f"the format {form} needs the option '{form}.url', the address of the schema registry")
        for url in self._urls:
            parts = urllib.parse.urlsplit(url)
            if parts.scheme not in ("http", "https") or parts.username is not None:
                raise OptionError(
                    f"'{form}.url' is http://host:port or https://host:port; the user belongs to "
                    f"'{form}.basic-auth.user-info'"
                )
        self._authorization = _authorization(form, options)
        location = options.get(f"{form}.ssl.truststore.location")
        self._ca = None if location is None else resolved(f"{form}.ssl.truststore.location", location)
        self._answered = False
        self._schemas: dict[int, Any] = {}
        self._ids: dict[tuple[str, str], int] = {}

    def schema(self, schema_id: int) -> Any:
        """The Avro schema of an id, as JSON. Raises UnknownSchema, Unreachable, OperationalError."""
        if schema_id not in self._schemas:
            answer = self._ask(f"/schemas/ids/{schema_id}", None)
            kind = answer.get("schemaType", "AVRO")
            if kind != "AVRO":
                raise UnknownSchema(f"the schema {schema_id} is {kind}, not AVRO")
            if answer.get("references"):
                raise UnknownSchema(f"the schema {schema_id} refers to other schemas, which is not supported")
            self._schemas[schema_id] = json.loads(answer["schema"])
        return self._schemas[schema_id]

    def register(self, subject: str, schema: str) -> int:
        """The id of a schema; new ones become the newest version of the subject, if the registry takes them."""
        if (subject, schema) not in self._ids:
            path = f"/subjects/{urllib.parse.quote(subject, safe='')}/versions"
            self._ids[(subject, schema)] = int(self._ask(path, {"schema": schema})["id"])
        return self._ids[(subject, schema)]

    def _ask(self, path: str, body: Any) -> Any:
        """The answer of the first registry that gives one."""
        context = ssl.create_default_context(cafile=self._ca)
        headers = {"Accept": f"{_TYPE}, application/json", "Content-Type": _TYPE, **self._authorization}
        data = None if body is None else json.dumps(body).encode()
        reasons = []
        for url in self._urls:
            request = urllib.request.Request(url + path, data, headers)
            try:
                with urllib.request.urlopen(request, timeout=_ANSWER_S, context=context) as answer:
                    found = json.load(answer)
                self._answered = True
                return found
            except urllib.error.HTTPError as err:
                with err:
                    text = f"{err.code} {_message(err.read())}".strip()
                if err.code == 404 and body is None:
                    raise UnknownSchema(
                        f"the schema registry at {url} has no schema {path.rpartition('/')[2]}"
                    ) from err
                if err.code < 500 and err.code not in (408, 429):
                    raise OperationalError(f"the schema registry at {url} refuses {path}: {text}") from err
                reasons.append(f"{url}: {text}")
            except (OSError, ValueError) as err:
                reasons.append(f"{url}: {getattr(err, 'reason', err)}")
        text = f"no schema registry answers: {'; '.join(reasons)}"
        raise Unreachable(text) if self._answered else OperationalError(text)


def _authorization(form: str, options: Mapping[str, str]) -> dict[str, str]:
    user, token = (options.get(f"{form}.{key}") for key in ("basic-auth.user-info", "bearer-auth.token"))
    if user and token:
        raise OptionError(f"give either '{form}.basic-auth.user-info' or '{form}.bearer-auth.token'")
    if user:
        plain = resolved(f"{form}.basic-auth.user-info", user)
        if ":" not in plain:
            raise OptionError(f"'{form}.basic-auth.user-info' is `user:password`")
        return {"Authorization": "Basic " + base64.b64encode(plain.encode()).decode()}
    return {"Authorization": f"Bearer {resolved(f'{form}.bearer-auth.token', token)}"} if token else {}


def _message(body: bytes) -> str:
    try:
        found = json.loads(body)
        return str(found.get("message", found)) if isinstance(found, dict) else str(found)
    except ValueError:
        return body[:200].decode("utf-8", "replace")
