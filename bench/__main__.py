"""Runs one benchmark or all; the last line of each is its ratios."""

import argparse
import sys

from bench import (
    amplification,
    compaction,
    group_by_stream,
    ingest,
    kafka_latency,
    kafka_throughput,
    many_streams,
    memory,
    merge_on_read,
    nexmark,
    nexmark_flink,
    planning,
    point_lookup,
    spill,
    startup,
    state,
    stream_latency,
    tpch,
)

BENCHMARKS = {
    "ingest": ingest.main,
    "compaction": compaction.main,
    "many_streams": many_streams.main,
    "memory": memory.main,
    "merge_on_read": merge_on_read.bench("deduplicate"),
    "partial_update": merge_on_read.bench("partial-update"),
    "aggregation": merge_on_read.bench("aggregation"),
    "group_by_stream": group_by_stream.main,
    "nexmark": nexmark.main,
    "nexmark_flink": nexmark_flink.main,
    "planning": planning.main,
    "point_lookup": point_lookup.main,
    "amplification": amplification.main,
    "startup": startup.main,
    "stream_latency": stream_latency.main,
    "tpch": tpch.main,
    "spill": spill.main,
    "state": state.main,
    "kafka_latency": kafka_latency.main,
    "kafka_throughput": kafka_throughput.main,
}
_ONLY_BY_NAME = {"nexmark_flink"}
_BY_QUERY = {"nexmark": nexmark.main, "nexmark_flink": nexmark_flink.main}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument("name", choices=[*BENCHMARKS, "all"])
    arguments.add_argument("--rows", type=int, default=10_000_000)
    arguments.add_argument("--repeat", type=int, default=5, help="runs of each side; the median counts")
    arguments.add_argument("--queries", default="", help="nexmark and nexmark_flink: only these, as q4,q18; else all")
    chosen = arguments.parse_args()
    every = [name for name in BENCHMARKS if name not in _ONLY_BY_NAME]
    for name in every if chosen.name == "all" else [chosen.name]:
        if name in _BY_QUERY and chosen.queries:
            _BY_QUERY[name](chosen.rows, chosen.repeat, chosen.queries.split(","))
        else:
            BENCHMARKS[name](chosen.rows, chosen.repeat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
