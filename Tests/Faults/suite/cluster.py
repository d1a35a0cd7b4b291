"""The cluster that faults are done to: three members of etcd, three servers, agents and a worker, each on its host."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from processes import processes_of, wait_until

from . import PYTHON_CLIENT
from .changes import ChangeWatch
from .history import HistoryWriter
from .members import AgentNode, EtcdMember, Member, ServerNode, Sidecar, WorkerNode, etcdctl
from .net import Host, Network, make_network
from .tasks import TaskFolder

START_SECONDS = 60.0
RUNS_KEPT = 100_000


@dataclass(frozen=True)
class Settings:
    """How the cluster is built."""

    agents: int = 4
    slots: int = 16
    agent_ttl: int = 4
    server_ttl: int = 3
    relist: str = "20s"
    """How often servers compare all that they know with etcd."""
    crowd: int = 1000
    """How many agents come and go at once, in the fault that does that."""
    sidecars: bool = False
    """Whether every server reaches etcd through a proxy that can break the rules."""
    loopback: bool = False
    """Whether hosts are addresses of the loopback network, also where there could be namespaces."""
    shim: str = ""
    """Another program in the place of rota-shim."""


class Cluster:
    """Builds it, tells what is there, and takes it down."""

    def __init__(self, history: HistoryWriter, settings: Settings = Settings()) -> None:
        self.history = history
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="rota-faults-"))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
        self.env |= {"FAULTS_MARK": self.folder.name, "ETCDCTL_API": "3"}
        self.tasks = TaskFolder(self.folder)
        self.network: Network = make_network(settings.loopback)
        self.etcd: list[EtcdMember] = []
        self.servers: list[ServerNode] = []
        self.agents: list[AgentNode] = []
        self.sidecars: dict[str, Sidecar] = {}
        self.extra: list[Member] = []
        """What a fault has added."""
        self.reserved: set[str] = set()
        """What a fault is being done to; no other one may choose it."""
        try:
            self._build()
        except BaseException:
            self.network.close()
            raise
        self.watch = ChangeWatch(self.etcd_urls, self.folder, self.env, history)

    def _build(self) -> None:
        hosts = {name: self.network.host(name) for name in ("e1", "e2", "e3")}
        self.etcd = [EtcdMember(name, hosts, self.folder, self.env, self.history) for name in hosts]
        self.etcd_urls = [member.url for member in self.etcd]
        for number in range(1, 4):
            name = f"s{number}"
            # Each begins with another member.
            urls = self.etcd_urls[number - 1 :] + self.etcd_urls[: number - 1]
            flags = ["--lease-ttl", f"{self.settings.server_ttl}s", "--runs-kept", str(RUNS_KEPT)]
            flags += ["--relist-interval", self.settings.relist]
            server = ServerNode(name, self.network.host(name), urls, flags, self.folder, self.env, self.history)
            self.servers.append(server)
            self.sidecars[name] = Sidecar(server, self.folder, self.env, self.history)
        for number in range(1, self.settings.agents + 1):
            self.agents.append(self.make_agent(f"a{number}", self.network.host(f"a{number}")))
        self.spare_host = self.network.host("spare")
        self.worker = WorkerNode(
            "w1", self.network.host("w1"), self.etcd_urls, self.settings.agent_ttl, self.tasks.file, self.folder,
            self.env, self.history,
        )  # fmt: skip

    def make_agent(self, name: str, host: Host, data: str = "") -> AgentNode:
        """An agent, not started. `data` names its data folder."""
        flags = ["--slots", str(self.settings.slots), "--lease-ttl", f"{self.settings.agent_ttl}s"]
        if self.settings.shim:
            flags += ["--shim", self.settings.shim]
        return AgentNode(name, host, self.etcd_urls, flags, self.folder, self.env, self.history, data)

    # Life

    @property
    def members(self) -> list[Member]:
        """Everything that belongs to it, in the order of starting."""
        sidecars = [one for one in self.sidecars.values() if self.settings.sidecars or one.running]
        return [*self.etcd, *sidecars, *self.servers, *self.agents, self.worker, *self.extra]

    def start(self) -> None:
        """Starts everything and waits until it works."""
        make_stubs()
        for etcd in self.etcd:
            etcd.start()
        wait_until(self.etcd_works, START_SECONDS, "etcd answers", every=0.2)
        self.watch.start()
        if self.settings.sidecars:
            for server in self.servers:
                self.sidecars[server.name].start()
                server.use_etcd([self.sidecars[server.name].url])
        for member in [*self.servers, *self.agents, self.worker]:
            member.start()
        wait_until(lambda: all(s.is_ready for s in self.servers), START_SECONDS, "the servers are ready", every=0.1)
        wait_until(self.all_connected, START_SECONDS, "agents and worker are connected", every=0.2)

    def etcd_works(self) -> bool:
        """Whether a majority of etcd takes a write."""
        try:
            self.etcdctl("put", "/rota-faults/probe", str(time.monotonic_ns()))
            return True
        except OSError:
            return False

    def all_connected(self) -> bool:
        """Whether all agents and the worker have a session."""
        wanted = {agent.name for agent in self.agents} | {self.worker.name}
        return wanted <= self.connected()

    def connected(self) -> set[str]:
        """Who has a session, as the leader says."""
        leader = self.leader()
        if leader is None:
            return set()
        found: set[str] = set()
        query: dict[str, Any] = {"page_size": 1000}
        try:
            while True:
                page = leader.rest(3).get("/agents", **query).json()
                found |= {agent["worker_id"] for agent in page["agents"] if agent.get("connected")}
                if not page.get("next_page_token"):
                    return found
                query["page_token"] = page["next_page_token"]
        except (OSError, ValueError, KeyError):
            return set()

    def repair(self) -> None:
        """Whatever faults have left: everything runs, nothing is stopped, nothing is cut."""
        self.network.heal_all()
        for member in self.extra:
            member.kill()
        self.extra = []
        for member in [*self.etcd, *self.servers, *self.agents, self.worker]:
            if member.is_stopped:
                member.thaw()
            if not member.running:
                member.start()
        self.reserved.clear()

    def close(self) -> dict[int, str]:
        """Takes everything down; what had to be killed beyond that."""
        self.network.heal_all()
        for member in self.members:
            if member.running and member not in self.etcd:
                member.thaw()
                member.send(signal.SIGTERM)
        deadline = time.monotonic() + 12
        for member in [*self.agents, self.worker, *self.servers, *self.sidecars.values(), *self.extra]:
            if member.process is not None:
                member.stop(max(0.1, deadline - time.monotonic()))
        self.watch.close()
        for etcd in self.etcd:
            etcd.kill()
        time.sleep(0.2)
        left = processes_of(self.folder.name)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has ended by itself meanwhile
        self.network.close()
        return left

    # Looking

    def etcdctl(self, *arguments: str, timeout: float = 8) -> str:
        """Runs etcdctl against the members that run; raises OSError when it fails."""
        urls = [member.url for member in self.etcd if member.is_up] or self.etcd_urls
        return etcdctl(self.env, urls, *arguments, timeout=timeout)

    def leader(self) -> ServerNode | None:
        """The server that leads, by the oldest leader key; None when there is none or etcd does not say."""
        options = ["--prefix", "--sort-by=CREATE", "--order=ASCEND", "--limit=1", "--print-value-only"]
        try:
            value = self.etcdctl("get", "/rota/leader/", *options, "--consistency=s").strip()
        except OSError:
            return None
        name = json.loads(value)["server_id"] if value else None
        return next((server for server in self.servers if server.name == name), None)

    def expect_leader(self) -> ServerNode:
        """The leader; waits for one."""
        found: ServerNode = wait_until(self.leader, START_SECONDS, "there is a leader", every=0.1)
        return found

    def etcd_leader(self) -> EtcdMember | None:
        """The member that leads etcd."""
        for member in self.etcd:
            try:
                if not member.is_up:
                    continue
                leader = str(member.gateway("/v3/maintenance/status", {})["leader"])
            except (OSError, KeyError):
                continue  # it does not answer, or knows of no leader
            return next((each for each in self.etcd if each.is_up and self._member_id(each) == leader), None)
        return None

    def _member_id(self, member: EtcdMember) -> str:
        try:
            return str(member.gateway("/v3/maintenance/status", {})["header"]["member_id"])
        except (OSError, KeyError):
            return ""

    # Choosing

    def choose(self, random: Random, members: Iterable[Member]) -> Any:
        """One that no other fault is being done to; it is reserved until the round ends."""
        free = [member for member in members if member.name not in self.reserved]
        if not free:
            raise NotPossible(f"other faults have taken {', '.join(sorted(self.reserved))}")
        chosen = random.choice(free)
        self.reserved.add(chosen.name)
        return chosen

    def reserve(self, member: Member) -> None:
        """Takes that one; raises when another fault has it."""
        if member.name in self.reserved:
            raise NotPossible(f"{member.name} is taken by another fault")
        self.reserved.add(member.name)


class NotPossible(Exception):
    """A fault cannot be done here and now; the text says why."""


def make_stubs() -> None:
    """The Python stubs that the worker needs."""
    subprocess.run([sys.executable, str(PYTHON_CLIENT / "generate")], check=True)
