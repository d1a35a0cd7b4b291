"""C7: every change of a run is by who owned it then: attempts and fences rise together, are given to incarnations that
exist, and are taken only from those that are gone or that gave them back."""
from __future__ import annotations

from typing import Any

from ..history import Change, History
from .violation import Violation

OWNED = ("assigned", "running")
# Why an attempt ended, where its agent did not say so.
WITHOUT_AGENT = "agent_lost"


def fences(history: History) -> list[Violation]:
    """See the module."""
    found: list[Violation] = []
    for run in history.runs:
        previous: Change | None = None
        for change in run.changes:
            found += [
                Violation("C7", "wrong", f"{run.name} at revision {change.revision}: {what}")
                for what in _judge(history, previous, change)
            ]
            previous = change
    return found


def _judge(history: History, before: Change | None, after: Change) -> list[str]:
    old: dict[str, Any] = before.value if before else {}
    new = after.value
    number, fence = new.get("attempt", 0), new.get("fence", 0)
    was_number, was_fence = old.get("attempt", 0), old.get("fence", 0)
    found: list[str] = []
    if number == was_number:
        if fence != was_fence:
            found.append(f"the fence went from {was_fence} to {fence} within attempt {number}")
    elif number != was_number + 1 or fence <= was_fence:
        found.append(f"attempt {was_number} with fence {was_fence} was followed by {number} with fence {fence}")
    else:
        found += _new_attempt(history, old, after)
    found += _earlier_attempts(old, new)
    found += _taken_away(history, old, after)
    return found


def _new_attempt(history: History, old: dict[str, Any], after: Change) -> list[str]:
    attempt = after.value["attempts"][-1]
    agent, incarnation = attempt["worker_id"], attempt["incarnation"]
    found = []
    if not history.agent_present(agent, incarnation, after.revision):
        found.append(f"given to {agent}, whose incarnation {incarnation} was not there")
    if old.get("state") in OWNED:
        found.append(f"given to {agent} while {old['attempts'][-1]['worker_id']} had it")
    return found


def _earlier_attempts(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is said of an attempt that has ended stays."""
    now = {attempt["attempt"]: attempt for attempt in new.get("attempts", [])}
    return [
        f"attempt {attempt['attempt']} had ended, and was changed"
        for attempt in old.get("attempts", [])
        if "end_time" in attempt and now.get(attempt["attempt"], attempt) != attempt
    ]


def _taken_away(history: History, old: dict[str, Any], after: Change) -> list[str]:
    """An agent that is said to be lost is gone."""
    if old.get("state") not in OWNED:
        return []
    attempt = next(
        (each for each in after.value.get("attempts", []) if each["attempt"] == old["attempt"]), None
    )
    if attempt is None or "end_time" not in attempt:
        if after.value["state"] not in OWNED:
            return [f"attempt {old['attempt']} has no end, and the run is {after.value['state']}"]
        return []
    agent, incarnation = attempt["worker_id"], attempt["incarnation"]
    if attempt.get("end_reason") == WITHOUT_AGENT and history.agent_present(agent, incarnation, after.revision):
        return [f"{agent} was said to be lost, and its incarnation {incarnation} was there"]
    return []

