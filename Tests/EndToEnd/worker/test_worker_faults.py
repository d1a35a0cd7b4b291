"""Python workers that are killed, stopped, drained or lose their leader; and what becomes of their work."""
from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster
from processes import is_alive, wait_until
from rota_client import exec_job, messages, task_job
from rota_client.messages import EndReason, JobStatus
from worker_cluster import TTL_SECONDS, PythonWorker, start, wait_connected


class Fleet:
    """A cluster with Python workers that can be lost."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.workers: dict[str, PythonWorker] = {}

    def add(self, name: str, **options: object) -> PythonWorker:
        worker = PythonWorker(self.cluster, name, **options)
        self.workers[name] = worker
        start(self.cluster, worker)
        return worker

    def notes(self, job_id: str) -> list[list[str]]:
        path = self.cluster.folder / "notes" / job_id
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def wait_note(self, job_id: str, what: str, attempt: int = 1, seconds: float = 30) -> list[str]:
        def look() -> list[str] | None:
            return next((n for n in self.notes(job_id) if n[0].startswith(what) and n[1] == str(attempt)), None)

        return wait_until(look, seconds, f"attempt {attempt} of {job_id} has noted {what}")

    def submit(self, name: str, payload: object, **options: object) -> str:
        return self.cluster.client().submit(task_job(name, payload, **options)).job_id

    def close(self) -> None:
        for worker in self.workers.values():
            print(f"----- {worker.name}\n{worker.log_tail()}")
            worker.kill()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Cluster(servers=1, agents=0) as cluster:
        fleet = Fleet(cluster)
        try:
            yield fleet
        finally:
            fleet.close()


def test_checkpoint_outlives_a_killed_worker(fleet: Fleet) -> None:
    """kill -9: the task is dead at once, and the next attempt elsewhere starts from what was saved."""
    first = fleet.add("w1")
    job_id = fleet.submit("steps", {"steps": 4})
    fleet.wait_note(job_id, "saved-3")
    pid = int(fleet.wait_note(job_id, "from-0")[3])
    assert fleet.cluster.client().run(job_id).checkpoint_bytes == 1
    second = fleet.add("w2")
    killed = time.monotonic()
    first.kill()
    wait_until(lambda: not is_alive(pid), 2, "the killed worker's task is dead")
    fleet.wait_note(job_id, "from-3", attempt=2)
    assert time.monotonic() - killed < TTL_SECONDS + 4
    job = fleet.cluster.wait_job(job_id)
    assert job.status == JobStatus.JOB_STATUS_COMPLETED
    assert [(a.worker_id, a.end_reason) for a in job.runs[0].attempts] == [
        ("w1", EndReason.END_REASON_AGENT_LOST),
        ("w2", EndReason.END_REASON_EXITED),
    ]
    assert json.loads(job.runs[0].output_tail) == {"from": 3}
    assert job.runs[0].checkpoint_bytes == 0, "what has completed needs none"
    assert second.running


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_stopped_worker_is_fenced_before_its_work_starts_elsewhere(fleet: Fleet, pool: str) -> None:
    """SIGSTOP past the TTL: the task is dead before another worker has it, and nothing that the first one says
    afterwards is believed."""
    first = fleet.add("w1", pool=pool)
    job_id = fleet.submit("deaf", {"seconds": 600} if pool == "thread" else {"seconds": 20})
    pid = int(fleet.wait_note(job_id, "start")[3])
    assert (pid == first.pid) == (pool == "thread")
    fleet.add("w2", pool="process")
    os.kill(first.pid, signal.SIGSTOP)
    died: float | None = None
    while not any(note[1] == "2" for note in fleet.notes(job_id)):
        if died is None and not is_alive(pid):
            died = time.monotonic()
        time.sleep(0.01)
    restarted = next(int(note[4]) / 1e9 for note in fleet.notes(job_id) if note[1] == "2")
    assert died is not None and died < restarted, "two attempts at once"
    if pool == "process":
        os.kill(first.pid, signal.SIGCONT)
        # It comes back as another incarnation, and works again.
        wait_connected(fleet.cluster, ["w1", "w2"])
        assert "killing 1 tasks" in first.log.read_text() or "is lost" in first.log.read_text()
    else:
        wait_until(lambda: not first.running, 5, "the watchdog has killed the worker")
    # The note is there a little before the control plane knows.
    client = fleet.cluster.client()
    job = wait_until(
        lambda: (job := client.job(job_id)).status == JobStatus.JOB_STATUS_RUNNING and job, 10, "it runs again"
    )
    assert [(a.attempt, a.worker_id) for a in job.runs[0].attempts] == [(1, "w1"), (2, "w2")]
    assert job.runs[0].attempts[0].end_reason == EndReason.END_REASON_AGENT_LOST
    assert not any(note[0] == "end" and note[1] == "1" for note in fleet.notes(job_id))
    fleet.cluster.client().cancel(job_id)
    fleet.cluster.wait_job(job_id, 30)


@pytest.mark.alone
def test_worker_cut_from_etcd_ends_its_tasks_itself(fleet: Fleet) -> None:
    """Without etcd there is no trust: everything is dead before the lease would lapse, also when nobody stops it."""
    worker = fleet.add("w1")
    job_id = fleet.submit("deaf", {"seconds": 600})
    pid = int(fleet.wait_note(job_id, "start")[3])
    cut = time.monotonic()
    fleet.cluster.etcd.send(signal.SIGSTOP)
    try:
        wait_until(lambda: not is_alive(pid), TTL_SECONDS + 1, "the task is dead")
        assert time.monotonic() - cut < TTL_SECONDS
        assert worker.running
    finally:
        fleet.cluster.etcd.send(signal.SIGCONT)
    fleet.wait_note(job_id, "start", attempt=2)
    fleet.cluster.client().cancel(job_id)
    fleet.cluster.wait_job(job_id, 30)


def test_drain_lets_tasks_finish_and_gives_the_rest_back(fleet: Fleet) -> None:
    """SIGTERM: no new work, what is quick finishes, the rest is given back at once, the key goes."""
    first = fleet.add("w1", slots=4)
    quick = fleet.submit("sleep", {"seconds": 2})
    slow = fleet.submit("sleep", {"seconds": 30})
    for job_id in (quick, slow):
        fleet.wait_note(job_id, "start")
    fleet.add("w2", slots=4)
    first.send(signal.SIGTERM)
    wait_until(lambda: "draining" in first.log.read_text(), 5, "it drains")
    later = fleet.submit("echo", 1)
    assert fleet.cluster.wait_job(later).runs[0].attempts[0].worker_id == "w2"
    assert first.wait(30) == 0
    assert "/rota/agents/w1" not in fleet.cluster.etcd.pairs("/rota/agents/")
    assert fleet.cluster.wait_job(quick).runs[0].attempts[0].end_reason == EndReason.END_REASON_EXITED
    fleet.wait_note(slow, "start", attempt=2, seconds=10)
    attempt = fleet.cluster.client().job(slow).runs[0].attempts[0]
    assert (attempt.worker_id, attempt.end_reason) == ("w1", EndReason.END_REASON_AGENT_STOPPED)
    fleet.cluster.client().cancel(slow)
    fleet.cluster.wait_job(slow, 30)


def test_killed_fork_server_ends_the_worker_and_its_tasks(fleet: Fleet) -> None:
    """Without it nothing can be started nor minded: the tasks die, the worker says why and ends, its work moves."""
    worker = fleet.add("w1")
    job_id = fleet.submit("deaf", {"seconds": 600})
    pid = int(fleet.wait_note(job_id, "start")[3])
    server = parent_of(parent_of(pid))
    assert parent_of(server) == worker.pid
    fleet.add("w2")
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 5, "the task is dead")
    assert worker.wait(30) == 1
    assert "fork server" in worker.log_tail()
    fleet.wait_note(job_id, "start", attempt=2)
    fleet.cluster.client().cancel(job_id)
    fleet.cluster.wait_job(job_id, 30)


@pytest.mark.alone
def test_restarted_worker_goes_on_as_the_same_incarnation(fleet: Fleet) -> None:
    """kill -9 and start at once: what ran is reported as stopped and runs again, without waiting for the lease."""
    worker = fleet.add("w1")
    job_id = fleet.submit("sleep", {"seconds": 600})
    fleet.wait_note(job_id, "start")
    incarnation = fleet.cluster.client().agents()[0].incarnation
    killed = time.monotonic()
    worker.kill()
    worker.start()
    fleet.wait_note(job_id, "start", attempt=2)
    assert time.monotonic() - killed < TTL_SECONDS
    assert fleet.cluster.client().agents()[0].incarnation == incarnation
    attempts = fleet.cluster.client().job(job_id).runs[0].attempts
    assert attempts[0].end_reason == EndReason.END_REASON_AGENT_STOPPED
    fleet.cluster.client().cancel(job_id)
    fleet.cluster.wait_job(job_id, 30)


def test_thread_that_never_stops_ends_with_the_worker_and_keeps_the_lease(fleet: Fleet) -> None:
    """A drain cannot kill a thread: the worker exits, and its work moves when the lease has lapsed, not before."""
    worker = fleet.add("w1", pool="thread", drain=0.5)
    job_id = fleet.submit("deaf", {"seconds": 600})
    fleet.wait_note(job_id, "start")
    fleet.add("w2")
    worker.send(signal.SIGTERM)
    assert worker.wait(30) == 70
    assert "/rota/agents/w1" in fleet.cluster.etcd.pairs("/rota/agents/")
    fleet.wait_note(job_id, "start", attempt=2)
    assert not any(note[0] == "end" for note in fleet.notes(job_id))
    fleet.cluster.client().cancel(job_id)
    fleet.cluster.wait_job(job_id, 30)


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_checkpoint_that_is_too_large_is_refused(fleet: Fleet, pool: str) -> None:
    fleet.add("w1", pool=pool)
    limit = 256 << 10
    for size, said in ((limit, "saved"), (limit + 1, "refused")):
        job = fleet.cluster.wait_job(fleet.submit("save", {"bytes": size}))
        assert json.loads(job.runs[0].output_tail).startswith(said), job


def test_progress_is_shown_while_the_task_runs(fleet: Fleet) -> None:
    fleet.add("w1")
    job_id = fleet.submit("steps", {"steps": 4})
    fleet.wait_note(job_id, "saved-3")

    def seen() -> messages.Progress | None:
        progress = fleet.cluster.client().run(job_id).progress
        return progress if progress.fraction == 0.75 else None

    progress = wait_until(seen, 10, "progress of 3 out of 4")
    assert progress.message == "step 3" and progress.at.seconds > 0
    fleet.cluster.client().cancel(job_id)
    fleet.cluster.wait_job(job_id, 30)


def test_leader_is_killed_while_tasks_run() -> None:
    """Results of the time without a leader are kept, told to the next one, and recorded once."""
    with Cluster(servers=3, agents=0) as cluster:
        fleet = Fleet(cluster)
        try:
            fleet.add("w1", slots=16)
            ids = cluster.submit_all([task_job("sleep", {"seconds": 1 + n % 4}) for n in range(32)])
            wait_until(lambda: sum(bool(fleet.notes(i)) for i in ids) >= 16, 20, "half of them run")
            cluster.leader().kill()
            alive = next(server for server in cluster.servers if server.running)
            for job in cluster.wait_jobs(ids, seconds=90, server=alive):
                assert job.status == JobStatus.JOB_STATUS_COMPLETED, job
                starts = [note for note in fleet.notes(job.job_id) if note[0] == "start"]
                assert len(starts) == 1 == len(job.runs[0].attempts), job
            journal = Path(fleet.workers["w1"].data_dir) / "journal"
            wait_until(lambda: not list(journal.iterdir()), 10, "all results are acknowledged")
            assert fleet.workers["w1"].stop(20) == 0
        finally:
            fleet.close()


def test_python_workers_and_agents_serve_one_cluster() -> None:
    """Two workers and two agents with tasks and programs: killing one of each moves its work to one that can do it."""
    with Cluster(servers=1, agents=2, slots=8) as cluster:
        fleet = Fleet(cluster)
        try:
            fleet.add("w1", slots=8)
            fleet.add("w2", slots=8)
            tasks = cluster.submit_all([task_job("sleep", {"seconds": 4}) for _ in range(10)])
            programs = cluster.submit_all([exec_job(["sleep", "4"]) for _ in range(10)])

            def spread() -> bool:
                running = [a for job in (*tasks, *programs) for a in cluster.client().job(job).runs[0].attempts]
                return {a.worker_id for a in running if a.HasField("start_time")} == {"a1", "a2", "w1", "w2"}

            wait_until(spread, 20, "everybody has work")
            fleet.workers["w1"].kill()
            cluster.agents["a1"].kill()
            lost = 0
            for job in cluster.wait_jobs([*tasks, *programs], seconds=90):
                assert job.status == JobStatus.JOB_STATUS_COMPLETED, job
                able = {"w1", "w2"} if job.spec.HasField("task") else {"a1", "a2"}
                workers = [attempt.worker_id for attempt in job.runs[0].attempts]
                assert set(workers) <= able, job
                if workers[0] in ("w1", "a1") and len(workers) > 1:
                    lost += 1
                    assert workers[-1] in ("w2", "a2"), job
            assert lost > 0
            assert fleet.workers["w2"].stop(20) == 0
        finally:
            fleet.close()
