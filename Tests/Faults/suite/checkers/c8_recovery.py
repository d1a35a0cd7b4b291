"""C8: after healing everything works again within a bound, and drained agents have handed their work over within one."""
from __future__ import annotations

from ..history import History
from .violation import Violation

# After a drain's deadline: to stop a task, and for the next leader to begin where there is another one.
HAND_OVER, TAKEOVER = 5_000_000_000, 8_000_000_000
# What runs so shortly before the deadline is what has to be handed over at it.
BEFORE = 1_000_000_000


def recovery(history: History) -> list[Violation]:
    """See the module. `recovered` events have `seconds` (None: not within the patience of the driver) and `bound`."""
    found = []
    for event in history.by_kind["recovered"]:
        what = f"round {event['round']} ({' + '.join(event['faults'])})"
        if event["seconds"] is None:
            found.append(Violation("C8", "wrong", f"{what}: not recovered: {event['why']}"))
        elif event["seconds"] > event["bound"]:
            seconds = f"{event['seconds']:.1f} s, at most {event['bound']:.1f} s are fine"
            found.append(Violation("C8", "wrong", f"{what}: recovered after {seconds}"))
    return found + _hand_overs(history)


def _hand_overs(history: History) -> list[Violation]:
    """Only where nothing else was done to the cluster."""
    alone = {event["round"] for event in history.by_kind["round"] if len(event["faults"]) == 1}
    found = []
    for drain in history.by_kind["drained"]:
        if drain["round"] not in alone:
            continue
        deadline = drain["deadline"]
        latest = deadline + HAND_OVER + (TAKEOVER if drain["leader_killed"] else 0)
        there = [
            attempt for attempt in history.attempts
            if attempt.agent == drain["agent"] and attempt.starts and attempt.starts[0] < deadline - BEFORE < attempt.last
        ]  # fmt: skip
        if not there:
            what = f"{drain['agent']} was drained, and nothing was left to hand over at the deadline"
            found.append(Violation("C8", "wrong", what))
        for attempt in there:
            if attempt.last > latest:
                seconds = f"{(attempt.last - deadline) / 1e9:.1f} s"
                what = f"{drain['agent']} was drained, and {attempt} went on for {seconds} after the deadline"
                found.append(Violation("C8", "wrong", what))
    return found
