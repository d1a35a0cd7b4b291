"""Why a job or a run waits: each cause is built, and the explanation names it and nothing that is not true."""
from __future__ import annotations

import json
import re
import signal
import subprocess
import uuid
from datetime import datetime, timedelta, timezone

import grpc
import pytest

from cluster import CHECKOUT, Cluster, Server
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


# Documents


def test_the_document_has_every_code_with_its_kind():
    source = (CHECKOUT / "Sources/SchedulerCore/Explain/Finding.swift").read_text()
    cases, kinds = source.split("public enum FindingCode", 1)[1].split("public var kind: Finding.Kind", 1)
    codes_by_name = {
        name: raw or name for name, raw in re.findall(r"^  case (\w+)(?: = \"(\w+)\")?$", cases, flags=re.M)
    }
    rows = dict(re.findall(r"^\| `(\w+)` \| (blocks|waits|tells) \|", (CHECKOUT / "docs/EXPLAIN.md").read_text(), re.M))
    assert set(rows) == set(codes_by_name.values())
    for names, kind in re.findall(r"case ([^:]*):\s*\.(blocks|waits|tells)", kinds):
        for name in re.findall(r"\.(\w+)", names):
            assert rows[codes_by_name[name]] == kind, name


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


# Timelines


def revisions_in_etcd(fleet: Cluster, job_id: str, run_id: str, revisions: list[int]) -> list[int]:
    """The revisions at which etcd says that the run's key was written, as it was at each of these."""
    key = next(key for key in fleet.etcd.pairs("/rota/runs/") if key.endswith(f"/{job_id}/{run_id}"))
    found = []
    for revision in revisions:
        pairs = json.loads(fleet.etcd.ctl("get", key, f"--rev={revision}", "-w", "json"))
        found.append(pairs["kvs"][0]["mod_revision"])
    return found


def test_the_timeline_of_a_run(fleet):
    alice = Client(fleet.servers[0].grpc, user_id="alice")
    job = alice.submit(shell_job("[ $ROTA_ATTEMPT = 2 ]", max_retries=1, backoff=[0.5])).job_id
    fleet.wait_job(job)
    run = alice.run(job)
    kinds = [event.kind for event in run.timeline]
    assert [kind for kind in kinds if kind not in ("queued", "started")] == [
        "created", "assigned", "retried", "assigned", "ended",
    ]
    assert kinds.count("started") == 2 and "queued" in kinds[kinds.index("retried") :]
    assert run.timeline[0].actor == "user:alice"
    leader = f"server:{fleet.leader().name}"
    assigned = [event for event in run.timeline if event.kind == "assigned"]
    assert [event.actor for event in assigned] == [leader, leader]
    assert run.timeline[-1].actor == f"agent:{run.attempts[-1].worker_id}"
    revisions = [event.revision for event in run.timeline]
    assert revisions == sorted(revisions) and revisions[-1] == run.revision
    assert revisions_in_etcd(fleet, job, run.run_id, revisions) == revisions
    alice.close()
    for server in fleet.servers:
        told = server.rest.get(f"/v1/jobs/{job}/runs/{run.run_id}").json()["timeline"]
        assert [event["kind"] for event in told] == kinds
        assert [event["revision"] for event in told] == revisions
    for command in (["run", job], ["explain", job, "--timeline"]):
        shown = fleet.rota(*command).stdout
        assert "user:alice" in shown and "exit code 1" in shown and str(revisions[-1]) in shown
    as_json = json.loads(fleet.rota("explain", job, "--timeline", "-o", "json").stdout)
    assert [event["kind"] for event in as_json["timeline"]] == kinds
    listed = fleet.rest.get("/v1/runs", job_id=job).json()["runs"][0]
    assert "timeline" not in listed


def test_what_a_run_has_waited_for_is_in_its_timeline(fleet):
    client = fleet.client()
    before = running(fleet, "a1")
    job = client.submit(noop_job(constraints=on("a1"))).job_id

    def noted() -> messages.RunEvent | None:
        return next((event for event in client.run(job).timeline if event.kind == "blocked"), None)

    event = wait_until(noted, 25, "the reason is noted")
    assert event.code == "agents_busy" and "1 of 1 are taken" in event.message
    assert event.actor == f"server:{fleet.leader().name}" and event.revision == client.run(job).revision
    # It is still there once the reason has passed.
    client.cancel(before)
    fleet.wait_job(job)
    kinds = [event.kind for event in client.run(job).timeline]
    assert kinds[:3] == ["created", "queued", "blocked"] and kinds[-1] == "ended"
    assert next(e for e in client.run(job).timeline if e.kind == "blocked").revision == event.revision


