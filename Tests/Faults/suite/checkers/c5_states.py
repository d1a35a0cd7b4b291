"""C5: a run's states follow the state machine, and it ends once. Only what has ended is ever removed."""
from __future__ import annotations

from ..history import TERMINAL, History, Life
from .violation import Violation

# Written down once more, on purpose: a checker that imported the machine's own table could not contradict it.
FIRST = {"queued", "assigned"}
SUCCESSORS = {
    "queued": {"queued", "assigned", "cancelled", "failed", "skipped"},
    "retrying": {"retrying", "queued", "cancelled", "failed"},
    "assigned": {"assigned", "running", "completed", "failed", "cancelled", "retrying", "queued"},
    "running": {"running", "completed", "failed", "cancelled", "retrying", "queued"},
}


def states(history: History) -> list[Violation]:
    """See the module."""
    return [violation for run in history.runs for violation in _judge(run)] + _removals(history)


def _removals(history: History) -> list[Violation]:
    """Retention removes runs, and jobs with the last of theirs; nobody deletes a job in these tests."""
    found: list[Violation] = []
    for run in history.runs:
        if run.deleted_at is not None and run.last["state"] not in TERMINAL:
            what = f"{run.name} was removed at revision {run.deleted_at}, while it was {run.last['state']}"
            found.append(Violation("C5", "lost", what))
    for job in history.jobs:
        if job.deleted_at is None:
            continue
        runs = history.runs_of[job.name]
        left = [run.name for run in runs if run.deleted_at is None or run.deleted_at > job.deleted_at]
        cancelled = "cancel_requested_at" in job.last
        if left or not (runs or cancelled) or ("next_run_time" in job.last and not cancelled):
            what = f"{job.name} was removed at revision {job.deleted_at}, and had not ended"
            found.append(Violation("C5", "lost", what))
    return found


def _judge(run: Life) -> list[Violation]:
    found: list[Violation] = []
    first = run.changes[0].value["state"]
    if first not in FIRST:
        found.append(Violation("C5", "wrong", f"{run.name} was created as {first}"))
    for before, after in zip(run.changes, run.changes[1:]):
        old, new = before.value["state"], after.value["state"]
        if old in TERMINAL:
            what = f"{run.name} had ended as {old}, and was written again as {new} at revision {after.revision}"
            found.append(Violation("C5", "doubled", what))
        elif new not in SUCCESSORS[old]:
            found.append(Violation("C5", "wrong", f"{run.name} went from {old} to {new} at revision {after.revision}"))
        elif old == new == "assigned" and before.value["attempt"] != after.value["attempt"]:
            what = f"{run.name} was assigned again while it was assigned, at revision {after.revision}"
            found.append(Violation("C5", "wrong", what))
    return found
