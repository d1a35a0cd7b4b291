"""Jobs that are due once each, while the servers that have to see to them die and stand still."""
from __future__ import annotations

import time

from faulty_cluster import FaultyCluster, Story, describe
from occurrences import microseconds
from rota_client import messages

PAUSE_SECONDS = 0.25
JOBS = 100
# Longer than the lease of a server lasts, so that another one leads meanwhile.
STILL_SECONDS = 8.0


def test_each_runs_once_though_leaders_die_and_stand_still() -> None:
    with FaultyCluster() as cluster, Story(cluster) as story:

        def due_at(time: float) -> messages.JobSpec:
            spec = story.recorder.spec(seconds=0)
            spec.execution_time.FromMicroseconds(microseconds(time))
            return spec

        start = time.time() + 3
        times = [start + n * PAUSE_SECONDS for n in range(JOBS)]
        expected = {
            job_id: [due] for job_id, due in zip(cluster.submit_all([due_at(due) for due in times]), times, strict=True)
        }
        time.sleep(start + 3 - time.time())
        killed = cluster.leader()
        killed.kill()
        time.sleep(start + 12 - time.time())
        with cluster.standing_still(cluster.leader()):
            time.sleep(STILL_SECONDS)
        cluster.bring_back(killed)
        verdict = story.judge(expected, (times[0], times[-1]))
        print(describe(story.lateness(expected.keys())))
    verdict.expect_nothing()
