"""A namespace that floods the cluster delays the others by no more than its share."""
from __future__ import annotations

import statistics
import subprocess

import pytest

from cluster import Cluster, binaries
from rota_client import exec_job, messages

SMALL = [f"team-{index}" for index in range(19)]
JOBS = 10
FLOOD = 100 * JOBS
TASK = ["/bin/sleep", "0.1"]


def server_flags() -> list[str]:
    """Submissions are many here, and not what is looked at."""
    usage = subprocess.run([str(binaries() / "rota"), "server", "--help"], capture_output=True, text=True, check=True)
    return ["--submit-rate", "off"] if "--submit-rate" in usage.stdout else []


def submit(cluster: Cluster, namespaces: list[str], count: int) -> dict[str, list[str]]:
    """So many jobs of each namespace, one of each in turn."""
    requests = [
        messages.SubmitRequest(namespace=namespace, spec=exec_job(TASK, user_id=namespace))
        for _ in range(count)
        for namespace in namespaces
    ]
    results = cluster.client().submit_batch(requests)
    assert all(result.code == 0 for result in results), results
    jobs: dict[str, list[str]] = {namespace: [] for namespace in namespaces}
    for request, result in zip(requests, results):
        jobs[request.namespace].append(result.job_id)
    return jobs


def waits(cluster: Cluster, jobs: dict[str, list[str]], seconds: float) -> list[float]:
    """How long runs waited for an agent, seconds."""
    found = []
    client = cluster.client()
    for namespace, names in jobs.items():
        for name in names:
            job = client.wait(name, namespace=namespace, timeout=seconds)
            run = job.runs[0]
            found.append((run.attempts[0].assigned_at.ToNanoseconds() - run.created_at.ToNanoseconds()) / 1e9)
    return found


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_flood_of_one_namespace_delays_the_others_by_its_share():
    with Cluster(servers=1, agents=2, slots=4, server_flags=server_flags()) as cluster:
        calm = waits(cluster, submit(cluster, [*SMALL, "flood"], JOBS), 60)
    with Cluster(servers=1, agents=2, slots=4, server_flags=server_flags()) as cluster:
        submit(cluster, ["flood"], FLOOD)
        small = waits(cluster, submit(cluster, SMALL, JOBS), 120)
    before, after = (statistics.quantiles(values, n=100)[98] for values in (calm, small))
    print(f"p99 of the wait: {before:.2f} s without the flood, {after:.2f} s with it")
    assert after <= 2 * before
