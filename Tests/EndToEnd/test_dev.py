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
from dev import Dev
from processes import free_port, processes_of, wait_until


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
