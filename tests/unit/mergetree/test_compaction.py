"""Universal compaction as a table of cases, and the trace of Paimon Java for equal small commits."""

import pytest

from tests.unit.mergetree.files import KEY_RANGE, data_file
from tsdb.mergetree.compaction import CompactionOptions, Rewrite, Upgrade, pick, pick_full, plan
from tsdb.mergetree.sorted_run import SortedRun, sections, sorted_runs

OPTIONS = CompactionOptions()


def runs_of(*levels_and_sizes):
    """Runs, newest first."""
    return [
        SortedRun(level, (data_file(f"f{i}", 0, 9, level=level, size=size),))
        for i, (level, size) in enumerate(levels_and_sizes)
    ]


@pytest.mark.parametrize(
    ("runs", "picked"),
    [
        ([(0, 1)] * 4, None),
        ([(0, 1)] * 5, (5, 5, True)),  # newer runs 4 > 2 * oldest: everything to the highest level
        ([(0, 1)] * 4 + [(5, 1000)], (4, 4, False)),  # similar sizes: up to below the large level
        ([(0, 1)] * 4 + [(4, 1), (5, 1000)], (5, 4, False)),
        (
            [(0, 1), (0, 5), (0, 30), (0, 200), (5, 9999)],
            None,
        ),  # each run larger than all newer ones: nothing to gain yet
        (
            [(0, 1), (0, 5), (0, 30), (0, 200), (0, 900), (5, 9999)],
            (5, 4, False),
        ),  # too many runs: merged until few enough
        ([(0, 1), (0, 1), (0, 900), (0, 9000), (5, 99999)], (4, 4, False)),  # level 0 is never the output
        ([(0, 1), (0, 1), (1, 900), (4, 9000), (5, 99999)], (3, 3, False)),
    ],
)
def test_pick(runs, picked):
    unit = pick(runs_of(*runs), OPTIONS)
    assert (unit and (len(unit.runs), unit.output_level, unit.drop_delete)) == picked


def test_equal_commits_compact_after_the_5th_9th_and_13th():
    files, compacted = [], []
    for commit in range(1, 14):
        files.append(data_file(f"c{commit}", 0, 9, sequence=(commit, commit), size=100))
        unit = pick(sorted_runs(files, KEY_RANGE), OPTIONS)
        if unit is not None:
            assert (len(unit.files), unit.output_level) == (5, 5)
            compacted.append(commit)
            files = [data_file(f"m{commit}", 0, 9, level=5, sequence=(0, commit), size=100)]
    assert compacted == [5, 9, 13]


def test_full_compaction_is_everything_unless_it_is_done():
    assert pick_full(runs_of(), OPTIONS) is None
    assert pick_full(runs_of((5, 10)), OPTIONS) is None
    assert pick_full(runs_of((0, 10)), OPTIONS).output_level == 5
    assert pick_full(runs_of((0, 1), (5, 1000)), OPTIONS).drop_delete


def test_runs_and_sections():
    files = [
        data_file("a", 0, 10, level=5, sequence=(0, 9)),
        data_file("b", 20, 30, level=5, sequence=(0, 9)),
        data_file("c", 40, 50, level=5, sequence=(0, 9)),
        data_file("x", 5, 22, sequence=(10, 19)),
        data_file("y", 60, 70, sequence=(20, 29)),
        data_file("z", 70, 71, sequence=(30, 39)),
    ]
    runs = sorted_runs(files, KEY_RANGE)
    assert [(r.level, [f.file_name for f in r.files]) for r in runs] == [
        (0, ["z"]),
        (0, ["y"]),
        (0, ["x"]),
        (5, ["a", "b", "c"]),
    ]
    found = [[(r.level, "".join(f.file_name for f in r.files)) for r in s] for s in sections(runs, KEY_RANGE)]
    assert found == [[(0, "x"), (5, "ab")], [(5, "c")], [(0, "z"), (0, "y")]]


def test_overlapping_files_of_a_level_are_our_mistake():
    with pytest.raises(AssertionError, match="overlap"):
        sorted_runs([data_file("a", 0, 10, level=1), data_file("b", 9, 20, level=1)], KEY_RANGE)


def test_plan_upgrades_large_files_and_rewrites_the_rest():
    big = OPTIONS.target_file_size_bytes
    files = [
        data_file("a", 0, 10, sequence=(1, 1), size=big),
        data_file("b", 5, 20, sequence=(2, 2), size=big),  # overlap: merged
        data_file("c", 30, 40, sequence=(3, 3), size=big),
        data_file("d", 50, 60, sequence=(4, 4), size=big, deletes=1),
        data_file("e", 70, 71, sequence=(5, 5), size=9),
        data_file("f", 72, 73, sequence=(6, 6), size=9),  # small neighbours: together
        data_file("g", 80, 90, level=5, sequence=(0, 0), size=big),
        data_file("h", 95, 96, sequence=(7, 7), size=9),  # small and alone
    ]
    steps = plan(pick_full(sorted_runs(files, KEY_RANGE), OPTIONS), OPTIONS, KEY_RANGE)
    shown = [
        ("up", s.file.file_name)
        if isinstance(s, Upgrade)
        else ("re", ["".join(f.file_name for r in x for f in r.files) for x in s.sections])
        for s in steps
    ]
    assert shown == [("re", ["ba"]), ("up", "c"), ("re", ["d"]), ("re", ["e", "f"]), ("up", "h")]
    assert all(isinstance(s, Rewrite | Upgrade) for s in steps)
