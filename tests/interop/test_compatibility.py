"""docs/compatibility.md says what the marks of the tests say, and that all of it passed."""

import subprocess
import sys
from pathlib import Path

from compatibility import ROOT, cells_of_page


def test_the_page_is_what_the_marks_say(tmp_path: Path) -> None:
    listed = tmp_path / "judged"
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run([*command, f"--judged={listed}", "tests"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:]
    claimed = {tuple(line.split("\t")) for line in listed.read_text().splitlines()}
    assert claimed
    assert cells_of_page((ROOT / "docs" / "compatibility.md").read_text()) == claimed, "run `make compatibility`"
