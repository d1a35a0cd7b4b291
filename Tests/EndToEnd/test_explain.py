"""Why a job or a run waits: each cause is built, and the explanation names it and nothing that is not true."""
from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone

import grpc
import pytest

from cluster import Cluster, Server
from processes import wait_until
from rota_client import Client, RotaError, calendar, constraint, messages, noop_job, schedule, shell_job

KINDS = {"blocks": 1, "waits": 2, "tells": 3}


@pytest.fixture(scope="module")
def fleet():
    """Two servers; a1 has one slot, a2 is drained by the tests that need it."""
    with Cluster(servers=2, agents=2, slots=1) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def leave_nothing(request):
    """What a test has started ends with it, so that the agents are free for the next."""
    yield
    if "fleet" in request.fixturenames:
        fleet = request.getfixturevalue("fleet")
        for job in fleet.client().jobs(page_size=1000):
            if job.status in (messages.JobStatus.JOB_STATUS_PENDING, messages.JobStatus.JOB_STATUS_RUNNING):
                fleet.client().cancel(job.job_id)
        for agent in ("a1", "a2"):
            fleet.client().undrain_agent(agent)
        wait_until(lambda: all_idle(fleet), 20, "nothing runs any more")


def all_idle(fleet: Cluster) -> bool:
    states = [messages.RunState.RUN_STATE_ASSIGNED, messages.RunState.RUN_STATE_RUNNING]
    return not any(run for state in states for run in fleet.client().runs(state=state))


def codes(explanation: messages.Explanation) -> list[str]:
    return [finding.code for finding in explanation.findings]


def only(explanation: messages.Explanation, code: str) -> messages.Finding:
    """The one finding, which is of that code."""
    assert codes(explanation) == [code], explanation
    return explanation.findings[0]


def settled(client: Client, job_id: str, code: str, run_id: str = "") -> messages.Finding:
    """The one finding, once what was true before it has passed."""
    wait_until(lambda: codes(client.explain(job_id, run_id)) == [code], 15, f"{job_id} is explained by {code}")
    return only(client.explain(job_id, run_id), code)


def follower_of(cluster: Cluster) -> Server:
    leader = cluster.leader()
    return next(server for server in cluster.servers if server is not leader)


def on(agent: str) -> list[messages.Constraint]:
    return [constraint("name", "=", agent)]


def running(fleet: Cluster, agent: str, **more) -> str:
    """A job whose run an agent runs."""
    job = fleet.client().submit(shell_job("sleep 120", constraints=on(agent), **more)).job_id
    wait_until(lambda: fleet.client().job(job).status == messages.JobStatus.JOB_STATUS_RUNNING, 20, f"{job} runs")
    return job


# Jobs


def test_a_job_that_is_due_later(fleet):
    client = fleet.client()
    due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=2)
    job = client.submit(noop_job(execution_time=due)).job_id
    finding = only(client.explain(job), "not_due")
    assert finding.facts["next_run_time"] == due.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert finding.kind == KINDS["waits"] and finding.until.ToDatetime(timezone.utc) == due
    assert finding.fix == f"to run it now: rota trigger {job}"
    client.pause(job, note="month end")
    finding = only(client.explain(job), "paused")
    assert finding.kind == KINDS["blocks"] and finding.facts["note"] == "month end"
    assert "month end" in finding.message and finding.fix == f"rota resume {job}"
    client.resume(job)
    client.cancel(job, reason="enough")
    assert only(client.explain(job), "cancelled").facts["reason"] == "enough"


def test_what_a_calendar_excludes(fleet):
    client = fleet.client()
    name = f"c-{uuid.uuid4().hex[:12]}"
    tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)
    client.put_calendar(name, calendar(days=[f"{tomorrow:%Y-%m-%d}"]))
    job = client.submit(noop_job(schedules=[schedule(cron="30 23 * * *", calendars=[name])])).job_id
    explanation = client.explain(job)
    # Shortly before midnight, or on the day itself, the excluded one is not the next.
    if explanation.findings[-1].facts["next_run_time"][:10] > f"{tomorrow:%Y-%m-%d}":
        assert codes(explanation) == ["excluded_by_calendar", "not_due"]
        assert explanation.findings[0].facts["calendar"] == name
    else:
        assert codes(explanation) == ["not_due"]


def test_a_job_that_has_ended(fleet):
    job = fleet.run_job(shell_job("exit 4"))
    finding = only(fleet.client().explain(job.job_id), "ended")
    assert finding.facts["exit_code"] == "4" and finding.facts["state"] == "failed"
    assert finding.fix.endswith(f"rota retry {job.job_id}/{job.runs[0].run_id}")


# Runs


def test_constraints_that_nobody_meets(fleet):
    client = fleet.client()
    job = client.submit(noop_job(constraints=[constraint("gpu", "exists"), *on("a1")])).job_id
    finding = settled(client, job, "no_matching_agent")
    assert finding.kind == KINDS["blocks"]
    assert dict(finding.facts) == {
        "agents": "2", "agents_matching": "0", "excluded_by: exists gpu": "2", "excluded_by: name=a1": "1",
    }
    assert "1 agent would do" in finding.fix and "exists gpu" in finding.fix


def test_agents_that_are_full_or_drained(fleet):
    client = fleet.client()
    running(fleet, "a1")
    waiting = client.submit(noop_job(constraints=on("a1"))).job_id
    finding = settled(client, waiting, "agents_busy")
    assert finding.facts["slots"] == "1" and finding.facts["worker_ids"] == "a1"
    assert finding.facts["agents"] == "2" and finding.facts["agents_matching"] == "1"
    client.drain_agent("a2", note="new disk")
    either = client.submit(noop_job()).job_id
    wait_until(
        lambda: codes(client.explain(either)) == ["agents_draining", "agents_busy"], 15, "both reasons are named"
    )
    drained = client.explain(either).findings[0]
    assert "a2: new disk" in drained.message and drained.fix == "rota agents undrain a2"


