"""An etcd whose space is used up: clear refusals, nothing lost, and a leader that heals it by itself."""
from __future__ import annotations

import subprocess
import time
from collections import Counter

import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import RotaError, exec_job, messages, shell_job, status_name

QUOTA_MIB = 16
FILLING = b"x" * 900_000


def small_cluster(**options) -> Cluster:
    cluster = Cluster(servers=2, agents=2, slots=50, server_flags=["--etcd-quota", f"{QUOTA_MIB}MiB"], **options)
    cluster.env["ETCD_QUOTA_BACKEND_BYTES"] = str(QUOTA_MIB << 20)
    return cluster


def storage(cluster: Cluster) -> dict:
    return cluster.leader().rest.get("/cluster").json().get("storage", {})


def alarm(cluster: Cluster) -> str:
    return cluster.etcd.ctl("alarm", "list").strip()


def metric(cluster: Cluster, name: str) -> int:
    text = cluster.leader().rest.get("/metrics").text
    return int(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


def fill_history(cluster: Cluster) -> None:
    """Writes one key over and over, until etcd refuses: old revisions take all space."""
    for _ in range(QUOTA_MIB * 3):
        done = subprocess.run(
            ["etcdctl", f"--endpoints={cluster.etcd.url}", "put", "filling"],
            input=FILLING,
            env=cluster.env,
            capture_output=True,
            timeout=30,
        )
        if done.returncode != 0:
            assert b"database space exceeded" in done.stderr, done.stderr
            return
    raise AssertionError("etcd has taken more than three times its quota")


def status_of(cluster: Cluster, job: str) -> str:
    """What has ended a minute ago may be gone already: space is short."""
    try:
        return status_name(cluster.client().job(job).status)
    except RotaError as error:
        assert error.code.name == "NOT_FOUND", error
        return "removed"


def test_history_fills_it_and_it_heals_without_losing_anything():
    with small_cluster() as cluster:
        witness = cluster.folder / "witness"
        script = f'sleep 4; echo "$ROTA_JOB_ID" >> {witness}'
        running = cluster.submit_all([shell_job(script)] * 20)
        wait_until(
            lambda: sum(run.attempts[-1].HasField("start_time") for run in cluster.client().runs() if run.attempts) == 20,
            20,
            "twenty tasks run",
        )
        fill_history(cluster)
        refused: list[str] = []

        def taken() -> str:
            try:
                return cluster.client().submit(shell_job(script)).job_id
            except RotaError as error:
                assert error.code.name == "RESOURCE_EXHAUSTED", error
                refused.append(str(error))
                return ""

        # The first submission meets the alarm; that is how the leader hears of it.
        job = wait_until(taken, 60, "submissions are taken again", every=0.1)
        assert refused and "etcd has no space left" in refused[0]
        assert not alarm(cluster)
        wait_until(lambda: len(witness.read_text().split()) == 21, 60, "all have run")
        wait_until(lambda: {status_of(cluster, each) for each in [*running, job]} <= {"completed", "removed"}, 60, "all have ended")
        started = Counter(witness.read_text().split())
        assert set(started) == {*running, job} and set(started.values()) == {1}
        assert storage(cluster)["healed"] >= 1 and metric(cluster, "rota_etcd_no_space_healed_total") >= 1
        assert "etcd takes writes again" in cluster.logs_text()


@pytest.mark.timeout(400)  # what has ended within the last minute is never removed
def test_ended_jobs_fill_it_and_the_oldest_go_first():
    with small_cluster() as cluster:
        witness = cluster.folder / "witness"
        padding = "x" * 15_000
        accepted: list[str] = []
        refusals = 0
        spec = exec_job(["/bin/sh", "-c", f'echo "$ROTA_JOB_ID" >> {witness}', padding])
        started = time.monotonic()
        after_refusal = 0
        while after_refusal < 200 and time.monotonic() - started < 240:
            results = cluster.client().submit_batch([messages.SubmitRequest(spec=spec)] * 25)
            taken = [result.job_id for result in results if result.code == 0]
            accepted += taken
            after_refusal += len(taken) if refusals else 0
            if full := [result for result in results if result.code != 0]:
                assert {result.code for result in full} == {8}, full[0].message
                refusals += 1
                time.sleep(1)
        assert refusals and after_refusal >= 200, f"{refusals} refusals; {after_refusal} taken after the first"
        wait_until(lambda: not alarm(cluster), 90, "the alarm is over", every=1)

        def all_ran() -> bool:
            return len(set(witness.read_text().split())) == len(accepted)

        # The quota may be used up again by what has ended just now.
        wait_until(all_ran, 60, "everything that was accepted has run", every=0.5)
        counts = Counter(witness.read_text().split())
        assert set(counts) == set(accepted) and set(counts.values()) == {1}
        wait_until(
            lambda: all(status_name(job.status) == "completed" for job in cluster.client().jobs(page_size=100)),
            60,
            "all that is kept has ended",
            every=0.5,
        )
        kept = [job.job_id for job in cluster.client().jobs(page_size=100)]
        assert 0 < len(kept) < len(accepted)
        # The newest are kept, within a batch or two.
        assert set(kept) <= set(accepted[-len(kept) - 100 :])
        assert storage(cluster)["pressure"] > 0
        assert "etcd" in cluster.rota("cluster", server=cluster.leader()).stdout


@pytest.mark.parametrize("killed", ["the leader", "all servers"])
def test_it_heals_although_servers_are_lost_meanwhile(killed):
    with small_cluster() as cluster:
        fill_history(cluster)
        # No lease can be granted while there is no space: who is lost does not come back before it is healed.
        victims = [cluster.leader()] if killed == "the leader" else list(cluster.servers)
        for server in victims:
            server.kill()
            server.start()
        wait_until(lambda: not alarm(cluster), 90, "the alarm is over", every=0.5)
        for server in cluster.servers:
            server.wait_ready()
        cluster.wait_connected(60)
        assert status_name(cluster.run_job(shell_job("true"), 40).status) == "completed"
