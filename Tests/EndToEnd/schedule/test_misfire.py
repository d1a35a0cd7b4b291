"""Misfire policies: exactly what each promises runs after a pause, and after all servers were gone."""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from faulty_cluster import FaultyCluster
from occurrences import every, judge, microseconds
from rest import Rest
from rota_client import status_name
from surfaces import checked
from witness import RunWatch

SECOND = 1_000_000
GRACE_SECONDS = 5
# Of each story: due for so long at first, then for so long nothing fires, then again.
BEFORE_SECONDS, GAP_SECONDS, AFTER_SECONDS = 3, 13, 4
# The time that servers take to start, and to get segments.
START_SECONDS = 12


@dataclass(frozen=True)
class Policy:
    """What a policy promises, in numbers."""

    body: dict[str, Any]
    most: int
    """Of the missed occurrences the last so many run."""
    within: float = float("inf")
    """What is older never runs, in seconds."""
    per_second: int = 1

    def runs(self, undecided: Sequence[int], now: int) -> list[int]:
        """Which of the occurrences that were not decided before run, when they are decided now; in microseconds."""
        young = [time for time in undecided if time >= now - GRACE_SECONDS * SECOND]
        missed = [time for time in undecided if time < now - GRACE_SECONDS * SECOND]
        chosen = missed[max(0, len(missed) - self.most) :]
        return [time for time in [*chosen, *young] if time >= now - self.within * SECOND]


POLICIES = {
    "skip": Policy({"policy": "skip"}, most=0),
    "latest": Policy({"policy": "latest"}, most=1),
    "all": Policy({"policy": "all"}, most=100),
    "all-3": Policy({"policy": "all", "limit": 3}, most=3),
    "all-within": Policy({"policy": "all", "within": "8s"}, most=100, within=8),
    "all-2-within": Policy({"policy": "all", "limit": 2, "within": "8s"}, most=2, within=8),
    "within-less-than-grace": Policy({"policy": "latest", "within": "3s"}, most=1, within=3),
    # More than one transaction creates.
    "many": Policy({"policy": "all", "limit": 25}, most=25, per_second=4),
}


@pytest.fixture(scope="module")
def duo() -> Iterator[FaultyCluster]:
    with FaultyCluster(servers=2, agents=2) as cluster:
        yield cluster


@dataclass
class Gap:
    """What a test needs to know of the time when nothing fired."""

    decided_through: dict[str, int]
    """Up to where each job's occurrences had been decided before it, microseconds."""
    ended: int
    """When it was over, microseconds."""


def micros_of(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).astimezone(UTC).timestamp())


def paused(cluster: FaultyCluster, ids: Sequence[str]) -> Gap:
    """Pauses all jobs for a while."""
    decided = {}
    for turn, job_id in enumerate(ids):
        record = checked(cluster.servers[turn % 2].rest.post(f"/jobs/{job_id}/pause", {"note": "a test"}))
        assert record["pause_note"] == "a test" and record["paused_at"]
        decided[job_id] = max(micros_of(state["decided_through"]) for state in record["schedule_states"])
    time.sleep(GAP_SECONDS)
    ended = microseconds(time.time())
    for turn, job_id in enumerate(ids):
        record = checked(cluster.servers[turn % 2].rest.post(f"/jobs/{job_id}/resume", None))
        assert not {"paused_at", "pause_note"} & set(record)
    return Gap(decided, ended)


def without_servers(cluster: FaultyCluster, ids: Sequence[str]) -> Gap:
    """All servers are killed, and start again after a while."""
    for server in cluster.servers:
        server.kill()
    time.sleep(1)  # what was under way to etcd
    decided = {}
    for key, value in cluster.etcd.pairs("/rota/jobs/").items():
        states = json.loads(value).get("schedule_states", [])
        decided[key.rsplit("/", 1)[1]] = max(micros_of(state["decided_through"]) for state in states)
    time.sleep(GAP_SECONDS - 1)
    ended = microseconds(time.time())
    for server in cluster.servers:
        server.start()
    for server in cluster.servers:
        server.wait_ready()
    cluster.wait_connected()
    return Gap({job_id: decided[job_id] for job_id in ids}, ended)


def submit(rest: Rest, name: str, policy: Policy, first: float, last: float) -> str:
    def text(moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")

    # One schedule for each part of the second.
    parts = [number / policy.per_second for number in range(policy.per_second)]
    schedules = [
        {"every": "1s", "start_time": text(first + part), "end_time": text(last)} for part in parts
    ]
    body = {
        "job_id": f"{name}-{int(first)}", "noop": True, "schedules": schedules,
        "misfire": {**policy.body, "grace": f"{GRACE_SECONDS}s"},
    }  # fmt: skip
    return checked(rest.post("/jobs", body))["job_id"]


@pytest.mark.parametrize(
    ("nothing_fires", "extra"), [(paused, 0), (without_servers, START_SECONDS)], ids=["paused", "outage"]
)
def test_what_was_missed_is_what_the_policy_says(
    duo: FaultyCluster, nothing_fires: Callable[[FaultyCluster, Sequence[str]], Gap], extra: int
) -> None:
    first = float(int(time.time()) + 3)
    last = first + BEFORE_SECONDS + GAP_SECONDS + AFTER_SECONDS + extra
    with RunWatch(duo) as watch:
        ids = {submit(duo.rest, name, policy, first, last): policy for name, policy in POLICIES.items()}
        time.sleep(first + BEFORE_SECONDS - time.time())
        gap = nothing_fires(duo, list(ids))
        jobs = {job.job_id: job for job in duo.wait_jobs(list(ids), 60)}

        expected, skipped = {}, {}
        for job_id, policy in ids.items():
            times = [microseconds(each) for each in every(1 / policy.per_second, (first, last))]
            before = [each for each in times if each <= gap.decided_through[job_id]]
            undecided = times[len(before) :]
            assert before, f"{job_id} did not fire at all before"
            created = [run.created_at.ToMicroseconds() for run in jobs[job_id].runs]
            decided_at = min(each for each in created if each > gap.ended)
            runs = policy.runs(undecided, decided_at)
            assert undecided[0] < decided_at - GRACE_SECONDS * SECOND, "nothing was missed"
            expected[job_id] = [each / SECOND for each in [*before, *runs]]
            skipped[job_id] = len(undecided) - len(runs)
        judge(expected, (first, last), duo.seen_runs(ids), creations=watch.creations()).expect_nothing()
    assert {job_id: job.skipped_count for job_id, job in jobs.items()} == skipped
    assert {job.last_skip_reason for job in jobs.values() if job.skipped_count} == {"misfire"}
    assert {status_name(job.status) for job in jobs.values()} == {"completed"}
