"""Functions of numbers."""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.expression_type import decimal, integer
from tsdb.sql.functions.spec import (
    Arguments,
    Function,
    Group,
    binary,
    call,
    cases,
    cast,
    compare,
    integer_of,
    is_null,
    number,
    string,
    text,
    try_cast,
    when,
)  # fmt: skip

_f = Group("Numbers")


def _log(arguments: Arguments) -> exp.Expr:
    return call("ln" if len(arguments) == 1 else "log", *arguments)


def whole_decimal(node: exp.Expr) -> exp.Expr | None:
    """CEIL, FLOOR of a decimal: one without fraction, with room for one digit more."""
    known = decimal(node.this)
    if integer(node.this) is not None and node.args.get("decimals") is None:
        same: exp.Expr = node.this.copy()
        return same
    if known is None or node.args.get("decimals") is not None:
        return None
    precision, scale = known
    wide = cast(node.this, f"DECIMAL({min(precision + 1, 38)}, {scale})")
    name = "floor" if isinstance(node, exp.Floor) else "ceil"
    return cast(call(name, wide), f"DECIMAL({min(precision - scale + 1, 38)}, 0)")


def _rand(arguments: Arguments) -> exp.Expr:
    if arguments:
        raise NotSupportedError("RAND with a seed; RAND() is supported")
    return call("random")


def _rand_integer(arguments: Arguments) -> exp.Expr:
    if len(arguments) > 1:
        raise NotSupportedError("RAND_INTEGER with a seed; RAND_INTEGER(bound) is supported")
    return cast(call("floor", binary(exp.Mul, call("random"), arguments[0])), "INT")


def _hex(arguments: Arguments) -> exp.Expr:
    """Of a number, its digits; of a string, those of its bytes."""
    of_text = call("encode", exp.Cast(this=string(arguments[0]), to=exp.DataType.build("VARBINARY")), text("hex"))
    of_number = call("to_hex", try_cast(string(arguments[0]), "BIGINT"))
    is_text = exp.In(
        this=call("arrow_typeof", arguments[0]), expressions=[text(kind) for kind in ("Utf8", "LargeUtf8", "Utf8View")]
    )
    is_number = compare(exp.Like, call("arrow_typeof", arguments[0]), text("%Int%"))
    return call("upper", cases([(is_text, of_text), (is_number, of_number)], of_text))


def _unhex(arguments: Arguments) -> exp.Expr:
    digits = string(arguments[0])
    even = when(
        compare(exp.EQ, binary(exp.Mod, call("char_length", digits), number(2)), number(1)),
        binary(exp.DPipe, text("00"), call("substr", digits, number(2))),
        digits,
    )
    checked = when(call("regexp_like", digits, text("^[0-9A-Fa-f]*$")), even, exp.Null())
    return call("decode", string(checked), text("hex"))


def _conv(arguments: Arguments) -> exp.Expr:
    value, start, end = arguments
    return call("conv", string(value), cast(start, "INT"), cast(end, "INT"))


def _truncate(arguments: Arguments) -> exp.Expr:
    """Of a decimal, one of so many digits; of an integer, an integer."""
    value, digits = arguments[0], integer_of(arguments[1]) if len(arguments) > 1 else 0
    size, whole = decimal(value), integer(value)
    cut = call("trunc", *arguments)
    if whole is not None and digits is not None:
        return value.copy() if digits >= 0 else cast(cut, whole.type_name)
    if size is None or digits is None or digits >= size[1]:
        return cut
    return cast(cut, f"DECIMAL({max(size[0] - size[1] + max(digits, 0) + 1, 1)}, {max(digits, 0)})")


def _sign(arguments: Arguments) -> exp.Expr:
    value = arguments[0]
    branches = [
        (compare(exp.GT, value, number(0)), number(1)),
        (compare(exp.LT, value, number(0)), exp.Neg(this=number(1))),
        (is_null(value), exp.Null()),
    ]
    return cases(branches, number(0))


def _trigonometry(name: str, description: str, argument: str, result: str) -> Function:
    return _f(name, f"{name}(x)", description, f"{name}({argument})", result)


