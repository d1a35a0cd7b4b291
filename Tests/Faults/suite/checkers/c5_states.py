"""C5: a run's states follow the state machine, and it ends once."""
from __future__ import annotations

from ..history import TERMINAL, History, Life
from .violation import Violation

# Written down once more, on purpose: a checker that imported the machine's own table could not contradict it.
FIRST = {"queued", "assigned"}
SUCCESSORS = {
    "queued": {"queued", "assigned", "cancelled", "failed"},
    "retrying": {"retrying", "queued", "cancelled", "failed"},
    "assigned": {"assigned", "running", "completed", "failed", "cancelled", "retrying", "queued"},
    "running": {"running", "completed", "failed", "cancelled", "retrying", "queued"},
}


def states(history: History) -> list[Violation]:
    """See the module."""
    return [violation for run in history.runs for violation in _judge(run)]


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
