"""Agents that die, stop, or are shut down: their work moves, and nothing runs twice at once."""
from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from cluster import LEASE_TTL_SECONDS, Cluster, expect_dead
from history import Recorder, check
from processes import is_alive, wait_until
from rota_client import constraint, end_reason_name, exec_job, shell_job, status_name

# What a loaded two-core machine may need to start a hundred tasks at once.
STARTING_SLACK_SECONDS = 6.0


@pytest.fixture(scope="module")
def fleet():
    with Cluster(servers=1, agents=3, slots=100) as cluster:
        yield cluster


@pytest.fixture
def recorder(fleet, request):
    made = Recorder(fleet.folder, request.node.name)
    yield made
    made.finish()
    fleet.start()  # whatever a test killed is there again for the next


def wait_all_started(recorder: Recorder, count: int, seconds: float = 40) -> None:
    wait_until(lambda: len(recorder.executions()) >= count, seconds, f"{count} tasks have started", every=0.2)


@pytest.mark.alone
def test_kill_9_moves_200_jobs(fleet, recorder):
    ids = fleet.submit_all([recorder.spec()] * 200)
    at_most_once = fleet.submit_all(
        [recorder.spec(constraints=[constraint("name", "=", "a1")], on_agent_loss="fail")]
    )
    wait_all_started(recorder, 201)
    victims = [e for e in recorder.executions() if e.agent == "a1"]
    assert len({e.agent for e in recorder.executions()}) == 3 and len(victims) > 20

    killed = time.monotonic()
    fleet.agents["a1"].kill()
    expect_dead([e.pid for e in victims], LEASE_TTL_SECONDS, "the tasks of the killed agent are dead")
    wanted = {e.run for e in victims if e.job_id not in at_most_once}

    def moved() -> bool:
        return wanted <= {e.run for e in recorder.executions() if e.attempt == 2}

    wait_until(lambda: any(e.attempt == 2 for e in recorder.executions()), 20, "the first run has moved")
    first = time.monotonic() - killed
    wait_until(moved, 20, f"all {len(wanted)} runs have moved", every=0.2)
    last = time.monotonic() - killed
    print(f"first run moved after {first:.2f} s, the last of {len(wanted)} after {last:.2f} s")
    assert first < LEASE_TTL_SECONDS + 1 + 1
    assert last < LEASE_TTL_SECONDS + 1 + STARTING_SLACK_SECONDS

    recorder.finish()
    moved_jobs = {run.split("/")[0] for run in wanted}
    for job in fleet.wait_jobs(ids, 60):
        run, attempts = job.runs[0], job.runs[0].attempts
        assert status_name(job.status) == "completed" and len(job.runs) == 1
        if job.job_id in moved_jobs:
            assert [a.attempt for a in attempts] == [1, 2]
            assert end_reason_name(attempts[0].end_reason) == "agent_lost" and attempts[0].worker_id == "a1"
            assert attempts[1].worker_id in ("a2", "a3") and attempts[1].exit_code == 0
            assert run.retry_count == 0, "a lost agent is not the job's failure"
        else:
            assert [a.attempt for a in attempts] == [1]
    lost = fleet.wait_job(at_most_once[0], 10)
    assert status_name(lost.status) == "failed" and len(lost.runs[0].attempts) == 1
    check(recorder)
    # Once each: 200 first attempts and the one at-most-once job, and a second one for each that moved.
    assert Counter(e.attempt for e in recorder.executions()) == {1: 201, 2: len(wanted)}


