"""The shell under a real pseudo-terminal: what a person types and sees."""

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|\r")

_PROMPT_BEGINS = "\x1b[?2004h"  # bracketed paste is switched on


class Terminal:
    """A shell and the screen's text so far."""

    def __init__(self, warehouse: Path, home: Path) -> None:
        self._fd, child = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "TSDB_HISTORY": str(home / "history"), "COLUMNS": "120"}
        command = [sys.executable, "-W", "error", "-m", "tsdb_repl.main", str(warehouse)]
        self.process = subprocess.Popen(
            command,
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C becomes SIGINT
        )
        os.close(child)
        self.seen = ""
        self._prompts = 0
        self._from = 0

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def enter(self, keys: str) -> None:
        """Type at the next prompt; keys typed before it is there belong to nobody."""
        deadline = time.monotonic() + 30
        while self.seen.count(_PROMPT_BEGINS) <= self._prompts:
            assert time.monotonic() < deadline, self.seen[-500:]
            self._read()
        self._prompts += 1
        self.type(keys)

    def wait_for(self, pattern: str, timeout: float = 30.0) -> str:
        """Wait until the pattern is on the screen, after what was waited for before; returns what matched."""
        deadline = time.monotonic() + timeout
        while True:
            text = _ESCAPES.sub("", self.seen)
            match = re.compile(pattern, re.DOTALL).search(text, self._from)
            if match:
                self._from = match.end()
                return match[0]
            assert time.monotonic() < deadline, f"no {pattern!r} in {text[self._from :]!r}"
            self._read()

    def wait(self, timeout: float = 30.0) -> int:
        """The exit code."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen[-500:]
            self._read()
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self._fd], [], [], 0.2)[0]:
            try:
                text = os.read(self._fd, 65536).decode("utf-8", "replace")
            except OSError:  # the shell has closed its side
                return
            self.seen += text
            if "\x1b[6n" in text:
                self.type("\x1b[1;1R")  # the terminal's answer to: where is the cursor?

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._fd)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    shell = Terminal(tmp_path / "warehouse", tmp_path)
    try:
        yield shell
    finally:
        shell.close()


def test_a_session(terminal: Terminal, tmp_path: Path) -> None:
    terminal.enter("CREATE TABLE orders (id INT, customer STRING,\r PRIMARY KEY (id) NOT ENFORCED);\r")
    terminal.wait_for(r"\(ok, \d+ ms\)")
    terminal.enter("INSERT INTO orders VALUES (1, 'ann'), (2, NULL);\r")
    terminal.wait_for(r"\(ok, 2 rows changed, ")
    terminal.enter("SELECT id,\rcustomer FROM orders\rORDER BY id;\r")
    terminal.wait_for(r"id \| customer.*1 \| ann.*2 \| NULL.*\(2 rows, \d+ ms\)")
    terminal.enter("SELECT custmer FROM orders;\r")
    terminal.wait_for(r"error: line 1, column 8: .*Did you mean `customer`.*\^")
    terminal.enter(".mode streaming\r")
    terminal.wait_for("tsdb streaming>")
    terminal.enter("SELECT id FROM orders;\r")
    terminal.wait_for(r"op \|.*\+I \|.*\+I \|")
    terminal.type("\x03")
    terminal.wait_for(r"\(2 changes, version \d+, .*stopped.*tsdb streaming>")
    terminal.enter(".mode batch\r")
    terminal.wait_for("tsdb>")
    terminal.enter("SELECT 41 + 1 AS answer;\r")
    terminal.wait_for(r"answer.*42.*\(1 row")
    terminal.enter(".nope\r")
    terminal.wait_for("there is no command `.nope`")
    terminal.enter("\x04")
    assert terminal.wait() == 0
    assert "SELECT 41 + 1" in (tmp_path / "history").read_text()


def test_tab_completes_tables_and_columns(terminal: Terminal) -> None:
    terminal.enter("CREATE TABLE orders (identifier INT, customer STRING);\r")
    terminal.wait_for(r"\(ok, \d+ ms\)")
    terminal.enter("SELECT count(*) FROM ord\t")
    terminal.wait_for("ers")
    terminal.type(" WHERE orders.cust\t")
    terminal.wait_for("omer")
    terminal.type(" IS NULL;\r")
    terminal.wait_for(r"\(1 row, ")


def test_ctrl_c_drops_the_line_and_quit_leaves(terminal: Terminal) -> None:
    terminal.enter("SELECT nonsense\x03")
    terminal.wait_for("tsdb>")
    terminal.enter("help\r")
    terminal.wait_for("this list.*tsdb>")
    terminal.enter("quit\r")
    assert terminal.wait() == 0
