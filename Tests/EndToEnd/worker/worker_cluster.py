"""Python workers beside a cluster of servers and agents."""
from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from certs import Pair
from cluster import CHECKOUT, Cluster
from processes import Child, wait_until
from rest import listed

TTL_SECONDS = 6
TASKS = Path(__file__).resolve().parent / "tasks.py"


class PythonWorker(Child):
    """A worker with the tasks of `tasks.py`, started as a user would start it."""

    def __init__(
        self, cluster: Cluster, name: str, pool: str = "process", slots: int = 8, drain: float = 10,
        certificate: Pair | None = None,
    ) -> None:
        self.data_dir = cluster.folder / "workers" / name
        self.notes = cluster.folder / "notes"
        self.notes.mkdir(exist_ok=True)
        env = {
            **cluster.env,
            "WORKER_ID": name,
            "WORKER_ETCD": cluster.etcd.url,
            "WORKER_POOL": pool,
            "WORKER_SLOTS": str(slots),
            "WORKER_DRAIN": str(drain),
            "WORKER_DATA": str(self.data_dir),
            "WORKER_NOTES": str(self.notes),
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "clients" / "python"), str(TASKS.parent)]),
            "PYTHONUNBUFFERED": "1",
        }
        if certificate:
            files = (certificate.ca, certificate.certificate, certificate.key)
            env["WORKER_TLS"] = os.pathsep.join(map(str, files))
        argv = [sys.executable, "-m", "rota_worker", "tasks:worker", "--log-level", "DEBUG"]
        super().__init__(name, argv, cluster.folder, env)


def start(cluster: Cluster, *workers: PythonWorker) -> None:
    """Starts workers and waits until they have their sessions."""
    for worker in workers:
        worker.start()
    wait_connected(cluster, [worker.name for worker in workers])


def wait_connected(cluster: Cluster, names: Sequence[str], seconds: float = 30) -> None:
    def connected() -> bool:
        answer = cluster.leader().rest.get("/agents")
        seen = {agent["worker_id"] for agent in listed(answer, "agents") if agent.get("connected")}
        return set(names) <= seen

    wait_until(connected, seconds, f"workers {sorted(names)} are connected", every=0.1)
