"""Servers whose clocks are wrong, and one that is too slow: others fire in their place, and nothing is early."""
from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster import Server
from faketime import fake_time
from faulty_cluster import FaultyCluster, Story, describe
from occurrences import every, judge, microseconds
from processes import wait_until
from rota_client import messages
from witness import RunWatch

HOUR = 3600
# A judgement may need every server's second report, and one is written every 10 s at least.
JUDGED_SECONDS = 60
# What a report takes to the leader counts as skew.
MEASURED_WITHIN_MILLIS = 30_000
WINDOW_SECONDS = 10
STUMBLING_SECONDS = 60
# A run may be late on a busy machine, but not by what a clock is off.
LATE_SECONDS = 60


class SkewedCluster(FaultyCluster):
    """Three servers; the clock of the last one is off. It starts before the others, and leads, or after them."""

    def __init__(self, seconds: int, leads: bool) -> None:
        super().__init__()
        self.skewed = self.servers[-1]
        self.skewed.env = {**self.env, **fake_time(seconds, self.folder)}
        self.leads = leads

    def start(self) -> None:
        self.etcd.start()
        first = [self.skewed] if self.leads else self.servers[:-1]
        for server in first:
            server.start()
        for server in first:
            server.wait_ready()
        super().start()


def server_info(cluster: FaultyCluster, server: Server) -> dict[str, Any]:
    """What `rota cluster` says of a server; nothing while it is not registered."""
    info = json.loads(cluster.rota("cluster", "-o", "json").stdout)
    return next((entry for entry in info["servers"] if entry["server_id"] == server.name), {})


@pytest.mark.parametrize(
    ("seconds", "leads"), [(HOUR, False), (-HOUR, False), (HOUR, True)], ids=["ahead", "behind", "leader-ahead"]
)
def test_a_clock_that_is_an_hour_off_fires_nothing(seconds: int, leads: bool) -> None:
    with SkewedCluster(seconds, leads) as cluster, Story(cluster) as story:
        assert (cluster.leader() is cluster.skewed) == leads

        def held_back() -> str:
            info = server_info(cluster, cluster.skewed)
            return "" if info.get("segments") else info.get("held_back", "")

        why = wait_until(held_back, JUDGED_SECONDS, "the server with the wrong clock has no segments")
        told = re.fullmatch(r"its clock is (\d+) ms off the other servers'; it gets no segments", why)
        assert told and abs(int(told[1]) - HOUR * 1000) < MEASURED_WITHIN_MILLIS, why
        if not leads:
            skew = server_info(cluster, cluster.skewed)["clock_skew_milliseconds"]
            assert abs(skew - seconds * 1000) < MEASURED_WITHIN_MILLIS, skew
        first = float(int(time.time()) + 3)
        window = (first, first + WINDOW_SECONDS)

        def spec(**schedule: Any) -> messages.JobSpec:
            made = story.recorder.spec(seconds=0)
            made.schedules.add(**schedule)
            made.schedules[0].start_time.FromMicroseconds(microseconds(window[0]))
            made.schedules[0].end_time.FromMicroseconds(microseconds(window[1]))
            return made

        # Of enough jobs each server would fire some.
        ids = cluster.submit_all([spec(cron="* * * * * *") for _ in range(6)])
        later = story.recorder.spec(seconds=0)
        later.execution_time.FromMicroseconds(microseconds(first + HOUR // 2))
        [not_yet] = cluster.submit_all([later])
        verdict = story.judge({job_id: every(1, window) for job_id in ids}, window)
        lateness = story.lateness(ids)
        print(describe(lateness))
        verdict.expect_nothing()
        assert lateness[0] >= 0, "a run was early"
        assert lateness[-1] < LATE_SECONDS
        assert not cluster.client().job(not_yet).runs, "what is due in half an hour has run"
        info = server_info(cluster, cluster.skewed)
        assert info and not info["segments"], "it has been there all the time, and was given nothing"
        assert cluster.skewed.log_tail(1000).count("the server is registered") == 1


@contextmanager
def stumbling(server: Server, still: float = 2.5, awake: float = 0.5) -> Iterator[None]:
    """The server gets the processor for a moment now and then, too seldom to be punctual, often enough for its lease."""
    over = threading.Event()

    def stumble() -> None:
        while not over.wait(awake):
            server.send(signal.SIGSTOP)
            over.wait(still)
            server.send(signal.SIGCONT)

    thread = threading.Thread(target=stumble, name="stumbler")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.send(signal.SIGCONT)


@pytest.mark.alone
def test_a_server_that_is_too_slow_gives_segments_away() -> None:
    """More than a hundred runs a minute at each server, since a judgement on fewer says nothing."""
    with FaultyCluster() as cluster, RunWatch(cluster) as watch:
        victim = cluster.followers()[0]
        wait_until(lambda: list(cluster.owners().values()).count(victim.name) >= 85, 20, "it has its share")
        first = float(int(time.time()) + 3)
        window = (first, first + STUMBLING_SECONDS)
        spec = messages.JobSpec(noop={})
        spec.schedules.add(cron="* * * * * *")
        spec.schedules[0].start_time.FromMicroseconds(microseconds(window[0]))
        spec.schedules[0].end_time.FromMicroseconds(microseconds(window[1]))
        ids = cluster.submit_all([spec] * 20)
        time.sleep(first - time.time())

        def has_less() -> bool:
            """And the leader says why, as long as it judges so."""
            held_back = server_info(cluster, victim).get("held_back", "")
            return list(cluster.owners().values()).count(victim.name) < 70 and "later than the other servers" in held_back

        with stumbling(victim):
            wait_until(has_less, STUMBLING_SECONDS, "it has given a quarter of its segments away", every=0.5)
        cluster.wait_jobs(ids, STUMBLING_SECONDS + 30)
        expected = {job_id: every(1, window) for job_id in ids}
        judge(expected, window, cluster.seen_runs(ids), creations=watch.creations()).expect_nothing()
