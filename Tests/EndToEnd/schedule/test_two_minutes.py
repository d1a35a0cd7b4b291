"""Cron jobs that are due every second for two minutes, while servers are killed, stopped and continued.

Whether the verdict can fail is shown by `test_checker.py`.
"""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from cluster import Server
from faulty_cluster import FaultyCluster, Story, describe
from occurrences import every, microseconds
from processes import wait_until
from rota_client import messages, status_name
from rota_client._generated.rota.v1.types_pb2 import OverlapAction

WINDOW_SECONDS = 120
STILL_SECONDS = 20
JOBS = 5
# Where runs must not overlap; more than what becomes due while nobody fires.
QUEUE_LIMIT = 100
TERMINAL = ("completed", "failed", "cancelled")


def every_second(story: Story, first: float, last: float) -> messages.JobSpec:
    """Due each second of a window, both ends included, and never again."""
    spec = story.recorder.spec(seconds=0)
    schedule = spec.schedules.add(cron="* * * * * *")
    schedule.start_time.FromMicroseconds(microseconds(first))
    schedule.end_time.FromMicroseconds(microseconds(last))
    return spec


def owner_among_followers(cluster: FaultyCluster, ids: Sequence[str]) -> Server:
    """A server that does not lead, and fires at least one of the jobs."""

    def find() -> Server | None:
        owners = {cluster.owner_of(job_id).name for job_id in ids}
        return next((server for server in cluster.followers() if server.name in owners), None)

    return wait_until(find, 15, "a follower owns the segment of a job")


@pytest.mark.timeout(300)
def test_no_second_is_missed_or_doubled() -> None:
    with FaultyCluster() as cluster, Story(cluster) as story:
        start = float(int(time.time()) + 4)
        end = start + WINDOW_SECONDS - 1
        specs = [every_second(story, start, end) for _ in range(JOBS)]
        specs[-1].overlap.policy = OverlapAction.OVERLAP_ACTION_QUEUE
        specs[-1].overlap.limit = QUEUE_LIMIT
        ids = cluster.submit_all(specs)

        def wait_for(second: float) -> None:
            assert time.time() < start + second, "the machine is too slow for what is to happen by then"
            time.sleep(start + second - time.time())

        wait_for(12)
        leader = cluster.leader()
        leader.kill()
        wait_for(32)
        cluster.bring_back(leader)
        wait_for(48)
        owner = owner_among_followers(cluster, ids)
        owner.kill()
        wait_for(68)
        cluster.bring_back(owner)
        wait_for(84)
        still = cluster.leader()
        with cluster.standing_still(still):
            time.sleep(STILL_SECONDS)
        print(f"killed the leader {leader.name} and the owner {owner.name}, stopped the leader {still.name}")

        seconds = every(1, (start, end))
        assert len(seconds) == WINDOW_SECONDS
        verdict = story.judge({job_id: seconds for job_id in ids}, (start, end), one_at_a_time=ids[-1:])
        print(describe(story.lateness(ids)))
        verdict.expect_nothing()
        jobs = cluster.wait_jobs(ids, 10, cluster.alive()[0])
        assert [status_name(job.status) for job in jobs] == ["completed"] * JOBS
        recorded = Counter(
            sum(state in TERMINAL for state in states) for states in story.watch.states().values()
        )
        assert recorded == {1: JOBS * WINDOW_SECONDS}, "each run's end is recorded once"
