"""What follows failures and losses: filters, a task's own word, time limits, lost agents, runs that are run again."""
from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest

from cluster import LEASE_TTL_SECONDS, Cluster
from processes import wait_until
from rota_client import (
    RotaError,
    constraint,
    end_reason_name,
    exec_job,
    failures,
    http_job,
    overlap,
    run_state_name,
    shell_job,
    status_name,
)
from rota_client.messages import Job, JobSpec, Run, RunTrigger

QUICK = {"max_retries": 2, "backoff": [0.1]}


def outcome(job: Job) -> tuple[str, int, str]:
    """How it ended, after how many attempts, and why."""
    return status_name(job.status), len(job.runs[0].attempts), job.runs[0].message


# Which failures


FILTERED = [
    # What it does, what its filters say, how many attempts it gets, what its message speaks of.
    ("exit 75", {"retry_on": failures(exit_codes=[75])}, 3, "all 2 retries were used"),
    ("exit 76", {"retry_on": failures(exit_codes=[75])}, 1, "exit code 76 is not in retry_on"),
    ("exit 110", {"retry_on": failures(exit_codes=["100-119"])}, 3, "all 2 retries were used"),
    ("exit 120", {"retry_on": failures(exit_codes=[7, "100-119"])}, 1, "exit code 120 is not in retry_on"),
    ("exit 3", {"no_retry_on": failures(exit_codes=[3])}, 1, "exit code 3 is in no_retry_on"),
    ("exit 4", {"no_retry_on": failures(exit_codes=[3])}, 3, "all 2 retries were used"),
    ("exit 3", {"retry_on": failures(exit_codes=["1-9"]), "no_retry_on": failures(exit_codes=[3])}, 1, "no_retry_on"),
    ("kill -SEGV $$", {"retry_on": failures(reasons=["exited"])}, 1, "signal 11 is not in retry_on"),
    ("kill -SEGV $$", {"retry_on": failures(reasons=["signal"])}, 3, "all 2 retries were used"),
    ("sleep 60", {"timeout": 0.3, "retry_on": failures(reasons=["timeout"])}, 3, "all 2 retries were used"),
    ("sleep 60", {"timeout": 0.3, "no_retry_on": failures(reasons=["timeout"])}, 1, "a timeout is in no_retry_on"),
]


def test_filters_decide_what_is_retried(pair):
    specs = [shell_job(script, **QUICK, **options) for script, options, _, _ in FILTERED]
    for job, (script, options, attempts, why) in zip(pair.wait_jobs(pair.submit_all(specs), 40), FILTERED):
        status, count, message = outcome(job)
        assert (status, count) == ("failed", attempts) and why in message, (script, options, message)
        assert job.runs[0].retry_count == attempts - 1


def test_a_program_that_is_not_there_may_be_no_reason_to_try_again(pair):
    missing = exec_job(["/no/such/program"], **QUICK, no_retry_on=failures(reasons=["start_failed"]))
    assert outcome(pair.run_job(missing))[:2] == ("failed", 1)


def test_a_run_says_what_comes_next_and_why(pair):
    client = pair.client()
    job_id = client.submit(shell_job("exit 75", max_retries=2, backoff=[60])).job_id
    run = wait_until(lambda: client.run(job_id) if client.run(job_id).retry_count == 1 else None, 10, "it waits")
    assert run.message == "retry 1 of 2 after exit code 75" and run.HasField("next_attempt_at")
    shown = pair.rota("run", job_id)
    assert shown.returncode == 0, shown.stderr
    assert "retrying" in shown.stdout and "retry 1 of 2 after exit code 75" in shown.stdout
    assert "attempt 2 at 20" in shown.stdout and "exit code 75" in shown.stdout
    listed = pair.rota("runs", "--job-id", job_id)
    assert "exit code 75; again at 20" in listed.stdout
    client.cancel(job_id)


# HTTP


