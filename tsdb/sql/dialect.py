"""Our SQL dialect, on sqlglot: how queries and expressions are read.

Flink's SQL, read generously: backquotes and double quotes both make identifiers, strings take single quotes. It
differs from sqlglot's own dialects on purpose in three ways.

- A function call stays what the user wrote (`exp.Anonymous`): only functions with their own grammar (CAST, EXTRACT,
  TRIM, …) become nodes. So nothing is renamed behind the user's back; `tsdb.sql.functions` holds every change of
  meaning.
- Reading is strict: a dangling comma or an empty SELECT list is an error, as it is in SQL.
- `raise_error` keeps the token, so that errors point at the user's text.

Statements other than queries are read by `tsdb.sql.parser`, over the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, TypeVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError
from sqlglot.generator import Generator
from sqlglot.parser import IsPredicatePrecedence, Parser, binary_range_parser
from sqlglot.tokenizer_core import Token, TokenType
from sqlglot.tokens import Tokenizer

from tsdb.sql.json_call import JSON_PARSERS, JsonCall, json_sql

T = TypeVar("T")

_STATEMENT_WORDS = {"ANALYZE", "CALL", "COPY", "EXPLAIN", "GRANT", "OPTIMIZE", "PREPARE", "VACUUM", "SHOW", "EXECUTE"}
_JINJA = {"{%", "%}", "{%+", "{%-", "+%}", "-%}", "{{+", "{{-", "+}}", "-}}"}
_KEYWORDS = {
    word: kind for word, kind in Tokenizer.KEYWORDS.items() if word not in _JINJA and word not in _STATEMENT_WORDS
}


class TableArgument(exp.Expression):
    """TABLE t [PARTITION BY k]: a table as an argument of a table function."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "partition_by": False}


class Descriptor(exp.Expression):
    """DESCRIPTOR(a, b): column names as an argument of a table function."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True}


WINDOW_TIME = "window_time"
"""In the `meta` of a column: the window function that takes it for its time."""


IN_VIEW = "view"
"""In the `meta` of what a view wrote: its name, that of the outermost one."""


class LocalTimestamp(exp.Expression, exp.Func):
    """LOCALTIMESTAMP: the clock of the session's zone, without a zone."""

    arg_types: ClassVar[dict[str, bool]] = {}
    _sql_names: ClassVar[list[str]] = ["LOCALTIMESTAMP"]


class UnexpectedToken(ParseError):
    """What the parser found instead of what it needs; `token` is None at the end of the statement."""

    def __init__(self, message: str, token: Token | None) -> None:
        super().__init__(message)
        self.message = message
        self.token = token


class UnsupportedClause(UnexpectedToken):
    """A clause that the grammar knows and tsdb does not do."""


def _with_unit(name: str) -> Callable[[list[exp.Expr]], exp.Expr]:
    """A function whose first argument is a unit, not a column."""

    def build(arguments: list[exp.Expr]) -> exp.Expr:
        unit, *rest = arguments or [exp.Null()]
        word = exp.var(unit.name.upper()) if isinstance(unit, exp.Column) else unit
        return exp.Anonymous(this=name, expressions=[word, *rest])

    return build


def is_word(node: exp.Expr | None, word: str) -> bool:
    """A bare, unquoted name in the place of an expression."""
    return (
        isinstance(node, exp.Column)
        and isinstance(node.this, exp.Identifier)
        and not node.table
        and not node.this.quoted
        and node.name.upper() == word
    )


_NO_JOINS = {
    "POSITIONAL": "POSITIONAL JOIN: rows have no place; join by row_number() OVER (ORDER BY …)",
}


