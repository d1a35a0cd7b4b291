"""What operators do to agents: drain them, and give them work again."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from processes import wait_until

from ..cluster import NotPossible
from .registry import Surroundings, fault

ASKED_SECONDS = 30
# Longer than a drain's deadline and all of its round.
LONG_TASKS, LONG_MILLIS = 6, 30_000
DEADLINE_SECONDS = 3
# For the leader to see a drain.
OBEYED_SECONDS = 1.0


@fault(23, hold=(15, 17), bound=45)
def drain_agent(around: Surroundings) -> Iterator[None]:
    """an agent is drained with a deadline, at which its work is handed over, half of the time by the next leader"""
    cluster = around.cluster
    if not cluster.etcd_works():
        raise NotPossible("etcd takes no writes, so nothing can be drained")
    agent = around.choose(cluster.agents)
    leader = cluster.expect_leader() if around.random.random() < 0.5 else None
    # Another fault may have this one, which then leads on or not.
    leader = None if leader is None or leader.name in cluster.reserved else leader
    if leader is not None:
        around.reserve(leader)
    other = next(each for each in cluster.agents if each is not agent)
    places = [{"label": "name", "operator": "in", "values": [agent.name, other.name]}]
    for _ in range(LONG_TASKS):
        around.workload.add("one_off", {"exec": cluster.tasks.argv(LONG_MILLIS), "constraints": places})
    time.sleep(2)
    asked = time.monotonic()
    _ask(around, f"/agents/{agent.name}/drain", {"timeout": f"{DEADLINE_SECONDS}s", "note": "faults"})
    time.sleep(OBEYED_SECONDS)
    assert cluster.watch.catch_up(), "etcd's watch does not catch up"
    drained = cluster.watch.revision
    if leader is not None:
        leader.kill()
    yield
    assert cluster.watch.catch_up(), "etcd's watch does not catch up"
    cluster.history.add(
        "drained", round=around.workload.number, agent=agent.name, since=drained, until=cluster.watch.revision,
        deadline=round((asked + DEADLINE_SECONDS) * 1e9), leader_killed=leader is not None,
    )  # fmt: skip
    if leader is not None:
        around.bring_back(leader)
    answer = _ask(around, f"/agents/{agent.name}/undrain", {})
    around.told["was drained"] = answer["was_drained"]


def _ask(around: Surroundings, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """At whichever server takes it."""

    def ask() -> dict[str, Any] | None:
        server = around.random.choice(around.cluster.servers)
        answer = server.rest(4).post(path, body)
        found: dict[str, Any] | None = answer.json() if answer.status == 200 else None
        return found

    answered: dict[str, Any] = wait_until(ask, ASKED_SECONDS, f"{path} is answered", every=0.2)
    return answered
