"""Functions that choose between values, and those about types."""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import ProgrammingError
from tsdb.sql.functions.spec import Arguments, Function, Group, Translation, call, is_null, string, when

_f = Group("Conditions")
_types = Group("Types")


def _unless_null(name: str) -> Translation:
    """GREATEST, LEAST: NULL if any argument is NULL."""

    def translation(arguments: Arguments) -> exp.Expr:
        if not arguments:
            raise ProgrammingError(f"{name.upper()} takes at least one argument: {name.upper()}(a, b, …)")
        checks = [is_null(argument) for argument in arguments]
        return when(exp.or_(*checks), exp.Null(), call(name, *arguments))

    return translation


def _coalesce(arguments: Arguments) -> exp.Expr:
    """Those inside one another as one: DataFusion would double its plan with each."""
    parts: list[exp.Expr] = []
    for argument in arguments:
        inner = isinstance(argument, exp.Anonymous) and str(argument.this) == "coalesce"
        parts += argument.expressions if inner else [argument]
    return call("coalesce", *parts)


def _if(arguments: Arguments) -> exp.Expr:
    return when(arguments[0].copy(), arguments[1], arguments[2])


CONDITIONS: tuple[Function, ...] = (
    _f("CASE", "CASE WHEN condition THEN a … ELSE b END", "The value of the first condition that holds.",
       "CASE WHEN 1 > 2 THEN 'a' ELSE 'b' END", "b"),
    _f("IF", "IF(condition, a, b)", "a where the condition holds, else b.", "IF(1 > 2, 'y', 'n')", "n", 3, by=_if),
    _f("COALESCE", "COALESCE(a, b, …)", "The first that is not NULL.", "COALESCE(NULL, 2, 3)", "2",
       by=_coalesce),
    _f("IFNULL", "IFNULL(a, b)", "b where a is NULL.", "IFNULL(NULL, 5)", "5", 2, by=_coalesce,
       aliases=("NVL",)),
    _f("NVL2", "NVL2(a, b, c)", "b where a is not NULL, else c.", "NVL2(NULL, 1, 2)", "2"),
    _f("NULLIF", "NULLIF(a, b)", "NULL where a equals b, else a.", "NULLIF(1, 1)", "NULL"),
    _f("GREATEST", "GREATEST(a, b, …)", "The greatest; NULL if any is NULL.", "GREATEST(1, 3, 2)", "3",
       by=_unless_null("greatest")),
    _f("LEAST", "LEAST(a, b, …)", "The least; NULL if any is NULL.", "LEAST(2, NULL)", "NULL",
       by=_unless_null("least")),
    _types("CAST", "CAST(x AS type)", "x in another type; an error where it does not fit.", "CAST('12' AS INT)", "12"),
    _types("TRY_CAST", "TRY_CAST(x AS type)", "x in another type; NULL where it does not fit.",
           "TRY_CAST('x' AS INT)", "NULL"),
    _types("TYPEOF", "TYPEOF(x)", "The type of x.", "TYPEOF(CAST(1 AS DECIMAL(10, 2)))", "DECIMAL(10, 2)", 1,
           by=lambda a: call("type_name", call("arrow_typeof", a[0]))),
    _types("ARROW_TYPEOF", "ARROW_TYPEOF(x)", "The Arrow type of x.", "ARROW_TYPEOF(1)", "Int64"),
    _types("ARROW_CAST", "ARROW_CAST(x, 'type')", "x in an Arrow type.", "ARROW_CAST(1, 'Float64')", "1.0"),
    _types("ARROW_TRY_CAST", "ARROW_TRY_CAST(x, 'type')", "x in an Arrow type; NULL where it does not fit.",
           "ARROW_TRY_CAST('x', 'Float64')", "NULL"),
)  # fmt: skip
"""Choices and types."""


def _hex_digest(name: str) -> Translation:
    return lambda arguments: call("encode", call(name, string(arguments[0])), _hex())


def _hex() -> exp.Expr:
    return exp.Literal.string("hex")


def _sha2(arguments: Arguments) -> exp.Expr:
    length = arguments[1].name
    return _hex_digest(f"sha{length if length in ('224', '256', '384', '512') else '256'}")(arguments[:1])


_h = Group("Hashes")

HASHES: tuple[Function, ...] = (
    _h("MD5", "MD5(text)", "In hexadecimal digits.", "MD5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    _h("SHA1", "SHA1(text)", "In hexadecimal digits.", "SHA1('a')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", 1,
       by=lambda a: call("sha1", string(a[0]))),
    _h("SHA224", "SHA224(text)", "In hexadecimal digits.", "SHA224('a')",
       "abd37534c7d9a2efb9465de931cd7055ffdb8879563ae98078d6d6d5", 1, by=_hex_digest("sha224")),
    _h("SHA256", "SHA256(text)", "In hexadecimal digits.", "SHA256('a')",
       "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", 1, by=_hex_digest("sha256")),
    _h("SHA384", "SHA384(text)", "In hexadecimal digits.", "LEFT(SHA384('a'), 8)", "54a59b9f", 1,
       by=_hex_digest("sha384")),
    _h("SHA512", "SHA512(text)", "In hexadecimal digits.", "LEFT(SHA512('a'), 8)", "1f40fc92", 1,
       by=_hex_digest("sha512")),
    _h("SHA2", "SHA2(text, 224 | 256 | 384 | 512)", "In hexadecimal digits.", "LEFT(SHA2('a', 256), 8)", "ca978112", 2,
       by=_sha2),
    _h("DIGEST", "DIGEST(text, algorithm)", "The bytes of md5, sha224 … sha512, blake2b, blake2s or blake3.",
       "ENCODE(DIGEST('a', 'md5'), 'hex')", "0cc175b9c0f1b6a831c399e269772661"),
    _h("UUID", "UUID()", "A random UUID.", "CHAR_LENGTH(UUID())", "36", 0, changes=True, streams=False,
       aliases=("GEN_RANDOM_UUID",), by=lambda a: call("uuid")),
)  # fmt: skip
"""Digests and identifiers."""
