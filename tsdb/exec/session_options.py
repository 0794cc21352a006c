"""SET and RESET: the options of one session."""

from __future__ import annotations

from collections.abc import Mapping

from tsdb.errors import OptionError, nearest
from tsdb.options import BY_KEY, OPTIONS, SCAN, SESSION, check_session_option, parse_size
from tsdb.time_zone import session_zone

_ALIASES = {"execution.runtime-mode": "execution.mode"}


class SessionOptions:
    """What was SET, checked; what was not has the default of `tsdb.options`."""

    def __init__(self, initial: Mapping[str, str]) -> None:
        self._values: dict[str, str] = {}
        for key, value in initial.items():
            self.set(key, value)

    @property
    def values(self) -> Mapping[str, str]:
        """What was SET."""
        return dict(self._values)

    def set(self, key: str, value: str) -> None:
        """Raises OptionError for an unknown key (naming the nearest) or a bad value."""
        value = value.strip().lower() if key in ("execution.mode", "execution.runtime-mode") else value
        check_session_option(key, value)
        if key == "table.local-time-zone":
            value = session_zone(value)
        self._values[_ALIASES.get(key, key)] = value

    def reset(self, key: str | None) -> None:
        """Back to the default; None: all. Raises OptionError for an unknown key."""
        if key is None:
            self._values.clear()
            return
        self.get(key)
        self._values.pop(_ALIASES.get(key, key), None)

    def get(self, key: str) -> str | None:
        """The value in force, None if there is none. Raises OptionError for an unknown key."""
        real = _ALIASES.get(key, key)
        option = BY_KEY.get(real)
        if option is None or option.scope not in (SESSION, SCAN):
            known = [o.key for o in OPTIONS if o.scope in (SESSION, SCAN)]
            raise OptionError(f"unknown option '{key}'.{nearest(key, known)}")
        return self._values.get(real, option.default)

    @property
    def streaming(self) -> bool:
        """Queries are changelogs."""
        return self.get("execution.mode") == "streaming"

    @property
    def reads_variables(self) -> bool:
        """'python.replacement-scans'."""
        return self.get("python.replacement-scans") == "true"

    @property
    def zone(self) -> str:
        """'table.local-time-zone'."""
        return self.get("table.local-time-zone") or "UTC"

    @property
    def memory_limit_bytes(self) -> int | None:
        """'memory.limit'."""
        text = self.get("memory.limit")
        return None if text is None else parse_size(text, "memory.limit")

    @property
    def state_memory_bytes(self) -> int:
        """'execution.state.memory'."""
        return parse_size(self.get("execution.state.memory") or "1 gb", "execution.state.memory")
