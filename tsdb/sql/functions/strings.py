"""Functions of strings, without regular expressions."""

from __future__ import annotations

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.expression_type import arrow_type, is_array
from tsdb.sql.functions.as_text import as_text
from tsdb.sql.functions.spec import (
    Arguments,
    Function,
    Group,
    Translation,
    binary,
    call,
    cases,
    cast,
    compare,
    divided,
    integer_of,
    number,
    of_strings,
    paren,
    renamed,
    string,
    text,
    time_text,
    when,
    wrapped,
)  # fmt: skip

_f = Group("Strings")


def _concat(arguments: Arguments) -> exp.Expr:
    """NULL if any argument is NULL."""
    result = string(arguments[0]) if arguments else text("")
    for argument in arguments[1:]:
        result = exp.DPipe(this=result, expression=string(argument))
    return paren(result)


def _concat_ws(arguments: Arguments) -> exp.Expr:
    return call("concat_ws", *(time_text(argument) or argument for argument in arguments))


def part_of_text(node: exp.Bracket) -> exp.Expr | None:
    """text[2], text[2:3]: characters by their places from 1, the last included; None for what is no text."""
    kind = arrow_type(node.this)
    is_text = (isinstance(node.this, exp.Literal) and node.this.is_string) or (
        kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
    )
    if not is_text or len(node.expressions) != 1:
        return None
    (place,) = node.expressions
    first, last = (place.this, place.expression) if isinstance(place, exp.Slice) else (place, place)
    start, end = integer_of(first), integer_of(last)
    if start is None or end is None or start < 1 or (end < 1 and end != -1):
        raise NotSupportedError("text[a:b] with other bounds than constants from 1: SUBSTRING(text FROM a FOR n)")
    length = [] if end == -1 else [number(max(end - start + 1, 0))]
    return substring([node.this, number(start), *length])


def substring(arguments: Arguments) -> exp.Expr:
    """From a position counted from 1, or from the end when negative; NULL for a negative length."""
    source, start = string(arguments[0]), arguments[1]
    known = integer_of(start)
    if known is not None and known >= 0:
        start = number(max(known, 1))
    else:
        size = call("char_length", source)
        behind = binary(exp.Add, binary(exp.Add, size, start), number(1))
        branches = [
            (compare(exp.GT, start, number(0)), start),
            (compare(exp.EQ, start, number(0)), number(1)),
            (compare(exp.GT, behind, number(0)), behind),
            (exp.Not(this=paren(exp.Is(this=wrapped(start), expression=exp.Null()))), binary(exp.Add, size, number(1))),
        ]
        start = cast(cases(branches, exp.Null()), "BIGINT")
    if len(arguments) == 2:
        return call("substr", source, start)
    length = arguments[2]
    fixed = integer_of(length)
    if fixed is not None and fixed >= 0:
        return call("substr", source, start, length)
    length = cast(when(compare(exp.GTE, length, number(0)), length, exp.Null()), "BIGINT")
    return call("substr", source, start, length)


def _locate(arguments: Arguments) -> exp.Expr:
    """LOCATE(part, text[, start]), from 1; 0 when not found."""
    part, whole = string(arguments[0]), string(arguments[1])
    if len(arguments) == 2:
        return call("strpos", whole, part)
    start = call("greatest", arguments[2], number(1))
    found = call("strpos", call("substr", whole, start), part)
    position = binary(exp.Sub, binary(exp.Add, found, start), number(1))
    return when(exp.EQ(this=found.copy(), expression=number(0)), number(0), position)


def _instr(arguments: Arguments) -> exp.Expr:
    """INSTR(text, part[, start[, nth]])."""
    if len(arguments) == 2 or (len(arguments) == 3 and (integer_of(arguments[2]) or 0) >= 1):
        return _locate([arguments[1], arguments[0], *arguments[2:]])
    start, nth = arguments[2], arguments[3] if len(arguments) > 3 else number(1)
    return call("nth_place", string(arguments[0]), string(arguments[1]), cast(start, "INT"), cast(nth, "INT"))


def overlay(node: exp.Overlay) -> exp.Expr | None:
    """OVERLAY: a text that ends before the start stays as it is; a length below 1 means all that follows."""
    start = node.args["from_"]
    known = integer_of(start)
    outside = compare(exp.GT, start, call("char_length", string(node.this)))
    if known is None or known < 1:
        outside = exp.or_(compare(exp.LT, start, number(1)), outside)
    length = node.args.get("for_")
    if length is not None and (integer_of(length) or 0) < 1:
        node = node.copy()
        rest = call("char_length", string(node.this))
        node.set("for_", cast(when(compare(exp.LT, length, number(1)), rest, length), "BIGINT"))
    return when(outside, string(node.this), node)


