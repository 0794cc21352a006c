"""Commands of the shell, begun with `.` or a backslash: one table, from which help, completion and docs come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .printer import FORMATS
from .runner import Session, run_script


class Quit(Exception):
    """Leave the shell."""


@dataclass(frozen=True, slots=True)
class Command:
    """arguments: as help shows them; run: gets the session and the rest of the line."""

    name: str
    arguments: str
    help: str
    run: Callable[[Session, str], None]


def _help(session: Session, rest: str) -> None:
    session.out.write("Statements end with ; and may have several lines. Ctrl-C stops a query, Ctrl-D leaves.\n")
    for command in COMMANDS.values():
        session.out.write(f"  .{command.name + ' ' + command.arguments:<28} {command.help}\n")


def _quit(session: Session, rest: str) -> None:
    raise Quit


def _tables(session: Session, rest: str) -> None:
    run_script(session, f"SHOW TABLES IN `{rest}`" if rest else "SHOW TABLES")


def _schema(session: Session, rest: str) -> None:
    run_script(session, f"SHOW CREATE TABLE {rest}" if rest else "SHOW TABLES")


def _mode(session: Session, rest: str) -> None:
    if not rest:
        session.out.write(f"format {session.format}\n")
    elif rest in ("batch", "streaming"):
        run_script(session, f"SET 'execution.mode' = '{rest}'")
    elif rest in FORMATS and rest != "arrow":
        session.format = rest
    else:
        session.out.write(f"there is no mode `{rest}`: batch, streaming, table, markdown, csv or json\n")


def _timing(session: Session, rest: str) -> None:
    session.timing = {"on": True, "off": False}.get(rest, not session.timing)
    session.out.write(f"timing is {'on' if session.timing else 'off'}\n")


def _rows(session: Session, rest: str) -> None:
    if rest == "all":
        session.rows_max = None
    elif rest.isdigit() and int(rest) > 0:
        session.rows_max = int(rest)
    elif rest:
        session.out.write(f"`{rest}` is no number of rows: .rows 100, or .rows all\n")
        return
    session.out.write(f"rows shown: {'all' if session.rows_max is None else session.rows_max}\n")


def _jobs(session: Session, rest: str) -> None:
    run_script(session, "SHOW JOBS")


def _read(session: Session, rest: str) -> None:
    run_script(session, Path(rest).expanduser().read_text("utf-8"))


_ALL = (
    Command("help", "", "this list", _help),
    Command("quit", "", "leave; jobs of this shell stop with a checkpoint", _quit),
    Command("tables", "[DATABASE]", "the tables", _tables),
    Command("schema", "TABLE", "the CREATE TABLE of a table", _schema),
    Command("mode", "batch|streaming", "how queries run: over a snapshot, or as changes that go on", _mode),
    Command("format", "table|markdown|csv|json", "how results are shown", _mode),
    Command("timing", "[on|off]", "whether the time of each statement is shown", _timing),
    Command("rows", "[N|all]", "how many rows of a result are shown", _rows),
    Command("jobs", "", "the jobs of the warehouse", _jobs),
    Command("read", "FILE", "run the statements of a file", _read),
)

COMMANDS: Mapping[str, Command] = {command.name: command for command in _ALL}
_SHORT = {"q": "quit", "exit": "quit", "?": "help", "h": "help", "d": "tables", "dt": "tables", "i": "read"}


_WORDS = ("help", "quit", "exit")
"""What people type first, without a dot."""


def as_command(text: str) -> str | None:
    """The line of a command in what was typed; None for SQL."""
    line = text.strip()
    word = line.rstrip("; ").lower()
    return f".{word}" if word in _WORDS else line if line.startswith((".", "\\")) else None


def run_command(session: Session, line: str) -> None:
    """Run a line that begins with `.` or a backslash. Raises Quit for `.quit`."""
    word, _, rest = line[1:].strip().rstrip(";").partition(" ")
    command = COMMANDS.get("schema" if word == "d" and rest.strip() else _SHORT.get(word, word))
    if command is None:
        session.out.write(f"there is no command `{line[0]}{word}`; .help lists them\n")
        return
    command.run(session, rest.strip())
