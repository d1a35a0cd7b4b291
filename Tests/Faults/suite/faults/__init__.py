"""The faults of the table in docs/TESTING.md, by their names."""
from __future__ import annotations

from . import agents, clients, clocks, etcd, servers, tasks, watches, whole  # noqa: F401  (they register themselves)
from .registry import FAULTS, Fault, Surroundings

__all__ = ["FAULTS", "Fault", "Surroundings"]
