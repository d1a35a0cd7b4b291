"""Faults of many agents at once: all lapse, a crowd comes and goes, and more than half of a great fleet is lost."""
from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from processes import wait_until

from ..cluster import NotPossible
from ..members import CrowdNode
from .registry import Surroundings, fault

# How long a great number of agents may take to connect.
CROWD_SECONDS = 90
# What runs when agents are lost, so that some of it runs there.
LONG_TASKS = 16
# The brake looks at losses within half a minute, and holds runs back for ten seconds after the last of them.
ENGAGED_SECONDS, PAUSED_SECONDS, RELEASED_SECONDS = 15, 45, 60


@fault(20, hold=(6, 8), bound=60)
def all_agents_lapse(around: Surroundings) -> Iterator[None]:
    """every agent is cut off from etcd at once, and all come back at once"""
    around.need_cuts()
    cluster = around.cluster
    free = [agent for agent in cluster.agents if agent.name not in cluster.reserved]
    if len(free) < len(cluster.agents):
        raise NotPossible("another fault has some of the agents")
    hosts = [agent.host for agent in free]
    for agent in free:
        around.reserve(agent)
    around.cut(hosts, around.etcd_hosts)
    yield
    around.heal(hosts, around.etcd_hosts)


@fault(20, hold=(5, 8), bound=60)
def crowd(around: Surroundings) -> Iterator[None]:
    """a great number of agents connects, loses its leader, connects again at once, and lapses at once"""
    cluster = around.cluster
    leader = cluster.expect_leader()
    around.reserve(leader)
    crowd = _gather(around)
    leader.kill()
    around.bring_back(leader)
    time.sleep(cluster.settings.server_ttl + 1)
    around.told["connected again"] = _seconds_until_connected(crowd, cluster.settings.crowd)
    yield
    _disperse(around, crowd)


@fault(20, hold=(2, 3), bound=60)
def mass_loss(around: Surroundings) -> Iterator[None]:
    """more than half of a great fleet is lost at once, some of it with work: the brake holds that back, and lets go"""
    cluster = around.cluster
    crowd = _gather(around)
    victims = [around.choose(cluster.agents) for _ in range(2)]
    for _ in range(LONG_TASKS):
        around.workload.add("one_off", {"exec": cluster.tasks.argv(10_000)})
    time.sleep(2)
    for agent in victims:
        agent.kill()
    _disperse(around, crowd)
    wait_until(lambda: _brake(around), ENGAGED_SECONDS, "the brake is engaged", every=0.2)
    page = cluster.expect_leader().rest(4).get("/metrics").text
    assert "\nrota_brake 1\n" in page, "the brake is engaged, and the metric does not say so"
    waited = _watch_pause(around)
    assert waited, "the brake was engaged, and no lost run has waited"
    around.told["runs that waited"] = waited
    yield
    for agent in victims:
        around.bring_back(agent)
    begun = time.monotonic()
    wait_until(lambda: _brake(around) is None, RELEASED_SECONDS, "the brake lets go", every=0.5)
    around.told["released after"] = round(time.monotonic() - begun, 1)


def _watch_pause(around: Surroundings) -> int:
    """Writes down, until the pause is over, up to which revision of etcd it has lasted; how many runs have waited."""
    cluster, waiting = around.cluster, 0
    deadline = time.monotonic() + PAUSED_SECONDS
    while (brake := _brake(around)) and time.monotonic() < deadline:
        until = datetime.fromisoformat(brake["paused_until"])
        waiting = max(waiting, brake["runs_waiting"])
        if datetime.now(UTC) >= until:
            break
        if cluster.watch.catch_up() and datetime.now(UTC) < until:
            cluster.history.add("paused", round=around.workload.number, revision=cluster.watch.revision, brake=brake)
        time.sleep(0.3)
    return waiting


def _brake(around: Surroundings) -> dict[str, Any] | None:
    """The brake as the leader shows it; None while it is off."""
    answer = around.cluster.expect_leader().rest(4).get("/cluster")
    if answer.status != 200:
        raise OSError(f"/cluster: {answer.status}")
    brake: dict[str, Any] | None = answer.json().get("brake")
    return brake


def _gather(around: Surroundings) -> CrowdNode:
    """A crowd, all of whom have sessions."""
    cluster = around.cluster
    crowd = CrowdNode(
        cluster.settings.crowd, cluster.spare_host, cluster.etcd_urls, cluster.folder, cluster.env, cluster.history
    )
    cluster.extra.append(crowd)
    crowd.start()
    around.told["connected"] = _seconds_until_connected(crowd, cluster.settings.crowd)
    return crowd


def _disperse(around: Surroundings, crowd: CrowdNode) -> None:
    """All of them lapse at once."""
    lease = int(crowd.state["lease"])
    crowd.kill()
    around.cluster.extra.remove(crowd)
    around.cluster.etcdctl("lease", "revoke", f"{lease:x}")


def _seconds_until_connected(crowd: CrowdNode, count: int) -> float:
    begun = time.monotonic()
    wait_until(lambda: crowd.state.get("connected", 0) >= count, CROWD_SECONDS, f"{count} agents have sessions", every=0.2)
    return round(time.monotonic() - begun, 1)
