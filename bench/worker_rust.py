"""pypaimon-rust's side of the storage benchmarks, run by the peers' Python; see side.py."""

import json
import sys
import time

import pyarrow as pa
from pypaimon_rust.datafusion import PaimonCatalog, SQLContext


def context(warehouse):
    ctx = SQLContext()
    ctx.register_catalog("paimon", {"warehouse": warehouse})
    ctx.set_current_catalog("paimon")
    return ctx


def ingest(warehouse, file, options):
    ctx = context(warehouse)
    given = {"bucket": "2", **options}
    listed = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
    ctx.sql(
        "CREATE TABLE IF NOT EXISTS paimon.default.t "
        f"(id BIGINT NOT NULL, name STRING, a BIGINT, b DOUBLE, PRIMARY KEY (id)) WITH ({listed})"
    )
    table = PaimonCatalog({"warehouse": warehouse}).get_table("default.t")
    with pa.memory_map(file) as source:
        batches = pa.ipc.open_file(source).read_all().to_batches()
        start, cpu = time.perf_counter(), time.process_time()
        builder = table.new_batch_write_builder()
        write, commit = builder.new_write(), builder.new_commit()
        for batch in batches:
            write.write_arrow(batch)
        commit.commit(write.prepare_commit())
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "rows": sum(b.num_rows for b in batches)}


def queries(warehouse, sql, warm):
    ctx = context(warehouse)
    out = {}
    for phase, repeat in (("cold", 1), ("warm", warm)):
        for i, text in enumerate(sql):
            best = least = float("inf")
            for _ in range(repeat):
                start, cpu = time.perf_counter(), time.process_time()
                batches = ctx.sql(text.replace("FROM t", "FROM paimon.default.t"))
                best, least = min(best, time.perf_counter() - start), min(least, time.process_time() - cpu)
            out[f"{phase}_{i}"], out[f"{phase}_cpu_{i}"] = best, least
            out[f"rows_{i}"] = sum(b.num_rows for b in batches)
    return out


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
