"""Options of Paimon that tsdb does not follow: those that it keeps for other engines, and those that it refuses."""

from collections.abc import Mapping

# options of Paimon that change neither what a table holds nor what a query sees: kept for the engines that heed them
KEPT_OPTIONS = frozenset([
    "async-file-write", "bucket-append-ordered", "cache-page-size",
    "clustering.columns", "clustering.history-partition.idle-to-full-sort",
    "clustering.history-partition.limit", "clustering.incremental", "clustering.incremental.mode",
    "clustering.incremental.optimize-write", "clustering.strategy", "commit.discard-duplicate-files",
    "commit.force-create-snapshot", "commit.timeout", "commit.user-prefix",
    "compaction.file-num-limit", "compaction.force-rewrite-all-files",
    "compaction.offpeak-ratio", "compaction.offpeak.end.hour",
    "compaction.offpeak.start.hour", "compaction.skip-expired-partitions",
    "continuous.discovery-interval", "cross-partition-upsert.bootstrap-parallelism",
    "dynamic-bucket.assigner-parallelism", "file-operation.thread-num", "file-reader-async-threshold",
    "local-kv-db.block-size",
    "local-merge-buffer-size", "local-sort.max-num-file-handles", "manifest-sort.enabled",
    "manifest-sort.max-rewrite-size", "manifest-sort.partition-field", "manifest.delete-file-drop-stats",
    "manifest.merge-optimize.enabled",
    "overwrite-upgrade", "page-size",
    "postpone.batch-write-fixed-bucket.max-parallelism", "postpone.batch-write-fixed-bucket.rescale-load-factor",
    "read.batch-size", "scan.infer-parallelism", "scan.manifest.parallelism", "scan.max-splits-per-task",
    "scan.parallelism", "scan.plan-sort-partition", "sink.parallelism", "snapshot.expire.execution-mode",
    "snapshot.ignore-empty-commit", "sort-engine",
    "sort-compaction.local-sample.magnification", "sort-compaction.range-strategy", "sort-spill-buffer-size",
    "sort-spill-threshold", "spill-compression", "spill-compression.zstd-level", "target-file-row-num",
    "write-buffer-for-append", "write-buffer-spill.max-disk-size", "write-buffer-spillable",
    "write-max-writers-to-spill", "write.batch-memory", "write.batch-size", "zorder.var-length-contribution",
])  # fmt: skip

# options of Paimon that do, and that tsdb does not know how to follow; only the default may be given (None: nothing)
REFUSED_OPTIONS: Mapping[str, str | None] = {
    **dict.fromkeys([
        "commit.callbacks",
        "scan.bucket",
        "scan.fallback-delta-branch", "scan.fallback-snapshot-branch",
        "scan.primary-branch",
        "streaming.read.snapshot.delay", "vector-field",
        "commit.strict-mode.last-safe-snapshot", "blob-field",
    ]),
    **dict.fromkeys([
        "auto-create",
        "chain-table.enabled", "consumer.changelog-only",
        "delete.force-produce-changelog",
        "index-file-in-data-file-dir",
        "postpone.merge-on-read", "primary-key.nullable",
        "query-auth.enabled", "scan.ignore-corrupt-files", "scan.ignore-lost-files", "sequence.snapshot-ordering",
        "streaming-read-append-overwrite", "table-read.sequence-number.enabled", "visibility-callback.enabled",
    ], "false"),
    "write.sequence-number-init-mode": "scan",
}  # fmt: skip
