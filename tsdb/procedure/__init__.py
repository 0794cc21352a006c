"""Procedures: `CALL sys.<name>(…)`, by name."""

from collections.abc import Mapping

from tsdb.procedure.compact import COMPACT
from tsdb.procedure.expire_snapshots import EXPIRE_SNAPSHOTS
from tsdb.procedure.procedure import Argument, Procedure, bind
from tsdb.procedure.rescale import RESCALE
from tsdb.procedure.rollback import ROLLBACK_TO
from tsdb.procedure.tag import CREATE_TAG, DELETE_TAG

PROCEDURES: Mapping[str, Procedure] = {
    procedure.name: procedure for procedure in (COMPACT, RESCALE, CREATE_TAG, DELETE_TAG, ROLLBACK_TO, EXPIRE_SNAPSHOTS)
}

__all__ = ["PROCEDURES", "Argument", "Procedure", "bind"]