def test_sigstop_past_the_ttl(fleet, recorder):
    client = fleet.client()
    on_a2 = [constraint("name", "in", "a2", "spare")]
    anywhere = [constraint("name", "in", "a1", "a2", "a3")]
    # Some that would run on, some that end by themselves while the agent is stopped: it wakes up with
    # their results in hand, which are no longer wanted.
    long = fleet.submit_all([recorder.spec(constraints=anywhere)] * 60)
    short = fleet.submit_all([recorder.spec(seconds=3, constraints=anywhere)] * 15)
    pinned = fleet.submit_all([recorder.spec(seconds=3, constraints=on_a2)])
    wait_all_started(recorder, 76)
    victims = [e for e in recorder.executions() if e.agent == "a2" and not e.ended]
    assert len(victims) > 5

    stopped = time.monotonic()
    fleet.agents["a2"].send(signal.SIGSTOP)
    try:
        running_on = [e.pid for e in victims if e.job_id in long]
        expect_dead(running_on, LEASE_TTL_SECONDS, "the shim has killed the tasks of the stopped agent")
        moving = {e.run for e in victims if e.job_id in long}
        wait_until(
            lambda: moving <= {e.run for e in recorder.executions() if e.attempt == 2},
            LEASE_TTL_SECONDS + STARTING_SLACK_SECONDS,
            "all its runs have moved",
            every=0.2,
        )
        time.sleep(max(0.0, stopped + 15 - time.monotonic()))
    finally:
        fleet.agents["a2"].send(signal.SIGCONT)
    recorder.finish()
    jobs = fleet.wait_jobs([*long, *short], 60)
    revisions = {job.job_id: job.runs[0].revision for job in jobs}
    assert {status_name(job.status) for job in jobs} == {"completed"}
    fleet.wait_connected(LEASE_TTL_SECONDS + 10)
    # The pinned one waited for the agent to come back as another incarnation.
    assert status_name(fleet.wait_job(pinned[0], 20).status) == "completed"
    time.sleep(2)
    after = {job_id: client.run(job_id).revision for job_id in revisions}
    assert after == revisions, "a late result changed a finished run"
    check(recorder)
    for job in jobs:
        attempts = job.runs[0].attempts
        assert len(attempts) <= 2
        if len(attempts) == 2:
            assert attempts[0].worker_id == "a2" and attempts[1].worker_id != "a2"
            assert end_reason_name(attempts[0].end_reason) in ("agent_lost", "fenced")


def test_sigterm_drains(fleet, recorder):
    """What runs may finish, nothing new starts there, and the agent leaves without being lost."""
    on_a3 = [constraint("name", "=", "a3")]
    finishing = fleet.client().submit(exec_job(["sleep", "2"], constraints=on_a3)).job_id
    wait_until(lambda: status_name(fleet.client().job(finishing).status) == "running", 10, "it runs")
    fleet.agents["a3"].send(signal.SIGTERM)
    time.sleep(0.5)
    waiting = fleet.client().submit(exec_job(["true"], constraints=on_a3)).job_id
    job = fleet.wait_job(finishing, 10)
    assert status_name(job.status) == "completed" and len(job.runs[0].attempts) == 1
    assert fleet.agents["a3"].wait(10) == 0
    assert not fleet.client().job(waiting).runs[0].attempts
    # Its key is gone at once, not only when a lease runs out.
    wait_until(lambda: "/rota/agents/a3" not in fleet.etcd.pairs("/rota/agents/"), 2, "its key is gone")
    fleet.start()
    assert status_name(fleet.wait_job(waiting, 15).status) == "completed"


def test_kill_9_takes_the_whole_tree_along(fleet, recorder):
    pids = fleet.folder / "tree-pids"
    script = f"setsid sleep 300 & echo $! > {pids}; sleep 300 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    job_id = fleet.client().submit(
        shell_job(script, constraints=[constraint("name", "=", "a2")], on_agent_loss="fail")
    ).job_id
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 3, 10, "the tree has grown")
    tree = [int(pid) for pid in pids.read_text().split()]
    assert all(is_alive(pid) for pid in tree)
    fleet.agents["a2"].kill()
    expect_dead(tree, LEASE_TTL_SECONDS, "the tree is dead")
    assert status_name(fleet.wait_job(job_id, LEASE_TTL_SECONDS + 5).status) == "failed"
