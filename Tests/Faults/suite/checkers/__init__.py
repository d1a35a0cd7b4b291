"""The checkers C1 to C10: pure functions from a history to what is wrong with it."""
from __future__ import annotations

from collections.abc import Callable

from ..history import History
from .c1_outcomes import outcomes
from .c2_overlaps import overlaps
from .c3_occurrences import occurrences
from .c4_starts import starts
from .c5_states import states
from .c6_reads import reads
from .c7_fences import fences
from .c8_recovery import recovery
from .c9_orphans import orphans
from .c10_limits import limits
from .violation import Violation

Checker = Callable[[History], list[Violation]]

CHECKERS: dict[str, Checker] = {
    "C1": outcomes,
    "C2": overlaps,
    "C3": occurrences,
    "C4": starts,
    "C5": states,
    "C6": reads,
    "C7": fences,
    "C8": recovery,
    "C9": orphans,
    "C10": limits,
}


def check(history: History) -> list[Violation]:
    """Everything that is wrong."""
    return [violation for checker in CHECKERS.values() for violation in checker(history)]


__all__ = ["CHECKERS", "Checker", "Violation", "check"]
