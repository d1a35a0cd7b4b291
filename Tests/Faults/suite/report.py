"""The table at the end: a line for each fault."""
from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .checkers import Violation
from .faults import FAULTS
from .rounds import Outcome

SHOWN = 20


@dataclass
class _Line:
    done: int = 0
    skipped: int = 0
    recoveries: list[float] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    seeds: list[str] = field(default_factory=list)


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown. A round with several faults counts for each of them."""
    lines: dict[str, _Line] = defaultdict(_Line)
    for outcome in outcomes:
        for name in outcome.faults or ["(none)"]:
            line = lines[name]
            if outcome.skipped.startswith(f"{name}:"):
                line.skipped += 1
                continue
            line.done += 1
            if outcome.recovery is not None:
                line.recoveries.append(outcome.recovery)
            for violation in outcome.violations:
                setattr(line, violation.kind, getattr(line, violation.kind) + 1)
            if outcome.violations:
                line.seeds.append(outcome.seed)
    rows = ["| row | fault | iterations | recovery p50 | max | lost | doubled | other | failed seeds |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, line in sorted(lines.items(), key=lambda item: (FAULTS[item[0]].row if item[0] in FAULTS else 0, item[0])):
        row = FAULTS[name].row if name in FAULTS else "–"
        count = f"{line.done} ({line.skipped} not possible)" if line.skipped else f"{line.done}"
        recovery = ["–", "–"]
        if line.recoveries:
            recovery = [f"{statistics.median(line.recoveries):.1f} s", f"{max(line.recoveries):.1f} s"]
        cells = [row, name, count, *recovery]
        cells += [line.lost, line.doubled, line.wrong, ", ".join(line.seeds)]
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)


def describe(violations: Sequence[Violation]) -> str:
    """The first of them, a line each."""
    shown = [f"    {violation}" for violation in violations[:SHOWN]]
    if len(violations) > SHOWN:
        shown.append(f"    and {len(violations) - SHOWN} more")
    return "\n".join(shown)
