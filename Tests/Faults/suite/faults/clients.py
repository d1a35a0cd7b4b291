"""Faults between client and server, and between agent and leader: what was done is asked for again."""
from __future__ import annotations

import time
from collections.abc import Iterator

from .registry import Surroundings, fault


@fault(17, hold=(2, 3))
def lost_answers(around: Surroundings) -> Iterator[None]:
    """answers are lost after the commit: clients submit again, agents tell results again"""
    workload, cluster = around.workload, around.cluster
    for _ in range(20):
        workload.submit_twice()
        time.sleep(0.05)
    if cluster.network.can_cut:
        agent = around.choose(cluster.agents)
        # Results arrive, acknowledgements do not: until the session is given up, and everything is told again.
        around.cut(around.server_hosts, [agent.host], both=False)
        time.sleep(12)
        around.heal([agent.host], around.server_hosts)
    yield


@fault(22, hold=(1, 2))
def cancel_at_the_end(around: Surroundings) -> Iterator[None]:
    """cancellations that race the completion of their tasks"""
    for _ in range(40):
        around.workload.submit_and_cancel()
        time.sleep(0.05)
    yield
