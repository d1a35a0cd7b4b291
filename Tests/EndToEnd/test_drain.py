"""Agents that are taken out of service by an operator, and agents that are not well."""
from __future__ import annotations

import time

import pytest

from cluster import Cluster
from history import Recorder, check
from processes import wait_until
from rest import listed
from rota_client import RotaError, constraint, end_reason_name, messages, status_name

AGENTS = ("a1", "a2", "a3")


@pytest.fixture(scope="module")
def fleet():
    with Cluster(servers=2, agents=3, slots=20) as cluster:
        yield cluster


@pytest.fixture
def recorder(fleet, request):
    made = Recorder(fleet.folder, request.node.name)
    yield made
    made.finish()
    fleet.start()
    for name in AGENTS:
        fleet.client().undrain_agent(name)


def agent(fleet: Cluster, name: str) -> messages.Agent:
    return next(a for a in fleet.client().agents() if a.worker_id == name)


def owner_of(fleet: Cluster, job_id: str) -> str:
    run = fleet.client().run(job_id)
    return run.attempts[-1].worker_id if run.attempts else ""


def test_no_new_work_and_what_runs_may_finish(fleet, recorder):
    client = fleet.client()
    running = fleet.submit_all([recorder.spec(constraints=[constraint("name", "=", "a1")])] * 3)
    wait_until(lambda: len(recorder.executions()) == 3, 20, "three tasks run on a1")
    drained = client.drain_agent("a1", note="new disk")
    assert drained.draining and drained.drain.note == "new disk" and not drained.drain.HasField("deadline")
    waiting = client.submit(recorder.spec(constraints=[constraint("name", "=", "a1")])).job_id
    elsewhere = fleet.submit_all([recorder.spec()] * 20)

    def says_why() -> bool:
        return "1 draining" in fleet.client(fleet.leader()).run(waiting).message

    wait_until(says_why, 10, "the waiting run says that the agent is drained")
    wait_until(lambda: len(recorder.executions()) == 23, 20, "the others run elsewhere")
    assert {owner_of(fleet, job) for job in elsewhere} == {"a2", "a3"}
    listing = fleet.rota("agents").stdout
    row = next(line for line in listing.splitlines() if line.startswith("a1 "))
    assert "draining" in row and "new disk" in row
    assert fleet.rest.get("/cluster").json()["term"]["drained_agents"] == 1
    recorder.finish()
    ended = fleet.wait_jobs([*running, *elsewhere], 30)
    assert {status_name(job.status) for job in ended} == {"completed"}
    assert {owner_of(fleet, job) for job in running} == {"a1"}
    assert client.undrain_agent("a1") and not client.undrain_agent("a1")
    assert status_name(fleet.wait_job(waiting, 20).status) == "completed"
    check(recorder)


@pytest.mark.parametrize("leader_changes", [False, True], ids=["one leader", "the leader is killed before the deadline"])
def test_at_the_deadline_the_work_is_handed_over(fleet, recorder, leader_changes):
    job = fleet.client().submit(recorder.spec(constraints=[constraint("name", "in", "a1", "a2")])).job_id
    wait_until(lambda: recorder.executions(), 20, "the task runs")
    first = recorder.executions()[0].agent
    asked = time.monotonic()
    length = 9.0 if leader_changes else 3.0
    fleet.client().drain_agent(first, timeout=length)
    if leader_changes:
        leader = fleet.leader()
        leader.kill()
        survivor = next(server for server in fleet.servers if server is not leader)
        wait_until(lambda: fleet.leader() is survivor, 15, "the other server leads")
    server = next(server for server in fleet.servers if server.running)
    wait_until(lambda: len(recorder.executions()) == 2, 40, "the task runs elsewhere")
    took = time.monotonic() - asked
    assert took >= length - 0.5, "not before the deadline"
    second = recorder.executions()[1]
    assert second.agent != first and second.attempt == 2
    run = fleet.client(server).run(job)
    assert end_reason_name(run.attempts[0].end_reason) == "agent_stopped"
    assert "deadline has passed" in run.attempts[0].error
    recorder.finish()
    done = fleet.wait_job(job, 20, server)
    assert status_name(done.status) == "completed" and done.runs[0].retry_count == 0
    check(recorder)
    fleet.start()


def test_an_agent_that_comes_back_stays_drained(fleet, recorder):
    fleet.client().drain_agent("a2", timeout=600)
    fleet.agents["a2"].kill()
    fleet.agents["a2"].start()
    fleet.wait_connected()
    job = fleet.client().submit(recorder.spec(constraints=[constraint("name", "=", "a2")])).job_id
    time.sleep(2)
    assert not recorder.executions() and agent(fleet, "a2").draining
    assert fleet.etcd.pairs("/rota/drains/").keys() == {"/rota/drains/a2"}
    fleet.agents["a2"].kill()
    done = fleet.rota("agents", "undrain", "a2")
    assert done.returncode == 0 and done.stdout.strip() == "a2 gets work again", done.stderr
    fleet.agents["a2"].start()
    recorder.finish()
    assert status_name(fleet.wait_job(job, 40).status) == "completed"


def test_rest_and_the_command_line(fleet, recorder):
    answer = fleet.rest.post("/agents/a3/drain", {"timeout": "10m", "note": "reboot"})
    assert answer.status == 200 and answer.json()["drain"]["note"] == "reboot"
    assert answer.json()["drain"]["deadline"] > answer.json()["drain"]["requested_at"]
    shown = next(a for a in listed(fleet.rest.get("/agents"), "agents") if a["worker_id"] == "a3")
    assert shown["draining"] is True and shown["drain"]["note"] == "reboot" and shown["health_state"] == "healthy"
    for body, field in [
        ({"timeout": "1m", "deadline": "2030-01-01T00:00:00Z"}, "timeout"),
        ({"note": "x" * 1025}, "note"),
        ({"minutes": 3}, "minutes"),
    ]:
        refused = fleet.rest.post("/agents/a3/drain", body)
        assert refused.status == 400 and refused.json()["error"]["field"] == field, refused.text
    assert fleet.rest.post("/agents/nobody/drain", {}).status == 404
    assert fleet.rest.post("/agents/a3/undrain", {}).json() == {"was_drained": True}
    assert fleet.rest.post("/agents/a3/undrain", {}).json() == {"was_drained": False}
    with pytest.raises(RotaError) as caught:
        fleet.client().drain_agent("nobody")
    assert "no agent 'nobody' holds a lease" in str(caught.value)
    done = fleet.rota("agents", "drain", "a3", "--timeout", "1h", "--note", "by hand")
    assert done.returncode == 0 and done.stdout.startswith("a3 is drained"), done.stderr
    failed = fleet.rota("agents", "drain", "nobody")
    assert failed.returncode == 1 and "holds a lease" in failed.stderr
