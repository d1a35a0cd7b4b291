"""An agent's process is replaced while its tasks run: they go on, or are dead before they run again."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster import START_SECONDS, Agent, Cluster, binaries, expect_dead
from history import Recorder, check
from processes import is_alive, wait_until
from rota_client import constraint, end_reason_name, exec_job, http_job, messages, shell_job, status_name

TTL_SECONDS = 15
"""Longer than the default, so that a slow machine has the time to start a program."""

# Counts aloud until it is told to finish; starts no process meanwhile, so that 50 fit on a small machine.
COUNTER = r"""
folder=$1
printf 'start %s %s %s\n' "$ROTA_JOB_ID" "$ROTA_ATTEMPT" $$ >>"$folder/witness"
n=0
while [[ ! -e $folder/finish ]]; do
  echo "$((n++))"
  read -r -t 0.3 <>"$folder/never"
done
echo "end $n"
"""


class Counters:
    """Tasks that show whether they were disturbed."""

    def __init__(self, parent: Path, name: str) -> None:
        self.folder = parent / f"counters-{name}"
        self.folder.mkdir()
        os.mkfifo(self.folder / "never")
        self.witness = self.folder / "witness"
        self.witness.touch()
        self.script = self.folder / "counter.sh"
        self.script.write_text(COUNTER)

    def spec(self, **options) -> messages.JobSpec:
        return exec_job(["/bin/bash", str(self.script), str(self.folder)], **options)

    def starts(self) -> list[tuple[str, int, int]]:
        """(job, attempt, pid) of each start."""
        lines = [line.split() for line in self.witness.read_text().splitlines()]
        return [(job, int(attempt), int(pid)) for _, job, attempt, pid in lines]

    def finish(self) -> None:
        (self.folder / "finish").touch()


class Upgradable:
    """A cluster whose agents run copies of the programs, which can be replaced as a package manager does."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bin = cluster.folder / "bin"
        self.bin.mkdir()
        self.install()
        for agent in cluster.agents.values():
            agent.argv[0] = str(self.bin / "rota")

    def install(self) -> None:
        """New files in the place of those that run."""
        for name in ("rota", "rota-shim"):
            shutil.copy2(binaries() / name, self.bin / f".{name}.new")
            os.rename(self.bin / f".{name}.new", self.bin / name)

    def leave(self, agent: Agent, how: signal.Signals) -> None:
        agent.send(how)
        code = agent.wait(10)
        assert code == (0 if how == signal.SIGUSR2 else -how), f"{how.name}: {agent.log_tail()}"


@pytest.fixture(scope="module")
def upgradable() -> Iterator[Upgradable]:
    cluster = Cluster(servers=1, agents=2, slots=60, agent_flags=["--lease-ttl", f"{TTL_SECONDS}s"])
    made = Upgradable(cluster)
    with cluster:
        yield made
        cluster.failed = cluster.failed or not all(child.running for child in cluster.children)


@pytest.fixture
def fleet(upgradable) -> Iterator[Upgradable]:
    yield upgradable
    upgradable.cluster.start()


ON_A1 = [constraint("name", "=", "a1")]


def said(agent: Agent, message: str) -> int:
    return agent.log.read_text(errors="replace").count(f'"{message}"')


def adopted(agent: Agent) -> int:
    return said(agent, "tasks of the earlier process go on")