def test_who_has_paused_and_cancelled(fleet):
    with Client(follower_of(fleet).grpc, user_id="alice") as alice:
        job = alice.submit(noop_job(schedules=[schedule(cron="0 0 1 1 *")])).job_id
        assert alice.pause(job, note="month end").paused_by == "alice"
        paused = only(alice.explain(job), "paused")
        assert paused.facts["paused_by"] == "alice" and "by alice" in paused.message
    # Pausing again does not change who has.
    assert fleet.rota("pause", job, "--note", "later", env={"USER": "bob"}).returncode == 0
    assert fleet.client().job(job).paused_by == "alice" and fleet.client().job(job).pause_note == "later"
    assert fleet.rota("resume", job).returncode == 0
    assert fleet.rota("pause", job, env={"USER": "bob"}).returncode == 0
    assert fleet.client().job(job).paused_by == "bob"
    answer = fleet.rest.post(f"/v1/jobs/{job}/cancel", {"reason": "enough"}, {"rota-user-id": "carol"})
    assert answer.status in (200, 202) and answer.json()["cancel_requested_by"] == "carol"
    assert only(fleet.client().explain(job), "cancelled").facts["cancel_requested_by"] == "carol"
    triggered = fleet.client().submit(noop_job(schedules=[schedule(cron="0 0 1 1 *")])).job_id
    with Client(fleet.servers[0].grpc, user_id="x" * 200) as nobody:
        run = nobody.trigger(triggered)
    assert not fleet.client().run(triggered, run.run_id).timeline[0].actor, "that is no name"


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


def test_while_etcd_does_not_answer():
    with Cluster(servers=2, agents=1) as cluster:
        stuck = cluster.client().submit(noop_job(constraints=[constraint("gpu", "exists")])).job_id
        settled(cluster.client(), stuck, "no_matching_agent")
        cluster.etcd.send(signal.SIGSTOP)
        try:
            told = cluster.client(cluster.servers[1]).explain(stuck)
        finally:
            cluster.etcd.send(signal.SIGCONT)
        assert codes(told)[0] == "etcd_unavailable"
        assert told.findings[0].kind == KINDS["blocks"]
        wait_until(lambda: codes(cluster.client().explain(stuck)) == ["no_matching_agent"], 40, "etcd answers again")


def test_while_etcd_has_no_space():
    quota = 16
    made = Cluster(servers=2, agents=1, server_flags=["--etcd-quota", f"{quota}MiB"])
    made.env["ETCD_QUOTA_BACKEND_BYTES"] = str(quota << 20)
    with made as cluster:
        stuck = cluster.client().submit(noop_job(constraints=[constraint("gpu", "exists")])).job_id
        settled(cluster.client(), stuck, "no_matching_agent")
        number = 0

        def fill(size: int) -> bool:
            """Writes what is no history, so that nothing that the leader may remove makes room; whether etcd took it."""
            nonlocal number
            number += 1
            put = ["etcdctl", f"--endpoints={cluster.etcd.url}", "put", f"filling-{number}"]
            return subprocess.run(put, input=b"x" * size, env=cluster.env, capture_output=True, timeout=30).returncode == 0

        while fill(900_000):
            assert number < quota * 2
        for server in cluster.servers:
            told = cluster.client(server)
            seen: list[list[str]] = []

            def names_it() -> bool:
                # Where defragmenting has made a little room, it is used up; and a write of Rota's own meets the alarm,
                # which is how the leader hears of it.
                while fill(100_000):
                    pass
                try:
                    told.submit(noop_job(constraints=[constraint("gpu", "exists")]))
                except RotaError:
                    pass
                seen.append(codes(told.explain(stuck)))
                return seen[-1] == ["etcd_no_space", "no_matching_agent"]

            try:
                wait_until(names_it, 60, "the space is named")
            except AssertionError as error:
                raise AssertionError(f"{error}: {seen[-5:]}") from None
        cluster.etcd.ctl("del", "--prefix", "filling-")
        wait_until(lambda: codes(cluster.client().explain(stuck)) == ["no_matching_agent"], 90, "there is space again")
