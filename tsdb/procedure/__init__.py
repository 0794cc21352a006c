"""Procedures: `CALL sys.<name>(…)`, by name."""

from collections.abc import Mapping

from tsdb.procedure.analyze import ANALYZE_PROCEDURES
from tsdb.procedure.branch import BRANCH_PROCEDURES
from tsdb.procedure.clone import CLONE, COPY
from tsdb.procedure.column_default import ALTER_COLUMN_DEFAULT_VALUE
from tsdb.procedure.compact import COMPACT, COMPACT_DATABASE, MATERIALIZE_DELETION_VECTORS
from tsdb.procedure.consumer import CONSUMER_PROCEDURES
from tsdb.procedure.expire import EXPIRE_PROCEDURES
from tsdb.procedure.manifest import MANIFEST_PROCEDURES
from tsdb.procedure.merge_into import MERGE_INTO
from tsdb.procedure.partition import PARTITION_PROCEDURES
from tsdb.procedure.procedure import Argument, Procedure, bind
from tsdb.procedure.rebuild_log import REBUILD_LOG
from tsdb.procedure.refused import REFUSED
from tsdb.procedure.repair import REPAIR_PROCEDURES
from tsdb.procedure.rescale import RESCALE
from tsdb.procedure.rewrite_file_index import REWRITE_FILE_INDEX
from tsdb.procedure.rollback import ROLLBACK_PROCEDURES
from tsdb.procedure.tag import TAG_PROCEDURES

PROCEDURES: Mapping[str, Procedure] = {
    procedure.name: procedure
    for procedure in (
        COMPACT,
        COMPACT_DATABASE,
        MATERIALIZE_DELETION_VECTORS,
        RESCALE,
        REWRITE_FILE_INDEX,
        REBUILD_LOG,
        *TAG_PROCEDURES,
        *BRANCH_PROCEDURES,
        *ROLLBACK_PROCEDURES,
        *EXPIRE_PROCEDURES,
        *CONSUMER_PROCEDURES,
        *PARTITION_PROCEDURES,
        *MANIFEST_PROCEDURES,
        MERGE_INTO,
        CLONE,
        COPY,
        *REPAIR_PROCEDURES,
        *ANALYZE_PROCEDURES,
        ALTER_COLUMN_DEFAULT_VALUE,
    )
}

__all__ = ["PROCEDURES", "REFUSED", "Argument", "Procedure", "bind"]
