"""Whether a submitted query may go on with a state that is there already, and why not."""

from tsdb.errors import AlreadyExists
from tsdb.exec.streaming.checkpoint import Checkpoint
from tsdb.exec.streaming.draft import JobDraft

_UNDESCRIBED = "Constant "
"""An operator whose description does not tell all that it computes."""


def check_same(state: Checkpoint, draft: JobDraft, plan: str, *, savepoint: str | None = None) -> None:
    """The state is that of this query: by its text and its plan; or by its plan alone, over the same tables.

    plan: the fingerprint of the draft's plan. savepoint: where the state is from, if not from the job of that name.
    Raises AlreadyExists.
    """
    what, advice = f"job `{draft.name}`", _ADVICE.format(name=draft.name)
    if savepoint is not None:
        what, advice = f"the savepoint {savepoint} of job `{state.name}`", _SAVEPOINT_ADVICE
    for table, created_ms in draft.tables.items():
        if state.tables.get(table, created_ms) != created_ms:
            raise AlreadyExists(
                f"{what} cannot go on: table `{table}` was dropped and created anew, and the job's state at version "
                f"{state.version} belongs to the old one; {advice}"
            )
    if state.sql != draft.sql and not _compatible(state, draft, plan):
        has = "exists with" if savepoint is None else "is of"
        raise AlreadyExists(
            f"{what} {has} another query, and its state belongs to that one:\n  {state.sql}\n"
            f"now submitted:\n  {draft.sql}\n{advice}"
        )
    if state.plan != plan:
        raise AlreadyExists(
            f"{what} cannot go on: the text of its query is the same but its plan is not, because a parameter has "
            "another value, a table or view has other columns or keys now, or tsdb plans it differently. Its state at "
            f"version {state.version} does not fit; {advice}"
        )


_ADVICE = (
    "STOP JOB and DROP JOB '{name}' (or SET 'execution.restore' = 'none') to start anew, or SET 'pipeline.name' to run "
    "it under another name"
)
_SAVEPOINT_ADVICE = "submit the query of the savepoint, or RESET 'execution.savepoint.path' to start without it"


def _compatible(state: Checkpoint, draft: JobDraft, plan: str) -> bool:
    """The text differs, but the operators, their inputs and the tables are the same."""
    same_database = state.sql.partition(";")[0] == draft.sql.partition(";")[0]
    return (
        state.plan == plan
        and same_database
        and state.tables.keys() == draft.tables.keys()
        and _UNDESCRIBED not in draft.plan
    )
