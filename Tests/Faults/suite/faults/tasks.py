"""Faults of tasks: they take what they can get, and nothing but themselves may suffer."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache

from ..cluster import NotPossible
from ..members import binaries
from .registry import Surroundings, fault

# 200 MiB of output in no time: past the cap it is rotated away.
FLOOD = "head -c 200000000 /dev/zero | tr '\\0' 'x' | fold -w 100; exit 3"


@fault(19, hold=(8, 10), bound=45)
def log_flood(around: Surroundings) -> Iterator[None]:
    """tasks write their logs full as fast as they can"""
    for _ in range(2):
        around.workload.add("broken", {"shell": FLOOD, "timeout": "20s"})
    yield


@cache
def has_limits() -> bool:
    """Whether these binaries know limits of tasks."""
    told = subprocess.run([str(binaries() / "rota"), "help", "submit"], capture_output=True, text=True, timeout=30)
    return "--memory" in told.stdout


@fault(19, hold=(6, 8), bound=45)
def greedy_tasks(around: Surroundings) -> Iterator[None]:
    """tasks take more memory than they may have, and start as many processes as they can"""
    if not has_limits():
        raise NotPossible("tasks have no limits")
    hog = {"shell": "head -c 400m /dev/zero | tail -c 400m >/dev/null", "limits": {"memory_bytes": "64MiB"}}
    bomb = {"shell": "b() { b | b & }; b; wait; exit 3", "limits": {"pids": 30}, "timeout": "4s", "kill_grace": "500ms"}
    around.workload.add("broken", hog, end_reason="out_of_memory")
    around.workload.add("broken", bomb)
    yield
