"""C2: no two attempts of one run at once, nor two runs of a job that forbids it; by the kernel's clock and by locks."""
from __future__ import annotations

from collections import defaultdict

from ..history import Attempt, History
from .violation import Violation


def overlaps(history: History) -> list[Violation]:
    """See the module."""
    plans = history.plans
    serial = {
        job.name for job in history.jobs
        if plans.get(job.last.get("spec", {}).get("user_id", ""), {}).get("class") == "forbid"
    }  # fmt: skip
    groups: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        groups[f"run {attempt.run}"].append(attempt)
        if attempt.job in serial:
            groups[f"job {attempt.job}"].append(attempt)
    found = [
        Violation("C2", "doubled", f"{attempt} found the lock taken: another one was alive")
        for attempt in history.attempts
        if attempt.busy
    ]
    for name, group in groups.items():
        for earlier, later in _overlapping(group):
            millis = (earlier.last - later.starts[0]) / 1e6
            found.append(Violation("C2", "doubled", f"{name}: {earlier} and {later} overlap by {millis:.0f} ms"))
    return found


def _overlapping(group: list[Attempt]) -> list[tuple[Attempt, Attempt]]:
    """Pairs of which the second starts before the last sign of life of the first."""
    pairs = []
    longest: Attempt | None = None
    for attempt in sorted((each for each in group if each.starts), key=lambda each: each.starts[0]):
        if longest is not None and attempt.starts[0] <= longest.last:
            pairs.append((longest, attempt))
        if longest is None or attempt.last > longest.last:
            longest = attempt
    return pairs
