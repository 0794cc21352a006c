"""Options that hold secrets: never shown, and readable from the environment or from a file.

`'${env:NAME}'` and `'${file:/path}'` may stand in any value; they are replaced only where the value is used, so that
what is stored and shown is the reference. A value that is a secret itself is stored, and shown as asterisks.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise

from tsdb.errors import OptionError

HIDDEN = "******"

_SECRET = re.compile(
    r"password|secret|token|jaas|credential|private|access[._-]?key|passphrase|user[._-]?info|ssl\.keystore\.key"
)
_MISSPELT = (
    "password",
    "secret",
    "credential",
    "passphrase",
    "accesskey",
    "secretkey",
    "accesstoken",
    "userinfo",
    "jaasconfig",
)
_NEAR = 0.8
_WORD_END = re.compile(r"[._-]")
_OPTION = re.compile(r"('(?:[^']|'')*'\s*=\s*')((?:[^']|'')*)")
_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")


def is_secret(key: str) -> bool:
    """Whether the value of an option of this name must not be shown. So is one whose name is nearly such a name: an
    error shows the line in which a name is misspelt.
    """
    lower = key.lower()
    if _SECRET.search(lower) is not None:
        return True
    words = _WORD_END.split(lower)
    return any(get_close_matches(word, _MISSPELT, 1, _NEAR) for word in (*words, *map("".join, pairwise(words))))


def shown(key: str, value: str) -> str:
    """The value as it may be shown: a secret only if it is nothing but a reference."""
    return HIDDEN if is_secret(key) and not _REFERENCE.fullmatch(value.strip()) else value


def shown_options(options: Mapping[str, str]) -> dict[str, str]:
    """All options as they may be shown."""
    return {key: shown(key, value) for key, value in options.items()}


def masked(sql: str) -> str:
    """SQL text with as many asterisks in the place of each secret of `'key' = 'value'`, as long as before."""

    def hidden(match: re.Match[str]) -> str:
        head, value = match.groups()
        key = head[1:].partition("'")[0]
        return head + (value if shown(key, value) == value else "*" * len(value))

    return _OPTION.sub(hidden, sql)


def resolved(key: str, value: str) -> str:
    """The value with its references replaced. Raises OptionError for one that leads nowhere."""

    def replaced(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "env":
            if name not in os.environ:
                raise OptionError(f"'{key}': the environment has no variable {name}")
            return os.environ[name]
        try:
            with open(os.path.expanduser(name), encoding="utf-8") as file:
                return file.read().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as err:
            raise OptionError(f"'{key}': the file {name} cannot be read: {err}") from err

    return _REFERENCE.sub(replaced, value)
