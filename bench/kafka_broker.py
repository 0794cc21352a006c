"""The broker of the Kafka benchmarks: the one of the tests, started for the time of a run."""

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def harness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("broker", HERE.parent / "tests" / "kafka" / "broker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker. Ends the program if there can be none."""
    module = harness()
    if reason := module.missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="tsdb-kafka-") as folder:
        started = module.Broker(Path(folder)).start()
        try:
            yield started.bootstrap
        finally:
            started.kill()