class Answers(BaseHTTPRequestHandler):
    """`/503` is answered 503, `/429/7` 429 with `Retry-After: 7`; each path's requests are counted."""

    seen: Counter[str] = Counter()

    def do_GET(self) -> None:
        Answers.seen[self.path] += 1
        parts = self.path.split("/")
        self.send_response(int(parts[1]))
        if len(parts) > 2 and parts[2]:
            self.send_header("Retry-After", parts[2])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def answers() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_statuses_decide_what_is_retried(pair, answers):
    table = [
        ("/503", {"retry_on": failures(http_statuses=["5xx"])}, 3),
        ("/404", {"retry_on": failures(http_statuses=["5xx", 429])}, 1),
        ("/409", {"no_retry_on": failures(http_statuses=["400-499"])}, 1),
        ("/500", {"no_retry_on": failures(http_statuses=["400-499"])}, 3),
    ]
    jobs = pair.wait_jobs(
        pair.submit_all([http_job(answers + path, **QUICK, **options) for path, options, _ in table]), 20
    )
    for job, (path, options, attempts) in zip(jobs, table):
        assert outcome(job)[:2] == ("failed", attempts), (path, options, job.runs[0].message)
        assert {attempt.http_status for attempt in job.runs[0].attempts} == {int(path[1:])}
        assert Answers.seen[path] == attempts
    # No answer is no status: it has ended by itself.
    silent = http_job("http://127.0.0.1:1/", **QUICK, retry_on=failures(http_statuses=["5xx"]))
    assert outcome(pair.run_job(silent))[:2] == ("failed", 1)
    silent = http_job("http://127.0.0.1:1/", **QUICK, retry_on=failures(reasons=["exited"]))
    assert outcome(pair.run_job(silent))[:2] == ("failed", 3)


def test_a_server_says_when_to_come_again(pair, answers):
    job = pair.run_job(http_job(answers + "/429/2", max_retries=1, backoff=[60]), 30)
    first, second = job.runs[0].attempts
    wait = second.start_time.ToMilliseconds() - first.end_time.ToMilliseconds()
    assert outcome(job)[:2] == ("failed", 2) and 1_900 <= wait < 20_000


# Time


def test_the_total_timeout_ends_an_attempt(pair):
    started = time.monotonic()
    job = pair.run_job(exec_job(["sleep", "60"], total_timeout=1.5, timeout=30, kill_grace=0, **QUICK))
    assert 1.4 < time.monotonic() - started < 15
    assert outcome(job) == ("failed", 1, "the total timeout of 1.5s is over")
    assert end_reason_name(job.runs[0].attempts[0].end_reason) == "timeout"


def test_the_total_timeout_ends_retries(pair):
    job = pair.run_job(shell_job("exit 1", max_retries=100, backoff=[0.5], total_timeout=2))
    run = job.runs[0]
    assert status_name(job.status) == "failed" and 2 <= len(run.attempts) <= 5, run
    # Before the next attempt, or, on a slow machine, while it waited for one.
    assert run.message.endswith("the total timeout of 2s is over")
    assert run.finished_at.ToMilliseconds() - run.created_at.ToMilliseconds() < 2_000 + 1_000


def test_the_total_timeout_ends_waiting(pair):
    client = pair.client()
    nowhere = [constraint("name", "=", "nobody")]
    job_id = client.submit(exec_job(["true"], constraints=nowhere, total_timeout=1)).job_id
    job = pair.wait_job(job_id, 10)
    assert outcome(job) == ("failed", 0, "the total timeout of 1s is over")
    assert job.runs[0].finished_at.ToMilliseconds() - job.runs[0].created_at.ToMilliseconds() >= 1_000
    # One that waits for its retry when the job is given a time that is over already.
    spec = shell_job("exit 1", max_retries=2, backoff=[60])
    job_id = client.submit(spec).job_id
    wait_until(lambda: client.run(job_id).retry_count == 1, 10, "it waits for its retry")
    spec.total_timeout.FromSeconds(1)
    client.update(job_id, spec)
    assert outcome(pair.wait_job(job_id, 10))[2] == "the total timeout of 1s is over"


# Running a run again


def failed_job(pair: Cluster, **options) -> Job:
    # It fails until a file is there.
    return pair.run_job(shell_job('[ -e "$ROTA_PARAM_GO" ]', params={"go": str(pair.folder / "never")}, **options))


