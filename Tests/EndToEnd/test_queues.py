"""Queues: what they are set to over every surface, and that they hold back what they have to."""
from __future__ import annotations

import json
import time
import uuid

import grpc
import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import RotaError, messages, noop_job, shell_job


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:10]}"


def queue_of(cluster: Cluster, name: str, server=None) -> messages.Queue:
    return cluster.client(server).queue(name)


def submit(cluster: Cluster, queue: str, count: int, script: str = "", **options) -> list[str]:
    make = (lambda: shell_job(script, queue=queue, **options)) if script else (lambda: noop_job(queue=queue, **options))
    return cluster.submit_all([make() for _ in range(count)])


def states(cluster: Cluster, jobs: list[str]) -> list[str]:
    return [cluster.rest.get(f"/jobs/{job}").json()["status"] for job in jobs]


# What they are set to


def test_a_queue_over_rest(pair: Cluster):
    name = unique("rest")
    spec = {
        "description": "reports",
        "weight": 300,
        "priority": 70,
        "max_running": 4,
        "dispatch_rate": 2.5,
        "dispatch_burst": 10,
        "agents": ["pool=batch", "exists gpu"],
        "fairness_weights": {"team-a": 300},
    }
    made = pair.rest.request("PUT", f"/queues/{name}", spec)
    assert made.status == 201, made.text
    etag = made.json()["etag"]
    assert made.json()["generation"] == 1 and made.json()["max_running"] == 4
    assert made.json()["agents"][0] == {"label": "pool", "operator": "=", "values": ["batch"]}
    same = pair.rest.request("PUT", f"/queues/{name}", spec)
    assert same.status == 200 and same.json()["etag"] == etag
    stale = pair.rest.request("PUT", f"/queues/{name}", {"weight": 5}, {"If-Match": '"7-7"'})
    assert stale.status == 412, stale.text
    changed = pair.rest.request("PUT", f"/queues/{name}", {"weight": 5}, {"If-Match": f'"{etag}"'})
    assert changed.status == 200 and changed.json()["generation"] == 2 and "max_running" not in changed.json()
    paused = pair.rest.post(f"/queues/{name}/pause", {"note": "stock-taking"})
    assert paused.status == 200 and paused.json()["pause_note"] == "stock-taking"
    assert pair.rest.get(f"/queues/{name}").json()["figures"]["blocked"] == "paused"
    assert pair.rest.post(f"/queues/{name}/resume", {}).json().get("paused_at") is None
    assert name in [queue["name"] for queue in pair.rest.get("/queues").json()["queues"]]
    assert pair.rest.delete(f"/queues/{name}").status == 204
    again = pair.rest.get(f"/queues/{name}").json()
    assert again["generation"] == 0 and again["weight"] == 100 and again["priority"] == 50
    assert pair.rest.delete(f"/queues/{name}").status == 404


@pytest.mark.parametrize(
    "spec, field",
    [
        ({"weight": 0}, "weight"),
        ({"priority": 101}, "priority"),
        ({"max_running": 0}, "max_running"),
        ({"dispatch_rate": 0}, "dispatch_rate"),
        ({"dispatch_burst": 3}, "dispatch_burst"),
        ({"agents": ["="]}, "agents[0]"),
        ({"fairness_weights": {"Not a name": 3}}, "fairness_weights.Not a name"),
        ({"fairness_weights": {"a": 1001}}, "fairness_weights.a"),
        ({"wait": 3}, "wait"),
    ],
)
def test_what_is_wrong_is_named(pair: Cluster, spec: dict, field: str):
    answer = pair.rest.request("PUT", f"/queues/{unique('bad')}", spec)
    assert answer.status == 400 and answer.json()["error"]["field"].startswith(field), answer.text