class QueryParser(Parser):
    """The grammar of queries and expressions."""

    EXPONENT: ClassVar[dict[TokenType, type[exp.Expr]]] = {TokenType.DSTAR: exp.Pow}
    FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {
        name: _with_unit(name) for name in ("TIMESTAMPADD", "TIMESTAMPDIFF")
    }
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = (
        {
            name: Parser.FUNCTION_PARSERS[name]
            for name in ("CAST", "TRY_CAST", "SAFE_CAST", "EXTRACT", "TRIM", "SUBSTRING", "POSITION", "OVERLAY")
        }
        | {name: Parser.FUNCTION_PARSERS[name] for name in ("CEIL", "FLOOR")}
        | {"CEILING": Parser.FUNCTION_PARSERS["CEIL"]}
        | JSON_PARSERS
    )
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
        "CASE": Parser.NO_PAREN_FUNCTION_PARSERS["CASE"],
        "ANY": Parser.NO_PAREN_FUNCTION_PARSERS["ANY"],
    }
    NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, type[exp.Expr]]] = {
        TokenType.CURRENT_DATE: exp.CurrentDate,
        TokenType.CURRENT_TIME: exp.CurrentTime,
        TokenType.LOCALTIME: exp.CurrentTime,
        TokenType.CURRENT_TIMESTAMP: exp.CurrentTimestamp,
        TokenType.LOCALTIMESTAMP: LocalTimestamp,
    }
    PLACEHOLDER_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        TokenType.PLACEHOLDER: lambda self: exp.Placeholder().update_positions(self._prev),
    }
    RANGE_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        **Parser.RANGE_PARSERS,
        TokenType.TILDE: binary_range_parser(exp.RegexpLike),
    }
    FUNC_TOKENS: ClassVar[set[TokenType]] = {*Parser.FUNC_TOKENS, TokenType.SESSION, TokenType.TRUNCATE}
    SUPPORTS_TABLE_QUERY: ClassVar[bool] = True
    IS_PREDICATE_PRECEDENCE: ClassVar[IsPredicatePrecedence] = IsPredicatePrecedence.LOW

    def load(self, tokens: list[Token], script: str) -> None:
        """Start reading `tokens`, which are those of one statement in `script`."""
        self.reset()
        self.sql = script
        self._tokens = tokens
        self._tokens_size = len(tokens)
        self._index = -1
        self._advance()

    def raise_error(self, message: str, token: Token | None = None) -> NoReturn:
        """Stop, pointing at `token` or at the current one."""
        raise UnexpectedToken(message, token or self._curr or None)

    def _parse_match_recognize(self) -> NoReturn:
        raise UnsupportedClause("MATCH_RECOGNIZE: use window functions (LAG, LEAD) or self-joins", self._curr)

    def _parse_table_sample(self, as_modifier: bool = False) -> exp.TableSample | None:
        """TABLESAMPLE … [AS name]; the name stays in `meta`."""
        start = self._curr
        sample = super()._parse_table_sample(as_modifier)
        if sample is None:
            return None
        if sample.args.get("seed"):
            hint = "a hash of the key chooses the same rows each time: WHERE md5(CAST(id AS STRING)) < '1a'"
            raise UnsupportedClause(f"REPEATABLE: {hint}", start)
        if sample.args.get("bucket_numerator") is not None:
            raise UnsupportedClause("TABLESAMPLE (BUCKET …): BERNOULLI (percent) or (n ROWS)", start)
        if not as_modifier and self._curr.token_type is TokenType.ALIAS:
            sample.meta["alias"] = self._parse_table_alias(alias_tokens=self.TABLE_ALIAS_TOKENS)
        return sample

    def _parse_connect(self, skip_start_token: bool = False) -> exp.Connect | None:
        if skip_start_token or self._curr.token_type in (TokenType.START_WITH, TokenType.CONNECT_BY):
            raise UnsupportedClause("CONNECT BY: use WITH RECURSIVE", self._curr)
        return None

    def _parse_statement(self) -> exp.Expr | None:
        """Where sqlglot would allow any statement (a CTE's body, after WITH), a query must stand."""
        query = self._parse_select(nested=True, parse_subquery_alias=False)
        if query is None:
            self.raise_error("expected a query")
        return self._parse_query_modifiers(self._parse_set_operations(query))

    def _parse_projections(self) -> tuple[list[exp.Expr], list[exp.Expr] | None]:
        if self._curr.text.upper() == "TOP" and self._next.token_type is TokenType.NUMBER:
            raise UnsupportedClause(f"TOP: write LIMIT {self._next.text} at the end", self._curr)
        projections, exclude = super()._parse_projections()
        if not projections:
            self.raise_error("expected a column or an expression after SELECT")
        return projections, exclude

    def _parse_csv(self, parse_method: Callable[[], T | None], sep: TokenType = TokenType.COMMA) -> list[T]:
        item = parse_method()
        items = [] if item is None else [item]
        while self._match(sep):
            item = parse_method()
            if item is None:
                self.raise_error("expected something after `,`")
            items.append(item)
        return items

    def _parse_types(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        """ROW(NULL, …) is a row of values, though NULL would be a type; ARRAY[…] is read once, as no type."""
        if kwargs.get("check_func") and self._curr.token_type is TokenType.ARRAY:
            return None
        ahead = self._tokens[self._index + 2 : self._index + 3]
        is_row = self._curr.token_type is TokenType.STRUCT and self._next.token_type is TokenType.L_PAREN
        if is_row and ahead and ahead[0].token_type is TokenType.NULL:
            return None
        return super()._parse_types(*args, **kwargs)

    def _parse_order(self, this: exp.Expr | None = None, skip_order_token: bool = False) -> Any:
        order = super()._parse_order(this, skip_order_token)
        if isinstance(order, exp.Order) and not order.expressions:
            self.raise_error("expected an expression after ORDER BY")
        return order

    def _parse_group(self, skip_group_by_token: bool = False) -> exp.Group | None:
        group = super()._parse_group(skip_group_by_token)
        if group is not None and not any(group.args.values()):
            self.raise_error("expected an expression after GROUP BY")
        if group is not None and any(not part.expressions for part in group.find_all(exp.Rollup, exp.Cube)):
            raise UnsupportedClause("GROUP BY … WITH ROLLUP: write GROUP BY ROLLUP (…)", self._prev)
        return group

    def _parse_limit(self, this: exp.Expr | None = None, top: bool = False, skip_limit_token: bool = False) -> Any:
        limit = super()._parse_limit(this, top, skip_limit_token)
        if isinstance(limit, exp.Limit) and limit.expression is None:
            self.raise_error("expected a number after LIMIT")
        if isinstance(limit, exp.Limit) and isinstance(limit.expression, exp.Query | exp.Subquery):
            raise UnsupportedClause("a query after LIMIT: filter by row_number() OVER (ORDER BY …) <= (…)", self._prev)
        if isinstance(limit, exp.Limit) and is_word(limit.expression, "ALL"):
            return None
        if isinstance(limit, exp.Limit) and isinstance(limit.expression, exp.Column):
            self.raise_error("expected a number after LIMIT", self._prev)
        return limit

    def _parse_into(self) -> exp.Into | None:
        if self._curr.token_type is TokenType.INTO:
            raise UnsupportedClause("SELECT INTO: CREATE TABLE t AS SELECT …, or INSERT INTO t SELECT …", self._curr)
        return None

    def _parse_locks(self) -> list[exp.Lock]:
        if self._curr.token_type is TokenType.FOR and self._next.text.upper() in ("UPDATE", "SHARE"):
            raise UnsupportedClause("FOR UPDATE and FOR SHARE: a query reads one snapshot, without locks", self._curr)
        return []

    def _parse_window(self, this: exp.Expr | None, alias: bool = False) -> exp.Expr | None:
        window = super()._parse_window(this, alias)
        spec = window.args.get("spec") if isinstance(window, exp.Window) else None
        if isinstance(spec, exp.WindowSpec) and spec.args.get("exclude"):
            raise UnsupportedClause("EXCLUDE in a window frame: subtract the excluded row's own value", self._prev)
        return window

    def _parse_bracket(self, this: exp.Expr | None = None) -> exp.Expr | None:
        """MAP[key, value, …] and MAP {key: value} are constructors; all else in brackets is a subscript or a list."""
        is_map = isinstance(this, exp.Column) and this.name.upper() == "MAP" and not this.this.quoted and not this.table
        if is_map and self._match(TokenType.L_BRACE):
            entries = [] if self._curr.token_type is TokenType.R_BRACE else self._parse_csv(self._parse_entry)
            self._match(TokenType.R_BRACE) or self.raise_error("expected `}`")
            columns = [exp.Array(expressions=[entry[i] for entry in entries]) for i in range(2)]
            return exp.Map(keys=columns[0], values=columns[1])
        parsed = super()._parse_bracket(this)
        inner = parsed
        while isinstance(inner, exp.Bracket) and inner.this is not this:
            inner = inner.this
        if is_map and isinstance(inner, exp.Bracket) and len(inner.expressions) % 2 == 0:
            keys = exp.Array(expressions=inner.expressions[::2])
            made = exp.Map(keys=keys, values=exp.Array(expressions=inner.expressions[1::2]))
            if inner is parsed:
                return made
            inner.replace(made)
        return parsed

    def _parse_entry(self) -> tuple[exp.Expr | None, exp.Expr | None]:
        """key: value."""
        key = self._parse_disjunction()
        if not self._match(TokenType.COLON):
            self.raise_error("expected `:` between key and value")
        return key, self._parse_disjunction()

    def _parse_table_alias(self, alias_tokens: Any = None) -> exp.TableAlias | None:
        if self._curr.text.upper() == "POSITIONAL" and self._next.token_type is TokenType.JOIN:
            return None
        return super()._parse_table_alias(alias_tokens)

    def _parse_join(self, *args: Any, **kwargs: Any) -> exp.Join | None:
        start = self._index
        if self._curr.text.upper() in _NO_JOINS and self._next.token_type is TokenType.JOIN:
            raise UnsupportedClause(_NO_JOINS[self._curr.text.upper()], self._curr)
        join = super()._parse_join(*args, **kwargs)
        if join is not None and join.kind in ("SEMI", "ANTI") and not join.side:
            join.set("side", "LEFT")
        if join is not None and join.side and isinstance(join.this, exp.Lateral) and not join.args.get("on"):
            join.set("on", exp.true())
        if join is None and self._index > start and self._prev.token_type is TokenType.COMMA:
            self.raise_error("expected a table name")
        if join is not None and self._prev.token_type is TokenType.ON:
            self.raise_error("expected a condition after ON")
        return join

    def _parse_bitwise(self) -> exp.Expr | None:
        parsed = super()._parse_bitwise()
        if isinstance(parsed, exp.BitwiseXor):
            hint = "power in PostgreSQL and DuckDB, POWER(a, b); exclusive or in Spark and MySQL"
            raise UnsupportedClause(f"`^`, which is {hint}", self._prev)
        return parsed

    def _parse_lambda(self, alias: bool = False) -> exp.Expr | None:
        """An argument of a function; table functions also take TABLE t, DESCRIPTOR(…) and name => value."""
        following = self._next.token_type
        if self._curr.token_type is TokenType.TABLE and following is not TokenType.L_PAREN:
            self._advance()
            return self._parse_table_argument()
        if self._curr.text.upper() == "DESCRIPTOR" and following is TokenType.L_PAREN:
            self._advance()
            return self.expression(Descriptor(expressions=self._parse_wrapped_csv(self._parse_id_var)))
        if self._curr.text.upper() == "LAMBDA" and following is TokenType.VAR:
            self._advance()
            parameters = self._parse_csv(self._parse_id_var)
            self._match(TokenType.COLON) or self.raise_error("expected `:` behind the parameters of lambda")
            return self.expression(exp.Lambda(this=self._parse_disjunction(), expressions=parameters))
        if following is TokenType.FARROW:
            name = exp.to_identifier(self._curr.text).update_positions(self._curr)
            self._advance(2)
            return self.expression(exp.Kwarg(this=name, expression=self._parse_lambda(alias=alias)))
        if self._curr.token_type is TokenType.DISTINCT and following is TokenType.STAR:
            raise UnsupportedClause(
                "DISTINCT *: name the columns, or SELECT count(*) FROM (SELECT DISTINCT …)", self._next
            )
        return super()._parse_lambda(alias=alias)

    def _parse_value(self, values: bool = True) -> exp.Tuple | None:
        """VALUES ROW(1, 'a'), ROW(2, 'b'): rows, as in the standard; a ROW inside of parentheses is a value."""
        is_row = values and self._curr.token_type is TokenType.STRUCT and self._next.token_type is TokenType.L_PAREN
        value = super()._parse_value(values)
        if is_row and value is not None and str(value.expressions[0].this).lower() == "row":
            value.set("expressions", value.expressions[0].expressions)
        return value

    def _parse_interval_span(self, this: exp.Expr, parse_function_unit: bool = True) -> exp.Interval:
        """INTERVAL '1 day 1' and '.5 minute' stay whole: the parent would find '1 day' and '5 minute' in them."""
        interval = super()._parse_interval_span(this, parse_function_unit)
        pattern = exp.INTERVAL_STRING_RE
        text = this.name.lstrip().removeprefix("+") if this.is_string else ""
        if pattern.search(text) and not pattern.fullmatch(text):
            return self.expression(exp.Interval(this=this))
        return interval

    def _parse_table_argument(self) -> TableArgument:
        table = self._parse_table_parts()
        keys = None
        if self._match(TokenType.PARTITION_BY):
            wrapped = self._curr.token_type is TokenType.L_PAREN
            keys = self._parse_wrapped_csv(self._parse_column) if wrapped else [self._parse_column()]
        return self.expression(TableArgument(this=table, partition_by=keys))

    def _parse_table(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        """TABLE(f(…)) in FROM is the table function itself."""
        if self._curr.token_type is TokenType.TABLE and self._next.token_type is TokenType.L_PAREN:
            self._advance(2)
            function = self._parse_function()
            if function is None:
                self.raise_error("expected a table function")
            self._match_r_paren()
            table = self.expression(exp.Table(this=function))
            table.set("alias", self._parse_table_alias(alias_tokens=self.TABLE_ALIAS_TOKENS))
            for join in self._parse_joins() if kwargs.get("joins") else ():
                table.append("joins", join)
            return table
        return _reading_files(super()._parse_table(*args, **kwargs))


def _reading_files(table: exp.Expr | None) -> exp.Expr | None:
    """`read_csv('a.csv', delim => ';')` in FROM becomes a reference that keeps the call in `meta["read_function"]`."""
    if not isinstance(table, exp.Table):
        return table
    call = table.this
    if not isinstance(call, exp.Anonymous) or not str(call.this).lower().startswith("read_"):
        return table
    paths: list[str] = []
    options: dict[str, str] = {}
    for argument in call.expressions:
        if isinstance(argument, exp.Kwarg | exp.PropertyEQ | exp.EQ):
            options[argument.this.name.lower()] = argument.expression.name or str(argument.expression.this)
        else:
            items = argument.expressions if isinstance(argument, exp.Array | exp.Tuple) else [argument]
            paths += [item.name for item in items if isinstance(item, exp.Literal) and item.is_string]
    if not paths:
        return table
    name = exp.to_identifier(paths[0], quoted=True)
    name.meta.update(call.meta)
    table.set("this", name)
    table.meta["read_function"] = (str(call.this), paths, options)
    return table


class Flink(Dialect):
    """Flink's SQL with both quotes for identifiers. Array subscripts count from 1; NULLs sort lowest."""

    INDEX_OFFSET = 0
    NUMBERS_CAN_BE_UNDERSCORE_SEPARATED = True
    SUPPORTS_USER_DEFINED_TYPES = False
    NULL_ORDERING = "nulls_are_small"
    TYPED_DIVISION = True
    SAFE_DIVISION = False
    STRICT_STRING_CONCAT = True
    CONCAT_COALESCE = False
    LOG_BASE_FIRST = True

    class Tokenizer(Tokenizer):
        """The words. Every hint is kept as a token: `tsdb.sql.script` decides which ones mean something."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`", '"']
        QUOTES: ClassVar[list[tuple[str, str] | str]] = ["'"]
        HEX_STRINGS: ClassVar[list[str | tuple[str, str]]] = [("x'", "'"), ("X'", "'")]
        VAR_SINGLE_TOKENS: ClassVar[set[str]] = {"$"}
        COMMANDS: ClassVar[set[TokenType]] = set()
        TOKENS_PRECEDING_HINT: ClassVar[set[TokenType]] = set(TokenType)
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **_KEYWORDS,
            "ROW": TokenType.STRUCT,
            "STRING": TokenType.TEXT,
            "BYTES": TokenType.VARBINARY,
            "TIMESTAMP_LTZ": TokenType.TIMESTAMPLTZ,
            "TRUNCATE": TokenType.TRUNCATE,
            "MATCH_RECOGNIZE": TokenType.MATCH_RECOGNIZE,
            "MINUS": TokenType.EXCEPT,
            "//": TokenType.SLASH,
            "**": TokenType.DSTAR,
        }

    Parser = QueryParser

    class Generator(Generator):
        """Expressions as a person would write them."""

        TRANSFORMS: ClassVar[dict[type[exp.Expr], Callable[..., str]]] = {**Generator.TRANSFORMS, JsonCall: json_sql}
