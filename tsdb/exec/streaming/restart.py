"""When a job that failed goes on by itself: Flink's restart strategies, under Flink's names.

Only failures of what is outside the program are worth another try: a broker or a disk that is away comes back, while
a value that does not fit does not fit the next time either.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tsdb.errors import Cancelled, JobTakenOver, OperationalError
from tsdb.options import BY_KEY, parse_duration_ms

_PREFIX = "restart-strategy"


@dataclass(slots=True)
class RestartPolicy:
    """How often and after which pause a job is restarted. attempts: None, as often as needed; 0, never.

    first_s, longest_s: the pause before the first attempt, and the longest one; each is `factor` times the one before.
    reset_s: a job that ran for so long without a failure begins at the first pause again, and its attempts too.
    """

    attempts: int | None = 0
    first_s: float = 0.0
    longest_s: float = 0.0
    factor: float = 1.0
    reset_s: float | None = None
    _made: int = 0
    _last_s: float | None = None

    def pause_s(self, failure: Exception, now_s: float) -> float | None:
        """Seconds to wait before the next attempt; None if the failure is final. now_s: of the monotonic clock."""
        if isinstance(failure, Cancelled | JobTakenOver) or not isinstance(failure, OperationalError | OSError):
            return None
        if self._last_s is not None and self.reset_s is not None and now_s - self._last_s >= self.reset_s:
            self._made = 0
        if self.attempts is not None and self._made >= self.attempts:
            return None
        pause = min(self.first_s * self.factor**self._made, self.longest_s)
        self._made += 1
        self._last_s = now_s + pause
        return pause


def restart_policy(options: Mapping[str, str]) -> RestartPolicy:
    """The policy that the options of a session ask for. Raises OptionError."""

    def value(key: str) -> str:
        found = options.get(f"{_PREFIX}.{key}", BY_KEY[f"{_PREFIX}.{key}"].default)
        assert found is not None
        return found

    def seconds(key: str) -> float:
        return parse_duration_ms(value(key)) / 1000

    match value("type"):
        case "fixed-delay":
            pause = seconds("fixed-delay.delay")
            return RestartPolicy(int(value("fixed-delay.attempts")), pause, pause)
        case "exponential-delay":
            return RestartPolicy(
                None,
                seconds("exponential-delay.initial-backoff"),
                seconds("exponential-delay.max-backoff"),
                float(value("exponential-delay.backoff-multiplier")),
                seconds("exponential-delay.reset-backoff-threshold"),
            )
    return RestartPolicy()
