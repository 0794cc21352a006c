"""The merge engines, by the value of the table option 'merge-engine'."""

from collections.abc import Mapping

from tsdb.errors import NotSupportedError
from tsdb.mergetree.merge_engine.deduplicate import Deduplicate
from tsdb.mergetree.merge_engine.merge_engine import MergeEngine

MERGE_ENGINES: Mapping[str, MergeEngine] = {engine.name: engine for engine in (Deduplicate(),)}


def merge_engine(name: str) -> MergeEngine:
    """The merge engine of that name. Raises NotSupportedError that lists the ones there are."""
    engine = MERGE_ENGINES.get(name)
    if engine is None:
        known = ", ".join(f"'{k}'" for k in MERGE_ENGINES)
        raise NotSupportedError(f"the option 'merge-engine' = '{name}' is not supported yet; use one of {known}")
    return engine


__all__ = ["MERGE_ENGINES", "MergeEngine", "merge_engine"]
