"""C4: an attempt starts once, and there is no execution that etcd knows nothing of. What runs when its agent's process is
replaced in time goes on, and is not started again."""
from __future__ import annotations

from collections import defaultdict

from ..history import AGENTS_DOING, Attempt, Event, History
from .violation import Violation

# What has just begun may not be in the agent's journal yet, and is given back then.
JOURNALLED = 300_000_000


def starts(history: History) -> list[Violation]:
    """See the module."""
    found: list[Violation] = []
    fences: dict[tuple[str, int], set[int]] = defaultdict(set)
    for attempt in history.attempts:
        fences[attempt.run, attempt.attempt].add(attempt.fence)
        if len(attempt.starts) > 1:
            found.append(Violation("C4", "doubled", f"{attempt} started {len(attempt.starts)} times"))
    for (run, number), its in fences.items():
        if len(its) > 1:
            found.append(Violation("C4", "doubled", f"attempt {number} of {run} ran with the fences {sorted(its)}"))
    known = {run.name for run in history.runs}
    if history.changes:
        strangers = {attempt.run for attempt in history.attempts} - known
        found += [Violation("C4", "wrong", f"{run} ran, and was never in etcd") for run in sorted(strangers)]
    return found + _replacements(history)


def _replacements(history: History) -> list[Violation]:
    """Only where nothing else was done to the cluster: an agent that comes back to no etcd, say, has to let its tasks die."""
    alone = {event["round"] for event in history.by_kind["round"] if len(event["faults"]) == 1}
    ends = {
        (run.name, attempt["attempt"]): attempt.get("end_reason", "")
        for run in history.runs
        for attempt in run.last.get("attempts", [])
    }
    found: list[Violation] = []
    for event in history.by_kind["replaced"]:
        if not event["in_time"] or event["round"] not in alone & history.settled_rounds:
            continue
        alive = [attempt for attempt in history.attempts if _was_alive(attempt, event)]
        where = f"{event['agent']} was replaced by {event['how']} within {event['seconds']:.2f} s"
        if not alive:
            found.append(Violation("C4", "wrong", f"{where}, and nothing ran that could show what becomes of it"))
        for attempt in alive:
            reason = ends.get((attempt.run, attempt.attempt), "")
            if reason in AGENTS_DOING:
                found.append(Violation("C4", "wrong", f"{where}, and {attempt} did not go on: {reason}"))
    return found


def _was_alive(attempt: Attempt, event: Event) -> bool:
    """Whether its agent's process left while it ran."""
    begun = bool(attempt.starts) and attempt.starts[0] < event["left"] - JOURNALLED
    return attempt.agent == event["agent"] and begun and attempt.last > event["left"]
