"""Agents that are short of something, or on which everything fails, get no new work and say why."""
from __future__ import annotations

import os

import pytest

from cluster import Agent, Cluster
from processes import wait_until
from rota_client import constraint, messages, shell_job, status_name


@pytest.fixture(scope="module")
def fleet():
    with Cluster(servers=1, agents=2, slots=8) as cluster:
        yield cluster


def agent(fleet: Cluster, name: str) -> messages.Agent:
    return next(a for a in fleet.client().agents() if a.worker_id == name)


def test_an_agent_that_is_short_of_something_gets_no_new_work(fleet):
    poor = Agent(
        "poor", fleet.etcd, fleet.folder, fleet.env, 8, ["--min-free-disk", "1000TiB", "--min-free-memory", "900TiB"]
    )
    fleet.agents["poor"] = poor
    poor.start()
    state = messages.HealthState.HEALTH_STATE_UNHEALTHY
    wait_until(
        lambda: any(a.worker_id == "poor" and a.health_state == state for a in fleet.client().agents()),
        30,
        "the agent says that it is not well",
    )
    shown = agent(fleet, "poor")
    assert "MiB of disk are free, less than" in shown.health_reason
    assert shown.health.unhealthy_reason == shown.health_reason
    job = fleet.client().submit(shell_job("true", constraints=[constraint("name", "=", "poor")])).job_id
    wait_until(lambda: "1 unhealthy" in fleet.client().run(job).message, 10, "the waiting run says why")
    row = next(line for line in fleet.rota("agents").stdout.splitlines() if line.startswith("poor "))
    assert "unhealthy" in row and "MiB of disk are free" in row
    others = [fleet.run_job(shell_job("true")) for _ in range(10)]
    assert {attempt.worker_id for done in others for attempt in done.runs[0].attempts} <= {"a1", "a2"}
    assert fleet.rest.get("/cluster").json()["term"]["unhealthy_agents"] == 1
    # With what it has it is well again.
    poor.stop()
    poor.argv = [word for word in poor.argv if not word.endswith("TiB") and not word.startswith("--min-free")]
    poor.start()
    assert status_name(fleet.wait_job(job, 30).status) == "completed"


def test_an_agent_on_which_everything_fails_is_avoided(fleet):
    switch = fleet.folder / "a1-is-broken"
    switch.touch()
    script = f'[ "$ROTA_WORKER_ID" = a1 ] && [ -e {switch} ] && exit 1; exit 0'
    for number in range(5):
        done = fleet.run_job(shell_job(script, constraints=[constraint("name", "=", "a1")]))
        assert status_name(done.status) == "failed"
        if number == 0:
            assert status_name(fleet.run_job(shell_job(script, constraints=[constraint("name", "=", "a2")])).status) == (
                "completed"
            )
    state = messages.HealthState.HEALTH_STATE_AVOIDED
    assert agent(fleet, "a1").health_state == state
    assert "the last 5 attempts on it failed" in agent(fleet, "a1").health_reason
    others = [fleet.run_job(shell_job(script)) for _ in range(10)]
    assert {status_name(done.status) for done in others} == {"completed"}
    job = fleet.client().submit(shell_job(script, constraints=[constraint("name", "=", "a1")])).job_id
    wait_until(lambda: "1 avoided" in fleet.client().run(job).message, 10, "the waiting run says why")
    assert fleet.rest.get("/cluster").json()["term"]["avoided_agents"] == 1
    # After a minute one run shows that it is well again.
    os.unlink(switch)
    assert status_name(fleet.wait_job(job, 75).status) == "completed"
    assert agent(fleet, "a1").health_state == messages.HealthState.HEALTH_STATE_HEALTHY