def test_runs_that_may_not_be_beside_each_other(fleet):
    client = fleet.client()
    queue = messages.Overlap(policy=messages.OverlapAction.OVERLAP_ACTION_QUEUE, limit=5)
    job = running(fleet, "a1", overlap=queue)
    first = client.run(job).run_id
    second = client.trigger(job).run_id
    # The agent has one slot, and the first run has it: that is as true.
    wait_until(lambda: "serial_overlap" in codes(client.explain(job, second)), 15, "the overlap is named")
    finding = next(f for f in client.explain(job, second).findings if f.code == "serial_overlap")
    assert finding.facts["run_id"] == first and finding.facts["worker_id"] == "a1"
    whole = client.explain(job)
    assert whole.unended_runs == 2 and "running" in codes(whole)
    assert {f.run_id for f in whole.findings} == {first, second}


def test_a_retry_that_waits(fleet):
    client = fleet.client()
    job = client.submit(shell_job("exit 3", max_retries=2, backoff=[600])).job_id
    finding = settled(client, job, "backoff")
    assert finding.facts["exit_code"] == "3" and finding.facts["retry_count"] == "1"
    assert finding.until.ToDatetime(timezone.utc) > datetime.now(timezone.utc) + timedelta(minutes=5)


def test_what_runs_and_what_is_stopped(fleet):
    client = fleet.client()
    job = running(fleet, "a1", timeout=600)
    finding = only(client.explain(job), "running")
    assert finding.kind == KINDS["tells"] and finding.facts["worker_id"] == "a1" and finding.HasField("until")


# Everywhere


def test_every_server_and_every_way_says_the_same(fleet):
    job = fleet.client().submit(noop_job(constraints=[constraint("gpu", "exists")])).job_id
    settled(fleet.client(), job, "no_matching_agent")
    run = fleet.client().run(job).run_id
    leader = fleet.leader().name
    for server in fleet.servers:
        for run_id in ("", run):
            told = fleet.client(server).explain(job, run_id)
            assert told.by_leader and told.server_id == leader and told.unended_runs == 1
            path = f"/v1/jobs/{job}/runs/{run_id}/explain" if run_id else f"/v1/jobs/{job}/explain"
            rest = server.rest.get(path).json()
            assert [f["code"] for f in rest["findings"]] == codes(told) == ["no_matching_agent"]
            assert rest["findings"][0]["facts"] == dict(told.findings[0].facts)
            assert rest["findings"][0]["fix"] == told.findings[0].fix and rest["by_leader"]
            name = f"{job}/{run_id}" if run_id else job
            shown = fleet.rota("explain", name, server=server)
            assert shown.returncode == 0 and told.findings[0].message in shown.stdout, shown.stderr
            assert "blocks  no_matching_agent" in shown.stdout
            as_json = json.loads(fleet.rota("explain", name, "-o", "json", server=server).stdout)
            assert as_json["findings"] == rest["findings"]


def test_what_is_not_there(fleet):
    job = fleet.client().submit(noop_job()).job_id
    for server in fleet.servers:
        for arguments in [("nothing",), (job, "nothing")]:
            with pytest.raises(RotaError) as refused:
                fleet.client(server).explain(*arguments)
            assert refused.value.code == grpc.StatusCode.NOT_FOUND and "nothing" in refused.value.message
        assert server.rest.get("/v1/jobs/nothing/explain").status == 404
        assert server.rest.get(f"/v1/jobs/{job}/explain", since="x").status == 400
    assert fleet.rota("explain", "nothing").returncode == 1


# Loss


def test_while_the_leader_changes_and_agents_are_lost():
    with Cluster(servers=2, agents=2, slots=4) as cluster:
        survivor = follower_of(cluster)
        client = cluster.client(survivor)
        waits = client.submit(shell_job("sleep 300", on_agent_loss="wait"))
        wait_until(lambda: client.job(waits.job_id).status == messages.JobStatus.JOB_STATUS_RUNNING, 20, "it runs")
        agent = client.run(waits.job_id).attempts[-1].worker_id
        stuck = client.submit(noop_job(constraints=[constraint("gpu", "exists")])).job_id
        settled(client, stuck, "no_matching_agent")
        cluster.leader().kill()
        seen: list[list[str]] = []

        def answers() -> bool:
            told = client.explain(stuck)
            seen.append(codes(told))
            return told.by_leader and told.server_id == survivor.name

        wait_until(answers, 30, "the other server leads and explains", every=0.05)
        # Until then it has said that it cannot ask the leader, then that there is none.
        allowed = [["leader_unreachable"], ["no_leader"], [], ["no_matching_agent"], ["agents_disconnected"]]
        assert all(told in allowed for told in seen), seen
        assert ["leader_unreachable"] in seen
        settled(client, stuck, "no_matching_agent")
        cluster.agents[agent].kill()
        finding = wait_until(
            lambda: next((f for f in client.explain(waits.job_id).findings if f.code == "awaiting_agent"), None),
            30,
            "the run waits for its agent",
        )
        assert codes(client.explain(waits.job_id)) == ["awaiting_agent"], "the other agent is free and may not have it"
        assert finding.facts["worker_id"] == agent and finding.facts["agent_present"] == "false"
        for other in cluster.agents.values():
            other.kill()
        wait_until(lambda: codes(client.explain(stuck)) == ["no_agents"], 30, "no agent is left")
        assert cluster.rota("explain", stuck, server=survivor).stdout.count("no_agents") == 1
