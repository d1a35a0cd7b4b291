"""C3: each occurrence of a recurring job is decided once: a run of its own, or, where the policy says so, counted as
left out."""
from __future__ import annotations

from collections import Counter
from datetime import datetime

from ..history import Event, History, Life
from .violation import Violation

SECOND = 1_000_000


def occurrences(history: History) -> list[Violation]:
    """See the module. Plans of recurring jobs have `window`, the first and the last occurrence in microseconds, and
    `every`, the seconds between them."""
    by_marker = {job.last.get("spec", {}).get("user_id", ""): job for job in history.jobs}
    found: list[Violation] = []
    for marker, plan in history.plans.items():
        job = by_marker.get(marker)
        if plan["class"] in ("cron", "forbid") and job is not None and plan["round"] in history.settled_rounds:
            found += _judge(plan, job, history.runs_of[job.name])
    return found


def _judge(plan: Event, job: Life, runs: list[Life]) -> list[Violation]:
    first, last = plan["window"]
    # What was due before there was a job is not due.
    first = max(first, _micros(job.changes[0].value["created_at"]) + 1)
    step = plan["every"] * SECOND
    wanted = set(range(-(-first // step) * step, last + 1, step))
    seen = Counter(_micros(run.last["scheduled_time"]) for run in runs)
    found = [
        Violation("C3", "doubled", f"{job.name} has {count} runs of {_clock(time)}")
        for time, count in sorted(seen.items())
        if count > 1
    ]
    found += [
        Violation("C3", "wrong", f"{job.name} ran for {_clock(time)}, when nothing was due")
        for time in sorted(seen.keys() - wanted)
    ]
    missing = sorted(wanted - seen.keys())
    skipped = job.last.get("skipped_count", 0)
    if plan["class"] == "cron":
        found += [Violation("C3", "lost", f"{job.name} has no run of {_clock(time)}") for time in missing]
    elif len(missing) != skipped:
        what = f"{job.name}: {len(missing)} of {len(wanted)} occurrences have no run, and {skipped} are counted as left out"
        found.append(Violation("C3", "lost" if len(missing) > skipped else "wrong", what))
    return found


def _micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * SECOND)


def _clock(micros: int) -> str:
    return datetime.fromtimestamp(micros / SECOND).strftime("%H:%M:%S")