def wait_run(pair: Cluster, job_id: str, run_id: str) -> Run:
    def ended() -> Run | None:
        run = pair.client().run(job_id, run_id)
        return run if run.HasField("finished_at") else None

    return wait_until(ended, 20, f"run {job_id}/{run_id} has ended")


def test_a_failed_run_is_run_again(pair):
    client = pair.client()
    job = failed_job(pair)
    old = client.run(job.job_id, job.runs[0].run_id)
    again = client.retry(job.job_id)
    assert again.run_id == f"{old.run_id}-r001" and again.retry_of == old.run_id
    assert again.trigger == RunTrigger.RUN_TRIGGER_RETRY and again.scheduled_time == old.scheduled_time
    assert again.fence == old.fence == 1
    ended = wait_run(pair, job.job_id, again.run_id)
    assert run_state_name(ended.state) == "failed" and ended.fence == 2 and ended.attempts[0].attempt == 1
    # The old one is as it was; the job goes by its last run.
    assert client.run(job.job_id, old.run_id) == old
    assert [run.run_id for run in client.job(job.job_id).runs] == [again.run_id, old.run_id]
    # By now the newest that failed is the second: a third, which succeeds.
    spec = client.job(job.job_id).spec
    spec.params["go"] = "/"
    client.update(job.job_id, spec)
    third = client.retry(job.job_id)
    assert third.run_id == f"{old.run_id}-r002" and third.retry_of == again.run_id
    assert run_state_name(wait_run(pair, job.job_id, third.run_id).state) == "completed"
    assert status_name(client.job(job.job_id).status) == "completed"
    # What has succeeded is run again only when it is named.
    with pytest.raises(RotaError) as refused:
        client.retry(client.submit(exec_job(["true"])).job_id)
    assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION
    named = client.retry(job.job_id, third.run_id)
    assert run_state_name(wait_run(pair, job.job_id, named.run_id).state) == "completed"


def test_one_key_makes_one_run(pair):
    job = failed_job(pair)
    path = f"/jobs/{job.job_id}/runs/{job.runs[0].run_id}/retry"
    key = {"Idempotency-Key": f"again-{job.job_id}"}
    first, second = (server.rest.post(path, {}, key) for server in pair.servers)
    assert first.status == second.status == 201
    assert first.json()["run_id"] == second.json()["run_id"]
    assert first.json()["trigger"] == "retry" and first.json()["retry_of"] == job.runs[0].run_id
    wait_run(pair, job.job_id, first.json()["run_id"])
    assert len(pair.client().job(job.job_id).runs) == 2
    # The same key for another request, a trigger too, is refused; without one there is another run.
    assert pair.rest.post(f"/jobs/{job.job_id}/retry", {}, key).status == 409
    assert pair.rest.post(f"/v1/jobs/{job.job_id}/trigger", {}, key).status == 409
    other = pair.rest.post(f"/v1/jobs/{job.job_id}/retry", None)
    assert other.status == 201 and other.json()["run_id"].endswith("-r002")


def test_the_command_line_runs_again(pair):
    job = failed_job(pair)
    done = pair.rota("retry", job.job_id)
    assert done.returncode == 0 and done.stdout.strip() == f"{job.job_id}/{job.runs[0].run_id}-r001", done.stderr
    wait_run(pair, *done.stdout.strip().split("/"))
    waited = pair.rota("retry", f"{job.job_id}/{job.runs[0].run_id}", "--wait")
    assert waited.returncode == 1 and "failed" in waited.stderr
    shown = pair.rota("run", done.stdout.strip())
    assert f"retry of {job.runs[0].run_id}" in shown.stdout and "rota retry" in shown.stdout


def test_what_cannot_be_run_again(pair):
    client = pair.client()

    def refusal(job_id: str, run_id: str = "") -> tuple[grpc.StatusCode, str]:
        with pytest.raises(RotaError) as refused:
            client.retry(job_id, run_id)
        return refused.value.code, refused.value.message

    assert refusal("no-such-job")[0] == grpc.StatusCode.NOT_FOUND
    job_id = client.submit(exec_job(["sleep", "60"], overlap=overlap("forbid"))).job_id
    run_id = wait_until(lambda: client.job(job_id).runs[0].run_id, 10, "it has a run")
    code, message = refusal(job_id, run_id)
    assert code == grpc.StatusCode.FAILED_PRECONDITION and "has not ended" in message
    assert refusal(job_id, "nothing") == (grpc.StatusCode.NOT_FOUND, f"job '{job_id}' has no run 'nothing'")
    client.cancel(job_id)
    pair.wait_job(job_id, 10)
    code, message = refusal(job_id, run_id)
    assert code == grpc.StatusCode.FAILED_PRECONDITION and "cancelled" in message
    assert pair.rest.post(f"/jobs/{job_id}/runs/{run_id}/retry", {}).status == 409


