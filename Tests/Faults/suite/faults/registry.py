"""What a fault is. Each is a function that injects it, yields while it lasts, and heals it.

    @fault(1, hold=(5, 8))
    def kill_agent(around: Surroundings) -> Iterator[None]:
        agent = around.choose(around.cluster.agents)
        agent.kill()
        yield
        around.bring_back(agent)
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..cluster import Cluster, NotPossible
from ..members import Member
from ..net import Host
from ..workload import Workload


@dataclass
class Surroundings:
    """What a fault may use, and what it tells about itself."""

    cluster: Cluster
    workload: Workload
    random: Random
    told: dict[str, Any] = field(default_factory=dict)
    """Its parameters, for the history."""

    def choose(self, members: Sequence[Member]) -> Any:
        """One that no other fault is being done to."""
        chosen = self.cluster.choose(self.random, members)
        self.told.setdefault("members", []).append(chosen.name)
        return chosen

    def reserve(self, member: Member) -> None:
        """That one."""
        self.cluster.reserve(member)
        self.told.setdefault("members", []).append(member.name)

    def bring_back(self, member: Member) -> None:
        """Starts a process that was killed, unless somebody else has."""
        if not member.running:
            member.start()

    def cut(self, sources: Sequence[Host], sinks: Sequence[Host], both: bool = True) -> None:
        """Loses what the ones send to the others, and with `both` the other way, too."""
        for source in sources:
            for sink in sinks:
                self.cluster.network.cut(source, sink)
                if both:
                    self.cluster.network.cut(sink, source)

    def heal(self, sources: Sequence[Host], sinks: Sequence[Host]) -> None:
        """Ends cuts, both ways."""
        for source in sources:
            for sink in sinks:
                self.cluster.network.heal(source, sink)
                self.cluster.network.heal(sink, source)

    def need_cuts(self) -> None:
        """For faults of the network."""
        if not self.cluster.network.can_cut:
            raise NotPossible("the network cannot be cut: there are no namespaces")

    @property
    def etcd_hosts(self) -> list[Host]:
        """Where etcd is."""
        return [member.host for member in self.cluster.etcd]

    @property
    def server_hosts(self) -> list[Host]:
        """Where the servers are."""
        return [server.host for server in self.cluster.servers]


Injector = Callable[[Surroundings], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    row: int
    """Of the table of faults."""
    hold: tuple[float, float]
    """How long it lasts: at least, at most, seconds."""
    bound: float
    """How long after healing everything has to work again, seconds."""
    inject: Callable[[Surroundings], AbstractContextManager[None]]
    what: str
    """In a line."""
    needs_sidecars: bool = False
    """Whether servers have to reach etcd through proxies."""


FAULTS: dict[str, Fault] = {}


def fault(
    row: int, hold: tuple[float, float], bound: float = 30.0, needs_sidecars: bool = False
) -> Callable[[Injector], Injector]:
    """Registers a fault; its documentation's first line describes it."""

    def register(injector: Injector) -> Injector:
        made = make_fault(injector, row, hold, bound, needs_sidecars)
        FAULTS[made.name] = made
        return injector

    return register


def make_fault(
    injector: Injector, row: int, hold: tuple[float, float], bound: float = 30.0, needs_sidecars: bool = False
) -> Fault:
    """A fault of its own, which is in no plan."""
    what = (injector.__doc__ or "").strip().splitlines()[0]
    return Fault(injector.__name__, row, hold, bound, contextmanager(injector), what, needs_sidecars)
