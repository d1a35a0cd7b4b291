"""Tasks with limits whose agent is replaced: they stay limited, and what is not taken over dies with all that it has started."""
from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgroups import groups_of_agent, modes
from cluster import START_SECONDS, Agent, Cluster, expect_dead
from processes import is_alive, wait_until
from rota_client import end_reason_name, messages, shell_job, status_name

MIB = 1 << 20
LIMIT = 64 * MIB
TTL_SECONDS = 15
HOG = "python3 -c 'x = bytearray(200 << 20); print(len(x))'"
HOW = pytest.mark.parametrize("how", [signal.SIGUSR2, signal.SIGKILL], ids=["SIGUSR2", "SIGKILL"])
USER = pytest.mark.parametrize("user", ["", "nobody"], ids=["agents-user", "nobody"])


class Replaced:
    """A cluster with one agent, which is replaced."""

    def __init__(self, mode: str, cluster: Cluster) -> None:
        self.mode = mode
        self.cluster = cluster
        self.witnesses = cluster.folder / "witnesses"
        # Tasks that run as other users have to get to their folders, and to what the test reads.
        cluster.folder.chmod(0o711)
        self.witnesses.mkdir()
        self.witnesses.chmod(0o1777)

    @property
    def agent(self) -> Agent:
        return self.cluster.agents["a1"]

    @property
    def has_groups(self) -> bool:
        return self.mode != "rlimits"

    def groups(self) -> dict[Path, set[int]]:
        """The control groups of this agent's attempts that are there, with their processes."""
        own = groups_of_agent("a1", self.cluster.folder / "agents" / "a1")
        folders = [below for folder in own for below in folder.iterdir() if below.is_dir()]
        return {folder: {int(pid) for pid in (folder / "cgroup.procs").read_text().split()} for folder in folders}

    def submit(self, script: str, **options) -> str:
        return self.cluster.client().submit(shell_job(script, memory_bytes=LIMIT, pids=50, **options)).job_id

    def leave(self, how: signal.Signals) -> None:
        self.agent.send(how)
        code = self.agent.wait(10)
        assert code == (0 if how == signal.SIGUSR2 else -how), self.agent.log_tail()

    def start(self) -> None:
        """Waits for a session of the new process; the server may not have noticed yet that the old one's is over."""
        before = self.said("session with the leader")
        self.agent.start()
        wait_until(lambda: self.said("session with the leader") > before, START_SECONDS, "the new process is connected")
        self.cluster.wait_connected()

    def said(self, message: str) -> int:
        return self.agent.log.read_text(errors="replace").count(f'"{message}"')

    def adopted(self) -> int:
        return self.said("tasks of the earlier process go on")

    def expect_out_of_memory(self, job: messages.Job) -> None:
        (last,) = job.runs[0].attempts
        assert status_name(job.status) == "failed"
        if self.has_groups:
            assert end_reason_name(last.end_reason) == "out_of_memory" and last.exit_code == 137, last
            assert "out of memory: the kernel killed 1 of its processes at the limit of 64MiB" in last.error
            assert 32 * 1024 <= last.usage.max_rss_kib <= 64 * 1024, "the peak of the whole group"
        else:
            assert end_reason_name(last.end_reason) == "exited" and last.exit_code == 1, last
            assert b"MemoryError" in job.runs[0].output_tail

    def expect_no_groups(self) -> None:
        wait_until(lambda: not self.groups(), 10, "its control groups are gone")


@pytest.fixture(scope="module", params=modes())
def replaced(request) -> Iterator[Replaced]:
    flags = ["--isolation", request.param, "--allow-run-as", "nobody", "--lease-ttl", f"{TTL_SECONDS}s"]
    with Cluster(agents=1, agent_flags=flags) as cluster:
        yield Replaced(request.param, cluster)


@pytest.fixture
def fleet(replaced) -> Iterator[Replaced]:
    yield replaced
    replaced.cluster.start()


def pids_in(file: Path, count: int) -> list[int]:
    """So many numbers, once a task has written them there."""

    def written() -> list[int] | None:
        pids = [int(pid) for pid in file.read_text().split()] if file.exists() else []
        return pids if len(pids) >= count else None

    return wait_until(written, 20, f"{count} processes say who they are")


@HOW
@USER
def test_limits_hold_after_the_agent_was_replaced(fleet, how, user):
    """Twice. Also the process that nothing but its control group tells of goes on, and dies with its task."""
    name = f"{how.name}-{user}"
    pids, go = fleet.witnesses / f"pids-{name}", fleet.witnesses / f"go-{name}"
    hide = "env -i " if fleet.has_groups else ""
    job_id = fleet.submit(
        f"{hide}setsid sh -c 'echo $$ >> {pids}; exec sleep 300' &\n"
        f"echo $$ >> {pids}; while [ ! -e {go} ]; do sleep 0.1; done; {HOG}; exit $?",
        run_as=user,
    )
    everybody = set(pids_in(pids, 2))
    wait_until(lambda: status_name(fleet.cluster.client().job(job_id).status) == "running", 20, "it runs")
    before = fleet.adopted()
    groups = set(fleet.groups())
    assert bool(groups) == fleet.has_groups
    for _ in range(2):
        fleet.leave(how)
        fleet.start()
        assert all(is_alive(pid) for pid in everybody), "nobody was taken for a stray"
        assert set(fleet.groups()) == groups and all(everybody <= found for found in fleet.groups().values())
    assert fleet.adopted() == before + 2
    go.touch()
    fleet.expect_out_of_memory(fleet.cluster.wait_job(job_id, 40))
    expect_dead(sorted(everybody), 2, "all of it is dead")
    fleet.expect_no_groups()


