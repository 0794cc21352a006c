"""pypaimon and pypaimon-rust behind a line protocol; run by the peers' own Python (see judge.py)."""

import base64
import datetime as dt
import decimal
import json
import sys


def plain(v):
    if isinstance(v, float):
        return repr(v)
    if isinstance(v, bytes):
        return base64.b64encode(v).decode()
    if isinstance(v, decimal.Decimal):
        return f"{v:f}"
    if isinstance(v, dt.datetime):
        micros = (v - dt.datetime(1970, 1, 1, tzinfo=v.tzinfo)) // dt.timedelta(microseconds=1)
        return f"{micros // 1000}:{micros % 1000 * 1000}"
    if isinstance(v, dt.date):
        return (v - dt.date(1970, 1, 1)).days
    if isinstance(v, dt.time):
        return ((v.hour * 60 + v.minute) * 60 + v.second) * 1000 + v.microsecond // 1000
    if isinstance(v, dict):
        return [plain(x) for x in v.values()]
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    return v


def read_rust(options, table):
    from pypaimon_rust.datafusion import PaimonCatalog

    t = PaimonCatalog(options).get_table(table)
    builder = t.new_read_builder()
    splits = builder.new_scan().plan().splits()
    return [row for b in builder.new_read().read(splits) for row in b.to_pylist()]


def read_python(options, table):
    import pypaimon

    t = pypaimon.CatalogFactory.create(options).get_table(table)
    builder = t.new_read_builder()
    splits = builder.new_scan().plan().splits()
    return builder.new_read().to_arrow(splits).to_pylist()


def write_python(options, table, rows):
    import pyarrow as pa
    import pypaimon

    builder = pypaimon.CatalogFactory.create(options).get_table(table).new_batch_write_builder()
    write, commit = builder.new_write(), builder.new_commit()
    write.write_arrow(pa.table(rows))
    commit.commit(write.prepare_commit())
    write.close()
    commit.close()


def answer(q):
    options = {"warehouse": q["warehouse"], **q.get("options", {})}
    if q.get("do") == "write":
        write_python(options, q["table"], q["rows"])
        return {}
    read = {"pypaimon-rust": read_rust, "pypaimon": read_python}[q["peer"]]
    return {"rows": [[plain(v) for v in row.values()] for row in read(options, q["table"])]}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            result = answer(json.loads(line))
        except Exception as err:
            result = {"error": f"{type(err).__name__}: {err}"}
        print(json.dumps(result), file=answers, flush=True)


main()
