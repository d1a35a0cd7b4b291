"""Jobs go to agents that run their kind; what tasks save is kept in etcd until their run ends."""
from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import Cluster
from processes import wait_until
from rest import listed
from rota_client import exec_job, task_job
from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_client.messages import JobStatus
from test_agent_by_hand import NOW, HandmadeAgent, ended


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(servers=2, agents=1) as cluster:
        yield cluster


@pytest.fixture
def agent(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[HandmadeAgent]:
    agent = HandmadeAgent(cluster, f"kinds-{abs(hash(request.node.name)) % 10_000}")
    agent.connect().hear("welcome")
    yield agent
    agent.close()


def checkpoint_key(cluster: Cluster, job_id: str) -> str:
    (key,) = (key for key in cluster.etcd.pairs("/rota/runs/") if f"/{job_id}/" in key)
    return key.replace("/rota/runs/", "/rota/checkpoints/")


def save(agent: HandmadeAgent, ref: pb.AttemptRef, sequence: int, data: bytes) -> Any:
    agent.say(pb.AgentMessage(checkpoint=pb.Checkpoint(attempt=ref, sequence=sequence, data=data)))
    return agent.hear("checkpoint_ack")


def test_jobs_go_only_to_agents_that_run_their_kind(cluster: Cluster, agent: HandmadeAgent) -> None:
    jobs = [cluster.client().submit(exec_job(["true"])).job_id for _ in range(12)]
    for job in cluster.wait_jobs(jobs, 20):
        assert job.status == JobStatus.JOB_STATUS_COMPLETED
        assert [attempt.worker_id for attempt in job.runs[0].attempts] == ["a1"]
    job = cluster.client().submit(agent.task())
    ref = agent.hear("assign").assignments[0].attempt
    assert ref.job_id == job.job_id
    agent.say(ended(ref, 1))
    agent.hear("ack")


def test_what_nobody_offers_waits_and_says_why(cluster: Cluster, agent: HandmadeAgent) -> None:
    job_id = cluster.submit({"task": {"name": "nobody-does", "payload": {"a": [1, None]}}})
    run = cluster.leader().rest.get(f"/jobs/{job_id}").json()["runs"][0]
    assert "2 do not offer task nobody-does" in run["message"]
    assert cluster.rota("cancel", job_id).returncode == 0
    assert cluster.wait_job(job_id).status == JobStatus.JOB_STATUS_CANCELLED


def test_views_show_kinds_and_tasks(cluster: Cluster, agent: HandmadeAgent) -> None:
    agents = {found["worker_id"]: found for found in listed(cluster.rest.get("/agents"), "agents")}
    assert agents["a1"]["kinds"] == ["exec", "shell", "http", "noop"] and agents["a1"]["tasks"] == []
    assert (agents[agent.name]["kinds"], agents[agent.name]["tasks"]) == (["task"], [f"by-{agent.name}"])
    table = cluster.rota("agents").stdout
    assert "exec,shell,http,noop" in table and f"task:by-{agent.name}" in table


def test_command_line_submits_tasks(cluster: Cluster, agent: HandmadeAgent) -> None:
    payload = cluster.folder / "payload.json"
    payload.write_text('{"width":  320}')
    done = cluster.rota("submit", "--task", f"by-{agent.name}", "--payload", f"@{payload}")
    assert done.returncode == 0, done.stderr
    assignment = agent.hear("assign").assignments[0]
    assert assignment.spec.task.payload == '{"width":  320}', "as it was written"
    assert cluster.rest.get(f"/jobs/{done.stdout.strip()}").json()["task"]["payload"] == {"width": 320}
    agent.say(ended(assignment.attempt, 1))
    agent.hear("ack")
    wrong = cluster.rota("submit", "--task", "resize", "--payload", "{")
    assert wrong.returncode != 0 and "task.payload" in wrong.stderr


def test_checkpoint_is_readable_in_etcd_and_goes_with_its_run(cluster: Cluster, agent: HandmadeAgent) -> None:
    job = cluster.client().submit(agent.task(max_retries=1, backoff=[0.1]))
    ref = agent.hear("assign").assignments[0].attempt
    key = checkpoint_key(cluster, job.job_id)
    assert save(agent, ref, 7, b"half").error == ""
    saved = json.loads(cluster.etcd.pairs(key)[key])
    assert (saved["attempt"], saved["fence"], saved["worker_id"], saved["sequence"]) == (1, 1, agent.name, 7)
    assert base64.b64decode(saved["data"]) == b"half" and saved["saved_at"].startswith("20")
    run = cluster.rest.get(f"/jobs/{job.job_id}").json()["runs"][0]
    assert run["checkpoint_bytes"] == 4 and run["checkpoint_at"] == saved["saved_at"]
    # It outlives the attempt, not the run.
    agent.say(ended(ref, 1, code=1))
    agent.hear("ack")
    second = agent.hear("assign").assignments[0]
    assert second.checkpoint == b"half" and key in cluster.etcd.pairs(key)
    agent.say(ended(second.attempt, 2))
    agent.hear("ack")
    assert cluster.etcd.pairs(key) == {}
    assert "checkpoint_bytes" not in cluster.rest.get(f"/jobs/{job.job_id}").json()["runs"][0]


def test_progress_is_shown(cluster: Cluster, agent: HandmadeAgent) -> None:
    job = cluster.client().submit(agent.task())
    ref = agent.hear("assign").assignments[0].attempt
    for sequence, fraction in enumerate((0.1, 0.2, 0.4), start=1):
        message = pb.AgentMessage()
        message.status.sequence = sequence
        update = message.status.updates.add(attempt=ref)
        update.start_time.seconds = update.progress.at.seconds = NOW
        update.progress.fraction, update.progress.message = fraction, "pages"
        agent.say(message)
        assert agent.hear("ack").sequence == sequence

    def shown() -> bool:
        run = cluster.rest.get(f"/jobs/{job.job_id}").json()["runs"][0]
        progress: dict[str, Any] = run["progress"]
        return bool(progress["fraction"] == 0.4 and progress["message"] == "pages")

    wait_until(shown, 10, "the latest progress is written")
    assert "40%: pages" in cluster.rota("job", job.job_id).stdout
    agent.say(ended(ref, 4))
    agent.hear("ack")


def test_checkpoint_said_again_to_the_next_leader_is_written_once() -> None:
    with Cluster(servers=2, agents=0) as cluster:
        first = HandmadeAgent(cluster, "survivor")
        first.connect().hear("welcome")
        job = cluster.client().submit(task_job("by-survivor"))
        ref = first.hear("assign").assignments[0].attempt
        assert save(first, ref, 1, b"one").error == ""
        key = checkpoint_key(cluster, job.job_id)
        before = cluster.etcd.ctl("get", key, "-w", "json")
        old = cluster.leader()
        old.kill()
        wait_until(lambda: cluster.leader() is not old, 20, "another server leads")
        agent = first.at(cluster.leader().grpc)
        agent.connect(ref).hear("welcome")
        assert save(agent, ref, 1, b"one").error == ""
        kept, now = json.loads(before)["kvs"], json.loads(cluster.etcd.ctl("get", key, "-w", "json"))["kvs"]
        assert kept == now, "it is durable already"
        assert save(agent, ref, 2, b"two").error == ""
        agent.say(ended(ref, 1))
        agent.hear("ack")
        assert cluster.etcd.pairs(key) == {}
        agent.close()
