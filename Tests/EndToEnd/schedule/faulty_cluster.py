"""Three servers to be killed, stopped and continued while jobs are due, and what is to be said of it afterwards."""
from __future__ import annotations

import json
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

import grpc

from cluster import Cluster, Server
from history import Recorder
from occurrences import Occurrence, SeenRun, Verdict, judge
from processes import wait_until
from rota_client import RotaError, run_state_name
from rota_client._generated.rota.v1.types_pb2 import RunTrigger
from witness import RunWatch

# How long a run may be on its way after its time, faults included: two leases, and a task that has to start again.
SETTLE_SECONDS = 45.0
# How many ended runs servers keep of a job: all that a story makes, since a run that was removed looks like a missed one.
RUNS_KEPT = 10_000
# Runs that somebody asked for are no occurrences.
BY_SCHEDULE = (RunTrigger.RUN_TRIGGER_UNSPECIFIED, RunTrigger.RUN_TRIGGER_SCHEDULE)


class FaultyCluster(Cluster):
    """Servers s1 to s3 and agents a1…; everything that a test needs to disturb them and to judge what came of it.

        with FaultyCluster() as cluster, Story(cluster) as story:
            expected = {...}                     # job id: epoch seconds
            leader = cluster.leader()
            leader.kill()
            ...
            cluster.bring_back(leader)
            story.judge(expected, window).expect_nothing()
    """

    def __init__(
        self, servers: int = 3, agents: int = 2, slots: int = 32, server_flags: Sequence[str] = (), **options
    ) -> None:
        flags = ["--runs-kept", str(RUNS_KEPT), *server_flags]
        super().__init__(servers=servers, agents=agents, slots=slots, server_flags=flags, **options)
        self.stopped: set[str] = set()

    def alive(self) -> list[Server]:
        """The servers that run and are not stopped."""
        return [server for server in self.servers if server.running and server.name not in self.stopped]

    def followers(self) -> list[Server]:
        """Those of them that do not lead."""
        leader = self.leader()
        return [server for server in self.alive() if server is not leader]

    def owners(self) -> dict[int, str]:
        """Which server owns each segment that has an owner, from etcd."""
        pairs = self.etcd.pairs("/rota/segments/")
        return {int(key.rsplit("/", 1)[1]): json.loads(value)["server_id"] for key, value in pairs.items()}

    def segment_of(self, job_id: str, namespace: str = "default") -> int:
        """A job's segment, by its key in etcd."""
        for key in self.etcd.ctl("get", "--prefix", "/rota/jobs/", "--keys-only").split():
            segment, its_namespace, its_id = key.split("/")[-3:]
            if (its_namespace, its_id) == (namespace, job_id):
                return int(segment)
        raise AssertionError(f"there is no job {namespace}/{job_id} in etcd")

    def owner_of(self, job_id: str, namespace: str = "default") -> Server:
        """The server that fires a job."""
        segment = self.segment_of(job_id, namespace)
        name = wait_until(lambda: self.owners().get(segment), 30, f"segment {segment} has an owner")
        return next(server for server in self.servers if server.name == name)

    def bring_back(self, server: Server) -> None:
        """Starts a server that was killed."""
        server.start()
        server.wait_ready()

    @contextmanager
    def standing_still(self, server: Server) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end: what it has in hand then, it goes on with."""
        self.stopped.add(server.name)
        server.send(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send(signal.SIGCONT)
            self.stopped.discard(server.name)

    def seen_runs(self, job_ids: Collection[str], namespace: str = "default") -> list[SeenRun]:
        """The runs that schedules have made of these jobs, by the API of a server that is alive."""
        client = self.client(self.alive()[0])
        return [
            SeenRun(
                Occurrence(run.job_id, run.scheduled_time.ToMicroseconds()), run.run_id, run_state_name(run.state)
            )
            for run in client.runs(namespace=namespace, page_size=1000)
            if run.job_id in job_ids and run.trigger in BY_SCHEDULE
        ]


class Story:
    """What happens between its begin and its verdict: an etcd watch, and a recorder for the tasks to write to."""

    def __init__(self, cluster: FaultyCluster, name: str = "story") -> None:
        self.cluster = cluster
        self.recorder = Recorder(cluster.folder, name)
        self.watch = RunWatch(cluster)

    def __enter__(self) -> Story:
        self.watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recorder.finish()
        self.watch.__exit__(kind, error, trace)

    def judge(
        self,
        expected: Mapping[str, Sequence[float]],
        window: tuple[float, float],
        one_at_a_time: Collection[str] = (),
        settle_seconds: float = SETTLE_SECONDS,
    ) -> Verdict:
        """The verdict on the occurrences of these jobs within a window (epoch seconds).

        It waits until the window is over and nothing is missing or on its way any more, for at most `settle_seconds`: what
        is late is not wrong.
        """
        time.sleep(max(0.0, window[1] + 1 - time.time()))
        deadline = time.monotonic() + settle_seconds
        while True:
            try:
                runs = self.cluster.seen_runs(expected.keys())
            except RotaError as error:  # a server that has just come back, or finds no leader yet
                if error.code != grpc.StatusCode.UNAVAILABLE or time.monotonic() >= deadline:
                    raise
            else:
                executions, overlaps = self.recorder.read()
                verdict = judge(expected, window, runs, executions, overlaps, self.watch.creations(), one_at_a_time)
                if not (verdict.missed or verdict.unrun) or time.monotonic() >= deadline:
                    return verdict
            time.sleep(1)

    def lateness(self, job_ids: Collection[str]) -> list[float]:
        """How many seconds after its time each run's first attempt began, in order. To be printed: a test machine
        is not for measuring."""
        due = {run.name: run.occurrence.time for run in self.cluster.seen_runs(job_ids)}
        first: dict[str, int] = {}
        for execution in self.recorder.executions():
            if execution.run in due:
                first[execution.run] = min(execution.start, first.get(execution.run, execution.start))
        return sorted((start - due[run]) / 1_000_000 for run, start in first.items())


def describe(lateness: Sequence[float]) -> str:
    if not lateness:
        return "nothing ran"
    at = [lateness[min(int(len(lateness) * part), len(lateness) - 1)] for part in (0.5, 0.99, 1)]
    return f"{len(lateness)} runs, late by p50 {at[0]:.3f} s, p99 {at[1]:.3f} s, at most {at[2]:.3f} s"
