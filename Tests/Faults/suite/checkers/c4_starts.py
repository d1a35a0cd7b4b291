"""C4: an attempt starts once, and there is no execution that etcd knows nothing of."""
from __future__ import annotations

from collections import defaultdict

from ..history import History
from .violation import Violation


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
    return found
