"""What tasks see, and what becomes of them: kinds, environment, retries, timeouts, cancellation."""
from __future__ import annotations

import time

import grpc
import pytest

from cluster import expect_dead
from processes import wait_until
from rota_client import (
    RotaError,
    constraint,
    end_reason_name,
    exec_job,
    http_job,
    noop_job,
    shell_job,
    status_name,
)
from rota_client.messages import LogStream


def last_attempt(job):
    return job.runs[0].attempts[-1]


def output(cluster, job, stream=LogStream.LOG_STREAM_STDOUT) -> str:
    chunks = cluster.client().logs(job.job_id, stream=stream, timeout=10)
    return b"".join(chunk.data for chunk in chunks).decode()


def test_exec_runs_without_a_shell(pair):
    job = pair.run_job(exec_job(["printf", "%s|", "a b", "$HOME", "*"]))
    assert status_name(job.status) == "completed"
    assert output(pair, job) == "a b|$HOME|*|"


def test_a_shell_script_and_its_interpreter(pair):
    job = pair.run_job(shell_job("for n in 1 2 3; do echo line $n; done"))
    assert output(pair, job) == "line 1\nline 2\nline 3\n"
    job = pair.run_job(shell_job("import sys\nprint(sys.version_info.major)", ["/usr/bin/env", "python3"]))
    assert output(pair, job) == "3\n"


def test_http_jobs(pair):
    good = pair.run_job(http_job(f"http://{pair.servers[0].http}/healthz"))
    assert status_name(good.status) == "completed"
    bad = pair.run_job(http_job(f"http://{pair.servers[0].http}/jobs/there-is-no-such-job"))
    assert status_name(bad.status) == "failed"
    assert "404" in last_attempt(bad).error or "404" in bad.runs[0].message
    nobody = pair.run_job(http_job("http://127.0.0.1:1/"))
    assert status_name(nobody.status) == "failed" and last_attempt(nobody).error


def test_noop(pair):
    job = pair.run_job(noop_job())
    assert status_name(job.status) == "completed" and len(job.runs) == 1


def test_environment_and_working_directory(pair):
    script = 'echo "$GREETING"; pwd; echo "$ROTA_JOB_ID $ROTA_ATTEMPT $ROTA_WORKER_ID"; test -n "$ROTA_FENCING_TOKEN"'
    spec = shell_job(script, env={"GREETING": "grüß dich"}, working_directory="/usr")
    job = pair.run_job(spec)
    assert status_name(job.status) == "completed"
    worker = last_attempt(job).worker_id
    assert output(pair, job) == f"grüß dich\n/usr\n{job.job_id} 1 {worker}\n"


def test_streams_are_kept_apart_and_the_tail_is_in_the_result(pair):
    job = pair.run_job(shell_job("echo out; echo err >&2; exit 7"))
    assert status_name(job.status) == "failed"
    assert last_attempt(job).exit_code == 7
    assert output(pair, job) == "out\n"
    assert output(pair, job, LogStream.LOG_STREAM_STDERR) == "err\n"
    assert b"out" in job.runs[0].output_tail and b"err" in job.runs[0].output_tail


def test_a_large_output_arrives_whole(pair):
    job = pair.run_job(shell_job("seq 1 200000"))
    lines = output(pair, job).splitlines()
    assert len(lines) == 200_000 and lines[-1] == "200000"


def test_a_signal_is_told(pair):
    job = pair.run_job(shell_job("kill -SEGV $$"))
    assert status_name(job.status) == "failed" and last_attempt(job).signal == 11


def test_a_program_that_is_not_there(pair):
    job = pair.run_job(exec_job(["/no/such/program"]))
    assert status_name(job.status) == "failed"
    assert end_reason_name(last_attempt(job).end_reason) == "start_failed"
    assert "/no/such/program" in last_attempt(job).error


def test_retries_until_it_works(pair):
    spec = shell_job('echo "attempt $ROTA_ATTEMPT"; [ "$ROTA_ATTEMPT" -ge 3 ]', max_retries=5, backoff=[0.1])
    job = pair.run_job(spec)
    assert status_name(job.status) == "completed"
    run = job.runs[0]
    assert run.retry_count == 2
    assert [(a.attempt, a.exit_code) for a in run.attempts] == [(1, 1), (2, 1), (3, 0)]


