"""Faults of everything at once."""
from __future__ import annotations

import time
from collections.abc import Iterator

from .registry import Surroundings, fault


@fault(18, hold=(2, 6), bound=60)
def everything_down(around: Surroundings) -> Iterator[None]:
    """all processes are killed in random order, and started in random order"""
    cluster = around.cluster
    everything = [*cluster.etcd, *cluster.servers, *cluster.agents, cluster.worker]
    for member in everything:
        around.reserve(member)
    around.random.shuffle(everything)
    for member in everything:
        member.kill()
        time.sleep(around.random.random() * 0.3)
    yield
    around.random.shuffle(everything)
    for member in everything:
        around.bring_back(member)
        time.sleep(around.random.random() * 0.3)
