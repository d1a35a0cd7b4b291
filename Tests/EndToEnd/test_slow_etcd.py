"""An etcd that is slow: its disk takes two seconds for each write, or it stands still again and again."""
from __future__ import annotations

import signal
import threading
import time
from collections import Counter

import pytest

from cluster import Cluster
from processes import Child, wait_until
from rota_client import RotaError, shell_job, status_name

ACCEPTABLE = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


@pytest.fixture
def cluster():
    with Cluster(servers=2, agents=2, slots=50) as made:
        yield made


class Submitter:
    """Submits with idempotency keys all the while; keeps what was acknowledged, and every refusal."""

    def __init__(self, cluster: Cluster, spec) -> None:
        self.cluster, self.spec = cluster, spec
        self.accepted: list[str] = []
        self.refusals: list[RotaError] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Submitter:
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._ends.wait(0.1):
            key = f"slow-{number}"
            try:
                job = self.cluster.client().submit(self.spec, idempotency_key=key)
            except RotaError as error:
                self.refusals.append(error)  # with the same key again
                continue
            self.accepted.append(job.job_id)
            number += 1


def incarnations(cluster: Cluster) -> dict[str, int]:
    return {agent.worker_id: agent.incarnation for agent in cluster.client().agents()}


def check_all(cluster: Cluster, submitter: Submitter, witness, before: dict[str, int]) -> None:
    """Nothing that was acknowledged is lost or ran twice; errors were clear; no agent was taken for lost."""
    assert len(submitter.accepted) >= 3, [str(error) for error in submitter.refusals[:3]]
    assert {error.code.name for error in submitter.refusals} <= ACCEPTABLE
    assert all(str(error) for error in submitter.refusals)
    done = cluster.wait_jobs(submitter.accepted, 90)
    assert {status_name(job.status) for job in done} == {"completed"}
    ran = Counter(witness.read_text().split())
    assert set(submitter.accepted) <= set(ran) and set(ran.values()) == {1}
    assert incarnations(cluster) == before, "agents came and went"


def test_each_write_to_the_disk_takes_two_seconds(cluster):
    witness = cluster.folder / "witness"
    spec = shell_job(f'echo "$ROTA_JOB_ID" >> {witness}')
    before = incarnations(cluster)
    slow = Child(
        "strace",
        ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(cluster.etcd.pid)]
        + ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_exit=2000000"],
        cluster.folder,
        cluster.env,
    )
    slow.start()
    try:
        with Submitter(cluster, spec) as submitter:
            time.sleep(20)
            assert slow.running, slow.log_tail()
    finally:
        slow.stop()
    check_all(cluster, submitter, witness, before)


def test_it_stands_still_again_and_again(cluster):
    witness = cluster.folder / "witness"
    spec = shell_job(f'echo "$ROTA_JOB_ID" >> {witness}')
    before = incarnations(cluster)
    with Submitter(cluster, spec) as submitter:
        for _ in range(8):
            cluster.etcd.send(signal.SIGSTOP)
            time.sleep(1.5)
            cluster.etcd.send(signal.SIGCONT)
            time.sleep(0.7)
    check_all(cluster, submitter, witness, before)
