"""A cursor over the tokens of one statement: the words every statement parser is written in.

It drives the one `QueryParser`, so that queries, expressions and names inside any statement are read by the same
grammar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from tsdb.errors import SqlSyntaxError, nearest
from tsdb.sql.dialect import Flink, QueryParser, UnexpectedToken
from tsdb.sql.script import StatementTokens, position_at
from tsdb.sql.statements import TableName

T = TypeVar("T")

_TEXT_KINDS = {TokenType.STRING, TokenType.IDENTIFIER}
_CLAUSES = (
    *("SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "UNION", "JOIN", "INNER", "LEFT"),
    *("RIGHT", "FULL", "CROSS", "VALUES", "INTERSECT", "EXCEPT", "QUALIFY", "WINDOW", "PARTITION", "BETWEEN"),
)


class Cursor:
    """Where the parser stands in one statement. Every method that reads moves it; `error` points at it."""

    def __init__(self, statement: StatementTokens) -> None:
        self.script = statement.script
        self.hints = dict(statement.hints)
        self.tokens = statement.tokens
        self._parser = QueryParser(dialect=Flink)
        self._parser.load(statement.tokens, statement.script)

    @property
    def current(self) -> Token | None:
        """The token to be read next, None at the end."""
        return self._parser._curr or None

    @property
    def index(self) -> int:
        """The number of tokens read."""
        return int(self._parser._index)

    @property
    def at_end(self) -> bool:
        """Nothing is left."""
        return self.current is None

    def move_to(self, index: int) -> None:
        """Go back (or forward) to where `index` tokens have been read."""
        self._parser._retreat(index)

    def advance(self) -> Token:
        """Read any one token."""
        token = self.current
        if token is None:
            self.error("the statement ends too early")
        self._parser._advance()
        return token

    def sees(self, *words: str) -> bool:
        """The next tokens are these words (or signs), unquoted, in any case."""
        start = self.index
        found = self.accept(*words)
        self.move_to(start)
        return found

    def accept(self, *words: str) -> bool:
        """Read these words if they come next. Two-word tokens of sqlglot (`PARTITION BY`) match word by word, too."""
        start = self.index
        pending = list(words)
        while pending:
            token = self.current
            if token is None or token.token_type in _TEXT_KINDS:
                break
            text = token.text.upper().split()
            if text != pending[: len(text)]:
                break
            pending = pending[len(text) :]
            self.advance()
        if pending:
            self.move_to(start)
            return False
        return True

    def accept_any(self, *words: str) -> str | None:
        """Read one of these words if it comes next."""
        return next((word for word in words if self.accept(word)), None)

    def expect(self, *words: str) -> None:
        """Read these words or fail."""
        for word in words:
            if not self.accept(word):
                self.error(f"expected {quoted(word)}")

    def expect_end(self) -> None:
        """Nothing may be left."""
        token = self.current
        if token is not None:
            before = self.tokens[self.index - 1].text
            if before.upper() == "EMIT":
                raise self.failure("EMIT is not needed: in streaming mode a query gives its changes", token)
            raise self.failure(f"{quoted(token.text)} is not expected here.{_clause_hint(before, token.text)}", token)

    def identifier(self, what: str = "a name") -> str:
        """A name: any word that is not a sign, or a quoted name."""
        token = self.current
        if token is None or not is_word(token):
            self.error(f"expected {what}")
        self.advance()
        return str(token.text)

    def identifiers(self, what: str = "a column name") -> tuple[str, ...]:
        """( name, … )."""
        return tuple(self.wrapped(lambda: self.identifier(what)))

    def string(self, what: str = "a string in single quotes") -> str:
        """A string literal."""
        token = self.current
        if token is None or token.token_type is not TokenType.STRING:
            self.error(f"expected {what}")
        self.advance()
        return str(token.text)

    def number(self, what: str = "a number") -> int:
        """A whole number."""
        token = self.current
        if token is None or token.token_type is not TokenType.NUMBER or not token.text.isdigit():
            self.error(f"expected {what}")
        self.advance()
        return int(token.text)

    def table_name(self, what: str = "a table name") -> TableName:
        """One to three names with dots between."""
        start = self.current.start if self.current else None
        parts = [self.identifier(what)]
        while self.accept("."):
            parts.append(self.identifier(what))
        if len(parts) > 3:
            self.error("a table name has at most three parts")
        return TableName(tuple(parts), start)

    def hint(self) -> dict[str, str]:
        """The OPTIONS hint after the token just read, empty when there is none."""
        found = self.hints.pop(self.tokens[self.index - 1].end, None)
        return dict(found.options) if found else {}

    def wrapped(self, item: Callable[[], T]) -> list[T]:
        """( item, … )."""
        self.expect("(")
        items = self.separated(item)
        self.expect(")")
        return items

    def separated(self, item: Callable[[], T]) -> list[T]:
        """item, … : at least one."""
        items = [item()]
        while self.accept(","):
            items.append(item())
        return items

    def options(self) -> dict[str, str]:
        """( 'key' = 'value', … ); empty parentheses and bare dotted keys are allowed."""
        self.expect("(")
        options: dict[str, str] = {}
        if self.accept(")"):
            return options
        while True:
            key = self.option_key()
            self.expect("=")
            options[key] = self.option_value()
            if not self.accept(","):
                break
        self.expect(")")
        return options

    def option_key(self) -> str:
        """'a.b' or a.b-c: a key, up to the `=`, a comma, a parenthesis or the end."""
        if self.current is not None and self.current.token_type is TokenType.STRING:
            return self.string()
        start = self.index
        while self.current is not None and self.current.text not in ("=", ",", ")"):
            self.advance()
        if self.index == start:
            self.error("expected an option's key, as in 'bucket' = '4'")
        return self.script[self.tokens[start].start : self.tokens[self.index - 1].end + 1]

    def option_value(self) -> Any:
        """'value', a number, a word or true/false: its text; a placeholder, whose value becomes its text."""
        token = self.current
        if token is None or (token.text in (",", ")", "=") and token.token_type not in _TEXT_KINDS):
            self.error("expected a value in single quotes")
        start = self.advance()
        if start.token_type is TokenType.PLACEHOLDER:
            return placeholder(start)
        end = start
        while self.current is not None and self.current.text in ("-", "+", ".") and start.token_type not in _TEXT_KINDS:
            self.advance()
            end = self.advance()
        return str(start.text) if start is end else self.script[start.start : end.end + 1]

    def query(self) -> exp.Query:
        """SELECT, WITH, VALUES, set operations, TABLE t or a query in parentheses."""
        parsed = self.read(lambda parser: parser._parse_statement(), "a query")
        if isinstance(parsed, exp.Values):
            parsed = self._parser._values_to_select(parsed)
        if not isinstance(parsed, exp.Query):
            self.error("expected a query")
        return parsed

    def expression(self, what: str = "an expression") -> exp.Expr:
        """A value expression; a lone `?` stands in parentheses, so that an expression remains when it is bound."""
        parsed: exp.Expr = self.read(lambda parser: parser._parse_disjunction(), what)
        return exp.Paren(this=parsed) if isinstance(parsed, exp.Placeholder) else parsed

    def relation(self, what: str = "a table or a query in parentheses") -> exp.Expr:
        """One item of FROM, with its alias."""
        parsed: exp.Expr = self.read(lambda parser: parser._parse_table(), what)
        return parsed

    def read(self, method: Callable[[Any], Any], what: str) -> Any:
        """What `method` of the query parser reads; nothing is an error."""
        parsed = method(self._parser)
        if parsed is None:
            self.error(f"expected {what}")
        for table in parsed.find_all(exp.Table):
            self._claim_hint(table)
        return parsed

    def _claim_hint(self, table: exp.Table) -> None:
        """Give `table` the OPTIONS hint behind its name or its alias."""
        alias = table.args.get("alias")
        names = [part for part in (*table.parts, alias.this if alias else None) if isinstance(part, exp.Identifier)]
        for name in names:
            found = self.hints.pop(name.meta.get("end", -1), None)
            if found:
                table.meta["options"] = {**table.meta.get("options", {}), **found.options}

    def error(self, message: str) -> NoReturn:
        """Stop at the current token."""
        raise UnexpectedToken(message, self.current)

    def failure(self, message: str, token: Token | None) -> SqlSyntaxError:
        """The error for the user, at `token` or, when it is None, behind the statement."""
        return self.failure_at(message, token.start if token is not None else self.tokens[-1].end + 1)

    def failure_at(self, message: str, offset: int) -> SqlSyntaxError:
        """The error for the user, at a character of the script."""
        return SqlSyntaxError(message, position=position_at(self.script, offset))

    def explain(self, error: UnexpectedToken) -> SqlSyntaxError:
        """A parser's complaint in plain words: what was expected, what was found."""
        token = error.token
        found = "the statement ends here" if token is None else f"found {quoted(token.text)}"
        message = error.message
        if message.startswith("Required keyword"):
            message = "expected an expression"
        elif message.startswith("Expecting "):
            message = f"expected {quoted(message.removeprefix('Expecting '))}"
        elif message.startswith("Expected table name"):
            message = "expected a table name"
        elif message.startswith(("Expected", "Failed to parse")):
            message = message[0].lower() + message[1:]
        position = self.tokens.index(token) if token in self.tokens else len(self.tokens)
        before = self.tokens[position - 1].text if position else ""
        return self.failure(f"{message}, but {found}.{_clause_hint(before, token.text if token else '')}", token)


def placeholder(token: Token) -> exp.Placeholder:
    """One that is bound to the text of an option."""
    node = exp.Placeholder()
    node.meta.update(start=token.start, end=token.end, option=True)
    return node


def as_option(value: Any) -> str:
    """A constant as the text of an option: TRUE → true, 5 → 5."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_word(token: Token) -> bool:
    """A name could stand for this token: a word or a quoted name, not a sign, a number or a string."""
    return token.token_type is TokenType.IDENTIFIER or (
        token.token_type is not TokenType.STRING and (token.text[:1].isalpha() or token.text[:1] == "_")
    )


def quoted(text: str) -> str:
    """The text as messages show it."""
    return f"`{text}`"


def _clause_hint(*texts: str) -> str:
    """` Did you mean `FROM`?` when one of these words is nearly a clause."""
    for text in texts:
        is_keyword = text.upper() in _CLAUSES or text.upper() in Flink.Tokenizer.KEYWORDS
        if not is_keyword and len(text) > 2 and (hint := nearest(text, _CLAUSES)):
            return hint
    return ""