def literally(replacement: exp.Expr) -> exp.Expr:
    """A replacement for `regexp_replace` in which `$` stands for itself; `plainly` gives the backslashes back."""
    if isinstance(replacement, exp.Literal):
        return text(replacement.name.replace("$", "$$").replace("\\", _BACKSLASH))
    dollars = call("replace", string(replacement), text("$"), text("$$"))
    return call("replace", dollars, text("\\"), text(_BACKSLASH))


def plainly(replaced: exp.Expr, replacement: exp.Expr) -> exp.Expr:
    """The result of `regexp_replace` with a replacement of `literally`."""
    if isinstance(replacement, exp.Literal) and "\\" not in replacement.name:
        return replaced
    return call("replace", replaced, text(_BACKSLASH), text("\\"))


_BACKSLASH = "\ue05c"
"""Stands for a backslash, which DataFusion takes for a group: a character of the private use area."""


def _replace(arguments: Arguments) -> exp.Expr:
    """REPLACE(text, from, to): an empty `from` is found before each character and at the end."""
    whole, part, new = map(string, arguments)
    plain = call("replace", whole, part, new)
    if isinstance(part, exp.Literal) and part.name:
        return plain
    between = plainly(call("regexp_replace", whole, text(""), literally(new), text("g")), new)
    return when(compare(exp.EQ, part, text("")), between, plain)


def _ascii(arguments: Arguments) -> exp.Expr:
    """The first byte in UTF-8, from -128 to 127."""
    code = call("ascii", string(arguments[0]))
    heads = [(0x800, 64, -64), (0x10000, 4096, -32)]
    branches = [(compare(exp.LT, code, number(128)), code)]
    branches += [
        (compare(exp.LT, code, number(end)), binary(exp.Add, number(lead), divided(code, number(size))))
        for end, size, lead in heads
    ]
    return cast(cases(branches, binary(exp.Add, number(-16), divided(code, number(262144)))), "INT")


def _printf(arguments: Arguments) -> exp.Expr:
    """The values as texts, each with the name of its type."""
    if not arguments:
        raise ProgrammingError("PRINTF takes at least one argument: PRINTF(pattern, a, b, …)")
    if len(arguments) == 1:
        nothing = call("arrow_cast", exp.Array(expressions=[]), text("List(Utf8)"))
        return call("printf", string(arguments[0]), nothing, nothing)
    values = exp.Array(expressions=[as_text(value) for value in arguments[1:]])
    kinds = exp.Array(expressions=[call("arrow_typeof", value) for value in arguments[1:]])
    return call("printf", string(arguments[0]), values, kinds)


def _split(arguments: Arguments) -> exp.Expr:
    """An empty delimiter splits into characters."""
    delimiter = arguments[1]
    is_empty = isinstance(delimiter, exp.Literal) and delimiter.is_string and not delimiter.name
    return call("string_to_array", arguments[0], exp.Null() if is_empty else delimiter)


def _split_index(arguments: Arguments) -> exp.Expr:
    """The part at an index from 0; NULL when there is none."""
    whole, delimiter, index = arguments
    code = integer_of(delimiter)
    delimiter = delimiter if code is None else text(chr(code))
    if isinstance(index, exp.Literal) and not index.name.isdecimal():
        raise ProgrammingError(f"the index of SPLIT_INDEX is a whole number from 0, not {index.sql()}")
    one_based = number(int(index.name) + 1) if isinstance(index, exp.Literal) else binary(exp.Add, index, number(1))
    part = exp.Bracket(this=paren(call("string_to_array", whole, delimiter)), expressions=[one_based])
    if isinstance(index, exp.Literal):
        return part
    return when(exp.GTE(this=wrapped(index), expression=number(0)), part, exp.Null())


def _side(name: str) -> Translation:
    """LEFT, RIGHT: nothing for a negative length, which DataFusion would count from the other end."""

    def translation(arguments: Arguments) -> exp.Expr:
        length = arguments[1]
        known = integer_of(length)
        if known is None or known < 0:
            length = when(compare(exp.LT, length, number(0)), number(0), length)
        return call(name, string(arguments[0]), length)

    return translation


