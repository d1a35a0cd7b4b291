"""Tasks that use too much, that will not die, and that run as another user; by every means that this machine has."""
from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cgroups import groups_of_agent, modes, v1_folders
from cluster import Agent, Cluster, expect_dead
from processes import wait_until
from rest import listed
from rota_client import constraint, end_reason_name, exec_job, messages, noop_job, shell_job, status_name

MIB = 1 << 20
HOG = "python3 -c 'x = bytearray(200 << 20); print(len(x))'"
LOG_BYTES = 1 * MIB


class Isolated:
    """A cluster with one agent, and how it holds tasks to their limits."""

    def __init__(self, mode: str, cluster: Cluster) -> None:
        self.mode = mode
        self.cluster = cluster
        # Tasks that run as other users have to get to their folders.
        cluster.folder.chmod(0o711)

    @property
    def agent(self) -> Agent:
        return self.cluster.agents["a1"]

    def run(self, spec: messages.JobSpec, seconds: float = 30) -> messages.Job:
        return self.cluster.run_job(spec, seconds)

    def view(self, name: str = "a1") -> dict:
        agents = listed(self.cluster.rest.get("/agents"), "agents")
        return next(agent for agent in agents if agent["worker_id"] == name)

    def groups(self) -> list[Path]:
        """The control groups of this agent's attempts that are there."""
        own = groups_of_agent("a1", self.cluster.folder / "agents" / "a1")
        return [below for folder in own for below in folder.iterdir() if below.is_dir()]


@pytest.fixture(scope="module", params=modes())
def isolated(request) -> Iterator[Isolated]:
    flags = ["--isolation", request.param, "--allow-run-as", "nobody,daemon:daemon", "--log-bytes", str(LOG_BYTES)]
    with Cluster(agents=1, agent_flags=flags) as cluster:
        made = Isolated(request.param, cluster)
        incarnation = made.view()["incarnation"]
        yield made
        assert made.view()["incarnation"] == incarnation, "the agent never lost its lease"
        wait_until(lambda: not made.groups(), 5, "no control group is left behind")


def last_attempt(job: messages.Job) -> messages.Attempt:
    return job.runs[0].attempts[-1]


def output(isolated: Isolated, job: messages.Job) -> str:
    chunks = isolated.cluster.client().logs(job.job_id, stream=messages.LogStream.LOG_STREAM_STDOUT, timeout=10)
    return b"".join(chunk.data for chunk in chunks).decode()


def expect_unharmed(isolated: Isolated) -> None:
    """The agent is connected and takes work."""
    assert isolated.view()["connected"]
    assert status_name(isolated.run(noop_job(), 10).status) == "completed"


def test_the_agent_says_how_it_isolates(isolated):
    said = isolated.view()["isolation"]
    assert said.startswith(isolated.mode + ":memory")
    if isolated.mode == "cgroup_v1":
        assert set(said.partition(":")[2].split(",")) == set(v1_folders())
    assert isolated.view()["run_as_users"] == ["nobody", "daemon:daemon"]
    assert said in isolated.cluster.rota("agents").stdout


# Memory


def test_a_memory_hog_fails_with_the_reason(isolated):
    job = isolated.run(shell_job("exec " + HOG, memory_bytes=64 * MIB))
    last = last_attempt(job)
    assert status_name(job.status) == "failed"
    if isolated.mode == "rlimits":
        assert end_reason_name(last.end_reason) == "exited" and last.exit_code == 1
        assert b"MemoryError" in job.runs[0].output_tail
    else:
        assert end_reason_name(last.end_reason) == "out_of_memory" and last.signal == signal.SIGKILL
        assert "out of memory: the kernel killed 1 of its processes at the limit of 64MiB" in last.error
        assert 32 * 1024 <= last.usage.max_rss_kib <= 64 * 1024
    expect_unharmed(isolated)


def test_a_child_that_ran_out_of_memory(isolated):
    """The shell's exit code is kept; a shell that does not mind has succeeded."""
    spec = shell_job(f"{HOG}; code=$?; echo code $code; exit $code", memory_bytes=64 * MIB)
    job = isolated.run(spec)
    last = last_attempt(job)
    expected = ("exited", 1) if isolated.mode == "rlimits" else ("out_of_memory", 137)
    assert (end_reason_name(last.end_reason), last.exit_code) == expected
    assert f"code {expected[1]}" in output(isolated, job)

    job = isolated.run(shell_job(f"{HOG}; echo on", memory_bytes=64 * MIB))
    assert status_name(job.status) == "completed" and output(isolated, job).endswith("on\n")
    if isolated.mode != "rlimits":
        assert "out of memory" in last_attempt(job).error