NUMBERS: tuple[Function, ...] = (
    _f("ABS", "ABS(x)", "The absolute value.", "ABS(-5)", "5"),
    _f("MOD", "MOD(a, b)", "The remainder of a / b, with the sign of a.", "MOD(-7, 3)", "-1", 2,
       by=lambda a: binary(exp.Mod, a[0], a[1])),
    _f("POWER", "POWER(x, y)", "x to the power of y.", "POWER(2e0, 10)", "1024.0", aliases=("POW",)),
    _f("SQRT", "SQRT(x)", "The square root.", "SQRT(16)", "4.0"),
    _f("CBRT", "CBRT(x)", "The cube root.", "CBRT(27)", "3.0"),
    _f("LN", "LN(x)", "The natural logarithm.", "LN(1)", "0.0"),
    _f("LOG", "LOG(x) | LOG(base, x)", "The natural logarithm, or that to a base.", "LOG(2, 8)", "3.0", 1, 2, by=_log),
    _f("LOG10", "LOG10(x)", "The logarithm to the base 10.", "LOG10(1000)", "3.0"),
    _f("LOG2", "LOG2(x)", "The logarithm to the base 2.", "LOG2(8)", "3.0"),
    _f("EXP", "EXP(x)", "e to the power of x.", "EXP(0)", "1.0"),
    _f("CEIL", "CEIL(x) | CEIL(time TO unit)", "The next whole number, or the next whole unit.", "CEIL(1.2e0)",
          "2.0", aliases=("CEILING",)),
    _f("FLOOR", "FLOOR(x) | FLOOR(time TO unit)", "The whole number, or unit, at or below.", "FLOOR(-1.2e0)",
          "-2.0"),
    _f("ROUND", "ROUND(x [, digits])", "x rounded, halves away from zero.", "ROUND(2.345, 2)", "2.35"),
    _f("TRUNCATE", "TRUNCATE(x [, digits])", "x with the digits behind cut off.", "TRUNCATE(1.567e0, 1)", "1.5", 1, 2,
       by=_truncate, aliases=("TRUNC",)),
    _f("SIGN", "SIGN(x)", "-1, 0 or 1.", "SIGN(-2.5)", "-1", 1, by=_sign),
    _f("SIGNUM", "SIGNUM(x)", "-1, 0 or 1, as a DOUBLE.", "SIGNUM(-2.5e0)", "-1.0"),
    _f("E", "E()", "The number e.", "ROUND(E(), 5)", "2.71828", 0, by=lambda a: call("exp", cast(number(1), "DOUBLE"))),
    _f("PI", "PI()", "The number π.", "ROUND(PI(), 5)", "3.14159"),
    _f("DEGREES", "DEGREES(x)", "Radians as degrees.", "DEGREES(PI())", "180.0"),
    _f("RADIANS", "RADIANS(x)", "Degrees as radians.", "ROUND(RADIANS(180e0), 5)", "3.14159"),
    _trigonometry("SIN", "The sine.", "0e0", "0.0"),
    _trigonometry("COS", "The cosine.", "0e0", "1.0"),
    _trigonometry("TAN", "The tangent.", "0e0", "0.0"),
    _f("COT", "COT(x)", "The cotangent.", "ROUND(COT(1e0), 5)", "0.64209"),
    _trigonometry("ASIN", "The arc sine.", "0e0", "0.0"),
    _trigonometry("ACOS", "The arc cosine.", "1e0", "0.0"),
    _trigonometry("ATAN", "The arc tangent.", "0e0", "0.0"),
    _f("ATAN2", "ATAN2(y, x)", "The angle of the point (x, y).", "ATAN2(0e0, 1e0)", "0.0"),
    _trigonometry("SINH", "The hyperbolic sine.", "0e0", "0.0"),
    _trigonometry("COSH", "The hyperbolic cosine.", "0e0", "1.0"),
    _trigonometry("TANH", "The hyperbolic tangent.", "0e0", "0.0"),
    _trigonometry("ASINH", "The inverse hyperbolic sine.", "0e0", "0.0"),
    _trigonometry("ACOSH", "The inverse hyperbolic cosine.", "1e0", "0.0"),
    _trigonometry("ATANH", "The inverse hyperbolic tangent.", "0e0", "0.0"),
    _f("FACTORIAL", "FACTORIAL(n)", "1 · 2 · … · n.", "FACTORIAL(5)", "120"),
    _f("GCD", "GCD(a, b)", "The greatest common divisor.", "GCD(12, 18)", "6"),
    _f("LCM", "LCM(a, b)", "The least common multiple.", "LCM(4, 6)", "12"),
    _f("ISNAN", "ISNAN(x)", "Whether x is NaN.", "ISNAN(CAST('NaN' AS DOUBLE))", "true"),
    _f("ISZERO", "ISZERO(x)", "Whether x is 0.", "ISZERO(0e0)", "true"),
    _f("NANVL", "NANVL(x, y)", "y where x is NaN.", "NANVL(CAST('NaN' AS DOUBLE), 1e0)", "1.0"),
    _f("RAND", "RAND()", "A random DOUBLE from 0, below 1.", "RAND() < 1", "true", 0, 1, by=_rand, changes=True,
       streams=False, aliases=("RANDOM",)),
    _f("RAND_INTEGER", "RAND_INTEGER(bound)", "A random INT from 0, below the bound.", "RAND_INTEGER(1)", "0", 1, 2,
       by=_rand_integer, changes=True, streams=False),
    _f("BIN", "BIN(n)", "An integer in binary digits.", "BIN(10)", "1010", 1, by=lambda a: call("conv", string(a[0]),
       cast(number(10), "INT"), cast(number(2), "INT"))),
    _f("HEX", "HEX(n | text)", "An integer, or the bytes of a string, in hexadecimal digits.", "HEX(255)", "FF", 1,
       by=_hex),
    _f("TO_HEX", "TO_HEX(n)", "An integer in small hexadecimal digits.", "TO_HEX(255)", "ff"),
    _f("UNHEX", "UNHEX(text)",
       "The bytes of hexadecimal digits; NULL if they are none; of an odd number the first becomes a zero.",
       "UNHEX('466C696E6B')", "x'466c696e6b'", 1, by=_unhex),
    _f("CONV", "CONV(n, from_base, to_base)", "A number, as text, in another base from 2 to 36.",
          "CONV('100', 2, 10)", "4", 3, by=_conv),
)  # fmt: skip
"""Arithmetic, logarithms, angles, chance and number bases."""
