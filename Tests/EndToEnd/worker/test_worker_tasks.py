"""Tasks on a Python worker: results, failures, timeouts, cancellation, logs."""
from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta, timezone

import pytest

from cluster import CHECKOUT, Cluster
from processes import Child, is_alive, wait_until
from rota_client import exec_job, messages, task_job
from rota_client.messages import EndReason, JobStatus, RunState
from worker_cluster import PythonWorker, start, wait_connected


@dataclass
class Field:
    """A cluster with one Swift agent and one worker of each pool."""

    cluster: Cluster
    workers: dict[str, PythonWorker]

    def spec(self, name: str, payload: object, on: str, **options: object) -> messages.JobSpec:
        """A job for the worker with that pool."""
        spec = task_job(name, payload, **options)
        label = messages.ConstraintOperator.CONSTRAINT_OPERATOR_EQUAL
        spec.constraints.append(messages.Constraint(label="name", operator=label, values=[on]))
        return spec

    def run(self, name: str, payload: object, on: str = "process", **options: object) -> messages.Job:
        return self.cluster.run_job(self.spec(name, payload, on, **options), seconds=40)

    def notes(self, job_id: str) -> list[list[str]]:
        path = self.workers["process"].notes / job_id
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def wait_note(self, job_id: str, what: str, seconds: float = 20) -> list[str]:
        return wait_until(
            lambda: next((n for n in self.notes(job_id) if n[0].startswith(what)), None), seconds, f"note {what}"
        )


@pytest.fixture(scope="module")
def field() -> Iterator[Field]:
    with Cluster(servers=1, agents=1) as cluster:
        workers = {name: PythonWorker(cluster, name, pool=name) for name in ("process", "thread")}
        try:
            start(cluster, *workers.values())
            yield Field(cluster, workers)
            # Both survived all of it, and stop in order.
            for worker in workers.values():
                assert worker.running, worker.log_tail()
                assert worker.stop(30) == 0, worker.log_tail()
        finally:
            for worker in workers.values():
                worker.kill()
                print(worker.log_tail())


def only_attempt(job: messages.Job) -> messages.Attempt:
    assert len(job.runs[0].attempts) == 1, job
    return job.runs[0].attempts[0]


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_task_gets_its_payload_and_shows_its_result(field: Field, pool: str) -> None:
    payload = {"text": "grüße \u2603", "list": [1, 2.5, None, True]}
    job = field.run("echo", payload, on=pool, env={"COLOUR": "green"})
    assert job.status == JobStatus.JOB_STATUS_COMPLETED, job
    attempt = only_attempt(job)
    assert attempt.worker_id == pool
    result = json.loads(job.runs[0].output_tail.splitlines()[-1])
    assert result == {
        "payload": payload, "attempt": 1, "fence": 1, "retry_count": 0, "worker": pool, "env": "green",
    }


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_task_knows_what_is_around_its_run(field: Field, pool: str) -> None:
    spec = field.spec("around", None, on=pool)
    spec.schedules.add(cron="*/2 * * * * *", max_runs=2)
    params = {"region": "eu", "note": "two words {{job_id}}\n\"x\" grüße"}
    spec.params.update(params)
    job_id = field.cluster.client().submit(spec).job_id

    def both() -> list[messages.Run]:
        runs = [run for run in field.cluster.client().runs(job_id=job_id) if run.state == RunState.RUN_STATE_COMPLETED]
        return sorted(runs, key=lambda run: run.run_id) if len(runs) == 2 else []

    first, second = wait_until(both, 40, "both runs have ended", every=0.2)
    before, after = timedelta(seconds=-2), timedelta(seconds=2)
    for run, has_next in ((first, True), (second, False)):
        due = run.scheduled_time.ToDatetime(timezone.utc)
        seen = json.loads(run.output_tail.splitlines()[-1])
        assert seen["scheduled"] == due.isoformat() and seen["previous"] == (due + before).isoformat()
        assert seen["next"] == ((due + after).isoformat() if has_next else None)
        assert seen["trigger"] == "schedule" and seen["params"] == params
        if pool == "process":
            env = seen["env"]
            assert env["ROTA_PREVIOUS_SCHEDULED_TIME"] == f"{due + before:%Y-%m-%dT%H:%M:%SZ}"
            assert json.loads(env["ROTA_PARAMS"]) == params and env["ROTA_PARAM_NOTE"] == params["note"]
            assert env["ROTA_SCHEDULED_UNIX"] == str(run.scheduled_time.seconds)


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_logs_of_a_task(field: Field, pool: str) -> None:
    job = field.run("echo", 1, on=pool)
    done = field.cluster.rota("logs", job.job_id)
    assert done.returncode == 0, done.stderr
    assert f"echoing for {job.job_id}" in done.stdout
    assert '"payload": 1' in done.stdout


