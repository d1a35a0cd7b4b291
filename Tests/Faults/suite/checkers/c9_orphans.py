"""C9: when nothing is to be done, no process, lease or descriptor is left over."""
from __future__ import annotations

from ..history import History
from .violation import Violation

# What a process may have open beyond what it had at first: connections come and go.
SPARE_DESCRIPTORS = 40


def orphans(history: History) -> list[Violation]:
    """See the module. The first census with the descriptors of a process (by name and pid) is what it is held to."""
    found = []
    first: dict[str, int] = {}
    for census in history.by_kind["census"]:
        what = f"after round {census['round']}"
        found += [
            Violation("C9", "wrong", f"{what}: process {pid} is left: {argv}")
            for pid, argv in census["processes"].items()
        ]
        found += [Violation("C9", "wrong", f"{what}: lease {lease} has no key") for lease in census["empty_leases"]]
        for process, count in census["descriptors"].items():
            usual = first.setdefault(process, count)
            if count > usual + SPARE_DESCRIPTORS:
                found.append(Violation("C9", "wrong", f"{what}: {process} has {count} descriptors, {usual} at first"))
    return found
