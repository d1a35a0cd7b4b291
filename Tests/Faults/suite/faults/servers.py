"""Faults of servers: killed, stopped, cut off."""
from __future__ import annotations

import time
from collections.abc import Iterator

from ..cluster import NotPossible
from .registry import Surroundings, fault

# For writes to be on their way, and to arrive.
HELD_SECONDS = 0.7


@fault(6, hold=(6, 9))
def kill_leader(around: Surroundings) -> Iterator[None]:
    """kill -9 the leader, and start it again later"""
    leader = around.cluster.expect_leader()
    around.reserve(leader)
    leader.kill()
    yield
    around.bring_back(leader)


@fault(6, hold=(6, 9))
def kill_follower(around: Surroundings) -> Iterator[None]:
    """kill -9 a server that owns segments and does not lead"""
    leader = around.cluster.expect_leader()
    follower = around.choose([server for server in around.cluster.servers if server is not leader])
    follower.kill()
    yield
    around.bring_back(follower)


@fault(6, hold=(3, 5))
def hand_over(around: Surroundings) -> Iterator[None]:
    """SIGTERM the leader: a planned hand-over"""
    leader = around.cluster.expect_leader()
    around.reserve(leader)
    leader.stop(15)
    yield
    around.bring_back(leader)


@fault(7, hold=(6, 9))
def zombie_leader(around: Surroundings) -> Iterator[None]:
    """SIGSTOP the leader past its TTL, then SIGCONT: it writes nothing"""
    leader = around.cluster.expect_leader()
    around.reserve(leader)
    leader.freeze()
    yield
    leader.thaw()


@fault(7, hold=(6, 9), needs_sidecars=True)
def late_writes(around: Surroundings) -> Iterator[None]:
    """a leader is stopped, and what it had sent reaches etcd only when another one leads"""
    if not around.cluster.settings.sidecars:
        raise NotPossible("the servers reach etcd without proxies")
    leader = around.cluster.expect_leader()
    around.reserve(leader)
    sidecar = around.cluster.sidecars[leader.name]
    sidecar.set_mode(**{**sidecar.mode, "hold": True})
    time.sleep(HELD_SECONDS)
    leader.freeze()
    yield
    sidecar.set_mode(**{name: value for name, value in sidecar.mode.items() if name != "hold"})
    time.sleep(HELD_SECONDS)
    around.told["held"] = sidecar.seen.get("held", 0)
    leader.thaw()


@fault(8, hold=(8, 12))
def server_without_etcd(around: Surroundings) -> Iterator[None]:
    """a server is cut off from etcd, and clients still reach it"""
    around.need_cuts()
    server = around.choose(around.cluster.servers)
    around.cut([server.host], around.etcd_hosts)
    yield
    around.heal([server.host], around.etcd_hosts)
