"""The faults of the table in docs/TESTING.md, by their names."""
from __future__ import annotations

from . import (  # noqa: F401  (they register themselves)
    agents, clients, clocks, etcd, fleet, operators, servers, space, tasks, watches, whole,
)  # fmt: skip
from .registry import FAULTS, Fault, Surroundings

__all__ = ["FAULTS", "Fault", "Surroundings"]
