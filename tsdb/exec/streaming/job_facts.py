"""DESCRIBE JOB: one job in full, from its metrics if it runs in this process, and from its files in any case."""

import json
from collections.abc import Iterator

from tsdb import clock
from tsdb.exec.streaming.pipeline import WATERMARK
from tsdb.exec.streaming.registry import JobDetails
from tsdb.table.refs import text_of

NANOS_A_MS = 1_000_000
"""Watermarks are kept in nanoseconds."""


def job_facts(job: JobDetails) -> dict[str, str]:
    """Names and values, in the order in which they are shown."""
    return {name: str(value) for name, value in _facts(job) if value is not None}


def _facts(job: JobDetails) -> Iterator[tuple[str, object]]:
    info, metrics = job.info, job.metrics or {}
    yield "name", info.name
    yield "id", info.job_id
    yield "status", info.status
    yield "runs in", info.process
    yield "error", info.error
    yield "query", job.newest.sql if job.newest is not None else None
    yield "started at", None if info.started_at_ms is None else text_of(info.started_at_ms)
    yield "restarts", metrics.get("restarts")
    yield "version", info.version
    yield "rows in", info.rows_in
    yield "rows out", info.rows_out
    yield "records skipped", metrics.get("records_skipped")
    yield from _checkpoint_facts(job)
    operators = metrics.get("operators", {})
    yield "late rows", operators.get("late_rows")
    yield "state rows", operators.get("state_rows")
    yield "state bytes", operators.get("state_bytes")
    for operator in operators.get("flow", []):
        yield (
            f"rows of operator {operator['node']}",
            f"{operator['operator'].strip()}: {operator['rows_in']} in, {operator['rows_out']} out",
        )
    for operator in operators.get("operators", []):
        yield (
            f"state of operator {operator['node']}",
            (f"{operator['operator'].strip()}: {operator['rows']} rows, {operator['bytes']} bytes"),
        )


def _checkpoint_facts(job: JobDetails) -> Iterator[tuple[str, object]]:
    """When the newest checkpoint was taken, and where the sources stood then."""
    if job.newest is None:
        return
    yield "checkpoint at", text_of(job.newest.created_at_ms)
    yield "checkpoint age", f"{max(0, clock.current().now_ms() - job.newest.created_at_ms) / 1000:.1f} s"
    for name, position in sorted(job.newest.sources.items()):
        if name.endswith(WATERMARK):
            source = name.removesuffix(WATERMARK)
            yield f"watermark of {source}", None if position is None else text_of(position // NANOS_A_MS)
        else:
            yield f"position in {name}", json.dumps(position)
    for name, lag in sorted(job.lags.items()):
        behind = "none" if not lag.snapshots else f"{lag.snapshots} snapshots, {lag.since_ms / 1000:.1f} s"
        yield f"lag of {name}", behind
