"""What PREPARE keeps, and queries that were parsed before.

A program asks the same few again and again, with other parameters.

A parsed query is never changed (binding and planning copy it), so it can be handed out again. Only texts of a single
query are kept; a statement that changes something costs more than its parsing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tsdb.errors import AlreadyExists, ProgrammingError, nearest
from tsdb.sql.parameters import count
from tsdb.sql.parser import parse_script
from tsdb.sql.statements import Select, Statement

_TEXTS_MAX = 256
_LENGTH_MAX = 4096
"""So that all of them stay within some tens of megabytes."""


class ParsedQueries:
    """The least recently used texts are dropped. Used by one thread at a time."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Sequence[Statement], list[int]]] = OrderedDict()

    def parse(self, text: str) -> tuple[Sequence[Statement], list[int]]:
        """The statements of a text, and how many `?` each has. Raises as `parse_script`."""
        found = self._known.get(text)
        if found is not None:
            self._known.move_to_end(text)
            return found
        statements = parse_script(text)
        counts = [count(statement) for statement in statements]
        if len(statements) == 1 and isinstance(statements[0], Select) and len(text) <= _LENGTH_MAX:
            self._known[text] = statements, counts
            if len(self._known) > _TEXTS_MAX:
                self._known.popitem(last=False)
        return statements, counts

    def knows(self, statement: Statement) -> bool:
        """Whether it is one that was kept: the same object comes again with the same text."""
        found = self._known.get(statement.script)
        return found is not None and found[0][0] is statement


class Prepared:
    """The texts of PREPARE, by name."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}

    def add(self, name: str, body: str) -> None:
        """Raises AlreadyExists."""
        if name in self._bodies:
            raise AlreadyExists(f"statement `{name}` is prepared already; DEALLOCATE it first")
        self._bodies[name] = body

    def body(self, name: str) -> str:
        """Raises ProgrammingError if nothing is prepared under the name."""
        if name not in self._bodies:
            raise ProgrammingError(f"no statement `{name}` is prepared.{nearest(name, self._bodies)}")
        return self._bodies[name]

    def remove(self, name: str | None) -> None:
        """Forget one; None: all."""
        if name is None:
            self._bodies.clear()
        else:
            self.body(name)
            del self._bodies[name]