def test_a_job_names_a_queue(pair: Cluster):
    answer = pair.rest.post("/jobs", {"noop": True, "queue": "Not a name"})
    assert answer.status == 400 and answer.json()["error"]["field"] == "queue"
    job = pair.submit({"noop": True, "queue": "some-queue"})
    assert pair.rest.get(f"/jobs/{job}").json()["queue"] == "some-queue"
    assert pair.wait_job(job).spec.queue == "some-queue"
    plain = pair.submit({"noop": True})
    assert "queue" not in pair.rest.get(f"/jobs/{plain}").json()


def test_a_queue_over_grpc(pair: Cluster):
    name = unique("grpc")
    for server in pair.servers:
        client = pair.client(server)
        spec = messages.QueueSpec(max_running=2, fairness_weights={"a": 7})
        made = client.put_queue(name, spec, idempotency_key="once")
        assert made.spec.fairness_weights["a"] == 7 and made.generation == 1
        with pytest.raises(RotaError) as refused:
            client.put_queue(name, messages.QueueSpec(weight=2000))
        assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
        assert "spec.weight" in str(refused.value)
        assert client.queue(name).HasField("figures")


def test_queues_on_the_command_line(pair: Cluster):
    name = unique("cli")
    put = pair.rota("queues", "put", name, "--max-running", "3", "--dispatch-rate", "5", "--share", "team-a=300")
    assert put.returncode == 0, put.stderr
    shown = pair.rota("queues", "show", name)
    assert "Max running:" in shown.stdout and "5/s, 5 at once" in shown.stdout and "team-a=300" in shown.stdout
    assert pair.rota("queues", "pause", name, "--note", "why").returncode == 0
    listed = pair.rota("queues", "list").stdout
    line = next(line for line in listed.splitlines() if line.startswith(name))
    assert "paused" in line
    assert pair.rota("queues", "resume", name).returncode == 0
    one = json.loads(pair.rota("queues", "show", name, "-o", "json").stdout)
    assert one["max_running"] == 3 and one["figures"]["waiting"] == 0
    job = pair.rota("submit", "--queue", name, "--noop").stdout.strip()
    assert pair.wait_job(job).spec.queue == name
    assert pair.rota("queues", "delete", name).returncode == 0


# That they hold back


@pytest.fixture(scope="module")
def trio():
    """Three servers and two agents, one of which has a label."""
    with Cluster(servers=3, agents=2, slots=16, agent_flags=["--label", "pool=batch"]) as cluster:
        yield cluster


def overlap(jobs: list[messages.Job]) -> int:
    """How many runs had an agent at once, at most, by their records."""
    edges = []
    for job in jobs:
        for attempt in job.runs[0].attempts:
            edges.append((attempt.assigned_at.ToNanoseconds(), 1))
            edges.append((attempt.end_time.ToNanoseconds(), -1))
    running = most = 0
    for _, change in sorted(edges):
        running += change
        most = max(most, running)
    return most


def explained(cluster: Cluster, job: str, code: str) -> messages.Finding:
    """The one reason why a job's run waits, which is of that code."""
    client = cluster.client(cluster.servers[-1])
    wait_until(lambda: [found.code for found in client.explain(job).findings] == [code], 10, f"{code} explains {job}")
    return client.explain(job).findings[0]


def test_a_paused_queue_holds_its_runs_and_no_others(trio: Cluster):
    name, client = unique("paused"), trio.client(trio.servers[1])
    client.pause_queue(name, note="the database is being moved")
    held, free = submit(trio, name, 3), submit(trio, "default", 3)
    trio.wait_jobs(free, 20)
    figures = queue_of(trio, name).figures
    assert (figures.waiting, figures.running, figures.blocked) == (3, 0, "paused")
    assert states(trio, held) == ["pending"] * 3
    waiting = trio.leader().rest.get(f"/jobs/{held[0]}").json()["runs"][0]["message"]
    assert f"queue '{name}' is paused: the database is being moved" in waiting
    assert explained(trio, held[0], "queue_paused").facts["note"] == "the database is being moved"
    client.resume_queue(name)
    trio.wait_jobs(held, 20)
    assert queue_of(trio, name).figures.dispatched == 3


