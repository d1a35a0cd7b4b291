"""What a checker finds."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Violation:
    """One thing that must not be."""

    check: str
    """C1 to C10."""
    kind: str
    """lost, doubled, or wrong."""
    what: str

    def __str__(self) -> str:
        return f"{self.check} {self.kind}: {self.what}"
