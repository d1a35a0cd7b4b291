"""A round: the workload goes on, one or several faults happen and are healed, everything comes to rest, and is judged."""
from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from processes import processes_of

from .checkers import CHECKERS, Violation
from .cluster import Cluster, NotPossible
from .faults import Fault, Surroundings
from .history import TERMINAL, History
from .workload import Load, Workload

BEFORE_SECONDS = 2.5
AFTER_SECONDS = 1.5
STAGGER_SECONDS = 2.0
PATIENCE = 120.0
QUIET_SECONDS = 12.0
PROBE_SECONDS = 8.0


@dataclass
class Outcome:
    """What came of a round."""

    number: int
    faults: list[str]
    seed: str
    skipped: str = ""
    """Why it could not be done; empty when it was."""
    recovery: float | None = None
    """How long after healing everything worked again, seconds."""
    violations: list[Violation] = field(default_factory=list)


class Rounds:
    """Rounds on one cluster, one after the other."""

    def __init__(self, cluster: Cluster, load: Load, patience: float = PATIENCE) -> None:
        """`patience` is how many seconds recovery, and then rest, may take before that is a violation."""
        self.cluster = cluster
        self.history = cluster.history
        self.load = load
        self.patience = patience
        self.number = 0
        self._known: set[Violation] = set()
        self._probes = 0

    def run(self, faults: Sequence[Fault], seed: str) -> Outcome:
        """One round. The seed decides all that is random in it."""
        self.number += 1
        random = Random(seed)
        outcome = Outcome(self.number, [fault.name for fault in faults], seed)
        self._note("begin", outcome)
        hold = max((random.uniform(*fault.hold) for fault in faults), default=5.0)
        workload = Workload(self.cluster, self.history, self.number, Random(random.random()), self.load)
        workload.start(BEFORE_SECONDS + hold + AFTER_SECONDS)
        self._wait(BEFORE_SECONDS)
        broken = ""
        try:
            self._injected(faults, workload, random, hold, outcome)
        except (AssertionError, OSError) as error:
            # There is no leader, say, to be killed: that is a finding, too.
            broken = f"a fault could not be injected or healed: {error}"
            self.cluster.repair()
        healed = time.monotonic()
        bound = max((fault.bound for fault in faults), default=10.0)
        outcome.recovery, why = self._recover(healed)
        if broken:
            outcome.recovery, why = None, broken
        self.history.add(
            "recovered", round=self.number, faults=outcome.faults, seconds=outcome.recovery, bound=bound, why=why
        )
        self._wait(AFTER_SECONDS)
        workload.stop()
        self._settle()
        self._census()
        if not self.cluster.watch.catch_up():
            self.history.add("recovered", round=self.number, faults=outcome.faults, seconds=None, bound=bound,
                             why="etcd's watch does not catch up")  # fmt: skip
        self._pump()
        self._note("end", outcome)
        outcome.violations = self.judge()
        self.cluster.reserved.clear()
        return outcome

    def judge(self) -> list[Violation]:
        """What is wrong with the history, and was not before."""
        history = History(self.history.events)
        found = [violation for check in CHECKERS.values() for violation in check(history)]
        new = [violation for violation in found if violation not in self._known]
        self._known |= set(new)
        return new

    # Steps

    def _injected(
        self, faults: Sequence[Fault], workload: Workload, random: Random, hold: float, outcome: Outcome
    ) -> None:
        """Injects, waits, heals; a fault that is not possible is left out."""
        with ExitStack() as healing:
            for number, fault in enumerate(faults):
                around = Surroundings(self.cluster, workload, Random(random.random()))
                if number:
                    self._wait(random.uniform(0, STAGGER_SECONDS))
                try:
                    healing.enter_context(self._told(fault, around))
                except NotPossible as reason:
                    outcome.skipped = f"{fault.name}: {reason}"
                    self._tell(fault, "skipped", {"why": str(reason)})
            self._wait(hold)

    @contextmanager
    def _told(self, fault: Fault, around: Surroundings) -> Iterator[None]:
        """A fault, with what the history has to know of it."""
        self._tell(fault, "inject", {})
        with fault.inject(around):
            self._tell(fault, "injected", around.told)
            yield
            self._tell(fault, "heal", around.told)
        self._tell(fault, "healed", around.told)

    def _tell(self, fault: Fault, phase: str, told: dict[str, Any]) -> None:
        self.history.add("fault", round=self.number, fault=fault.name, row=fault.row, phase=phase, told=dict(told))

    def _note(self, phase: str, outcome: Outcome) -> None:
        self.history.add("round", round=self.number, phase=phase, faults=outcome.faults, seed=outcome.seed)

    def _wait(self, seconds: float) -> None:
        """Sleeps, and takes news into the history meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._pump()
            time.sleep(min(0.25, left))

    def _pump(self) -> None:
        self.cluster.watch.pump()
        self.history.extend(self.cluster.tasks.new_events())

    # Recovery

    def _recover(self, healed: float) -> tuple[float | None, str]:
        """Until every process runs and is ready, and each agent has run a job that was submitted at each server."""
        deadline = healed + self.patience
        for member in self.cluster.members:
            if not member.running:
                # It ended by itself: a failed disk, or a bug. An operator's supervisor starts it again.
                self.history.add("process", name=member.name, what="ended by itself", pid=member.pid)
                member.start()
        why = ""
        while time.monotonic() < deadline:
            before, why = why, self._what_is_missing()
            if not why:
                return time.monotonic() - healed, ""
            if why != before:
                self.history.add("waiting", round=self.number, why=why)
            self._wait(0.1)
        return None, why

    def _what_is_missing(self) -> str:
        for server in self.cluster.servers:
            if not server.is_ready:
                return f"{server.name} is not ready"
        wanted = {agent.name for agent in self.cluster.agents} | {self.cluster.worker.name}
        missing = wanted - self.cluster.connected()
        if missing:
            return f"{sorted(missing)} have no session"
        return self._probe()

    def _probe(self) -> str:
        """A job for each agent, submitted at the servers in turn, has to complete."""
        jobs = []
        for agent in self.cluster.agents:
            self._probes += 1
            marker = f"probe-{self.number}-{self._probes}"
            server = self.cluster.servers[self._probes % len(self.cluster.servers)]
            body = {
                "noop": True, "user_id": marker,
                "constraints": [{"label": "name", "operator": "=", "values": [agent.name]}],
            }  # fmt: skip
            try:
                answer = server.rest(4).post("/jobs", body)
            except OSError as error:
                return f"{server.name} does not take a job: {error}"
            if answer.status != 201:
                return f"{server.name} does not take a job: {answer.status} {answer.text[:200]}"
            jobs.append((agent.name, server, answer.json()["job_id"]))
        deadline = time.monotonic() + PROBE_SECONDS
        while time.monotonic() < deadline:
            try:
                jobs = [job for job in jobs if job[1].rest(4).get(f"/jobs/{job[2]}").json()["status"] != "completed"]
            except (OSError, ValueError, KeyError) as error:
                return f"a job cannot be read: {error}"
            if not jobs:
                return ""
            self._wait(0.05)
        return f"a job for {jobs[0][0]} does not complete"

    # Rest

    def _settle(self) -> None:
        """Until every run that the watch has shown has ended, or patience has."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            self.cluster.watch.catch_up(10)
            self._pump()
            if not self._open_runs() and not self._expected_occurrences():
                return
            self._wait(0.5)

    def _open_runs(self) -> bool:
        states = {}
        for event in self.history.events:
            if event["kind"] == "change" and event["key"].startswith("/rota/runs/"):
                states[event["key"]] = event["value"].get("state") if event["type"] == "put" else "removed"
        return any(state not in (*TERMINAL, "removed") for state in states.values())

    def _expected_occurrences(self) -> bool:
        """Whether recurring jobs still have to decide about something."""
        waiting = {}
        for event in self.history.events:
            if event["kind"] == "change" and event["key"].startswith("/rota/jobs/"):
                value = event["value"]
                cancelled = "cancel_requested_at" in value or "delete_requested_at" in value
                waiting[event["key"]] = event["type"] == "put" and "next_run_time" in value and not cancelled
        return any(waiting.values())

    def _census(self) -> None:
        """What is there when nothing is to be done. Tasks that are about to die get a moment."""
        expected = {member.pid for member in self.cluster.members if member.running}
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            left = {pid: argv for pid, argv in processes_of(self.cluster.folder.name).items() if not _belongs(pid, expected)}
            leases = self._empty_leases()
            if not (left or leases) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        descriptors = {}
        for member in [*self.cluster.servers, *self.cluster.agents]:
            if member.running:
                descriptors[f"{member.name}/{member.pid}"] = len(os.listdir(f"/proc/{member.pid}/fd"))
        self.history.add(
            "census", round=self.number, processes=left, empty_leases=leases, descriptors=descriptors
        )

    def _empty_leases(self) -> list[str]:
        """Leases of servers and agents that no key hangs on. Those of idempotency keys are for a day."""
        empty = []
        try:
            for line in self.cluster.etcdctl("lease", "list").splitlines()[1:]:
                told = self.cluster.etcdctl("lease", "timetolive", line.strip(), "--keys")
                granted = int(told.split("granted with TTL(")[1].split("s)")[0]) if "granted with" in told else 0
                if 0 < granted < 600 and told.rstrip().endswith("attached keys([])"):
                    empty.append(line.strip())
        except (OSError, ValueError, IndexError) as error:
            self.history.add("census-failed", round=self.number, why=str(error))
        return empty


def _belongs(pid: int, expected: set[int]) -> bool:
    """Whether a process is one of the cluster's own, or a child of the Python worker's that it keeps."""
    if pid in expected or pid == os.getpid():
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        argv = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # it has ended meanwhile
    if b"etcdctl" in argv:
        return True
    parent = int(stat.rpartition(")")[2].split()[1])
    # Zygote, watchdog and minders live as long as the worker does.
    return parent > 1 and b"rota_worker" in argv and _belongs(parent, expected)
