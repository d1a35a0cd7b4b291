"""C8: after healing everything works again within a bound."""
from __future__ import annotations

from ..history import History
from .violation import Violation


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
    return found