def test_no_more_runs_than_may(trio: Cluster):
    name = unique("narrow")
    trio.client().put_queue(name, messages.QueueSpec(max_running=3))
    jobs = submit(trio, name, 12, "sleep 0.8")
    wait_until(lambda: queue_of(trio, name).figures.running == 3, 10, "three runs have agents")
    pending = [job for job, state in zip(jobs, states(trio, jobs)) if state == "pending"]
    full = trio.client().explain(pending[-1]).findings[0]
    assert full.code == "queue_full" and full.facts["max_running"] == "3"
    assert any(f"default/{job}/" in full.facts["held_by"] for job in jobs)
    seen = 0
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and any(state == "pending" for state in states(trio, jobs)):
        seen = max(seen, queue_of(trio, name, trio.servers[2]).figures.running)
    assert overlap(trio.wait_jobs(jobs, 40)) <= 3
    assert 1 <= seen <= 3


def test_no_more_runs_than_may_through_a_leader_that_is_killed(trio: Cluster):
    name = unique("killed")
    trio.client().put_queue(name, messages.QueueSpec(max_running=2))
    jobs = submit(trio, name, 10, "sleep 0.5")
    leader = trio.leader()
    wait_until(lambda: queue_of(trio, name).figures.running == 2, 10, "two runs have agents")
    leader.kill()
    other = next(server for server in trio.servers if server is not leader)
    ended = trio.wait_jobs(jobs, 60, server=other)
    leader.start()
    leader.wait_ready()
    assert all(job.status == messages.JobStatus.JOB_STATUS_COMPLETED for job in ended)
    assert overlap(ended) <= 2


def test_a_rate_is_kept(trio: Cluster):
    name = unique("rate")
    trio.client().put_queue(name, messages.QueueSpec(dispatch_rate=2, dispatch_burst=1))
    started = time.monotonic()
    names = submit(trio, name, 9)
    limited = explained(trio, names[-1], "queue_rate_limited")
    assert limited.until.seconds > 0 and limited.facts["dispatch_rate"] == "2.0"
    jobs = trio.wait_jobs(names, 30)
    assert time.monotonic() - started >= 3.9
    times = sorted(job.runs[0].attempts[0].assigned_at.ToNanoseconds() for job in jobs)
    # A leader that has just come to be may have given out one in between.
    assert (times[-1] - times[0]) / 1e9 >= 3.4


def test_only_agents_that_serve_a_queue_get_its_runs(trio: Cluster):
    name, client = unique("pool"), trio.client()
    other = messages.Constraint(
        label="pool", operator=messages.ConstraintOperator.CONSTRAINT_OPERATOR_EQUAL, values=["other"]
    )
    batch = messages.Constraint(
        label="name", operator=messages.ConstraintOperator.CONSTRAINT_OPERATOR_EQUAL, values=["a2"]
    )
    client.put_queue(name, messages.QueueSpec(agents=[other]))
    jobs = submit(trio, name, 4)
    wait_until(lambda: queue_of(trio, name).figures.waiting == 4, 10, "all wait")
    assert explained(trio, jobs[0], "queue_agents").facts["queue_agents"] == "pool=other"
    # What waits goes by what the queue is set to now.
    client.put_queue(name, messages.QueueSpec(agents=[batch]))
    ended = trio.wait_jobs(jobs, 20)
    assert {job.runs[0].attempts[0].worker_id for job in ended} == {"a2"}


def test_figures_are_in_the_metrics(trio: Cluster):
    name = unique("metric")
    trio.client().pause_queue(name)
    submit(trio, name, 2)
    wanted = [f'rota_queue_waiting{{queue="{name}"}} 2', f'rota_queue_blocked{{queue="{name}"}} 1']
    wait_until(
        lambda: all(line in trio.leader().rest.get("/metrics").text for line in wanted), 10, "the metrics have the queue"
    )
    trio.client().resume_queue(name)
