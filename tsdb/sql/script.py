"""The user's SQL text: cut into tokens and statements, and the way back from a node to its place.

A script is cut at `;` tokens, so a semicolon inside a string, a quoted name or a comment never cuts. Hints are
comments, except `/*+ OPTIONS('key' = 'value') */`: those are taken out of the token list and kept by the token that
they follow (a table name or its alias), so the grammar does not have to know where they may stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from tsdb.errors import Position, SqlSyntaxError
from tsdb.secrets import masked
from tsdb.sql.dialect import Flink
from tsdb.sql.statements import Statement

_DIALECT = Flink()
_OPTIONS_HINT = re.compile(r"/\*\+\s*OPTIONS\s*\(", re.IGNORECASE)
_OPENING = re.compile(r"['\"`]|--|/\*")
_CLOSED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_PARAMETER = re.compile(r"\$\w+")
_NAMED = re.compile(r"`([^`]+)`|'([^']+)'|^(\w+) takes |^snapshot (\d+) ")
_DELIMITERS = {
    "'": ("string", "'"),
    '"': ("quoted name", '"'),
    "`": ("quoted name", "`"),
    "/*": ("comment", "*/"),
}


@dataclass(frozen=True, slots=True)
class TableHint:
    """An OPTIONS hint: its options and where it stands."""

    options: Mapping[str, str]
    start: int


@dataclass(frozen=True, slots=True)
class StatementTokens:
    """The tokens of one statement (never empty) and its hints, by the `end` of the token before each."""

    script: str
    tokens: list[Token]
    hints: dict[int, TableHint]

    @property
    def text(self) -> str:
        """The statement as written, without the `;`."""
        return self.script[self.tokens[0].start : self.tokens[-1].end + 1]


def position_at(script: str, offset: int) -> Position:
    """The place of character `offset` of `script`."""
    offset = min(offset, len(script))
    line_start = script.rfind("\n", 0, offset) + 1
    line_end = script.find("\n", offset)
    line = script[line_start : line_end if line_end >= 0 else len(script)].rstrip("\r")
    return Position(script.count("\n", 0, offset) + 1, offset - line_start + 1, masked(line))


def position_of(node: exp.Expr | None, statement: Statement | None) -> Position | None:
    """Where `node`, or the first of its parts that knows, stands in the user's text; None when nothing knows."""
    if node is None or statement is None or not statement.script:
        return None
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    return position_at(statement.script, min(starts)) if starts else None


def place_in(statement: Statement, message: str, start_at: int | None = None) -> Position | None:
    """Where the first thing that a message names between quotes stands; else where the statement begins.

    start_at: the place as an offset, where it is known.
    """
    if not statement.script:
        return None
    if start_at is not None:
        return position_at(statement.script, start_at)
    start = sum(len(line) + 1 for line in statement.script.split("\n")[: statement.position.line - 1])
    start += statement.position.column - 1
    tokens = tokenize(statement.text)
    at = _time_travel(tokens) if message.startswith("FOR SYSTEM_TIME AS OF") else None
    if at is not None:
        return position_at(statement.script, start + at)
    named = [next(filter(None, match.groups())).lower() for match in _NAMED.finditer(message)]
    for name in sorted(named, key=lambda name: "." in name):  # a column says more than its table
        for token in tokens:
            if token.text.lower() in (name, name.rpartition(".")[2]):
                return position_at(statement.script, start + token.start)
    text = statement.script[start:].lower()
    in_hints = [text.find(f"'{name}'") for name in named if f"'{name}'" in text]
    return position_at(statement.script, start + in_hints[0]) if in_hints else statement.position


def _time_travel(tokens: list[Token]) -> int | None:
    """Where the first FOR SYSTEM_TIME AS OF begins."""
    for before, token in pairwise(tokens):
        if (before.text.upper(), token.text.upper()) == ("FOR", "SYSTEM_TIME"):
            return before.start
    return None


def split(script: str) -> list[StatementTokens]:
    """The statements of `script`; empty ones are left out."""
    statements = []
    current: list[Token] = []
    tokens = tokenize(script)
    for token in [*tokens, Token(TokenType.SEMICOLON, ";")]:
        if token.token_type is not TokenType.SEMICOLON or _inside_statement_set(current):
            current.append(token)
        elif current:
            statements.append(_without_hints(script, current))
            current = []
    if current:
        raise SqlSyntaxError(
            "this statement set is not closed: END; is missing", position=position_at(script, current[0].start)
        )
    return [statement for statement in statements if statement.tokens]


def normalized(text: str) -> str:
    """`text` without comments, with single spaces and upper-case keywords: equal when only the layout differs."""
    words = []
    for token in tokenize(text):
        if token.token_type is TokenType.HINT and not _OPTIONS_HINT.match(text, token.start):
            continue
        written = text[token.start : token.end + 1]
        is_name = token.token_type in (TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.HINT)
        words.append(written if is_name else " ".join(written.upper().split()))
    return " ".join(words)


