"""What the clients' libraries log: nothing without a handler of the user's, and never a secret.

kafka-python writes whole requests to its log at DEBUG, and the login of SASL PLAIN is one of them.
"""

import logging
from collections.abc import Iterable

from tsdb.secrets import HIDDEN


class Redacted(logging.Filter):
    """Puts asterisks in the place of the secrets that it was told."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: frozenset[str] = frozenset()

    def add(self, secrets: Iterable[str]) -> None:
        """From now on these, too; as they are, and as Python shows text and bytes."""
        there = [s for s in secrets if s]
        forms = {form for s in there for form in (s, repr(s)[1:-1], repr(s.encode())[2:-1])}
        self._secrets |= forms

    def filter(self, record: logging.LogRecord) -> bool:
        """The record goes on, without the secrets."""
        text = record.getMessage()
        if any(secret in text for secret in self._secrets):
            for secret in self._secrets:
                text = text.replace(secret, HIDDEN)
            record.msg, record.args = text, ()
        return True


_REDACTED = Redacted()


def quiet_logger(name: str, secrets: Iterable[str]) -> logging.Logger:
    """The library's logger: it and those below it neither print by themselves nor show the secrets."""
    _REDACTED.add(secrets)
    logger = logging.getLogger(name)
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        # without a handler of the user's, warnings would go to the terminal
        logger.addHandler(logging.NullHandler())
    below = [logging.getLogger(n) for n in [*logger.manager.loggerDict] if n.startswith(f"{name}.")]
    for each in (logger, *below):
        each.addFilter(_REDACTED)  # a filter counts for its own logger only; adding it again does nothing
    return logger
