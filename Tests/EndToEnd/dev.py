"""`rota dev` in a folder of its own."""
from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cluster import binaries, clean_environment
from processes import Child, free_port, processes_of, wait_until
from rest import Rest


class Dev:
    """`rota dev` with a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rota-e2e-dev-"))
        self.http, self.grpc, self.etcd = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.rest = Rest(self.http, timeout=5)
        argv = [str(binaries() / "rota"), "dev", "--data-dir", str(self.folder / "data"), "--agents", "2"]
        argv += ["--http", self.http, "--grpc", self.grpc, "--etcd", self.etcd]
        self.child = Child("dev", argv, self.folder, clean_environment(self.folder.name))

    def start(self) -> None:
        self.child.start()

        def ready() -> bool:
            assert self.child.running, self.child.log_tail()
            return self.rest.get("/readyz").status == 200 and len(self.rest.get("/agents").json()["agents"]) == 2

        wait_until(ready, 30, "rota dev is ready")

    def close(self) -> None:
        self.child.stop(15)
        wait_until(lambda: not processes_of(self.folder.name), 10, "nothing is left behind")
        shutil.rmtree(self.folder, ignore_errors=True)
