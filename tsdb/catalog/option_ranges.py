"""Options whose values are of the right kind, but out of range, or contradict one another."""

from collections.abc import Mapping

from tsdb.errors import OptionError
from tsdb.options import BY_KEY, TableOptions, parse_size

_MOST = 2147483647
# option: the least and the greatest number it may be
_RANGES: Mapping[str, tuple[int, int]] = {
    "file.compression.zstd-level": (1, 22),
    "num-sorted-run.compaction-trigger": (1, _MOST),
    "num-sorted-run.stop-trigger": (1, _MOST),
    "num-levels": (2, 64),
    "compaction.max-size-amplification-percent": (0, _MOST),
    "compaction.size-ratio": (0, _MOST),
    "compaction.min.file-num": (1, _MOST),
    "full-compaction.delta-commits": (1, _MOST),
    "manifest.merge-min-count": (1, _MOST),
    "commit.max-retries": (0, _MOST),
    "snapshot.num-retained.min": (1, _MOST),
    "snapshot.num-retained.max": (1, _MOST),
    "snapshot.expire.limit": (1, _MOST),
    "metadata.stats-keep-first-n-columns": (-1, _MOST),
}
# sizes that may not be 0
_SIZES = ("target-file-size", "write-buffer-size", "file.block-size", "manifest.target-file-size")
# options of which the first may not be greater than the second
_ORDERED = (
    ("snapshot.num-retained.min", "snapshot.num-retained.max"),
    ("num-sorted-run.compaction-trigger", "num-sorted-run.stop-trigger"),
    ("changelog.num-retained.min", "changelog.num-retained.max"),
)


def check_ranges(options: TableOptions) -> None:
    """Raise OptionError for a number or size that is out of range, and for options that contradict one another."""
    for key, (least, most) in _RANGES.items():
        if key in options.values and not least <= options.integer(key) <= most:
            wanted = f"at least {least}" if most == _MOST else f"{least} to {most}"
            raise OptionError(f"'{key}' is {wanted}, not '{options.get(key)}'")
    for key in _SIZES:
        if key in options.values and parse_size(options.values[key], key) == 0:
            raise OptionError(f"'{key}' is more than nothing, not '{options.get(key)}'")
    for lower, upper in _ORDERED:
        if (lower in options.values or upper in options.values) and _is_known(options, lower, upper):
            low, high = options.integer(lower), options.integer(upper)
            if low > high:
                raise OptionError(f"'{lower}' = '{low}' contradicts '{upper}' = '{high}'; the first may not be greater")


def _is_known(options: TableOptions, *keys: str) -> bool:
    return all(key in options.values or (key in BY_KEY and BY_KEY[key].default is not None) for key in keys)
