"""The command line: `tsdb [WAREHOUSE] [-c SQL | -f FILE]` and `tsdb run FILE [WAREHOUSE]`.

Exit codes: 0 all well (also after SIGTERM, which stops jobs with a checkpoint), 1 an error in the SQL or in a job,
2 wrong usage, 130 interrupted by Ctrl-C.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tsdb

from .printer import FORMATS
from .runner import Session, describe, run_script
from .shell import Shell

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Terminated(SystemExit):
    """SIGTERM came; like every SystemExit it passes through what turns failures into errors."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    runs_jobs = words[:1] == ["run"]
    options = _run_parser().parse_args(words[1:]) if runs_jobs else _parser().parse_args(words)
    try:
        with _sigterm():
            return _run(options) if runs_jobs else _query(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Terminated:
        return OK
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has had enough
        return OK
    except Exception as err:  # the last place: a person gets a sentence, not a traceback
        print(describe(err), file=sys.stderr)
        return FAILED


def _query(options: argparse.Namespace) -> int:
    """-c, -f, standard input, or the shell."""
    texts = [*(options.command or ()), *(_read(f) for f in options.file or ())]
    with _connect(options) as connection:
        session = Session(connection, options.format)
        if not texts and sys.stdin.isatty():
            return Shell(session).run()
        for text in texts or [sys.stdin.read()]:
            run_script(session, text)
        running = [job.name for job in connection.jobs() if job.runs]
        if running:
            print(f"stopping {', '.join(running)}; `tsdb run FILE` keeps jobs running", file=sys.stderr)
    return OK


def _run(options: argparse.Namespace) -> int:
    """A script whose jobs are waited for."""
    text = _read(options.script)
    with _connect(options) as connection:
        run_script(Session(connection, options.format), text)
        jobs = connection.jobs()
        for job in jobs:
            print(f"job {job.name} {job.status} ({job.id})", file=sys.stderr, flush=True)
        waiting = list(jobs)
        while waiting:  # a failed one raises here, and closing stops the others
            waiting = [job for job in waiting if not job.wait(0.2 / len(waiting))]
        for job in jobs:
            print(f"job {job.name} {job.status}", file=sys.stderr, flush=True)
    return OK


def _connect(options: argparse.Namespace) -> tsdb.Connection:
    settings = {"python.replacement-scans": "false"} | ({"execution.mode": options.mode} if options.mode else {})
    return tsdb.connect(options.warehouse, options=settings)


def _read(path: str) -> str:
    """The text of a script; `-` is standard input. Wrong usage if there is none."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8"
        print(f"tsdb: cannot read {path}: {reason}", file=sys.stderr)
        raise SystemExit(USAGE) from err


@contextmanager
def _sigterm() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C does, so that everything is closed in order."""

    def stop(*_: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tsdb",
        description="SQL on a warehouse of Apache Paimon tables. Without -c and -f, on a terminal: a shell.",
        epilog="tsdb run FILE [WAREHOUSE] runs a script and stays until its jobs end.",
    )
    parser.add_argument("-c", "--command", action="append", metavar="SQL", help="run this SQL and end")
    parser.add_argument(
        "-f", "--file", action="append", metavar="FILE", help="run this file and end; - is standard input"
    )
    parser.add_argument("--version", action="version", version=f"tsdb {tsdb.__version__}")
    return _common(parser)


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tsdb run", description="Run a script, and stay until its jobs end. SIGTERM stops them with a checkpoint."
    )
    parser.add_argument("script", help="a file of SQL; - is standard input")
    return _common(parser)


def _common(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "warehouse", nargs="?", default=":memory:", help="a directory; by default one that lasts as long as the command"
    )
    parser.add_argument("--mode", choices=("batch", "streaming"), help="execution.mode to begin with")
    parser.add_argument("--format", choices=sorted(FORMATS), default="table", help="how results are printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