def shims(folder: Path) -> dict[str, int]:
    """The shims of attempts below a folder, by the attempt's folder."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            variables = (process / "environ").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        for variable in variables:
            name, _, value = variable.decode(errors="replace").partition("=")
            if name == "ROTA_SHIM_FOLDER" and value.startswith(str(folder)):
                found[value] = int(process.name)
    return found


@pytest.mark.parametrize("how", [signal.SIGUSR2, signal.SIGKILL], ids=["SIGUSR2", "SIGKILL"])
def test_binary_is_replaced_under_50_tasks(fleet, how):
    """None restarts, all results arrive, no line of output is lost."""
    cluster, agent = fleet.cluster, fleet.cluster.agents["a1"]
    counters = Counters(cluster.folder, how.name)
    job_ids = cluster.submit_all([counters.spec(constraints=ON_A1)] * 50)
    wait_until(lambda: len(counters.starts()) == 50, 60, "all 50 run")
    pids = [pid for _, _, pid in counters.starts()]
    # A new file runs after each replacement, and the tasks are handed on twice.
    for handed_on in (1, 2):
        before = os.stat(f"/proc/{agent.pid}/exe").st_ino
        fleet.install()
        started = time.monotonic()
        fleet.leave(agent, how)
        agent.start()
        cluster.wait_connected()
        print(f"{how.name}: connected again after {time.monotonic() - started:.2f} s")
        # A server may still know of the earlier process's session.
        wait_until(lambda: adopted(agent) >= handed_on, 20, "its tasks are adopted")
        assert os.stat(f"/proc/{agent.pid}/exe").st_ino != before
    assert all(is_alive(pid) for pid in pids)
    # The new process can still do all that an agent does.
    assert cluster.run_job(exec_job(["echo", "hi"], constraints=ON_A1)).status == messages.JobStatus.JOB_STATUS_COMPLETED
    tails = {job_id: b"".join(chunk.data for chunk in cluster.client().logs(job_id)) for job_id in job_ids[:3]}
    assert all(tail.startswith(b"0\n1\n2\n") for tail in tails.values()), "logs can be read while they run"
    counters.finish()
    for job in cluster.wait_jobs(job_ids, 60):
        run = job.runs[0]
        assert status_name(job.status) == "completed", job
        assert [(a.attempt, a.worker_id, a.exit_code) for a in run.attempts] == [(1, "a1", 0)]
        lines = b"".join(chunk.data for chunk in cluster.client().logs(job.job_id)).decode().splitlines()
        assert lines[-1] == f"end {len(lines) - 1}" and lines[:-1] == [str(n) for n in range(len(lines) - 1)]
        assert run.output_tail.decode().endswith(f"{lines[-1]}\n")
    assert sorted(counters.starts()) == sorted((job_id, 1, pid) for job_id, _, pid in counters.starts())
    assert len(counters.starts()) == 50, "nothing started again"


def test_killed_twice_in_a_row(fleet):
    """The second time before it has done anything."""
    cluster, agent = fleet.cluster, fleet.cluster.agents["a1"]
    counters = Counters(cluster.folder, "twice")
    job_ids = cluster.submit_all([counters.spec(constraints=ON_A1)] * 10)
    wait_until(lambda: len(counters.starts()) == 10, 30, "all run")
    cluster.wait_connected()
    for pause in (0.0, 0.1, 0.3):
        fleet.leave(agent, signal.SIGKILL)
        agent.start()
        time.sleep(pause)
    fleet.leave(agent, signal.SIGKILL)
    agent.start()
    cluster.wait_connected()
    counters.finish()
    jobs = cluster.wait_jobs(job_ids, 60)
    assert {status_name(job.status) for job in jobs} == {"completed"}
    assert {len(job.runs[0].attempts) for job in jobs} == {1} and len(counters.starts()) == 10


@pytest.mark.parametrize("how", [signal.SIGUSR2, signal.SIGKILL], ids=["SIGUSR2", "SIGKILL"])
def test_too_late(fleet, how):
    """Nobody comes before the end of trust: the tasks are dead before they run elsewhere."""
    cluster, agent = fleet.cluster, fleet.cluster.agents["a1"]
    recorder = Recorder(cluster.folder, f"late-{how.name}")
    anywhere = recorder.spec(seconds=200, constraints=[constraint("name", "in", "a1", "a2")])
    # The pinned ones wait for the agent to come back, as another incarnation or the same.
    job_ids = cluster.submit_all([recorder.spec(seconds=200, constraints=ON_A1)] * 4 + [anywhere] * 8)
    wait_until(lambda: len(recorder.executions()) == 12, 30, "all run")
    victims = [e for e in recorder.executions() if e.agent == "a1"]
    assert victims
    fleet.leave(agent, how)
    time.sleep(1)
    assert all(is_alive(victim.pid) for victim in victims), "they have their time"
    expect_dead([victim.pid for victim in victims], TTL_SECONDS, "the shims have killed the tasks")
    agent.start()
    moved = {victim.run for victim in victims}
    wait_until(
        lambda: moved <= {e.run for e in recorder.executions() if e.attempt > 1}, TTL_SECONDS + 20, "they run again"
    )
    recorder.finish()
    jobs = cluster.wait_jobs(job_ids, 60)
    assert {status_name(job.status) for job in jobs} == {"completed"}
    for job in jobs:
        reasons = [end_reason_name(attempt.end_reason) for attempt in job.runs[0].attempts]
        assert reasons == ["exited"] or (reasons[0] in ("fenced", "agent_lost") and reasons[1:] == ["exited"]), reasons
        assert job.runs[0].retry_count == 0
    check(recorder)


def test_what_happened_while_no_agent_was_there(fleet):
    """Some tasks end, one loses its shim, one is cancelled, one runs into its timeout."""
    cluster, agent, client = fleet.cluster, fleet.cluster.agents["a1"], fleet.cluster.client()
    go, witness = cluster.folder / "go-on", cluster.folder / "shimless"
    witness.touch()
    waiting = f"while [ ! -e {go} ]; do sleep 0.1; done; echo went on"
    ended = [client.submit(shell_job(f"{waiting}; exit {code}", constraints=ON_A1)).job_id for code in (0, 5)]
    shimless = client.submit(
        shell_job(f"echo $ROTA_ATTEMPT $$ >> {witness}; [ $ROTA_ATTEMPT = 2 ] || sleep 300", constraints=ON_A1)
    ).job_id
    cancelled = client.submit(shell_job("sleep 300", constraints=ON_A1)).job_id
    slow = client.submit(shell_job("sleep 300", constraints=ON_A1, timeout=4)).job_id
    everything = [*ended, shimless, cancelled, slow]

    def all_run() -> bool:
        return all(status_name(client.job(job_id).status) == "running" for job_id in everything)

    wait_until(all_run, 20, "all run")
    fleet.leave(agent, signal.SIGUSR2)
    go.touch()
    victim = next(pid for path, pid in shims(cluster.folder).items() if f"/{shimless}/" in path)
    os.kill(victim, signal.SIGKILL)
    client.cancel(cancelled)
    pid = int(witness.read_text().split()[1])
    expect_dead([pid], 5, "a task dies with its shim")
    time.sleep(4)
    agent.start()
    jobs = {job_id: cluster.wait_job(job_id, 40) for job_id in everything}
    for job_id, code in zip(ended, (0, 5)):
        attempts = jobs[job_id].runs[0].attempts
        assert [(a.exit_code, end_reason_name(a.end_reason)) for a in attempts] == [(code, "exited")]
        assert attempts[0].HasField("start_time") and jobs[job_id].runs[0].output_tail == b"went on\n"
    assert [end_reason_name(a.end_reason) for a in jobs[shimless].runs[0].attempts] == ["agent_stopped", "exited"]
    assert [line.split()[0] for line in witness.read_text().splitlines()] == ["1", "2"]
    assert status_name(jobs[cancelled].status) == "cancelled"
    late = jobs[slow].runs[0].attempts
    assert [end_reason_name(a.end_reason) for a in late] == ["timeout"] and "4000 ms" in late[0].error


def test_requests_die_with_the_process(fleet):
    """There is no shim that could go on with them: they are given back, and made again."""
    asked = threading.Semaphore(0)

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.release()
            if self.headers["Rota-Attempt"] == "1":
                time.sleep(30)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster, agent = fleet.cluster, fleet.cluster.agents["a1"]
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        job_id = cluster.client().submit(http_job(url, constraints=ON_A1)).job_id
        assert asked.acquire(timeout=20)
        fleet.leave(agent, signal.SIGUSR2)
        agent.start()
        job = cluster.wait_job(job_id, 30)
        assert status_name(job.status) == "completed"
        assert [end_reason_name(a.end_reason) for a in job.runs[0].attempts] == ["agent_stopped", "exited"]
    finally:
        server.shutdown()
        server.server_close()


def test_a_second_process_has_to_wait(fleet):
    """While the first one lives, stopped or not, nobody else takes its tasks."""
    cluster, agent = fleet.cluster, fleet.cluster.agents["a1"]
    counters = Counters(cluster.folder, "second")
    job_id = cluster.client().submit(counters.spec(constraints=ON_A1)).job_id
    wait_until(lambda: counters.starts(), 20, "it runs")
    pid = counters.starts()[0][2]
    agent.send(signal.SIGSTOP)
    try:
        done = subprocess.run(agent.argv, env=agent.env, capture_output=True, text=True, timeout=START_SECONDS)
    finally:
        agent.send(signal.SIGCONT)
    assert done.returncode == 1 and "in use by another agent" in done.stderr
    assert is_alive(pid)
    counters.finish()
    job = cluster.wait_job(job_id)
    assert status_name(job.status) == "completed" and len(job.runs[0].attempts) == 1