def test_long_output_is_bounded_and_keeps_its_offsets(field: Field) -> None:
    lines = 300_000  # 30 MB; a log keeps at most 20
    job = field.run("flood", lines)
    assert job.status == JobStatus.JOB_STATUS_COMPLETED, job
    stream = messages.LogStream.LOG_STREAM_STDOUT
    chunks = list(field.cluster.client().logs(job.job_id, stream=stream, tail_bytes=1_000))
    assert b"".join(chunk.data for chunk in chunks)[-100:] == f"{lines - 1:099d}\n".encode()
    assert chunks[-1].offset + len(chunks[-1].data) == lines * 100
    folder = field.workers["process"].data_dir / "attempts" / "default" / job.job_id
    kept = sum(path.stat().st_size for path in folder.rglob("stdout.*"))
    assert 10 << 20 <= kept <= 20 << 20


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_exception_is_a_failure_with_its_traceback_and_is_retried(field: Field, pool: str) -> None:
    job = field.run("fail-until", {"attempt": 3}, on=pool, max_retries=1, backoff=[0.1])
    assert job.status == JobStatus.JOB_STATUS_FAILED
    last = job.runs[0].attempts[-1]
    assert (last.end_reason, last.exit_code) == (EndReason.END_REASON_EXITED, 1)
    assert last.error == "ValueError: attempt 2 is too early"
    assert b"Traceback" in job.runs[0].output_tail and b"too early" in job.runs[0].output_tail
    job = field.run("fail-until", {"attempt": 3}, on=pool, max_retries=2, backoff=[0.1])
    assert job.status == JobStatus.JOB_STATUS_COMPLETED
    assert [a.attempt for a in job.runs[0].attempts] == [1, 2, 3]
    assert job.runs[0].output_tail == b'"at last"\n'


@pytest.mark.parametrize(("how", "code", "number"), [(3, 3, 0), (-signal.SIGSEGV, 0, signal.SIGSEGV)])
def test_process_that_ends_by_itself(field: Field, how: int, code: int, number: int) -> None:
    attempt = only_attempt(field.run("exit", how))
    assert (attempt.end_reason, attempt.exit_code, attempt.signal) == (EndReason.END_REASON_EXITED, code, number)


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_timeout_asks_the_handler_to_stop(field: Field, pool: str) -> None:
    began = time.monotonic()
    attempt = only_attempt(field.run("sleep", {"seconds": 600}, on=pool, timeout=1.0))
    assert attempt.end_reason == EndReason.END_REASON_TIMEOUT
    assert "timeout of 1000 ms" in attempt.error
    assert time.monotonic() - began < 30


