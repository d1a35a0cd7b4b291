"""How fast losses are noticed: an agent and a leader that are killed, and a planned hand-over."""
from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import wait_until

from .cluster import Cluster, Settings
from .history import HistoryWriter
from .members import ServerNode

# The defaults of `rota agent` and `rota server`.
AGENT_TTL, SERVER_TTL = 6, 5
BOUNDS = {"agent killed": AGENT_TTL + 1.0, "leader killed": SERVER_TTL + 0.5, "hand-over": 0.1}
SUBMIT_PAUSE = 0.02


def measure(count: int) -> int:
    """Prints a table; the exit code is 1 when a bound is exceeded."""
    folder = Path(tempfile.mkdtemp(prefix="rota-times-"))
    history = HistoryWriter(folder / "history.jsonl")
    cluster = Cluster(history, Settings(agent_ttl=AGENT_TTL, server_ttl=SERVER_TTL))
    found: dict[str, list[float]] = {}
    try:
        cluster.start()
        for name, one in (("agent killed", _agent), ("leader killed", _leader), ("hand-over", _hand_over)):
            found[name] = _repeat(name, count, cluster, one)
    finally:
        cluster.close()
        history.close()
        shutil.rmtree(cluster.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    print("\n| what | times | p50 | max | bound |\n| --- | --- | --- | --- | --- |")
    for name, times in found.items():
        print(f"| {name} | {len(times)} | {statistics.median(times):.3f} s | {max(times):.3f} s | {BOUNDS[name]} s |")
    return 1 if any(max(times) > BOUNDS[name] for name, times in found.items()) else 0


def _repeat(name: str, count: int, cluster: Cluster, one: Callable[[Cluster], float]) -> list[float]:
    times = []
    for number in range(count):
        times.append(one(cluster))
        print(f"{name} {number + 1}: {times[-1]:.3f} s", flush=True)
        cluster.repair()
        wait_until(lambda: all(s.is_ready for s in cluster.servers), 60, "the servers are ready", every=0.1)
        wait_until(cluster.all_connected, 60, "agents are connected", every=0.1)
        time.sleep(1)
    return times


def _agent(cluster: Cluster) -> float:
    """From the kill of an agent to the start of its run elsewhere."""
    job = _submit(cluster.servers[0], cluster, 60_000)
    first = _first_start(cluster, job, 1, 20)
    agent = next(agent for agent in cluster.agents if agent.name == first["agent"])
    # At any moment between two renewals of its lease.
    time.sleep(0.3 + time.time() % 2)
    killed = time.monotonic_ns()
    agent.kill()
    second = _first_start(cluster, job, 2, AGENT_TTL + 20)
    cluster.servers[0].rest().request("POST", f"/jobs/{job}/cancel")
    return (second["t"] - killed) / 1e9


def _leader(cluster: Cluster) -> float:
    """From the kill of the leader to the start of a job that was submitted after it."""
    leader = cluster.expect_leader()
    with _Submitter(cluster, leader) as submitter:
        time.sleep(1)
        killed = time.monotonic_ns()
        leader.kill()
        # What was on its way may still start; by now nothing is.
        return submitter.first_start_of_job_after(killed + 300_000_000, SERVER_TTL + 20, killed)


def _hand_over(cluster: Cluster) -> float:
    """The longest time without the start of a task around a planned hand-over, while jobs are submitted all the time;
    what it is without one is taken off."""
    leader = cluster.expect_leader()
    with _Submitter(cluster, leader) as submitter:
        time.sleep(2)
        usual = submitter.longest_gap(time.monotonic_ns() - 1_500_000_000, time.monotonic_ns())
        begin = time.monotonic_ns()
        leader.stop(15)
        time.sleep(2)
        return max(0.0, submitter.longest_gap(begin, begin + 2_000_000_000) - usual)


class _Submitter:
    """Submits short jobs all the time at servers other than the leader."""

    def __init__(self, cluster: Cluster, leader: ServerNode) -> None:
        self.cluster = cluster
        self.servers = [server for server in cluster.servers if server is not leader]
        self.submitted: dict[str, int] = {}
        self.starts: list[tuple[int, str]] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server,)) for server in self.servers]

    def __enter__(self) -> _Submitter:
        self.cluster.tasks.new_events()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, server: ServerNode) -> None:
        while not self._over.wait(SUBMIT_PAUSE):
            begin = time.monotonic_ns()
            try:
                self.submitted[_submit(server, self.cluster, 0)] = begin
            except OSError:
                time.sleep(0.1)

    def _look(self) -> None:
        for event in self.cluster.tasks.new_events():
            if event["what"] == "start":
                self.starts.append((event["t"], event["run"].split("/")[0]))

    def first_start_of_job_after(self, submitted: int, seconds: float, since: int) -> float:
        """How long after `since` the first job started that was submitted after `submitted`."""

        def look() -> float | None:
            self._look()
            fitting = [at for at, job in self.starts if self.submitted.get(job, 0) > submitted]
            return (min(fitting) - since) / 1e9 if fitting else None

        found: float = wait_until(look, seconds, "a job starts that was submitted afterwards", every=0.05)
        return found

    def longest_gap(self, begin: int, end: int) -> float:
        """The longest time between two starts in a row, of those that touch this time."""
        self._look()
        starts = sorted(at for at, _ in self.starts)
        gaps = [later - earlier for earlier, later in zip(starts, starts[1:]) if later > begin and earlier < end]
        return max(gaps, default=end - begin) / 1e9


def _submit(server: ServerNode, cluster: Cluster, millis: int) -> str:
    answer = server.rest().post("/jobs", {"exec": cluster.tasks.argv(millis)})
    if answer.status != 201:
        raise OSError(f"{answer.status}: {answer.text}")
    job: str = answer.json()["job_id"]
    return job


def _first_start(cluster: Cluster, job: str, attempt: int, seconds: float) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        for event in cluster.tasks.new_events():
            if event["what"] == "start" and event["run"].startswith(f"{job}/") and event["attempt"] == attempt:
                return event
        return None

    found: dict[str, Any] = wait_until(look, seconds, f"attempt {attempt} of {job} starts", every=0.05)
    return found