def test_out_of_memory_is_shown_and_retried(isolated):
    spec = shell_job(f'[ "$ROTA_ATTEMPT" = 2 ] || exec {HOG}', memory_bytes=64 * MIB, max_retries=1, backoff=[0.1])
    job = isolated.run(spec)
    assert status_name(job.status) == "completed" and len(job.runs[0].attempts) == 2
    executions = isolated.cluster.rest.get(f"/jobs/{job.job_id}").json()["executions"]
    if isolated.mode != "rlimits":
        assert executions[1]["end_reason"] == "out_of_memory" and executions[1]["signal"] == 9


def test_the_command_line_says_it(isolated):
    done = isolated.cluster.rota("submit", "--wait", "--memory", "64MiB", "--pids", "50", "--shell", HOG)
    assert done.returncode != 0
    assert ("MemoryError" if isolated.mode == "rlimits" else "out of memory") in done.stdout + done.stderr
    done = isolated.cluster.rota("submit", "--wait", "--memory", "64MiB", "--cpus", "0.5", "--", "echo", "fits")
    assert done.returncode == 0 and done.stdout == "fits\n"


# Processes


@pytest.mark.alone
def test_a_fork_bomb_is_held(isolated):
    """Where the kernel holds it, by its control group or, of a user that is not root, by number."""
    as_user = {} if isolated.mode != "rlimits" else {"run_as": "nobody"}
    script = "b() { b & b & }; b; sleep 60"
    job = isolated.run(shell_job(script, pids=40, timeout=3, kill_grace=0.1, **as_user), 60)
    last = last_attempt(job)
    assert status_name(job.status) == "failed" and end_reason_name(last.end_reason) in ("timeout", "exited")
    if isolated.mode != "rlimits":
        assert "the limit on processes refused it another one" in last.error
    expect_unharmed(isolated)


def test_what_leaves_session_and_group_dies(isolated):
    """Also with nothing left in its environment that says whose it is."""
    pids = isolated.cluster.folder / "pids"
    pids.touch()
    script = (
        f"setsid sh -c 'sleep 61 & echo $! >> {pids}; exec sleep 61' & echo $! >> {pids}\n"
        f"env -i setsid setsid sh -c 'sleep 62 & echo $! >> {pids}; wait' &\n"
        f"while [ $(wc -l < {pids}) -lt 3 ]; do sleep 0.05; done\n"
    )
    job = isolated.run(shell_job(script, pids=50))
    assert status_name(job.status) == "completed"
    # When the end is told, they are dead: that is what lets the next attempt start.
    expect_dead([int(pid) for pid in pids.read_text().split()], 0.5, "what had left is dead")
    pids.unlink()


def test_a_task_that_kills_its_own_shim(isolated):
    """Its processes die with it; control groups find those that neither parents nor environment tell of."""
    pids = isolated.cluster.folder / "pids"
    hide = "env -i " if isolated.mode != "rlimits" else ""
    script = (
        f"{hide}setsid sh -c 'echo $$ >> {pids}; exec sleep 63' &\n"
        f"while [ ! -s {pids} ]; do sleep 0.05; done; kill -9 $PPID; sleep 63\n"
    )
    job = isolated.run(shell_job(script, pids=50))
    last = last_attempt(job)
    assert status_name(job.status) == "failed"
    assert "supervisor (rota-shim) was killed by signal 9" in last.error
    expect_dead([int(pid) for pid in pids.read_text().split()], 0.5, "what it left behind is dead")
    pids.unlink()
    expect_unharmed(isolated)


# Processors


@pytest.mark.alone
def test_half_a_processor(isolated):
    """Of a second of the clock it gets half; without control groups it is nicer than others."""
    script = "import os, time; end = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nprint(os.nice(0))"
    job = isolated.run(exec_job(["python3", "-c", script], cpus=0.5))
    usage = last_attempt(job).usage
    used = (usage.user_cpu_microseconds + usage.system_cpu_microseconds) / 1e6
    if "cpu" in isolated.view()["isolation"].split(":")[1].split(","):
        assert used < 1.5, "two seconds at half a processor"
    else:
        assert int(output(isolated, job)) == 10


# Output


