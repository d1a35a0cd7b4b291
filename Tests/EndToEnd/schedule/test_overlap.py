"""Overlap policies, with jobs that are due more often than they are done, and fixed delays, while servers are killed."""
from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cluster import Server
from faulty_cluster import FaultyCluster, Story
from occurrences import every, judge, microseconds
from processes import wait_until
from rota_client import messages, overlap, run_state_name, status_name

WINDOW_SECONDS = 18
KILL_AFTER_SECONDS = 4
TASK_SECONDS = 2
QUEUE_LIMIT = 2
COPIES = 2
OWNED = ("assigned", "running")
UNENDED = ("queued", "retrying", *OWNED)


@pytest.fixture(scope="module")
def trio() -> Iterator[FaultyCluster]:
    with FaultyCluster() as cluster:
        yield cluster


def victim_of(cluster: FaultyCluster, whom: str, ids: list[str]) -> Server:
    """The leader, or a server that does not lead and fires at least one of the jobs."""
    if whom == "leader":
        return cluster.leader()

    def find() -> Server | None:
        owners = {cluster.owner_of(job_id).name for job_id in ids}
        return next((server for server in cluster.followers() if server.name in owners), None)

    return wait_until(find, 15, "a follower owns the segment of a job")


def expect_chain(job: messages.Job, first: float, last: float) -> None:
    """Of a fixed delay of a second each run is due a second after the end of the one before, up to the window's end."""
    runs = sorted(job.runs, key=lambda run: run.scheduled_time.ToMicroseconds())
    assert runs[0].scheduled_time.ToMicroseconds() == microseconds(first)
    for earlier, later in zip(runs, runs[1:]):
        assert later.scheduled_time.ToMilliseconds() == earlier.finished_at.ToMilliseconds() + 1000, job.job_id
    assert runs[-1].finished_at.ToMicroseconds() + 1_000_000 > microseconds(last), "it ended too early"
    assert {run_state_name(run.state) for run in runs} == {"completed"} and status_name(job.status) == "completed"
    assert job.skipped_count == 0


@pytest.mark.parametrize("whom", ["leader", "owner"])
def test_the_policy_holds_through_kill_9(trio: FaultyCluster, whom: str) -> None:
    with Story(trio, f"kill-{whom}") as story:
        first = float(int(time.time()) + 4)
        last = first + WINDOW_SECONDS

        def bounded(seconds: int, **schedule: Any) -> messages.JobSpec:
            made = story.recorder.spec(seconds=seconds)
            made.schedules.add(**schedule)
            made.schedules[0].start_time.FromMicroseconds(microseconds(first))
            made.schedules[0].end_time.FromMicroseconds(microseconds(last))
            return made

        def spec(policy: str) -> messages.JobSpec:
            made = bounded(TASK_SECONDS, cron="* * * * * *")
            made.overlap.CopyFrom(overlap(policy, limit=QUEUE_LIMIT if policy == "queue" else 0))
            return made

        policies = ["allow", *(policy for policy in ("forbid", "queue", "replace") for _ in range(COPIES))]
        ids = trio.submit_all([spec(policy) for policy in policies])
        delayed = trio.submit_all([bounded(1, fixed_delay=timedelta(seconds=1)) for _ in range(COPIES)])
        time.sleep(first + KILL_AFTER_SECONDS - time.time())
        victim = victim_of(trio, whom, [*ids[1:], *delayed])
        victim.kill()
        time.sleep(last - time.time())
        trio.bring_back(victim)
        jobs = trio.wait_jobs(ids, 60, trio.alive()[0])
        chains = trio.wait_jobs(delayed, 60, trio.alive()[0])
        executions, overlaps = story.recorder.read()
        owned, unended = story.watch.peaks(OWNED), story.watch.peaks(UNENDED)
        seconds = every(1, (first, last))
        verdict = judge(
            {job_id: seconds for job_id in ids}, (first, last), trio.seen_runs(ids), executions, overlaps,
            story.watch.creations(), one_at_a_time=ids[1:],
        )  # fmt: skip

    for policy, job in zip(policies, jobs, strict=True):
        what = f"{policy} of {job.job_id}"
        runs = sorted(job.runs, key=lambda run: run.scheduled_time.ToMicroseconds())
        ends = [run_state_name(run.state) for run in runs]
        assert len(runs) + job.skipped_count == len(seconds), f"{what}: each occurrence runs or is counted"
        assert job.next_run_time.ToMicroseconds() == 0, what
        if policy in ("allow", "replace"):
            assert job.skipped_count == 0, what
        else:
            assert job.skipped_count > 0, f"{what}: nothing was left out, so nothing is shown"
        if policy == "replace":
            assert ends[-1] == "completed" and ends.count("cancelled") >= len(ends) // 2, f"{what}: {ends}"
            replaced = [run for run, end in zip(runs, ends, strict=True) if end == "cancelled"]
            assert all(run.message.startswith("replaced by run ") for run in replaced), replaced
        else:
            assert set(ends) == {"completed"}, f"{what}: {ends}"
        if policy == "allow":
            assert owned[job.job_id] > 1, "runs that may overlap do, so that the check of the others can fail"
        else:
            assert owned[job.job_id] == 1, what
        if policy == "forbid":
            assert unended[job.job_id] == 1 and job.last_skip_reason == "overlap", what
        if policy == "queue":
            assert unended[job.job_id] == 1 + QUEUE_LIMIT and job.last_skip_reason == "queue_full", what
        assert status_name(job.status) == "completed", what
    for job in chains:
        expect_chain(job, first, last)
    left_out = sum(job.skipped_count for job in jobs)
    assert len(verdict.missed) == left_out, verdict.missed
    verdict.missed.clear()
    verdict.expect_nothing()