def _pad(name: str) -> Translation:
    """LPAD, RPAD: NULL for a negative length or nothing to pad with."""

    def translation(arguments: Arguments) -> exp.Expr:
        source, length = string(arguments[0]), arguments[1]
        padding = string(arguments[2]) if len(arguments) > 2 else text(" ")
        known = integer_of(length)
        plain = call(name, source, length, padding)
        if known is not None and known >= 0 and isinstance(padding, exp.Literal) and padding.name:
            return plain
        bad = exp.or_(compare(exp.LT, length, number(0)), compare(exp.EQ, padding, text("")))
        positive = when(compare(exp.LT, length, number(0)), number(0), length)
        return when(bad, exp.Null(), call(name, source, positive, padding))

    return translation


def _repeat(arguments: Arguments) -> exp.Expr:
    count = arguments[1]
    known = integer_of(count)
    if known is None or known < 0:
        count = when(compare(exp.LT, count, number(0)), number(0), count)
    return call("repeat", string(arguments[0]), count)


def _chr(arguments: Arguments) -> exp.Expr:
    """The character of a byte: only the lowest eight bits count."""
    code = cast(arguments[0], "BIGINT")
    low = binary(exp.Mod, code, number(256))
    return when(compare(exp.LT, code, number(0)), text(""), call("chr", low))


def _elt(arguments: Arguments) -> exp.Expr:
    index, *choices = arguments
    return exp.Case(
        this=index.copy(), ifs=[exp.If(this=number(i), true=c.copy()) for i, c in enumerate(choices, start=1)]
    )


def _encode(arguments: Arguments) -> exp.Expr:
    """To the bytes of a character set; `hex` and `base64` are DataFusion's."""
    if arguments[1].name.lower() in ("hex", "base64", "base64pad"):
        return call("encode", *arguments)
    return call("encode_text", string(arguments[0]), string(arguments[1]))


def _decode(arguments: Arguments) -> exp.Expr:
    if arguments[1].name.lower() in ("hex", "base64", "base64pad"):
        return call("decode", *arguments)
    return call(
        "decode_text", exp.Cast(this=arguments[0].copy(), to=exp.DataType.build("VARBINARY")), string(arguments[1])
    )


def _is_all(pattern: str) -> Translation:
    """A test of the whole string; false for NULL and for an empty one."""

    def translation(arguments: Arguments) -> exp.Expr:
        return call("coalesce", call("regexp_like", string(arguments[0]), text(pattern)), exp.false())

    return translation


def _str_to_map(arguments: Arguments) -> exp.Expr:
    given = [string(argument) for argument in arguments]
    return call(
        "str_to_map", given[0], given[1] if len(given) > 1 else text(","), given[2] if len(given) > 2 else text("=")
    )


def _parse_url(arguments: Arguments) -> exp.Expr:
    given = [string(argument) for argument in arguments]
    return call("parse_url", *given, *([cast(exp.Null(), "STRING")] if len(given) == 2 else []))


_DIGITS = r"^\p{Nd}+$"
_LETTERS = r"^\p{L}+$"
_DECIMAL = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[dDfF]?\s*$"


def _length(arguments: Arguments) -> exp.Expr:
    """Of what is surely an array how many elements, of all else how many characters."""
    if is_array(arguments[0]):
        return cast(call("cardinality", arguments[0]), "INT")
    return call("char_length", string(arguments[0]))


