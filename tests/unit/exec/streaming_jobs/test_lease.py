"""Who may run a job."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tsdb import clock
from tsdb.errors import AlreadyExists, OperationalError
from tsdb.exec.streaming.lease import LOST_AFTER_MS, Lease, acquire, read_lease
from tsdb.fs import LocalFileIO

FILES = LocalFileIO()


def rewrite(folder: Path, **changes: object) -> None:
    """Make the newest lease look as if another process had written it."""
    record = read_lease(FILES, str(folder))
    path = folder / f"lease-{record.epoch}"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_of_many_that_start_at_once_one_gets_the_lease(tmp_path: Path) -> None:
    for _ in range(20):
        barrier = threading.Barrier(4)
        won: list[Lease] = []
        told: list[str] = []

        def start(barrier=barrier, won=won, told=told) -> None:
            barrier.wait()
            try:
                won.append(acquire(FILES, str(tmp_path), "job", "id"))
            except AlreadyExists as err:
                told.append(str(err))

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and len(told) == 3
        won[0].release("STOPPED", 0, 0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["lease-20"]


def test_a_holder_on_another_machine_is_lost_after_a_silence(tmp_path: Path) -> None:
    acquire(FILES, str(tmp_path), "job", "id")
    rewrite(tmp_path, host="elsewhere/boot/pids")
    with pytest.raises(AlreadyExists, match=r"job `job` is already running in process \d+ on elsewhere"):
        rewrite(tmp_path, owner="somebody else")
        acquire(FILES, str(tmp_path), "job", "id")
    rewrite(tmp_path, heartbeat_ms=clock.current().now_ms() - LOST_AFTER_MS - 1)
    assert read_lease(FILES, str(tmp_path)).status == "LOST"
    assert acquire(FILES, str(tmp_path), "job", "id").epoch == 2


def test_a_process_id_used_again_is_not_the_old_process(tmp_path: Path) -> None:
    acquire(FILES, str(tmp_path), "job", "id")
    rewrite(tmp_path, pid=1, process_start="long ago", owner="somebody else")
    assert read_lease(FILES, str(tmp_path)).status == "LOST"


def test_a_holder_notices_that_it_was_replaced_or_dropped(tmp_path: Path) -> None:
    old = acquire(FILES, str(tmp_path), "job", "id")
    rewrite(tmp_path, owner="somebody else", pid=1, process_start="long ago")
    new = acquire(FILES, str(tmp_path), "job", "id")
    with pytest.raises(OperationalError, match="taken over by another process"):
        old.heartbeat(1, 0, 0)
    old.release("STOPPED", 1, 0, 0)
    assert read_lease(FILES, str(tmp_path)) == new.record
    new.heartbeat(7, 8, 9)
    now = read_lease(FILES, str(tmp_path))
    assert (now.version, now.rows_in, now.rows_out, now.status) == (7, 8, 9, "RUNNING")
    assert replace(now, heartbeat_ms=0) == replace(new.record, heartbeat_ms=0)
    FILES.delete_dir(str(tmp_path))
    with pytest.raises(OperationalError, match="was dropped"):
        new.heartbeat(8, 8, 9)
