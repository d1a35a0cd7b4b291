"""Segments: spread evenly, moved when a server leaves, dies or stands still, without a gap in what is due."""
from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from cluster import LEASE_TTL_SECONDS, Server
from faulty_cluster import FaultyCluster, Story, describe
from processes import wait_until
from rota_client import messages

SEGMENTS = 256
# What a job due every second needs after the fault, so that the verdict covers the time after it too.
AFTER_SECONDS = 6
JOBS = 6
# etcd looks for lapsed leases twice a second, and a server reports its end to nobody.
LAPSE_SLACK_SECONDS = 2.5


def counts(cluster: FaultyCluster) -> Counter[str]:
    return Counter(cluster.owners().values())


def is_even(cluster: FaultyCluster, names: set[str]) -> bool:
    found = counts(cluster)
    return (
        set(found) == names and sum(found.values()) == SEGMENTS and max(found.values()) - min(found.values()) <= 1
    )


def wait_even(cluster: FaultyCluster, seconds: float = 20) -> None:
    names = {server.name for server in cluster.alive()}
    wait_until(lambda: is_even(cluster, names), seconds, f"the segments are spread over {sorted(names)}")


def every_second(story: Story) -> messages.JobSpec:
    spec = story.recorder.spec(seconds=0)
    spec.schedules.add(cron="* * * * * *")
    return spec


def disturbed(cluster: FaultyCluster, name: str, disturb: Callable[[], None]) -> None:
    """Jobs due every second run through what is done to the servers: each second of each job has its one run."""
    with Story(cluster, name) as story:
        ids = cluster.submit_all([every_second(story) for _ in range(JOBS)])
        first = int(time.time()) + 2
        time.sleep(3)
        disturb()
        time.sleep(AFTER_SECONDS)
        # Nothing may become due while runs and executions are compared.
        client = cluster.client(cluster.alive()[0])
        last = int(time.time())
        for job_id in ids:
            client.pause(job_id)
        seconds = [float(second) for second in range(first, last + 1)]
        verdict = story.judge({job_id: seconds for job_id in ids}, (seconds[0], seconds[-1]))
        print(describe(story.lateness(ids)))
        for job_id in ids:
            client.cancel(job_id)
    verdict.expect_nothing()


@pytest.fixture(scope="module")
def trio():
    with FaultyCluster() as cluster:
        wait_even(cluster)
        yield cluster


def test_the_segments_are_spread_evenly_and_shown(trio):
    assert sorted(counts(trio).values()) == [85, 85, 86]
    for key, value in trio.etcd.pairs("/rota/segments/").items():
        assert len(key.rsplit("/", 1)[1]) == 3 and set(json.loads(value)) == {"server_id"}
    owned = {server: set() for server in ("s1", "s2", "s3")}
    for segment, owner in trio.owners().items():
        owned[owner].add(segment)
    for server in trio.servers:
        info = json.loads(trio.rota("cluster", "-o", "json", server=server).stdout)
        assert {entry["server_id"]: set(entry["segments"]) for entry in info["servers"]} == owned
        assert info["leader"] == trio.leader().name and info["orphaned_segments"] == []
        [member] = info["etcd_members"]
        assert member["leader"] and member["database_bytes"] > 0 and "error" not in member
        assert all(abs(entry["clock_skew_milliseconds"]) < 5_000 for entry in info["servers"])
    table = trio.rota("cluster").stdout
    assert "leader" in table and "follower" in table and "85" in table


def test_the_cluster_over_rest_is_the_same(trio):
    answer = trio.rest.get("/v1/cluster")
    body = answer.json()
    assert answer.status == 200 and body["segment_count"] == SEGMENTS
    assert sum(len(server["segments"]) for server in body["servers"]) == SEGMENTS
    wait_until(
        lambda: all("figures" in server for server in trio.rest.get("/cluster").json()["servers"]),
        15,
        "every server reports its figures",
    )


@pytest.mark.parametrize("whom", ["follower", "leader"])
def test_kill_9_moves_the_segments_when_the_lease_lapses(trio, whom):
    victim = trio.leader() if whom == "leader" else trio.followers()[0]

    def kill() -> None:
        victim.kill()
        killed = time.monotonic()
        # A new leader has to see first that it leads.
        wait_even(trio, LEASE_TTL_SECONDS + LAPSE_SLACK_SECONDS + 10)
        print(f"the segments of the {whom} had moved {time.monotonic() - killed:.2f} s after kill -9")

    disturbed(trio, f"kill-{whom}", kill)
    trio.bring_back(victim)
    wait_even(trio)


@pytest.mark.parametrize("whom", ["follower", "leader"])
def test_a_server_that_leaves_hands_its_segments_over_at_once(trio, whom):
    victim = trio.leader() if whom == "leader" else trio.followers()[0]

    def leave() -> None:
        victim.send(signal.SIGTERM)
        sent = time.monotonic()
        wait_until(lambda: victim.name not in counts(trio), 5, "its segments have moved")
        print(f"the segments of the {whom} had moved {time.monotonic() - sent:.2f} s after SIGTERM")
        assert sum(counts(trio).values()) == SEGMENTS, "they were never without an owner for long"
        wait_until(lambda: not victim.running, 15, "it has left")

    disturbed(trio, f"leave-{whom}", leave)
    assert "not all segments have moved in time" not in victim.log_tail(200)
    trio.bring_back(victim)
    wait_even(trio)


def test_an_owner_that_stands_still_writes_nothing_afterwards(trio):
    victim: Server = trio.followers()[0]

    def stand_still() -> None:
        with trio.standing_still(victim):
            time.sleep(20)
        wait_even(trio)

    disturbed(trio, "stand-still", stand_still)
