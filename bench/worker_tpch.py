"""One engine in TPC-H; see tpch.py. Run by our Python, or by the peers' for pypaimon-rust.

Loading: seconds for all tables. Querying: seconds of each query at first and the best of some more, and its rows in
a file, for the comparison.
"""

import json
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tpch_tables import TABLES, queries


def datafusion_sql(data, warehouse):
    from datafusion import SessionContext  # Imported here: each engine is in another environment

    context = SessionContext()
    for table in TABLES:
        context.register_parquet(table, f"{data}/{table}.parquet")
    return lambda text: context.sql(text).to_arrow_table()


def duckdb_sql(data, warehouse):
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads = 2")
    for table in TABLES:
        con.execute(f"CREATE VIEW {table} AS SELECT * FROM '{data}/{table}.parquet'")
    return lambda text: con.sql(text).to_arrow_table()


def tsdb_sql(data, warehouse):
    import tsdb

    con = tsdb.connect(warehouse)
    return lambda text: con.execute(text).fetch_arrow_table()


def rust_sql(data, warehouse):
    context = rust_context(warehouse)
    return lambda text: pa.Table.from_batches(context.sql(text))


def rust_context(warehouse):
    from pypaimon_rust.datafusion import SQLContext

    context = SQLContext()
    context.register_catalog("paimon", {"warehouse": warehouse})
    context.set_current_catalog("paimon")
    context.set_current_database("default")
    return context


ENGINES = {"datafusion": datafusion_sql, "duckdb": duckdb_sql, "tsdb": tsdb_sql, "pypaimon-rust": rust_sql}


def query(engine, data, warehouse, warm, results):
    """warehouse: of the tables, for an engine that has any."""
    run = ENGINES[engine](data, warehouse)
    out = {"cold": [], "warm": []}
    texts = []
    for text in queries():
        seconds = []
        for _ in range(1 + warm):
            start = time.perf_counter()
            table = run(text)
            seconds.append(time.perf_counter() - start)
        out["cold"].append(seconds[0])
        out["warm"].append(min(seconds[1:], default=seconds[0]))
        texts.append([[shown(value) for value in row.values()] for row in table.to_pylist()])
    Path(results).write_text(json.dumps(texts))
    return out


def shown(value):
    """As JSON has it; every number as a float."""
    if isinstance(value, Decimal | float | int):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value


def columns(data, table):
    """Name and SQL type of each column."""
    schema = pq.read_schema(f"{data}/{table}.parquet")
    return [(field.name, sql_type(field.type)) for field in schema]


def sql_type(kind):
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return {pa.int64(): "BIGINT", pa.int32(): "INT", pa.date32(): "DATE"}.get(kind, "STRING")


def rows_of(data, table):
    """As Arrow without views."""
    rows = pq.read_table(f"{data}/{table}.parquet")
    fields = [pa.field(f.name, pa.string() if f.type == pa.string_view() else f.type) for f in rows.schema]
    return rows.cast(pa.schema(fields))


def changed(rows):
    """A tenth of the rows, spread evenly."""
    return rows.take(pa.array(range(3, rows.num_rows, 10)))


def load_tsdb(data, warehouse, keyed):
    import tsdb

    seconds = 0.0
    with tsdb.connect(warehouse) as con:
        for table, key in TABLES.items():
            listed = ", ".join(f"{name} {kind}" for name, kind in columns(data, table))
            options = " WITH ('bucket' = '2')" if keyed else ""
            key_part = f", PRIMARY KEY ({key}) NOT ENFORCED" if keyed else ""
            con.execute(f"CREATE TABLE {table} ({listed}{key_part}){options}")
            rows = rows_of(data, table)
            for part in (rows, changed(rows)) if keyed else (rows,):
                con.register("incoming", part)
                start = time.perf_counter()
                con.execute(f"INSERT INTO {table} SELECT * FROM incoming")
                seconds += time.perf_counter() - start
    return {"seconds": seconds}


def load_rust(data, warehouse, keyed):
    from pypaimon_rust.datafusion import PaimonCatalog

    context, seconds = rust_context(warehouse), 0.0
    catalog = PaimonCatalog({"warehouse": warehouse})
    for table, key in TABLES.items():
        keys = key.split(", ")
        listed = ", ".join(f"{name} {kind}{' NOT NULL' * (name in keys)}" for name, kind in columns(data, table))
        options = " WITH ('bucket' = '2')" if keyed else ""
        key_part = f", PRIMARY KEY ({key})" if keyed else ""
        context.sql(f"CREATE TABLE paimon.default.{table} ({listed}{key_part}){options}")
        rows = rows_of(data, table)
        for part in (rows, changed(rows)) if keyed else (rows,):
            start = time.perf_counter()
            builder = catalog.get_table(f"default.{table}").new_batch_write_builder()
            write, commit = builder.new_write(), builder.new_commit()
            for batch in part.to_batches():
                write.write_arrow(batch)
            commit.commit(write.prepare_commit())
            seconds += time.perf_counter() - start
    return {"seconds": seconds}


LOADERS = {"tsdb": load_tsdb, "pypaimon-rust": load_rust}

if __name__ == "__main__":
    arguments = json.loads(sys.argv[2])
    print(json.dumps(LOADERS[arguments.pop("engine")](**arguments) if sys.argv[1] == "load" else query(**arguments)))
