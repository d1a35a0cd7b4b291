"""C10: never more runs of a concurrency group, or of a job with `max_running`, with agents than its limit: neither by the
records, at any revision, nor by what the tasks themselves say."""
from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..history import Attempt, History
from .violation import Violation

OWNED = ("assigned", "running")


def limits(history: History) -> list[Violation]:
    """See the module. Nobody changes a limit in these tests, and all jobs of a group name the same."""
    specs = {job.name: job.changes[0].value.get("spec", {}) for job in history.jobs if job.changes}
    allowed: dict[str, int] = {}
    places: dict[str, list[str]] = {}
    for run in history.runs:
        places[run.name] = []
        spec = specs.get(run.name.split("/")[0], {})
        if (group := run.last.get("group")) and (concurrency := spec.get("concurrency")):
            places[run.name].append(_place(allowed, f"group {group}", concurrency.get("limit", 1)))
        if most := spec.get("max_running"):
            places[run.name].append(_place(allowed, f"job {run.name.split('/')[0]}", most))
    return _by_records(history, places, allowed) + _by_tasks(history, places, allowed)


def _place(allowed: dict[str, int], name: str, limit: int) -> str:
    allowed[name] = min(limit, allowed.get(name, limit))
    return name


def _by_records(history: History, places: dict[str, list[str]], allowed: dict[str, int]) -> list[Violation]:
    """A transaction's changes have one revision: what frees a slot in it comes first."""
    steps: list[tuple[int, bool, str, dict[str, Any] | None]] = []
    for run in history.runs:
        steps += [
            (change.revision, change.value.get("state") in OWNED, run.name, change.value) for change in run.changes
        ]
        if run.deleted_at is not None:
            steps.append((run.deleted_at, False, run.name, None))
    holding: dict[str, set[str]] = defaultdict(set)
    found: list[Violation] = []
    for revision, is_owned, name, _ in sorted(steps, key=lambda step: step[:3]):
        for place in places[name]:
            if not is_owned:
                holding[place].discard(name)
                continue
            is_new = name not in holding[place]
            holding[place].add(name)
            if is_new and len(holding[place]) > allowed[place]:
                runs = ", ".join(sorted(holding[place]))
                what = f"{place}: at revision {revision} agents have {runs}, and the limit is {allowed[place]}"
                found.append(Violation("C10", "doubled", what))
    return found


def _by_tasks(history: History, places: dict[str, list[str]], allowed: dict[str, int]) -> list[Violation]:
    """By the kernel's clock, from a task's first sign of life to its last."""
    alive: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        for place in places.get(attempt.run, []):
            if attempt.starts:
                alive[place].append(attempt)
    found: list[Violation] = []
    for place, attempts in alive.items():
        beside: list[Attempt] = []
        for attempt in sorted(attempts, key=lambda each: each.starts[0]):
            beside = [each for each in beside if each.last >= attempt.starts[0]] + [attempt]
            if len(beside) > allowed[place]:
                names = "; ".join(str(each) for each in beside)
                what = f"{place}: {names} run at once, and the limit is {allowed[place]}"
                found.append(Violation("C10", "doubled", what))
    return found
