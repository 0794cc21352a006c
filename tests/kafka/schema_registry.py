"""A small schema registry that speaks the REST API which Confluent documents: subjects, versions, ids, basic auth."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Registry(ThreadingHTTPServer):
    """schemas: text by id. asked: every path, in order. user: `name:password`, or '' for everybody."""

    def __init__(self, user: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.user = user
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, subject: str, schema: Any) -> int:
        """The id; the same for the same text."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        found = next((i for i, there in self.schemas.items() if json.loads(there) == json.loads(text)), None)
        number = found or len(self.schemas) + 1
        self.schemas[number] = text
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        if self._may():
            number = int(self.path.rpartition("/")[2])
            text = self.server.schemas.get(number)
            if text is None:
                self._answer(404, {"error_code": 40403, "message": "Schema not found"})
            else:
                self._answer(200, {"schema": text})

    def do_POST(self) -> None:
        if self._may():
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            subject = self.path.split("/")[2]
            if subject.startswith("frozen"):
                self._answer(409, {"error_code": 409, "message": "incompatible with an earlier schema"})
            else:
                self._answer(200, {"id": self.server.add(subject, body["schema"])})

    def _may(self) -> bool:
        self.server.asked.append(self.path)
        wanted = "Basic " + base64.b64encode(self.server.user.encode()).decode()
        if not self.server.user or self.headers.get("Authorization") == wanted:
            return True
        self._answer(401, {"error_code": 401, "message": "Unauthorized"})
        return False

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@contextmanager
def running(user: str = "") -> Iterator[Registry]:
    """A registry while the block runs."""
    with Registry(user) as registry:
        thread = threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join()
