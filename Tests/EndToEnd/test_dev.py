"""`rota dev`: everything on one machine, ended by one Ctrl-C."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from cluster import CHECKOUT, binaries, clean_environment
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


@pytest.fixture
def dev():
    made = Dev()
    try:
        yield made
    finally:
        print(made.child.log_tail())
        made.close()


@pytest.mark.parametrize("whom", ["the process", "the whole group"])
def test_one_ctrl_c_ends_everything(dev, whom):
    dev.start()
    job_id = dev.rest.post("/jobs", {"exec": ["/bin/sh", "-c", "sleep 300"]}).json()["job_id"]
    wait_until(lambda: dev.rest.get(f"/jobs/{job_id}").json()["status"] == "running", 10, "a task runs")
    assert len(processes_of(dev.folder.name)) >= 3
    if whom == "the process":
        dev.child.send(signal.SIGINT)
    else:
        os.killpg(dev.child.pid, signal.SIGINT)  # as a terminal does it
    assert dev.child.wait(30) in (0, 130)
    wait_until(lambda: not processes_of(dev.folder.name), 3, "nothing is left behind")

    # The data is still there, and what was interrupted goes on.
    dev.start()
    assert dev.rest.get(f"/jobs/{job_id}").json()["status"] in ("pending", "running")
    dev.rest.delete(f"/jobs/{job_id}")


def test_kill_9_of_dev_leaves_nothing_behind(dev):
    dev.start()
    job_id = dev.rest.post("/jobs", {"exec": ["sleep", "300"]}).json()["job_id"]
    wait_until(lambda: dev.rest.get(f"/jobs/{job_id}").json()["status"] == "running", 10, "a task runs")
    dev.child.kill()
    wait_until(lambda: not processes_of(dev.folder.name), 10, "etcd, agents and tasks ended with it")


def test_a_port_that_is_taken_is_named(dev):
    other = Dev()
    dev.start()
    other.child.argv[other.child.argv.index(other.http)] = dev.http
    other.child.start()
    try:
        assert other.child.wait(30) not in (0, -11, -6)
        assert dev.http.rsplit(":", 1)[1] in other.child.log_tail()
    finally:
        other.close()
    assert dev.rest.get("/readyz").status == 200


def test_the_demo_runs_once_without_a_terminal():
    folder = Path(tempfile.mkdtemp(prefix="rota-e2e-demo-"))
    env = clean_environment(folder.name)
    env |= {f"ROTA_DEMO_{name}": f"127.0.0.1:{free_port()}" for name in ("HTTP", "GRPC", "ETCD")}
    env |= {"ROTA_DEMO_DATA": str(folder), "ROTA_BIN": str(binaries())}
    script = str(CHECKOUT / "scripts" / "run-demo")
    done = subprocess.run(
        [script], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "All results are as they should be." in done.stdout
    wait_until(lambda: not processes_of(folder.name), 5, "nothing is left behind")
    shutil.rmtree(folder)
