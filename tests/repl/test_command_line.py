"""The command as a process: output, exit codes, signals; never a traceback."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "tsdb_repl.main"]
SETUP = (
    "CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED); INSERT INTO t VALUES (1, 'a'), (2, NULL);"
    "CREATE TABLE s (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)"
)
JOB = "SET 'execution.mode' = 'streaming'; INSERT INTO s SELECT * FROM t;"


def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("cli") / "warehouse")
    assert run(path, "-c", SETUP).returncode == 0
    return path


def test_a_query_from_every_place(warehouse: str, tmp_path: Path) -> None:
    script = tmp_path / "q.sql"
    script.write_text("SELECT v, id FROM t ORDER BY id;\n")
    expected = "v    | id\n-----+---\na    |  1\nNULL |  2\n(2 rows)\n"
    assert run(warehouse, "-c", "SELECT v, id FROM t ORDER BY id").stdout == expected
    assert run(warehouse, "-f", str(script)).stdout == expected
    assert run(warehouse, stdin=script.read_text()).stdout == expected
    assert run(warehouse, "-f", "-", stdin=script.read_text()).stdout == expected


def test_formats(warehouse: str) -> None:
    sql = "SELECT id, v FROM t ORDER BY id"
    assert run(warehouse, "-c", sql, "--format", "csv").stdout == "id,v\n1,a\n2,\n"
    lines = run(warehouse, "-c", sql, "--format", "json").stdout.splitlines()
    assert [json.loads(x) for x in lines] == [{"id": 1, "v": "a"}, {"id": 2, "v": None}]
    raw = subprocess.run([*COMMAND, warehouse, "-c", sql, "--format", "arrow"], capture_output=True, check=True).stdout
    assert pa.ipc.open_stream(raw).read_all()["id"].to_pylist() == [1, 2]


ERRORS = [
    ("SELECT nme FROM t", "line 1, column 8"),
    ("SELECT * FROM tt", "Did you mean `t`?"),
    ("SELECT 1 +\n FROM", "line 2"),
    ("SELECT 1/0", "zero"),
    ("CREATE TABLE x (a INT) WITH ('connector' = 'filesystm')", "Did you mean `filesystem`?"),
]


@pytest.mark.parametrize(("sql", "part"), ERRORS, ids=[e[0] for e in ERRORS])
def test_an_error_is_a_sentence_with_a_place(warehouse: str, sql: str, part: str) -> None:
    done = run(warehouse, "-c", sql)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith("error: ")
    assert part in done.stderr
    if "line" in part:
        assert done.stderr.rstrip().endswith("^")


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    assert run("--nope").returncode == 2
    assert run("-f", str(tmp_path / "nope.sql")).returncode == 2
    assert run("run").returncode == 2
    assert run(":memory:", "-c", "SELECT 1", "--mode", "other").returncode == 2


def test_a_bounded_stream_ends(warehouse: str) -> None:
    sql = "SET 'scan.bounded.mode' = 'latest'; SELECT count(*) AS n FROM t"
    done = run(warehouse, "--mode", "streaming", "--format", "json", "-c", sql)
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1]) == {"op": "+I", "n": 2}


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_stream_is_shown_live_until_it_is_stopped(warehouse: str, how: signal.Signals, code: int) -> None:
    command = [*COMMAND, warehouse, "--mode", "streaming", "--format", "json", "-c", "SELECT id FROM t"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["op"] == "+I"
        assert json.loads(process.stdout.readline())["op"] == "+I"
        process.send_signal(how)
        assert process.wait(20) == code
        assert process.stderr.read() == ""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_run_stays_until_it_is_stopped_and_resumes(
    warehouse: str, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    script = tmp_path / "job.sql"
    script.write_text(JOB)
    for value in ("x", "y"):
        run(warehouse, "-c", f"INSERT INTO t VALUES (1, '{value}')")
        with subprocess.Popen([*COMMAND, "run", str(script), warehouse], stdout=subprocess.DEVNULL) as process:
            wanted = [{"v": value}]
            deadline = time.monotonic() + 30
            query = "SELECT v FROM s WHERE id = 1"
            while (seen := run(warehouse, "--format", "json", "-c", query).stdout) != json.dumps(wanted[0]) + "\n":
                assert process.poll() is None and time.monotonic() < deadline, seen
            process.send_signal(how)
            assert process.wait(30) == code


def test_run_ends_when_its_jobs_do(warehouse: str, tmp_path: Path) -> None:
    script = tmp_path / "job.sql"
    script.write_text(
        "CREATE TABLE d (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED); SET 'scan.bounded.mode' = 'latest';"
        + JOB.replace("INTO s", "INTO d")
    )
    done = run("run", str(script), warehouse)
    assert done.returncode == 0, done.stderr
    assert run(warehouse, "--format", "json", "-c", "SELECT count(*) AS n FROM d").stdout == '{"n": 2}\n'


def test_a_reader_that_had_enough_is_no_error(warehouse: str) -> None:
    command = [*COMMAND, warehouse, "-c", "SELECT a.id FROM t a CROSS JOIN UNNEST(ARRAY[1,2,3]) AS u(x)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_the_package_is_the_command() -> None:
    command = [sys.executable, "-W", "error", "-m", "tsdb", "-c", "SELECT 1 AS a", "--format", "markdown"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "| a |\n| ---: |\n| 1 |\n"


def test_version() -> None:
    assert run("--version").stdout.startswith("tsdb ")