def test_the_overlap_policy_holds_for_what_is_run_again(pair):
    client = pair.client()
    job = failed_job(pair, overlap=overlap("forbid"))
    spec = exec_job(["sleep", "3"], overlap=overlap("forbid"))
    client.update(job.job_id, spec)
    again = client.retry(job.job_id)
    with pytest.raises(RotaError) as refused:
        client.retry(job.job_id, job.runs[0].run_id)
    assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION and again.run_id in refused.value.message
    assert run_state_name(wait_run(pair, job.job_id, again.run_id).state) == "completed"


# Flags


def test_flags_say_the_same_as_json(pair):
    flags = ["--max-retries", "3", "--retry-on", "75,100-119,timeout", "--no-retry-on", "101", "--total-timeout", "2h"]
    done = pair.rota("submit", "-o", "json", *flags, "--on-agent-loss", "wait=10m", "--", "true")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["retry_on"] == {"exit_codes": ["75", "100-119"], "reasons": ["timeout"]}
    assert job["no_retry_on"] == {"exit_codes": ["101"]} and job["total_timeout"] == "2h"
    assert job["on_agent_loss"] == "wait" and job["agent_loss_wait"] == "10m"
    assert pair.rest.get(f"/jobs/{job['job_id']}").json()["retry_on"] == job["retry_on"]
    shown = pair.rota("job", job["job_id"]).stdout
    assert "only after exit code 75 or exit code 100-119 or timeout, never after exit code 101" in shown
    assert "wait 10m" in shown and "2h" in shown
    done = pair.rota("submit", "-o", "json", "--retry-on", "429,5xx", "--http", "http://127.0.0.1:1/")
    assert json.loads(done.stdout)["retry_on"] == {"http_statuses": ["429", "5xx"]}
    done = pair.rota("submit", "-o", "json", "--max-retries", "9", "--backoff", "10s..10m", "--", "true")
    waits = json.loads(done.stdout)["backoff"]
    assert (waits["initial"], waits["multiplier"], waits["max"]) == ("10s", 2, "10m")
    # What is not given stays; words take away.
    flags = ["--on-agent-loss", "wait", "--retry-on", "any", "--no-retry-on", "none"]
    assert pair.rota("update", job["job_id"], *flags).returncode == 0
    changed = pair.rest.get(f"/jobs/{job['job_id']}").json()
    assert "retry_on" not in changed and "no_retry_on" not in changed and "agent_loss_wait" not in changed
    assert changed["on_agent_loss"] == "wait" and changed["max_retries"] == 3
    for flag, value in (
        ("--retry-on", "soon"), ("--retry-on", "1,,2"), ("--on-agent-loss", "fail=1m"), ("--backoff", "10s.."),
    ):
        done = pair.rota("submit", flag, value, "--", "true")
        assert done.returncode == 2 and flag in done.stderr, done.stderr
    done = pair.rota("submit", "--retry-on", "256", "--", "true")
    assert done.returncode == 1 and "retry_on.exit_codes[0]: numbers from 1 to 255" in done.stderr


# Lost agents


@pytest.fixture(scope="module")
def fleet() -> Iterator[Cluster]:
    with Cluster(servers=1, agents=3, slots=8, agent_flags=["--drain-timeout", "1s"]) as cluster:
        yield cluster


def on(agent: str, spec: JobSpec) -> JobSpec:
    """Only that agent may take it."""
    spec.constraints.add(label="name", operator=3, values=[agent])
    return spec


