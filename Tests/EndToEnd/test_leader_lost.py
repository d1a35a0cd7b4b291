"""Servers that die: others go on, everything is recorded once."""
from __future__ import annotations

import threading
import time
import uuid
from collections import Counter

import grpc
import pytest

from cluster import LEASE_TTL_SECONDS, Cluster
from processes import wait_until
from rota_client import Client, RotaError, exec_job, messages, shell_job, status_name
from witness import RunWatch

TERMINAL = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def trio():
    with Cluster(servers=3, agents=2, slots=32) as cluster:
        yield cluster


class Submitter(threading.Thread):
    """Submits jobs one by one through all servers in turn, and repeats a call whose outcome is unknown."""

    def __init__(self, cluster: Cluster, spec: messages.JobSpec, count: int, pause: float) -> None:
        super().__init__(name="submitter")
        self.clients = [Client(server.grpc, timeout=5) for server in cluster.servers]
        self.spec, self.count, self.pause = spec, count, pause
        self.ids: list[str] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for n in range(self.count):
                self.ids.append(self.submit(n))
                time.sleep(self.pause)
        except Exception as error:  # told by the test, which joins this thread
            self.error = error

    def submit(self, n: int) -> str:
        key, deadline = str(uuid.uuid4()), time.monotonic() + 30
        turn = n
        while True:
            try:
                return self.clients[turn % len(self.clients)].submit(self.spec, idempotency_key=key).job_id
            except RotaError as error:
                retryable = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                if error.code not in retryable or time.monotonic() > deadline:
                    raise
                turn += 1
                time.sleep(0.05)


def test_kill_9_of_the_leader_while_500_jobs_flow(trio):
    ran = trio.folder / "ran"
    ran.touch()
    spec = shell_job(f'echo "$ROTA_JOB_ID $ROTA_RUN_ID $ROTA_ATTEMPT" >> {ran}')
    with RunWatch(trio) as watch:
        submitter = Submitter(trio, spec, 500, pause=0.01)
        submitter.start()
        wait_until(lambda: len(submitter.ids) >= 150, 60, "150 jobs are submitted")
        old = trio.leader()
        old.kill()
        killed, before = time.monotonic(), len(ran.read_text().splitlines())
        wait_until(
            lambda: len(ran.read_text().splitlines()) > before + 10, LEASE_TTL_SECONDS + 20, "jobs run again"
        )
        print(f"jobs run again {time.monotonic() - killed:.2f} s after the leader was killed")
        submitter.join(90)
        assert not submitter.is_alive() and submitter.error is None, submitter.error
        survivor = next(server for server in trio.servers if server.running)
        jobs = trio.wait_jobs(submitter.ids, 60, survivor)
        time.sleep(1)
        states = watch.states()
    old.start()
    old.wait_ready()

    assert len(set(submitter.ids)) == 500
    assert {status_name(job.status) for job in jobs} == {"completed"}
    assert {len(job.runs) for job in jobs} == {1}
    ended = {key: [state for state in all_ if state in TERMINAL] for key, all_ in states.items()}
    assert len(ended) == 500
    assert {tuple(value) for value in ended.values()} == {("completed",)}, "each is recorded once"
    executions = Counter(ran.read_text().splitlines())
    assert set(executions.values()) == {1} and len(executions) == 500
    assert {line.rsplit(" ", 1)[1] for line in executions} == {"1"}, "no agent was lost, so nothing ran again"


def test_long_tasks_do_not_notice_a_new_leader(trio):
    client = trio.client()
    job_id = client.submit(exec_job(["sh", "-c", "sleep 9; echo survived"])).job_id
    wait_until(lambda: status_name(client.job(job_id).status) == "running", 10, "it runs")
    old = trio.leader()
    old.kill()
    survivor = next(server for server in trio.servers if server.running)
    job = trio.wait_job(job_id, 30, survivor)
    old.start()
    old.wait_ready()
    assert status_name(job.status) == "completed"
    assert [a.attempt for a in job.runs[0].attempts] == [1]
    assert b"survived" in job.runs[0].output_tail


def test_sigterm_hands_over_quickly(trio):
    trio.wait_connected()
    old = trio.leader()
    asked = time.monotonic()
    old.stop(15)
    assert old.process.returncode == 0
    survivor = next(server for server in trio.servers if server.running)
    job_id = trio.client(survivor).submit(exec_job(["true"])).job_id
    job = trio.wait_job(job_id, 20, survivor)
    taken = time.monotonic() - asked
    print(f"a job ran {taken:.2f} s after the leader was asked to stop")
    assert status_name(job.status) == "completed"
    assert taken < LEASE_TTL_SECONDS, "a planned hand-over does not wait for a lease to run out"
    old.start()
    old.wait_ready()


def test_logs_and_results_from_every_server(trio):
    trio.wait_connected()
    done = trio.rota("submit", "--wait", "--job-id", "seen-by-all", "--", "sh", "-c", "echo hi; exit 3")
    assert (done.returncode, done.stdout) == (3, "hi\n"), done.stderr
    for server in trio.servers:
        logs = trio.rota("logs", "seen-by-all", server=server)
        assert (logs.returncode, logs.stdout) == (0, "hi\n"), f"{server.name}: {logs.stderr}"
