"""The judges as Python objects: Paimon Java behind PaimonJudge.java; the Python peers in their environment."""

import base64
import datetime as dt
import decimal
import json
import os
import shutil
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
JARS = ROOT / ".cache" / "paimon-java"
PEERS = ROOT / ".cache" / "peers" / "bin" / "python"


def java_missing() -> str:
    """Why the Java judge cannot run, or ''."""
    if not shutil.which("java"):
        return "java is not installed"
    return "" if list(JARS.glob("paimon-bundle-*.jar")) else "Paimon Java is not in .cache (run `make test`)"


def peers_missing() -> str:
    """Why the Python judges cannot run, or ''."""
    return "" if PEERS.exists() else "the peers' environment is not in .cache (run `make test`)"


class _LineServer:
    """A process that answers one JSON line per JSON line."""

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "TZ": "UTC"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        # the last lines of standard error, for the message when the process dies; read so that the pipe never fills
        self._complaints: deque[str] = deque(maxlen=20)
        self._reader = threading.Thread(target=self._read_complaints, daemon=True)
        self._reader.start()

    def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._complaints.append(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the judge died: " + "".join(self._complaints)
        result: dict[str, Any] = json.loads(answer)
        assert "error" not in result, f"{request.get('do')} {request.get('table')}: {result['error']}"
        return result

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._reader.join(timeout=5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


class PaimonJava(_LineServer):
    """Paimon Java; every row is a list of plain values in `plain`'s form."""

    def __init__(self) -> None:
        jars = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
        opens = "--add-opens=java.base/java.nio=ALL-UNNAMED"
        super().__init__(["java", "-Xmx1g", opens, "-cp", jars, str(Path(__file__).with_name("PaimonJudge.java"))])

    def read(
        self, warehouse: Path, table: str, where: tuple[str, Any] | None = None, **options: str
    ) -> list[list[Any]]:
        """where: a column and a value; files that cannot have it are left out, their other rows are not."""
        database, name = table.split(".")
        request: dict[str, Any] = {"warehouse": str(warehouse), "database": database, "table": name, "options": options}
        if where is not None:
            request["where"] = list(where)
        rows: list[list[Any]] = self.ask(do="read", **request)["rows"]
        return rows

    def write(
        self, warehouse: Path, table: str, rows: list[list[Any]], identifier: int, user: str = "judge", **more: Any
    ) -> None:
        """bucket: where all rows go, in a table whose buckets are not a function of the key."""
        database, name = table.split(".")
        self.ask(
            do="write",
            warehouse=str(warehouse),
            database=database,
            table=name,
            rows=rows,
            identifier=identifier,
            user=user,
            **more,
        )

    def compact(self, warehouse: Path, table: str) -> None:
        database, name = table.split(".")
        self.ask(do="compact", warehouse=str(warehouse), database=database, table=name)

    def maintain(self, warehouse: Path, table: str, what: str, *arguments: Any) -> None:
        database, name = table.split(".")
        self.ask(
            do="maintain", warehouse=str(warehouse), database=database, table=name, what=what, arguments=list(arguments)
        )

    def create(self, warehouse: Path, table: str, columns: list[list[Any]], **more: Any) -> None:
        database, name = table.split(".")
        self.ask(do="create", warehouse=str(warehouse), database=database, table=name, columns=columns, **more)

    def alter(self, warehouse: Path, table: str, *changes: list[Any]) -> None:
        """changes: [what, path of names, …]."""
        database, name = table.split(".")
        self.ask(do="alter", warehouse=str(warehouse), database=database, table=name, changes=list(changes))

    def stream(self, warehouse: Path, table: str, **options: str) -> list[list[Any]]:
        """What a streaming read gives until now."""
        database, name = table.split(".")
        found: list[list[Any]] = self.ask(
            do="stream", warehouse=str(warehouse), database=database, table=name, options=options
        )["rows"]
        return found

    def bitmap64(self, numbers: list[int]) -> bytes:
        """The numbers, signed, as Java serializes them."""
        return base64.b64decode(self.ask(do="bitmap64", numbers=numbers)["value"])

    def numbers(self, bitmap: bytes) -> list[int]:
        """The numbers of a serialized 64-bit bitmap, signed."""
        found: list[int] = self.ask(do="bitmap64", bitmap=base64.b64encode(bitmap).decode())["value"]
        return found

    def cast(self, old: Any, new: Any, values: list[Any]) -> list[Any] | None:
        """What values of a column become when its type changes; None: it may not. Types as in schema files."""
        found: list[Any] | None = self.ask(do="cast", old=old, new=new, values=values)["values"]
        return found


class PythonPeers(_LineServer):
    """pypaimon and pypaimon-rust in their own environment."""

    def __init__(self) -> None:
        super().__init__([str(PEERS), str(Path(__file__).with_name("peer_server.py"))])

    def read(self, peer: str, warehouse: Path | str, table: str, **options: str) -> list[list[Any]]:
        """options: of the catalog."""
        return self.ask(do="read", peer=peer, warehouse=str(warehouse), table=table, options=options)["rows"]

    def write(self, warehouse: str, table: str, rows: dict[str, list[Any]], **options: str) -> None:
        """Append columns of BIGINT, DOUBLE and STRING by pypaimon. options: of the catalog."""
        self.ask(do="write", warehouse=warehouse, table=table, rows=rows, options=options)


class S3Server:
    """A server that speaks S3, with an empty bucket `lake`. url: its address."""

    user, secret, bucket = "user", "hush", "lake"

    def __init__(self) -> None:
        command = [str(PEERS), str(Path(__file__).with_name("s3_server.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        lines = iter(self._process.stdout.readline, "")
        self.url = next((line.strip() for line in lines if line.startswith("http")), "")
        assert self.url, "the S3 server died"

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def plain(value: Any) -> Any:
    """A Python value of ours in the form PaimonJudge.java prints."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return repr(value)
        case bytes():
            return base64.b64encode(value).decode()
        case decimal.Decimal():
            return f"{value:f}"
        case dt.datetime():
            epoch = dt.datetime(1970, 1, 1, tzinfo=value.tzinfo)
            micros = (value - epoch) // dt.timedelta(microseconds=1)
            return f"{micros // 1000}:{micros % 1000 * 1000}"
        case dt.date():
            return (value - dt.date(1970, 1, 1)).days
        case dt.time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
        case dict():
            return [plain(v) for v in value.values()]
        case list() | tuple():
            return [plain(v) for v in value]
    raise TypeError(f"no plain form for {type(value)}")


def plain_rows(rows: Any) -> list[list[Any]]:
    """Rows of a cursor in plain form, sorted."""
    return in_order([[plain(v) for v in row] for row in rows])


def in_order(rows: list[list[Any]]) -> list[list[Any]]:
    """Rows sorted by their JSON text (None is fine)."""
    return sorted(rows, key=json.dumps)