def test_timeout_kills_who_does_not_listen_with_all_its_processes(field: Field) -> None:
    job = field.run("stubborn", {"seconds": 600}, timeout=1.0, kill_grace=0.5)
    attempt = only_attempt(job)
    assert (attempt.end_reason, attempt.signal) == (EndReason.END_REASON_TIMEOUT, signal.SIGKILL)
    child = int(field.wait_note(job.job_id, "child-")[0].removeprefix("child-"))
    assert not is_alive(child), "a process of the task is left"


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_task_says_that_another_attempt_is_of_no_use(field: Field, pool: str) -> None:
    job = field.run("give-up", "no such customer", on=pool, max_retries=5, backoff=[0.1])
    attempt = only_attempt(job)
    assert job.status == JobStatus.JOB_STATUS_FAILED and attempt.error == "no such customer"
    assert job.runs[0].message == "exit code 1, and the task says that it must not be retried"


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_task_says_when_it_wants_to_be_tried_again(field: Field, pool: str) -> None:
    job = field.run("later", 1.5, on=pool, max_retries=1, backoff=[60])
    first, second = job.runs[0].attempts
    assert job.status == JobStatus.JOB_STATUS_COMPLETED and first.error == "busy"
    assert 1_500 <= second.assigned_at.ToMilliseconds() - first.end_time.ToMilliseconds() < 20_000


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_cancel(field: Field, pool: str) -> None:
    client = field.cluster.client()
    job = client.submit(field.spec("sleep", {"seconds": 600}, pool))
    field.wait_note(job.job_id, "start")
    client.cancel(job.job_id, reason="no longer needed")
    job = field.cluster.wait_job(job.job_id)
    assert job.status == JobStatus.JOB_STATUS_CANCELLED
    assert only_attempt(job).end_reason == EndReason.END_REASON_CANCELLED
    assert not any(note[0] == "end" for note in field.notes(job.job_id))


def test_a_name_that_nobody_offers_waits_and_says_why(field: Field) -> None:
    client = field.cluster.client()
    job = client.submit(task_job("nobody-offers-this", None))
    time.sleep(1)
    assert client.job(job.job_id).runs[0].state == RunState.RUN_STATE_QUEUED
    said = field.cluster.rest.get(f"/jobs/{job.job_id}").text
    assert "offer task nobody-offers-this" in said, said
    client.cancel(job.job_id)


def test_programs_never_come_to_the_worker_nor_tasks_to_an_agent(field: Field) -> None:
    ids = field.cluster.submit_all([exec_job(["true"]) for _ in range(40)])
    tasks = field.cluster.submit_all([task_job("echo", n) for n in range(40)])
    done = field.cluster.wait_jobs(ids + tasks, seconds=60)
    for job in done:
        assert job.status == JobStatus.JOB_STATUS_COMPLETED, job
        on_agent = only_attempt(job).worker_id == "a1"
        assert on_agent == (job.spec.WhichOneof("kind") == "exec"), job


def test_killed_minder_takes_the_task_with_it(field: Field) -> None:
    """The process between worker and task is killed: the task dies, the attempt is given back and runs again."""
    client = field.cluster.client()
    job = client.submit(field.spec("sleep", {"seconds": 600}, "process"))
    pid = int(field.wait_note(job.job_id, "start")[3])
    with open(f"/proc/{pid}/stat") as file:
        minder = int(file.read().rpartition(")")[2].split()[1])
    os.kill(minder, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 5, "the task is dead")
    wait_until(lambda: len([n for n in field.notes(job.job_id) if n[0] == "start"]) == 2, 20, "it runs again")
    client.cancel(job.job_id)
    assert [a.end_reason for a in field.cluster.wait_job(job.job_id).runs[0].attempts] == [
        EndReason.END_REASON_AGENT_STOPPED,
        EndReason.END_REASON_CANCELLED,
    ]


def test_the_example_worker(field: Field) -> None:
    """As a user runs it: the program itself, with a worker at its top level."""
    cluster = field.cluster
    example = CHECKOUT / "clients" / "python" / "examples" / "worker.py"
    argv = [sys.executable, str(example), "--etcd", cluster.etcd.address, "--id", "example"]
    argv += ["--data-dir", str(cluster.folder / "workers" / "example")]
    worker = Child("example", argv, cluster.folder, cluster.env)
    worker.start()
    try:
        wait_connected(cluster, ["example"])
        payload = ["--payload", '{"name": "Ada"}']
        done = cluster.rota("submit", "--job-id", "greeting", "--task", "greet", *payload, "--wait")
        assert done.returncode == 0, done.stderr
        assert '"greeting": "Hello, Ada!"' in cluster.rota("logs", "greeting").stdout
        job = field.cluster.run_job(task_job("count", {"to": 20, "pause_ms": 1}), seconds=30)
        assert job.status == JobStatus.JOB_STATUS_COMPLETED
        assert worker.stop(20) == 0, worker.log_tail()
    finally:
        worker.kill()
        print(worker.log_tail())

