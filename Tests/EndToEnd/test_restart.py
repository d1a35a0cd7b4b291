"""Everything goes down and comes back on the same data."""
from __future__ import annotations

import pytest

from cluster import Cluster
from history import Recorder, check
from processes import wait_until
from rota_client import shell_job, status_name


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_restart_of_everything(how):
    with Cluster(servers=1, agents=2, slots=5) as cluster:
        recorder = Recorder(cluster.folder, how)
        done = cluster.run_job(shell_job("echo before; exit 4"))
        running = cluster.submit_all([recorder.spec(seconds=4)] * 10)
        queued = cluster.submit_all([recorder.spec(seconds=1)] * 10)
        later = cluster.submit(
            {"noop": {}, "execution_time": "2099-01-01T00:00:00Z", "job_id": "in-the-far-future"}
        )
        wait_until(lambda: len(recorder.executions()) >= 10, 20, "all slots are taken")

        if how == "kill":
            cluster.kill_all()
        else:
            # As an init system does it: all at once, so nobody can count on the others.
            for child in [*cluster.servers, *cluster.agents.values()]:
                child.stop(20)
            cluster.etcd.stop()
        for client in cluster._clients.values():
            client.close()
        cluster._clients.clear()
        cluster.start()

        again = cluster.client().job(done.job_id)
        assert again == done, "a recorded result is as it was"
        assert status_name(cluster.client().job(later).status) == "pending"
        jobs = cluster.wait_jobs([*running, *queued], 60)
        assert {status_name(job.status) for job in jobs} == {"completed"}
        assert {len(job.runs) for job in jobs} == {1}
        check(recorder)
        logs = b"".join(chunk.data for chunk in cluster.client().logs(done.job_id, timeout=10))
        assert logs == b"before\n", "the agents keep what was written"