def _inside_statement_set(tokens: list[Token]) -> bool:
    """[EXPLAIN …] EXECUTE STATEMENT SET BEGIN … END holds statements with their own `;`."""
    words = [token.text.upper() for token in tokens[:9]]
    if words[:1] == ["EXPLAIN"] and "STATEMENT" in words:
        words = ["EXECUTE", *words[words.index("STATEMENT") :]]
    if words[:4] != ["EXECUTE", "STATEMENT", "SET", "BEGIN"] and words[:3] != ["BEGIN", "STATEMENT", "SET"]:
        return False
    return tokens[-1].token_type is not TokenType.END


def tokenize(script: str) -> list[Token]:
    """The tokens of `script`, hints included."""
    try:
        tokens: list[Token] = _DIALECT.tokenize(script)
    except TokenError as error:
        raise _unreadable(script, error) from None
    return _with_placeholders(tokens) if ":" in script or "$" in script else tokens


def _with_placeholders(tokens: list[Token]) -> list[Token]:
    """`$1`, `$name` and `:name` as placeholders, like `?`. A colon that stands behind something is another sign."""
    found: list[Token] = []
    i = 0
    while i < len(tokens):
        token, following = tokens[i], tokens[i + 1] if i + 1 < len(tokens) else None
        behind = bool(found) and found[-1].end + 1 == token.start and found[-1].text[-1:] not in "([{,=<>+-*/|"
        if token.token_type is TokenType.VAR and _PARAMETER.fullmatch(token.text):
            token = _placeholder(token, token)
        elif not behind and following is not None and _names_parameter(token, following):
            token = _placeholder(token, following)
            i += 1
        found.append(token)
        i += 1
    return found


def _names_parameter(token: Token, following: Token) -> bool:
    adjacent = following.start == token.end + 1 and following.text[:1].isalpha()
    return token.token_type is TokenType.COLON and adjacent


def _placeholder(first: Token, last: Token) -> Token:
    text = last.text if first is last else f":{last.text}"
    return Token(TokenType.PLACEHOLDER, text, first.line, first.col, first.start, last.end, list(first.comments))


def _without_hints(script: str, tokens: list[Token]) -> StatementTokens:
    hints: dict[int, TableHint] = {}
    kept: list[Token] = []
    for token in tokens:
        if token.token_type is not TokenType.HINT:
            kept.append(token)
        elif kept and _OPTIONS_HINT.match(script, token.start):
            hints[kept[-1].end] = TableHint(_hint_options(script, token), token.start)
    return StatementTokens(script, kept, hints)


def _hint_options(script: str, hint: Token) -> dict[str, str]:
    """The options of one hint. Keys and values are strings; a bare word or number is taken as its text."""
    inner_start = script.index("+", hint.start) + 1
    inner_end = script.rindex("*/", hint.start, hint.end + 1)
    tokens = [token for token in tokenize(script[inner_start:inner_end]) if token.token_type is not TokenType.HINT]
    cursor, options = 2, {}
    while cursor < len(tokens) and tokens[cursor].token_type is not TokenType.R_PAREN:
        key_end = next((i for i in range(cursor, len(tokens)) if tokens[i].token_type is TokenType.EQ), None)
        if key_end is None or key_end + 1 >= len(tokens):
            break
        key = "".join(token.text for token in tokens[cursor:key_end])
        options[key] = tokens[key_end + 1].text
        cursor = key_end + 2
        if cursor < len(tokens) and tokens[cursor].token_type is TokenType.COMMA:
            cursor += 1
    if cursor != len(tokens) - 1 or tokens[cursor].token_type is not TokenType.R_PAREN:
        where = tokens[cursor].start if cursor < len(tokens) else inner_end - inner_start
        raise SqlSyntaxError(
            "this OPTIONS hint cannot be read; write /*+ OPTIONS('key' = 'value', …) */",
            position=position_at(script, inner_start + where),
        )
    return options


def _unreadable(script: str, error: TokenError) -> SqlSyntaxError:
    """What the tokenizer stumbled over: nearly always a string, a name or a comment that never ends."""
    position = 0
    while found := _OPENING.search(script, position):
        closed = _CLOSED.match(script, found.start())
        if closed is None:
            what, closing = _DELIMITERS[found.group()]
            return SqlSyntaxError(
                f"this {what} is not closed: a {closing} is missing", position=position_at(script, found.start())
            )
        position = closed.end()
    cause = str(error.__cause__ or error)
    place = re.search(r" from \d+:(\d+)", cause)
    offset = int(place.group(1)) if place else 0
    message = cause[: place.start()] if place else cause
    return SqlSyntaxError(f"this text cannot be read: {message}", position=position_at(script, offset))