@pytest.mark.alone
def test_a_flood_of_output_harms_nobody(isolated):
    """At full speed for some seconds: the disk holds two files of the cap, the lease holds, others run."""
    client = isolated.cluster.client()
    flood = client.submit(exec_job(["cat", "/dev/zero"], timeout=5, kill_grace=0.1)).job_id
    wait_until(lambda: status_name(client.job(flood).status) == "running", 10, "it runs")
    attempts = isolated.cluster.folder / "agents" / "a1" / "attempts" / "default" / flood
    until = time.monotonic() + 3
    others = 0
    while time.monotonic() < until:
        assert status_name(isolated.run(exec_job(["true"]), 20).status) == "completed"
        others += 1
        assert size_of(attempts.rglob("stdout.log*")) <= 2 * LOG_BYTES + 65536
    job = isolated.cluster.wait_job(flood, 20)
    usage = last_attempt(job).usage
    assert end_reason_name(last_attempt(job).end_reason) == "timeout"
    assert usage.stdout_bytes > 20 * LOG_BYTES, "it was a flood, and how much it was is told"
    print(f"{usage.stdout_bytes / MIB / 5:.0f} MiB/s beside {others} other tasks")
    assert isolated.view()["connected"]


def size_of(paths: Iterable[Path]) -> int:
    """What files have together; one that is being renamed has nothing."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


# Another user


def test_a_task_runs_as_another_user(isolated):
    script = "id -un; id -gn; echo $USER $LOGNAME; echo hi > here; ls -l here | cut -d' ' -f3; stat -c %U .; umask"
    job = isolated.run(shell_job(script, run_as="nobody"))
    assert output(isolated, job).split() == [*"nobody nogroup nobody nobody nobody nobody 0022".split()]
    job = isolated.run(exec_job(["id", "-un"], run_as="65534"))
    assert output(isolated, job) == "nobody\n"
    job = isolated.run(exec_job(["sh", "-c", "id -un; id -gn"], run_as="daemon:daemon"))
    assert output(isolated, job) == "daemon\ndaemon\n"


def test_it_can_change_nothing_but_its_folder(isolated):
    script = (
        'for f in ../stdout.log ../result ../x ../../x; do (echo evil >> "$ROTA_SCRATCH_DIR/$f") 2>/dev/null && echo $f; done\n'
        'rm -f "$ROTA_SCRATCH_DIR"/../*.log 2>/dev/null\n'
        'ls "$ROTA_SCRATCH_DIR/../.." 2>/dev/null\n'
        'echo "$(cat "$ROTA_SCRATCH_DIR/../../../../../../journal" 2>/dev/null | wc -c)"'
    )
    job = isolated.run(shell_job(script, run_as="nobody"))
    assert output(isolated, job) == "0\n"


def test_links_in_its_folder_lead_nowhere(isolated):
    """What the agent does to the folder later, it does not do to what links in it point at."""
    precious = isolated.cluster.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("still here")
    before = precious.stat().st_mode, precious.stat().st_uid
    script = f"ln -s {precious} link; ln -s {precious}/file file; mkdir shut; ln -s {precious} shut/in; chmod 0 shut"
    job = isolated.run(shell_job(script, run_as="nobody"))
    assert status_name(job.status) == "completed"
    assert (precious / "file").read_text() == "still here"
    assert (precious.stat().st_mode, precious.stat().st_uid) == before


@pytest.mark.parametrize(
    "user, why",
    [
        ("root", "run_as root is refused: this agent allows only nobody, daemon:daemon"),
        ("daemon", "allows only nobody, daemon:daemon"),
        ("nobody:root", "user nobody is not in the group root"),
        ("no-such-user", "there is no user no-such-user on this machine"),
    ],
)
def test_a_user_that_is_not_allowed_is_refused(isolated, user, why):
    witness = isolated.cluster.folder / "ran"
    job = isolated.run(exec_job(["touch", str(witness)], run_as=user))
    last = last_attempt(job)
    assert status_name(job.status) == "failed" and end_reason_name(last.end_reason) == "start_failed"
    assert why in last.error and not witness.exists()


def test_a_folder_that_the_user_cannot_enter(isolated):
    shut = isolated.cluster.folder / "shut"
    shut.mkdir(mode=0o700, exist_ok=True)
    job = isolated.run(exec_job(["true"], run_as="nobody", working_directory=str(shut)))
    assert end_reason_name(last_attempt(job).end_reason) == "start_failed"
    assert "user 65534 cannot enter working directory" in last_attempt(job).error


# Other agents


def on(agent: str) -> list[messages.Constraint]:
    return [constraint("name", "=", agent)]


def test_agents_of_other_kinds():
    """An agent's defaults; one that limits nothing; one that is not root and one that allows nobody."""
    with Cluster(agents=4) as cluster:
        pass_through(cluster.folder)
        for name in ("a1", "a2", "a3"):
            cluster.agents[name].stop()
        cluster.agents["a1"].argv += ["--default-memory", "64MiB", "--default-pids", "30"]
        cluster.agents["a2"].argv += ["--isolation", "none"]
        unprivileged(cluster, cluster.agents["a3"])
        cluster.start()

        hogged = cluster.run_job(shell_job(HOG, constraints=on("a1")))
        assert status_name(hogged.status) == "failed"
        assert status_name(cluster.run_job(shell_job(HOG, constraints=on("a1"), memory_bytes=512 * MIB)).status) == (
            "completed"
        ), "a job's own limit is the one that counts"

        agents = {a["worker_id"]: a for a in listed(cluster.rest.get("/agents"), "agents")}
        assert agents["a2"]["isolation"] == "none"
        refused = cluster.run_job(shell_job("true", constraints=on("a2"), pids=10))
        assert end_reason_name(last_attempt(refused).end_reason) == "start_failed"
        assert "--isolation none" in last_attempt(refused).error
        assert status_name(cluster.run_job(shell_job("true", constraints=on("a2"))).status) == "completed"

        if os.geteuid() == 0:
            own = cluster.run_job(exec_job(["id", "-un"], constraints=on("a3"), run_as="nobody"))
            assert status_name(own.status) == "completed", last_attempt(own).error
        other = cluster.run_job(exec_job(["id", "-un"], constraints=on("a3"), run_as="daemon"))
        assert end_reason_name(last_attempt(other).end_reason) == "start_failed"
        assert "only root can become another user" in last_attempt(other).error

        nobody = cluster.run_job(exec_job(["true"], constraints=on("a4"), run_as="nobody"))
        assert "this agent lets jobs run as no other user; see its --allow-run-as" in last_attempt(nobody).error


