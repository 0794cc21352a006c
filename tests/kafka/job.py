"""A process that runs one job and says so; the tests kill it. Arguments: warehouse, SQL of the job, SQL before it."""

import sys
import time

import tsdb

if __name__ == "__main__":
    warehouse, job_sql, *before = sys.argv[1:]
    with tsdb.connect(warehouse) as con:
        for sql in before:
            con.execute(sql)
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'execution.checkpointing.interval' = '100 ms'")
        con.execute(job_sql)
        print("running", flush=True)
        (job,) = con.jobs()
        while job.status == "RUNNING":
            time.sleep(0.05)
        job.wait()