STRINGS: tuple[Function, ...] = (
    _f("CHAR_LENGTH", "CHAR_LENGTH(text)", "How many characters.", "CHAR_LENGTH('über')", "4",
       aliases=("CHARACTER_LENGTH",), by=of_strings("char_length")),
    _f("LENGTH", "LENGTH(text | array)", "How many characters, or elements.", "LENGTH('über')", "4", 1, by=_length,
       aliases=("LEN",)),
    _f("OCTET_LENGTH", "OCTET_LENGTH(text)", "How many bytes in UTF-8.", "OCTET_LENGTH('über')", "5"),
    _f("BIT_LENGTH", "BIT_LENGTH(text)", "How many bits in UTF-8.", "BIT_LENGTH('abc')", "24"),
    _f("UPPER", "UPPER(text)", "In capitals.", "UPPER('abc')", "ABC", aliases=("UCASE",), by=of_strings("upper")),
    _f("LOWER", "LOWER(text)", "In small letters.", "LOWER('ABC')", "abc", aliases=("LCASE",), by=of_strings("lower")),
    _f("INITCAP", "INITCAP(text)", "Each word with a capital.", "INITCAP('hello wORLD')", "Hello World"),
    _f("CONCAT", "CONCAT(a, b, …)", "The arguments one after another; NULL if any is NULL.", "CONCAT('a', 'b', 1)",
       "ab1", by=_concat),
    _f("CONCAT_WS", "CONCAT_WS(separator, a, b, …)", "Joined by a separator, without NULLs.",
       "CONCAT_WS('-', 'a', NULL, 'b')", "a-b", by=_concat_ws),
    _f("SUBSTRING", "SUBSTRING(text FROM start [FOR length]) | SUBSTR(text, start [, length])",
       "A part; start counts from 1, or from the end when negative.", "SUBSTRING('stream' FROM -3 FOR 2)", "ea", 2, 3,
       by=substring, aliases=("SUBSTR",)),
    _f("LEFT", "LEFT(text, n)", "The first n characters.", "LEFT('stream', 3)", "str", 2, by=_side("left")),
    _f("RIGHT", "RIGHT(text, n)", "The last n characters.", "RIGHT('stream', 3)", "eam", 2, by=_side("right")),
    _f("POSITION", "POSITION(part IN text)", "Where it begins, from 1; 0 if nowhere.", "POSITION('b' IN 'abc')", "2"),
    _f("INSTR", "INSTR(text, part [, start [, nth]])",
       "Where it begins the n-th time, from 1; 0 if nowhere; backwards from a negative start.",
       "INSTR('Corporate Floor', 'or', 3, 2)", "14", 2, 3, 4, by=_instr, aliases=("STRPOS",)),
    _f("LOCATE", "LOCATE(part, text [, start])", "Where it begins, from 1; 0 if nowhere.", "LOCATE('b', 'abcb', 3)",
       "4", 2, 3, by=_locate),
    _f("TRIM", "TRIM([BOTH | LEADING | TRAILING] [characters FROM] text)",
       "Without blanks, or those characters, around.",
       "TRIM(BOTH 'x' FROM 'xxaxx')", "a"),
    _f("LTRIM", "LTRIM(text [, characters])", "Without blanks, or those characters, before.", "LTRIM('  a')", "a"),
    _f("RTRIM", "RTRIM(text [, characters])", "Without blanks, or those characters, behind.", "RTRIM('axx', 'x')", "a"),
    _f("BTRIM", "BTRIM(text [, characters])", "Without blanks, or those characters, around.", "BTRIM('xaxx', 'x')",
       "a"),
    _f("LPAD", "LPAD(text, length [, padding])", "Filled up, or cut, to a length, on the left.", "LPAD('hi', 4, '??')",
       "??hi", 2, 3, by=_pad("lpad")),
    _f("RPAD", "RPAD(text, length [, padding])", "Filled up, or cut, to a length, on the right.", "RPAD('hi', 4, '??')",
       "hi??", 2, 3, by=_pad("rpad")),
    _f("PRINTF", "PRINTF(pattern, a, b, …)",
       "By a pattern of Java: `%d`, `%5.2f`, `%s`, `%x`; NULL if it does not fit.",
       "PRINTF('%03d %s', 7, 'a')", "007 a", by=_printf, aliases=("FORMAT_STRING",)),
    _f("REPEAT", "REPEAT(text, n)", "n times one after another.", "REPEAT('ab', 3)", "ababab", 2, by=_repeat),
    _f("REPLACE", "REPLACE(text, from, to)", "With every `from` replaced.", "REPLACE('banana', 'a', 'o')", "bonono",
       3, by=_replace),
    _f("TRANSLATE", "TRANSLATE(text, from, to)", "Each character of `from` becomes the one at its place in `to`.",
       "TRANSLATE('banana', 'an', 'o')", "booo"),
    _f("OVERLAY", "OVERLAY(text PLACING part FROM start [FOR length])",
       "With a part replaced; unchanged where it ends before the start.",
       "OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6)", "xxxxxxxxx"),
    _f("REVERSE", "REVERSE(text)", "Backwards.", "REVERSE('abc')", "cba", by=of_strings("reverse")),
    _f("ASCII", "ASCII(text)", "The first byte in UTF-8, from -128 to 127; 0 if there is none.", "ASCII('A')", "65", 1,
       by=_ascii),
    _f("CHR", "CHR(n)", "The character of the byte n modulo 256.", "CHR(97)", "a", 1, by=_chr, aliases=("CHAR",)),
    _f("ELT", "ELT(n, a, b, …)", "The n-th of the values that follow.", "ELT(2, 'a', 'b')", "b", by=_elt),
    _f("SPLIT", "SPLIT(text, delimiter)", "The parts, as an array.", "SPLIT('a,b', ',')", "[a, b]", 2,
       by=_split, aliases=("STRING_TO_ARRAY", "STRING_SPLIT", "STR_SPLIT")),
    _f("SPLIT_INDEX", "SPLIT_INDEX(text, delimiter, index)", "The part at an index from 0; NULL if there is none.",
       "SPLIT_INDEX('a,b,c', ',', 1)", "b", 3, by=_split_index),
    _f("SPLIT_PART", "SPLIT_PART(text, delimiter, index)", "The part at an index from 1; empty if there is none.",
       "SPLIT_PART('a,b,c', ',', 2)", "b"),
    _f("SUBSTRING_INDEX", "SUBSTRING_INDEX(text, delimiter, n)", "What stands before the n-th delimiter.",
       "SUBSTRING_INDEX('a.b.c', '.', 2)", "a.b", aliases=("SUBSTR_INDEX",)),
    _f("STARTSWITH", "STARTSWITH(text, part)", "Whether it begins so.", "STARTSWITH('stream', 'str')", "true", 2,
       by=renamed("starts_with"), aliases=("STARTS_WITH",)),
    _f("ENDSWITH", "ENDSWITH(text, part)", "Whether it ends so.", "ENDSWITH('stream', 'eam')", "true", 2,
       by=renamed("ends_with"), aliases=("ENDS_WITH",)),
    _f("CONTAINS", "CONTAINS(text, part)", "Whether it is in the text.", "CONTAINS('stream', 'rea')", "true"),
    _f("LEVENSHTEIN", "LEVENSHTEIN(a, b)", "How many edits make one of the other.", "LEVENSHTEIN('kitten', 'sitting')",
       "3"),
    _f("FIND_IN_SET", "FIND_IN_SET(text, list)", "Its place, from 1, in a list with commas.",
       "FIND_IN_SET('b', 'a,b,c')", "2"),
    _f("IS_ALPHA", "IS_ALPHA(text)", "Whether all characters are letters.", "IS_ALPHA('abc')", "true", 1,
       by=_is_all(_LETTERS)),
    _f("IS_DIGIT", "IS_DIGIT(text)", "Whether all characters are digits.", "IS_DIGIT('12a')", "false", 1,
       by=_is_all(_DIGITS)),
    _f("IS_DECIMAL", "IS_DECIMAL(text)", "Whether it can be read as a number.", "IS_DECIMAL('-1.5')", "true", 1,
       by=_is_all(_DECIMAL)),
    _f("TO_BASE64", "TO_BASE64(text)", "In base 64.", "TO_BASE64('hello')", "aGVsbG8=", 1,
       by=lambda a: call("encode", a[0], text("base64pad"))),
    _f("FROM_BASE64", "FROM_BASE64(text)", "Out of base 64, as a string.", "FROM_BASE64('aGVsbG8=')", "hello", 1,
       by=lambda a: cast(call("decode", a[0], text("base64pad")), "STRING")),
    _f("ENCODE", "ENCODE(text, charset)", "The bytes in US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE or UTF-16.",
       "ENCODE('ü', 'ISO-8859-1')", "x'fc'", 2, by=_encode),
    _f("DECODE", "DECODE(bytes, charset)", "The text of bytes in a character set.", "DECODE(x'fc', 'ISO-8859-1')", "ü",
       2, by=_decode),
    _f("URL_ENCODE", "URL_ENCODE(text)", "As a part of a URL, in UTF-8.", "URL_ENCODE('a b&c')", "a+b%26c", 1,
       by=of_strings("url_encode")),
    _f("URL_DECODE", "URL_DECODE(text)", "Back from URL_ENCODE; NULL if it is malformed.", "URL_DECODE('a+b%26c')",
       "a b&c", 1, by=of_strings("url_decode")),
    _f("PARSE_URL", "PARSE_URL(url, part [, key])",
       "HOST, PATH, QUERY, REF, PROTOCOL, AUTHORITY, FILE or USERINFO of a URL; QUERY also of one key.",
       "PARSE_URL('https://tsdb.example/a?k=v#x', 'QUERY', 'k')", "v", 2, 3, by=_parse_url),
    _f("STR_TO_MAP", "STR_TO_MAP(text [, pairs, key_value])",
       "A map; the delimiters are regular expressions, `,` and `=` by default.", "STR_TO_MAP('a=1,b=2')", "{a=1, b=2}",
       1, 2, 3, by=_str_to_map),
)  # fmt: skip
"""Characters, parts, places and encodings."""