@USER
def test_out_of_memory_while_there_was_no_agent(fleet, user):
    """It has ended by itself meanwhile: the next process of the agent tells why."""
    ready, go = fleet.witnesses / f"ready-alone-{user}", fleet.witnesses / f"go-alone-{user}"
    job_id = fleet.submit(f"echo $$ > {ready}; while [ ! -e {go} ]; do sleep 0.1; done; {HOG}; exit $?", run_as=user)
    pids = pids_in(ready, 1)
    wait_until(lambda: status_name(fleet.cluster.client().job(job_id).status) == "running", 20, "it runs")
    fleet.leave(signal.SIGKILL)
    go.touch()
    expect_dead(pids, 20, "the task has ended")
    fleet.start()
    fleet.expect_out_of_memory(fleet.cluster.wait_job(job_id, 40))
    fleet.expect_no_groups()


def test_what_lost_its_shim_dies_beside_what_goes_on(fleet):
    """With its whole control group, soon, and without harm to the other task; its run begins anew."""
    lost, kept, go = (fleet.witnesses / name for name in ("lost", "kept", "go-beside"))
    hide = "env -i " if fleet.has_groups else ""
    waiting = f"while [ ! -e {go} ]; do sleep 0.1; done"
    lost_id = fleet.submit(
        f"[ $ROTA_ATTEMPT = 1 ] || exit 0; {hide}setsid sh -c 'echo $$ >> {lost}; exec sleep 300' &\n"
        f"echo $PPID >> {lost}; sleep 300"
    )
    kept_id = fleet.submit(f"{hide}setsid sh -c 'echo $$ >> {kept}; exec sleep 300' & {waiting}; exit 7")
    pids_in(lost, 2)
    (goes_on,) = pids_in(kept, 1)
    shim = next(pid for pid in pids_in(lost, 2) if b"rota-shim" in Path(f"/proc/{pid}/cmdline").read_bytes())
    (stray,) = [pid for pid in pids_in(lost, 2) if pid != shim]
    wait_until(lambda: status_name(fleet.cluster.client().job(lost_id).status) == "running", 20, "it runs")
    # Stopped first, so that it sees neither its agent's end nor a next one.
    os.kill(shim, signal.SIGSTOP)
    fleet.leave(signal.SIGKILL)
    os.kill(shim, signal.SIGKILL)
    expect_dead([shim], 5, "the shim is dead")
    assert is_alive(stray) and is_alive(goes_on)
    started = time.monotonic()
    fleet.start()
    print(f"{fleet.mode}: connected after {time.monotonic() - started:.1f} s")
    assert not is_alive(stray) and is_alive(goes_on)
    job = fleet.cluster.wait_job(lost_id, 40)
    assert [end_reason_name(a.end_reason) for a in job.runs[0].attempts] == ["agent_stopped", "exited"]
    go.touch()
    job = fleet.cluster.wait_job(kept_id, 40)
    assert [(a.exit_code, end_reason_name(a.end_reason)) for a in job.runs[0].attempts] == [(7, "exited")]
    expect_dead([goes_on], 2, "what it had started is dead")
    fleet.expect_no_groups()


def test_a_shim_that_stands_still_is_not_waited_for_for_ever(fleet):
    """Its task is dead before the next process says a word; the others' lease is renewed in time."""
    stuck, go = fleet.witnesses / "stuck", fleet.witnesses / "go-stuck"
    stuck_id = fleet.submit(f"[ $ROTA_ATTEMPT = 1 ] || exit 0; echo $PPID $$ > {stuck}; sleep 300")
    kept_id = fleet.submit(f"while [ ! -e {go} ]; do sleep 0.1; done; exit 7")
    shim, task = pids_in(stuck, 2)
    running = fleet.cluster.client()
    for job_id in (stuck_id, kept_id):
        wait_until(lambda: status_name(running.job(job_id).status) == "running", 20, "it runs")
    os.kill(shim, signal.SIGSTOP)
    fleet.leave(signal.SIGKILL)
    started = time.monotonic()
    fleet.start()
    print(f"{fleet.mode}: connected after {time.monotonic() - started:.1f} s")
    assert not is_alive(shim) and not is_alive(task)
    job = fleet.cluster.wait_job(stuck_id, 40)
    assert [end_reason_name(a.end_reason) for a in job.runs[0].attempts] == ["agent_stopped", "exited"]
    go.touch()
    job = fleet.cluster.wait_job(kept_id, 40)
    assert [(a.exit_code, end_reason_name(a.end_reason)) for a in job.runs[0].attempts] == [(7, "exited")]
    fleet.expect_no_groups()
