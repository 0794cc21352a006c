"""The shell: lines until `;`, history, completion, live changes. Ctrl-C stops what runs and keeps the session."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

import tsdb

from .commands import COMMANDS, Quit, as_command, run_command
from .completion import SqlCompleter, open_part, without_comments
from .runner import Session, describe, run_script

_WELCOME = "tsdb {version}. Statements end with ;  .help shows commands, .quit leaves.\n"
_CACHE_S = 2.0
_ROWS_MAX = 1000


class Shell:
    """Reads, runs, prints, until `.quit` or Ctrl-D."""

    def __init__(self, session: Session, **prompt_options: Any) -> None:
        """prompt_options: for `PromptSession`, such as input and output in tests."""
        session.timing, session.rows_max = True, _ROWS_MAX
        self._session = session
        self._names = _Names(session.connection)
        self._prompt: PromptSession[str] = PromptSession(
            message=self._message,
            prompt_continuation=lambda width, number, soft: "... ".rjust(width),
            multiline=True,
            history=_history(),
            lexer=PygmentsLexer(SqlLexer),
            completer=SqlCompleter(self._names.tables, self._names.columns, list(COMMANDS), self._names.functions),
            complete_while_typing=False,
            key_bindings=_keys(),
            enable_open_in_editor=False,
            **prompt_options,
        )

    def _message(self) -> str:
        return "tsdb streaming> " if self._session.connection.option("execution.mode") == "streaming" else "tsdb> "

    def run(self) -> int:
        """The exit code: 0."""
        self._session.out.write(_WELCOME.format(version=tsdb.__version__))
        while True:
            try:
                text = self._prompt.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return 0
            try:
                self._run(text)
            except Quit:
                return 0

    def _run(self, text: str) -> None:
        out = self._session.out
        try:
            command = as_command(text)
            if command is not None:
                run_command(self._session, command)
            elif text.strip():
                run_script(self._session, text)
        except KeyboardInterrupt:
            out.write("stopped\n")
        except Quit:
            raise
        except Exception as err:  # the session goes on after any error
            out.write(describe(err) + "\n")
        finally:
            self._names.forget()
            out.flush()


def is_complete(text: str) -> bool:
    """Whether Enter runs the text: it ends with `;`, is a command, or is blank."""
    stripped = text.strip()
    if not stripped or as_command(text) is not None:
        return True
    return without_comments(stripped).rstrip().endswith(";") and open_part(stripped) in ("", "--")


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=Condition(lambda: is_complete(get_app().current_buffer.text)))
    def _(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    return keys


def _history() -> FileHistory | InMemoryHistory:
    """`~/.tsdb_history`, or the file that TSDB_HISTORY names; in memory where that cannot be written."""
    path = Path(os.environ.get("TSDB_HISTORY") or Path.home() / ".tsdb_history")
    try:
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


class _Names:
    """Names for completion, remembered for a moment: Tab must not wait for the catalog."""

    def __init__(self, connection: tsdb.Connection) -> None:
        self._connection = connection
        self._known: dict[str, tuple[float, Sequence[str]]] = {}

    def tables(self) -> Sequence[str]:
        """Tables of the current database, then those of others with their database."""
        return self._get("", self._connection.table_names)

    def columns(self, table: str) -> Sequence[str]:
        """Columns of a table; none if there is no such table."""
        return self._get(table, lambda: list(self._connection.table(table).schema.names))

    def functions(self) -> Sequence[str]:
        """Functions of the language and the user's."""
        return self._get("()", lambda: [row[0] for row in self._connection.execute("SHOW FUNCTIONS").fetchall()])

    def forget(self) -> None:
        """After a statement, which may have changed the names."""
        self._known.clear()

    def _get(self, key: str, ask: Any) -> Sequence[str]:
        at, names = self._known.get(key, (-_CACHE_S, ()))
        if time.monotonic() - at >= _CACHE_S:
            try:
                names = ask()
            except tsdb.Error:
                names = ()  # no such table: nothing to offer
            self._known[key] = (time.monotonic(), names)
        return names
