"""Which files of a bucket to compact, and what to do with each: decisions only, nothing is read or written here.

Universal compaction: runs are looked at from the newest to the oldest; everything goes to the highest level when the
newer runs have grown large against the oldest one (space amplification), else neighbours of similar size are merged
(size ratio), else enough of the newest to get below the trigger (run count).

Source: Paimon, `UniversalCompaction` and `MergeTreeCompactTask`; RocksDB, Universal Compaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tsdb.mergetree.sorted_run import KeyRange, SortedRun, sections
from tsdb.metadata.data_file import DataFileMeta


@dataclass(frozen=True, slots=True)
class CompactionOptions:
    """The table options that decide about compaction. num_levels counts level 0.

    optimization_interval_ms, total_bytes, incremental_bytes: compact everything when the highest level was written
    longer ago, when all is smaller, when what is below the highest level is larger; None: never for that.
    """

    trigger: int = 5
    num_levels: int = 6
    max_size_amplification_percent: int = 200
    size_ratio_percent: int = 1
    target_file_size_bytes: int = 128 << 20
    small_file_ratio: float = 0.7
    optimization_interval_ms: int | None = None
    total_bytes: int | None = None
    incremental_bytes: int | None = None

    @property
    def max_level(self) -> int:
        """The highest level."""
        return self.num_levels - 1


@dataclass(frozen=True, slots=True)
class CompactUnit:
    """Merge these runs (newest first) into the output level. passed_levels: files of other levels are always written
    anew, because somebody wants to see their rows; None: wherever that is not needed, they are not.
    """

    runs: tuple[SortedRun, ...]
    output_level: int
    drop_delete: bool
    passed_levels: range | None = None

    @property
    def files(self) -> tuple[DataFileMeta, ...]:
        """All files of the runs."""
        return tuple(file for run in self.runs for file in run.files)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Merge the sections, in key order, into new files."""

    sections: tuple[tuple[SortedRun, ...], ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Keep the file, change its level."""

    file: DataFileMeta


def pick(runs: Sequence[SortedRun], options: CompactionOptions, now_ms: int = 0) -> CompactUnit | None:
    """What to compact now, or None. runs: all runs of the bucket, newest first."""
    if _is_due(runs, options, now_ms):
        return pick_full(runs, options)
    if len(runs) < options.trigger:
        return None
    newer_bytes = sum(run.size_bytes for run in runs[:-1])
    if newer_bytes * 100 > options.max_size_amplification_percent * runs[-1].size_bytes:
        return _unit(runs, len(runs), options)
    count = _similar(runs, 1, options)
    if count > 1:
        return _unit(runs, count, options)
    if len(runs) > options.trigger:
        return _unit(runs, _similar(runs, len(runs) - options.trigger + 1, options), options)
    return None


def _is_due(runs: Sequence[SortedRun], options: CompactionOptions, now_ms: int) -> bool:
    """Whether everything is to be compacted, however few runs there are."""
    below = [run for run in runs if run.level < options.max_level]
    if not below:
        return False
    if options.optimization_interval_ms is not None:
        highest = [file for run in runs if run.level == options.max_level for file in run.files]
        written = max((file.creation_time_millis or 0 for file in highest), default=0)
        if now_ms - written > options.optimization_interval_ms:
            return True
    if options.total_bytes is not None and sum(run.size_bytes for run in runs) < options.total_bytes:
        return True
    return options.incremental_bytes is not None and sum(run.size_bytes for run in below) > options.incremental_bytes


def pick_level_zero(runs: Sequence[SortedRun], options: CompactionOptions) -> CompactUnit | None:
    """All files of level 0, into the level below the first run that is there; None if there are none."""
    count = sum(run.level == 0 for run in runs)
    return _unit(runs, count, options) if count else None


def pick_full(runs: Sequence[SortedRun], options: CompactionOptions) -> CompactUnit | None:
    """Everything into the highest level; None if it is all there already."""
    if not runs or (len(runs) == 1 and runs[0].level == options.max_level):
        return None
    return _unit(runs, len(runs), options)


def plan(
    unit: CompactUnit, options: CompactionOptions, key_range: Callable[[DataFileMeta], KeyRange]
) -> list[Rewrite | Upgrade]:
    """The steps of a unit in key order: large files that overlap nothing are upgraded, the rest is rewritten, small
    neighbours together.
    """
    small_bytes = int(options.target_file_size_bytes * options.small_file_ratio)
    steps: list[Rewrite | Upgrade] = []
    pending: list[tuple[SortedRun, ...]] = []
    for section in sections(unit.runs, key_range):
        if len(section) > 1:
            pending.append(section)
            continue
        for file in section[0].files:
            if file.file_size < small_bytes:
                pending.append((SortedRun(section[0].level, (file,)),))
            else:
                steps += _rewrite(pending, unit, options)
                pending = []
                steps += _upgrade(file, unit, options)
    return steps + _rewrite(pending, unit, options)


def _rewrite(
    pending: list[tuple[SortedRun, ...]], unit: CompactUnit, options: CompactionOptions
) -> list[Rewrite | Upgrade]:
    if not pending:
        return []
    if len(pending) == 1 and len(pending[0]) == 1:
        return [step for file in pending[0][0].files for step in _upgrade(file, unit, options)]
    return [Rewrite(tuple(pending))]


def _upgrade(file: DataFileMeta, unit: CompactUnit, options: CompactionOptions) -> list[Rewrite | Upgrade]:
    if file.level == unit.output_level:
        return []
    if unit.passed_levels is not None and file.level not in unit.passed_levels:
        return [Rewrite(((SortedRun(file.level, (file,)),),))]
    if (unit.output_level == options.max_level or unit.drop_delete) and file.delete_row_count != 0:
        return [Rewrite(((SortedRun(file.level, (file,)),),))]
    return [Upgrade(file)]


def _similar(runs: Sequence[SortedRun], count: int, options: CompactionOptions) -> int:
    """How many of the newest runs to merge, starting with `count`: further ones while they are not larger than
    those before together.
    """
    candidate_bytes = sum(run.size_bytes for run in runs[:count])
    while count < len(runs):
        following = runs[count]
        too_large = candidate_bytes * (100 + options.size_ratio_percent) / 100 < following.size_bytes
        if too_large and (count == 1 or following.level > 1):
            break
        candidate_bytes += following.size_bytes
        count += 1
    return count


def _unit(runs: Sequence[SortedRun], count: int, options: CompactionOptions) -> CompactUnit | None:
    """The first `count` runs, or more where level 0 would be the output level."""
    output_level = options.max_level if count == len(runs) else max(0, runs[count].level - 1)
    while output_level == 0 and count < len(runs):
        output_level = runs[count].level
        count += 1
    if count == len(runs):
        output_level = options.max_level
    chosen = tuple(runs[:count])
    files = [file for run in chosen for file in run.files]
    if len(files) == 1 and files[0].level == output_level:
        return None
    highest = max((run.level for run in runs), default=0)
    return CompactUnit(chosen, output_level, drop_delete=output_level != 0 and output_level >= highest)
