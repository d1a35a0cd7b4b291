"""Faults of agents: killed, stopped, cut off, doubled, replaced."""
from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

from processes import wait_until

from ..members import AgentNode
from .registry import Surroundings, fault

# What an agent that is to be replaced has to do.
LONG_TASKS = 6
# An agent's tasks live for its TTL less a margin of a sixth, and less the third that its last renewal may be old. A process that
# has begun within this part of the TTL has some time left to take them over.
TRUSTED_PART = 0.3


@fault(1, hold=(6, 9))
def kill_agent(around: Surroundings) -> Iterator[None]:
    """kill -9 an agent, and start it again after its lease has lapsed"""
    agent = around.choose(around.cluster.agents)
    agent.kill()
    yield
    around.bring_back(agent)


@fault(1, hold=(6, 9))
def kill_worker(around: Surroundings) -> Iterator[None]:
    """kill -9 the Python worker in the middle of its steps"""
    around.reserve(around.cluster.worker)
    around.cluster.worker.kill()
    yield
    around.bring_back(around.cluster.worker)


@fault(2, hold=(7, 10))
def stop_agent(around: Surroundings) -> Iterator[None]:
    """SIGSTOP an agent past its TTL, then SIGCONT"""
    agent = around.choose(around.cluster.agents)
    agent.freeze()
    yield
    agent.thaw()


@fault(3, hold=(7, 10))
def agent_without_etcd(around: Surroundings) -> Iterator[None]:
    """an agent is cut off from etcd, not from the servers"""
    around.need_cuts()
    agent = around.choose(around.cluster.agents)
    around.cut([agent.host], around.etcd_hosts)
    yield
    around.heal([agent.host], around.etcd_hosts)


@fault(4, hold=(10, 14))
def agent_without_servers(around: Surroundings) -> Iterator[None]:
    """an agent is cut off from the servers, not from etcd: it lives, and delivers later"""
    around.need_cuts()
    agent = around.choose(around.cluster.agents)
    around.cut([agent.host], around.server_hosts)
    yield
    around.heal([agent.host], around.server_hosts)


@fault(5, hold=(8, 12))
def one_way_cut(around: Surroundings) -> Iterator[None]:
    """one direction between an agent and etcd, or the servers, is lost"""
    around.need_cuts()
    agent = around.choose(around.cluster.agents)
    others = around.random.choice([around.etcd_hosts, around.server_hosts])
    outwards = around.random.random() < 0.5
    around.told["lost"] = f"{'from' if outwards else 'to'} the agent, {'etcd' if others == around.etcd_hosts else 'servers'}"
    if outwards:
        around.cut([agent.host], others, both=False)
    else:
        around.cut(others, [agent.host], both=False)
    yield
    around.heal([agent.host], others)


@fault(16, hold=(4, 6))
def replace_agent(around: Surroundings) -> Iterator[None]:
    """an agent's process is replaced while its tasks run: by SIGUSR2 or kill -9, and at once by another one"""
    cluster = around.cluster
    agent = around.choose(cluster.agents)
    pinned = [{"label": "name", "operator": "=", "values": [agent.name]}]
    for _ in range(LONG_TASKS):
        around.workload.add("one_off", {"exec": cluster.tasks.argv(12_000), "constraints": pinned})
    time.sleep(2)
    for how in [signal.SIGUSR2, *around.random.choices([signal.SIGUSR2, signal.SIGKILL], k=2)]:
        replace(around, agent, how)
        time.sleep(1.5)
    yield


def replace(
    around: Surroundings, agent: AgentNode, how: signal.Signals, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Ends its process, and starts the next one at once. The history has when, so that it can be seen what became of its
    tasks: those of a process that is back in time go on."""
    left = time.monotonic()
    if how == signal.SIGKILL:
        agent.kill()
    else:
        agent.leave()
    meanwhile()
    spoken = agent.log.stat().st_size
    around.bring_back(agent)
    wait_until(lambda: agent.log.stat().st_size > spoken, 20, f"{agent.name} speaks again")
    took = time.monotonic() - left
    in_time = took < around.cluster.settings.agent_ttl * TRUSTED_PART
    around.cluster.history.add(
        "replaced", round=around.workload.number, agent=agent.name, how=how.name, left=round(left * 1e9), seconds=took,
        in_time=in_time,
    )  # fmt: skip
    around.told.setdefault("replaced", []).append(f"{how.name}, {took:.2f} s{'' if in_time else ', too late'}")


@fault(21, hold=(12, 15))
def two_agents_with_one_id(around: Surroundings) -> Iterator[None]:
    """another machine has an agent's id, and takes it over while that one is cut off from etcd"""
    around.need_cuts()
    cluster = around.cluster
    agent = around.choose(cluster.agents)
    twin = cluster.make_agent(agent.name, cluster.spare_host, data=f"{agent.name}-twin")
    cluster.extra.append(twin)
    twin.start()
    time.sleep(1)
    around.cut([agent.host], around.etcd_hosts)
    time.sleep(cluster.settings.agent_ttl + 2)
    around.heal([agent.host], around.etcd_hosts)
    yield
    twin.stop(15)
    cluster.extra.remove(twin)
