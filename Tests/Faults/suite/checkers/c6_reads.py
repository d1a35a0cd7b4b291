"""C6: what was acknowledged is in every later read, at whichever server, and in every later attempt."""
from __future__ import annotations

from collections import defaultdict

from ..history import TERMINAL, Event, History
from .violation import Violation


def reads(history: History) -> list[Violation]:
    """See the module."""
    return _jobs(history) + _checkpoints(history)


def _jobs(history: History) -> list[Violation]:
    """Of each job: what was known before a read began has to be in the read."""
    known: dict[str, list[Event]] = defaultdict(list)
    for op in history.by_kind["op"]:
        if op["outcome"] == "ok" and op.get("job"):
            known[op["job"]].append(op)
    found: list[Violation] = []
    blind = _blind(history)
    removed = {job.name for job in history.jobs if job.deleted_at is not None}
    for read in history.ops("read"):
        if read["outcome"] != "ok" or _is_within(read, blind):
            continue
        before = [op for op in known[read["job"]] if op["end"] < read["begin"]]
        where = f"{read['job']} at {read['server']}"
        if not read["found"]:
            if before and not _was_removed(read, known[read["job"]], removed):
                found.append(Violation("C6", "lost", f"{where} was not found, after an acknowledged {before[0]['op']}"))
            continue
        for op in before:
            if op["op"] == "cancel" and not (read["cancelled"] or read["status"] in TERMINAL):
                found.append(Violation("C6", "lost", f"{where}: an acknowledged cancellation is not there"))
            if op["op"] == "read" and op["found"]:
                found += _regressions(where, op, read)
    return found


def _was_removed(read: Event, known: list[Event], removed: set[str]) -> bool:
    """Whether the job has been removed, as only what has ended may be (C5), and nobody has seen it after this read."""
    later = (op for op in known if op["op"] == "read" and op["found"] and op["begin"] > read["end"])
    return read["job"] in removed and not any(later)


def _blind(history: History) -> list[tuple[list[str], int, int]]:
    """Servers whose watch is made to drop events, and from when to when: what etcd does not tell a server, it cannot
    show before it lists everything. From the injection to the end of the round."""
    begins, found = {}, []
    for event in history.events:
        if event["kind"] == "fault" and event["fault"] == "dropped_events":
            if event["phase"] == "injected":
                begins[event["round"]] = (event["told"].get("members", []), event["t"])
        elif event["kind"] == "round" and event["phase"] == "end" and event["round"] in begins:
            names, begin = begins.pop(event["round"])
            found.append((names, begin, event["t"]))
    return found + [(names, begin, 1 << 63) for names, begin in begins.values()]


def _is_within(read: Event, blind: list[tuple[list[str], int, int]]) -> bool:
    return any(read["server"] in names and begin <= read["end"] <= end for names, begin, end in blind)


def _regressions(where: str, earlier: Event, later: Event) -> list[Violation]:
    found: list[Violation] = []
    if later["revision"] < earlier["revision"]:
        what = f"{where}: revision {later['revision']} after {earlier['revision']} had been read"
        found.append(Violation("C6", "lost", what))
    # The end of a run is for ever; a recurring job goes on.
    for run, state in earlier["runs"].items():
        if state in TERMINAL and later["runs"].get(run, state) != state:
            what = f"{where}: run {run} is {later['runs'][run]} after {state} had been read"
            found.append(Violation("C6", "lost", what))
    return found


def _checkpoints(history: History) -> list[Violation]:
    """An attempt begins with the last step that an earlier one had been told is saved."""
    by_run = defaultdict(list)
    for attempt in history.attempts:
        if attempt.steps:
            by_run[attempt.run].append(attempt)
    found: list[Violation] = []
    for run, attempts in by_run.items():
        saved = 0
        for attempt in sorted(attempts, key=lambda each: each.attempt):
            for what, step, _ in attempt.steps:
                if what == "from" and step < saved:
                    text = f"attempt {attempt.attempt} of {run} began at step {step}, {saved} had been saved"
                    found.append(Violation("C6", "lost", text))
                elif what == "saved":
                    saved = max(saved, step)
    return found