def test_retries_are_used_up(pair):
    job = pair.run_job(shell_job("exit 9", max_retries=2, backoff=[0.1, 0.2]))
    assert status_name(job.status) == "failed"
    assert [a.exit_code for a in job.runs[0].attempts] == [9, 9, 9]
    waits = [
        later.start_time.ToMicroseconds() - earlier.end_time.ToMicroseconds()
        for earlier, later in zip(job.runs[0].attempts, job.runs[0].attempts[1:])
    ]
    assert waits[0] >= 80_000 and waits[1] >= 160_000, f"10 % of jitter at most: {waits}"


def test_a_timeout_kills_the_whole_tree(pair):
    pids = pair.folder / "timeout-pids"
    script = f"setsid sleep 60 & echo $! > {pids}; sleep 60 & echo $! >> {pids}; trap '' TERM; sleep 60"
    started = time.monotonic()
    job = pair.run_job(shell_job(script, timeout=1, kill_grace=0.5))
    assert time.monotonic() - started < 10
    assert status_name(job.status) == "failed"
    assert end_reason_name(last_attempt(job).end_reason) == "timeout"
    expect_dead([int(pid) for pid in pids.read_text().split()], 3, "what the task left behind is dead")


def test_cancel_while_waiting_for_a_retry(pair):
    client = pair.client()
    job_id = client.submit(shell_job("exit 1", max_retries=3, backoff=[60])).job_id
    wait_until(lambda: client.run(job_id).retry_count == 1, 10, "it waits for its retry")
    client.cancel(job_id, reason="no longer wanted")
    job = pair.wait_job(job_id, 5)
    assert status_name(job.status) == "cancelled" and len(job.runs[0].attempts) == 1


def test_cancel_through_the_other_server(pair):
    client = pair.client()
    job_id = client.submit(exec_job(["sleep", "60"])).job_id
    wait_until(lambda: status_name(client.job(job_id).status) == "running", 10, "it runs")
    pair.client(pair.servers[1]).cancel(job_id)
    job = pair.wait_job(job_id, 10)
    assert status_name(job.status) == "cancelled"
    assert end_reason_name(last_attempt(job).end_reason) == "cancelled"


def test_cancel_races_completion(pair):
    """One terminal state each, whichever wins."""
    client = pair.client()
    ids = [client.submit(noop_job()).job_id for _ in range(30)]
    for job_id in ids:
        try:
            client.cancel(job_id)
        except RotaError as error:
            assert error.code == grpc.StatusCode.FAILED_PRECONDITION, "it has ended already, and says so"
    jobs = pair.wait_jobs(ids, 20)
    for job in jobs:
        assert status_name(job.status) in ("completed", "cancelled")
        assert len(job.runs) == 1 and job.runs[0].state in (5, 7)


@pytest.mark.parametrize("agent", ["a1", "a2"])
def test_constraints_choose_the_agent(pair, agent):
    ids = pair.submit_all([noop_job(constraints=[constraint("name", "in", agent, "nobody")])] * 5)
    workers = {last_attempt(job).worker_id for job in pair.wait_jobs(ids, 20)}
    assert workers == {agent}


def test_more_jobs_than_slots_all_run(pair):
    ids = pair.submit_all([exec_job(["sleep", "0.2"])] * 60)
    assert {status_name(job.status) for job in pair.wait_jobs(ids, 40)} == {"completed"}


def test_watch_tells_every_change_and_ends(pair):
    client = pair.client(pair.servers[1])
    job_id = client.submit(exec_job(["sleep", "0.5"])).job_id
    states = [status_name(job.status) for job in client.watch(job_id, timeout=20)]
    assert states[-1] == "completed"
    order = ["pending", "running", "completed"]
    assert [order.index(s) for s in states] == sorted(order.index(s) for s in states)


def test_logs_are_followed_live_through_either_server(pair):
    for server in pair.servers:
        client = pair.client(server)
        job_id = client.submit(shell_job("for n in 1 2 3 4; do echo $n; sleep 0.5; done")).job_id
        arrivals = []
        received = b""
        for chunk in client.logs(job_id, follow=True, timeout=30):
            arrivals.append(time.monotonic())
            received += chunk.data
        assert received == b"1\n2\n3\n4\n"
        assert arrivals[-1] - arrivals[0] > 1, "it came as it was written, not all at the end"
