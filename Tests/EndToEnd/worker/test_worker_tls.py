"""Python workers with mutual TLS to the leader and to etcd; and that a certificate is good for one name only."""
from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import task_job
from rota_client.messages import JobStatus
from worker_cluster import PythonWorker, start


@pytest.fixture(scope="module")
def secure() -> Iterator[Cluster]:
    with Cluster(servers=1, agents=0, tls=True) as cluster:
        yield cluster


def test_tasks_run_over_mutual_tls(secure: Cluster) -> None:
    assert secure.certificates is not None
    worker = PythonWorker(secure, "w1", certificate=secure.certificates.issue("agent", "w1"))
    try:
        start(secure, worker)
        job = secure.run_job(task_job("echo", "over TLS"), seconds=30)
        assert job.status == JobStatus.JOB_STATUS_COMPLETED, job
        assert json.loads(job.runs[0].output_tail.splitlines()[-1])["payload"] == "over TLS"
        assert "echoing" in secure.rota("logs", job.job_id).stdout
        assert worker.stop(20) == 0
    finally:
        worker.kill()
        print(worker.log_tail())


def test_certificate_of_another_agent_is_refused(secure: Cluster) -> None:
    assert secure.certificates is not None
    impostor = PythonWorker(secure, "w2", certificate=secure.certificates.issue("agent", "somebody-else"))
    try:
        impostor.start()
        wait_until(lambda: "PERMISSION_DENIED" in impostor.log.read_text(), 30, "it is refused")
        assert "session with" not in impostor.log.read_text().replace("no session with", "")
        impostor.stop(20)
    finally:
        impostor.kill()
        print(impostor.log_tail())
