"""The tables of TPC-H: made by tpchgen-cli as one Parquet file each, and the queries over them."""

import subprocess
import sys
from pathlib import Path

TABLES = {
    "region": "r_regionkey",
    "nation": "n_nationkey",
    "supplier": "s_suppkey",
    "customer": "c_custkey",
    "part": "p_partkey",
    "partsupp": "ps_partkey, ps_suppkey",
    "orders": "o_orderkey",
    "lineitem": "l_orderkey, l_linenumber",
}
"""Each table with its primary key, the smallest first."""


def data(folder: Path, scale: float) -> Path:
    """The directory with <table>.parquet of all tables, made if it is not there."""
    made = folder / f"tpch-{scale:g}"
    if not made.exists():
        unfinished = folder / f"tpch-{scale:g}.tmp"
        program = Path(sys.executable).parent / "tpchgen-cli"
        subprocess.run([program, "parquet", "-s", f"{scale:g}", f"--output-dir={unfinished}"], check=True)
        unfinished.rename(made)
    return made


def queries() -> list[str]:
    """The 22 queries in order."""
    text = (Path(__file__).parent / "tpch.sql").read_text()
    return [part.split("\n", 1)[1].strip().rstrip(";") for part in text.split("-- Q")[1:]]