def begun(fleet: Cluster, spec: JobSpec, agent: str) -> str:
    """A job that has begun on an agent, and that any other may take from then on."""
    client = fleet.client()
    job_id = client.submit(on(agent, spec)).job_id
    wait_until(lambda: run_state_name(client.run(job_id).state) == "running", 15, f"it runs on {agent}")
    free = client.job(job_id).spec
    free.ClearField("constraints")
    client.update(job_id, free)
    return job_id


def test_a_run_waits_for_its_agent(fleet):
    client = fleet.client()
    # The second attempt ends at once.
    spec = shell_job('[ "$ROTA_ATTEMPT" = 2 ] || sleep 60', on_agent_loss="wait", agent_loss_wait=60)
    job_id = begun(fleet, spec, "a1")
    fleet.agents["a1"].kill()
    wait_until(lambda: client.run(job_id).waits_for_worker == "a1", LEASE_TTL_SECONDS + 5, "it waits for a1")
    run = client.run(job_id)
    assert run_state_name(run.state) == "queued" and run.HasField("waits_until")
    assert "on_agent_loss: wait (1m)" in run.message and "for agent 'a1' until" in run.message
    assert "which is not there" in run.message and run.retry_count == 0
    assert "agent 'a1' takes it, from 20" in fleet.rota("run", job_id).stdout
    record = fleet.rest.get(f"/jobs/{job_id}/runs/{run.run_id}").json()
    assert record["waits_for_worker"] == "a1" and record["waits_until"]
    time.sleep(1)
    assert len(client.run(job_id).attempts) == 1, "two other agents have nothing to do, and do not get it"
    fleet.start()
    job = fleet.wait_job(job_id, 20)
    assert [(a.worker_id, end_reason_name(a.end_reason)) for a in job.runs[0].attempts] == [
        ("a1", "agent_lost"),
        ("a1", "exited"),
    ]
    assert status_name(job.status) == "completed" and not job.runs[0].waits_for_worker


def test_a_run_does_not_wait_for_ever(fleet):
    spec = shell_job('[ "$ROTA_ATTEMPT" = 2 ] || sleep 60', on_agent_loss="wait", agent_loss_wait=2)
    job_id = begun(fleet, spec, "a2")
    fleet.agents["a2"].kill()
    job = fleet.wait_job(job_id, LEASE_TTL_SECONDS + 15)
    first, second = job.runs[0].attempts
    assert status_name(job.status) == "completed" and second.worker_id in ("a1", "a3")
    assert second.assigned_at.ToMilliseconds() - first.end_time.ToMilliseconds() >= 2_000
    fleet.start()


def test_at_most_once_is_never_run_again_after_a_loss(fleet):
    witness = fleet.folder / "at-most-once"
    spec = shell_job(f"echo once >> {witness}; sleep 60", on_agent_loss="fail", max_retries=3, backoff=[0.1])
    job_id = begun(fleet, spec, "a3")
    fleet.agents["a3"].kill()
    job = fleet.wait_job(job_id, LEASE_TTL_SECONDS + 10)
    status, attempts, message = outcome(job)
    assert (status, attempts) == ("failed", 1) and "on_agent_loss: fail" in message
    time.sleep(1)
    assert witness.read_text() == "once\n"
    fleet.start()


@pytest.mark.parametrize(("options", "attempts"), [({"max_retries": 1}, 2), ({}, 1)])
def test_what_an_agent_confirms_to_be_dead_may_be_retried(fleet, options, attempts):
    """The agent stops the task, sees it dead and says so: then another attempt cannot overlap it."""
    spec = shell_job('[ "$ROTA_ATTEMPT" = 2 ] || sleep 60', on_agent_loss="fail", kill_grace=0, backoff=[0.1], **options)
    job_id = begun(fleet, spec, "a2")
    fleet.agents["a2"].send(signal.SIGTERM)
    assert fleet.agents["a2"].wait(20) == 0
    job = fleet.wait_job(job_id, 15)
    assert len(job.runs[0].attempts) == attempts
    assert end_reason_name(job.runs[0].attempts[0].end_reason) == "agent_stopped"
    assert status_name(job.status) == ("completed" if attempts == 2 else "failed")
    assert job.runs[0].retry_count == attempts - 1, "it costs a retry"
    fleet.start()
