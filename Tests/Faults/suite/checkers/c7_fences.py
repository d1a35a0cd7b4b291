"""C7: every change of a run is by who owned it then: attempts and fences rise together, are given to incarnations that
exist and are not drained, and are taken only from those that are gone or that gave them back; while the brake is on, from nobody
that is only gone."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from ..history import Change, History
from .violation import Violation

OWNED = ("assigned", "running")
# Why an attempt ended, where its agent did not say so.
WITHOUT_AGENT = "agent_lost"
# When what is said of an attempt was written; said by the next writer.
REVISIONS = {"assigned_revision", "start_revision", "end_revision"}


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
    return found + _given_to_drained(history) + _taken_in_pauses(history)


def _given_to_drained(history: History) -> list[Violation]:
    found: list[Violation] = []
    for drain in history.by_kind["drained"]:
        for run in history.runs:
            seen = 0
            for change in run.changes:
                number = change.value.get("attempt", 0)
                is_new, seen = number > seen, max(number, seen)
                if is_new and drain["since"] < change.revision <= drain["until"]:
                    if change.value["attempts"][-1]["worker_id"] == drain["agent"]:
                        what = f"{run.name} was given to {drain['agent']} at revision {change.revision}, which is drained"
                        found.append(Violation("C7", "wrong", what))
    return found


def _taken_in_pauses(history: History) -> list[Violation]:
    found: list[Violation] = []
    pauses = history.by_kind["paused"]
    for begin, end in zip(pauses, pauses[1:]):
        if begin["round"] != end["round"]:
            continue
        for run in history.runs:
            for before, after in zip(run.changes, run.changes[1:]):
                if begin["revision"] < after.revision <= end["revision"] and _lost(after) > _lost(before):
                    what = f"{run.name} was taken as lost at revision {after.revision}, while the brake was on"
                    found.append(Violation("C7", "wrong", what))
    return found


def _lost(change: Change) -> int:
    return sum(attempt.get("end_reason") == WITHOUT_AGENT for attempt in change.value.get("attempts", []))


def _judge(history: History, before: Change | None, after: Change) -> list[str]:
    old: dict[str, Any] = before.value if before else {}
    new = after.value
    number, fence = new.get("attempt", 0), new.get("fence", 0)
    was_number, was_fence = old.get("attempt", 0), old.get("fence", 0)
    found: list[str] = []
    if number == was_number:
        # A run that is another one's retry begins where that one's fences stopped.
        if before is not None and fence != was_fence:
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
    wanted, until = old.get("waits_for_worker", agent), old.get("waits_until", "")
    if wanted != agent and datetime.fromisoformat(attempt["assigned_at"]) < datetime.fromisoformat(until):
        found.append(f"given to {agent} at {attempt['assigned_at']}, when it waited for {wanted} until {until}")
    return found


def _earlier_attempts(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is said of an attempt that has ended stays. Only the next writer knows at which revision the last one wrote
    what had happened: it adds that."""
    now = {attempt["attempt"]: attempt for attempt in new.get("attempts", [])}
    return [
        f"attempt {attempt['attempt']} had ended, and was changed"
        for attempt in old.get("attempts", [])
        if "end_time" in attempt and _without_news(now.get(attempt["attempt"], attempt), attempt) != attempt
    ]


def _without_news(attempt: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The attempt without the revisions that were not known yet."""
    return {name: value for name, value in attempt.items() if name in old or name not in REVISIONS}


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