def pass_through(folder: Path) -> None:
    """Lets everybody pass to a folder of the tests."""
    for above in [folder, *folder.parents]:
        mode = above.stat().st_mode
        if above.stat().st_uid == os.geteuid() and not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


def unprivileged(cluster: Cluster, agent: Agent) -> None:
    """Makes it an agent that is not root, which allows others although it cannot become them."""
    agent.argv += ["--allow-run-as", "*"]
    if os.geteuid() != 0:
        return
    programs = cluster.folder / "bin"
    programs.mkdir()
    for name in ("rota", "rota-shim"):
        shutil.copy2(Path(agent.argv[0]).parent / name, programs / name)
    data = cluster.folder / "agents" / agent.name
    for path in [data, *data.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    pass_through(data)
    agent.argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(programs / "rota"), *agent.argv[1:]]


def test_what_an_agent_that_was_killed_leaves_is_gone_with_the_next():
    """Control groups of an earlier life, with processes in them that nothing else tells of."""
    with Cluster(agents=1, agent_flags=["--allow-run-as", "nobody"]) as cluster:
        made = Isolated(modes()[0], cluster)
        pids = cluster.folder / "pids"
        hide = "env -i " if made.mode != "rlimits" else ""
        script = f"{hide}setsid sh -c 'echo $$ >> {pids}; exec sleep 64' & wait"
        client = cluster.client()
        job_id = client.submit(shell_job(script, pids=20, max_retries=0)).job_id
        wait_until(lambda: pids.exists() and pids.read_text(), 10, "it runs")
        pid = int(pids.read_text().split()[0])
        shim = int(Path(f"/proc/{parent_of(made, job_id)}/stat").read_text().split()[0])
        os.kill(shim, signal.SIGSTOP)
        made.agent.kill()
        os.kill(shim, signal.SIGKILL)
        os.kill(shim, signal.SIGCONT)
        made.agent.start()
        cluster.wait_connected()
        expect_dead([pid], 1, "nothing of an earlier life runs beside a new one")
        client.cancel(job_id)
        cluster.wait_job(job_id, 20)
        wait_until(lambda: not made.groups(), 10, "its control groups are gone")


def parent_of(isolated: Isolated, job_id: str) -> int:
    """The shim of a job's only task."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if f"ROTA_JOB_ID={job_id}\0".encode() in environment and isolated.cluster.folder.name.encode() in environment:
            parent = Path(f"/proc/{words[1]}")
            if b"rota-shim" in (parent / "cmdline").read_bytes():
                return int(words[1])
    raise AssertionError(f"no task of {job_id} is found")
