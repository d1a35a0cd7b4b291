"""Processes that save their progress: the next attempt goes on from there, on whatever agent."""
from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import LEASE_TTL_SECONDS, Cluster, binaries, clean_environment, expect_dead
from processes import wait_until
from rota_client import constraint, end_reason_name, messages, shell_job, status_name

LIMIT_BYTES = 256 * 1024
STEPS = 12
ON_A1 = [constraint("name", "=", "a1")]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Cluster]:
    with Cluster(servers=1, agents=2, slots=20) as cluster:
        yield cluster


@pytest.fixture
def cluster(fleet) -> Iterator[Cluster]:
    yield fleet
    for agent in fleet.agents.values():
        if agent.running:
            agent.send(signal.SIGCONT)
    fleet.start()


def script(body: str) -> str:
    """With the `rota` under test on its path."""
    return f"PATH={shlex.quote(str(binaries()))}:$PATH\n{body}"


def output(cluster: Cluster, job_id: str) -> str:
    return b"".join(chunk.data for chunk in cluster.client().logs(job_id)).decode()


def checkpoint_bytes(cluster: Cluster, job_id: str) -> int:
    return cluster.client().run(job_id).checkpoint_bytes


def attempts(cluster: Cluster, job_id: str) -> list[messages.Attempt]:
    return list(cluster.client().run(job_id).attempts)


def wait_running(cluster: Cluster, job_id: str) -> None:
    wait_until(lambda: status_name(cluster.client().job(job_id).status) == "running", 20, f"{job_id} runs")


def test_work_goes_on_elsewhere_where_it_was(cluster):
    """A task of 12 seconds whose agent is killed after 8 needs about 4 more, somewhere else."""
    steps = cluster.folder / "steps"
    steps.touch()
    job_id = cluster.client().submit(
        shell_job(
            script(
                f"""
                n=$(rota checkpoint get); n=${{n:-0}}
                echo "$ROTA_ATTEMPT from $n $$" >> {steps}
                while [ $n -lt {STEPS} ]; do
                  sleep 1
                  n=$((n + 1))
                  echo $n | rota checkpoint put || exit 3
                  echo "$ROTA_ATTEMPT $n" >> {steps}
                done
                """
            ),
        )
    ).job_id
    wait_until(lambda: " 8\n" in steps.read_text(), 60, "8 of 12 steps are saved")
    victim = attempts(cluster, job_id)[0].worker_id
    pid = int(steps.read_text().split()[3])
    killed = time.monotonic()
    cluster.agents[victim].kill()
    expect_dead([pid], LEASE_TTL_SECONDS, "the task is dead when the trust ends")
    job = cluster.wait_job(job_id, 60)
    took = time.monotonic() - killed
    lines = steps.read_text().splitlines()
    resumed = next(line.split() for line in lines if line.startswith("2 from"))
    done_again = [int(line.split()[1]) for line in lines if line.startswith("2 ") and "from" not in line]
    saved = max(int(line.split()[1]) for line in lines if line.startswith("1 ") and "from" not in line)
    print(f"{saved} steps were saved; it ended {took:.1f} s after the kill, {len(done_again)} steps later")
    assert status_name(job.status) == "completed"
    assert [end_reason_name(a.end_reason) for a in job.runs[0].attempts] == ["agent_lost", "exited"]
    assert job.runs[0].attempts[1].worker_id != victim
    # One may have been durable without the task having heard of it.
    assert int(resumed[2]) in (saved, saved + 1) and saved >= 8
    assert done_again == list(range(int(resumed[2]) + 1, STEPS + 1))
    assert job.runs[0].checkpoint_bytes == 0, "what has completed needs none"


def test_file_by_itself(cluster):
    """Without the helper: written under another name and renamed, or written directly; `.saved` says what is durable."""
    body = r"""
    if [ $ROTA_ATTEMPT = 3 ]; then cat $ROTA_CHECKPOINT_FILE; exit 0; fi
    if [ $ROTA_ATTEMPT = 2 ]; then cat $ROTA_CHECKPOINT_FILE; printf direct > $ROTA_CHECKPOINT_FILE; else
      [ ! -e $ROTA_CHECKPOINT_FILE ] && [ ! -e $ROTA_CHECKPOINT_FILE.saved ] || exit 9
      printf renamed > mine; mv mine $ROTA_CHECKPOINT_FILE
    fi
    wanted=$(sha256sum < $ROTA_CHECKPOINT_FILE | cut -c 1-64)
    while [ "$(cut -d ' ' -f 1 $ROTA_CHECKPOINT_FILE.saved 2> /dev/null)" != $wanted ]; do sleep 0.05; done
    exit 1
    """
    job = cluster.run_job(shell_job(body, max_retries=2, backoff=[0.1]), 60)
    assert status_name(job.status) == "completed", [a.exit_code for a in job.runs[0].attempts]
    assert [a.exit_code for a in job.runs[0].attempts] == [1, 1, 0]
    assert output(cluster, job.job_id) == "direct"


def test_last_words_are_saved(cluster):
    """What was written right before the end, without waiting for anything."""
    body = """
    [ $ROTA_ATTEMPT = 1 ] || cat $ROTA_CHECKPOINT_FILE
    [ $ROTA_ATTEMPT = 6 ] || { echo "after $ROTA_ATTEMPT" > $ROTA_CHECKPOINT_FILE; exit 1; }
    """
    job = cluster.run_job(shell_job(body, max_retries=5, backoff=[0.1]), 60)
    assert status_name(job.status) == "completed"
    assert output(cluster, job.job_id) == "after 5\n"


def test_too_large(cluster):
    body = f"""
    head -c {LIMIT_BYTES + 1} /dev/zero > large
    rota checkpoint put large; echo "put: $?"
    cp large $ROTA_CHECKPOINT_FILE
    while [ ! -e $ROTA_CHECKPOINT_FILE.error ]; do sleep 0.05; done
    cat $ROTA_CHECKPOINT_FILE.error
    head -c {LIMIT_BYTES} /dev/urandom > fits
    rota checkpoint put fits; echo "put: $?"
    rota checkpoint get | cmp - fits && echo same
    [ ! -e $ROTA_CHECKPOINT_FILE.error ] && echo forgiven
    : | rota checkpoint put; echo "put: $?"
    """
    job = cluster.run_job(shell_job(script(body)), 60)
    lines = output(cluster, job.job_id).splitlines()
    complaints = [line for line in lines if line.startswith("rota: ")]
    assert len(complaints) == 2 and "262144 bytes" in complaints[0] and "empty" in complaints[1]
    said = [line for line in lines if line not in complaints]
    assert said[1] == f"- {LIMIT_BYTES + 1} it has {LIMIT_BYTES + 1} bytes; at most {LIMIT_BYTES} are allowed"
    assert said[0] == "put: 1" and said[2:] == ["put: 0", "same", "forgiven", "put: 1"], said


def test_adopted_tasks_go_on_saving(cluster):
    """Also what they wrote while there was no agent."""
    agent = cluster.agents["a1"]
    go = cluster.folder / "adopted-go"
    body = f"""
    if [ $ROTA_ATTEMPT = 2 ]; then rota checkpoint get; exit 0; fi
    echo first | rota checkpoint put || exit 3
    echo ready
    while [ ! -e {go} ]; do sleep 0.1; done
    echo second | rota checkpoint put || exit 4
    echo third | rota checkpoint put || exit 5
    exit 1
    """
    job_id = cluster.client().submit(
        shell_job(script(body), max_retries=1, backoff=[0.1], constraints=ON_A1)
    ).job_id
    wait_until(lambda: checkpoint_bytes(cluster, job_id) == len("first\n"), 30, "the first is saved")
    wait_running(cluster, job_id)
    agent.kill()
    go.touch()
    time.sleep(0.7)
    agent.start()
    job = cluster.wait_job(job_id, 40)
    assert [a.exit_code for a in job.runs[0].attempts] == [1, 0], [a.error for a in job.runs[0].attempts]
    assert output(cluster, job_id) == "third\n"


def test_last_words_without_an_agent(cluster):
    """Written, and ended, while there was no agent: the next process of it finds both."""
    agent = cluster.agents["a1"]
    go, done = cluster.folder / "last-go", cluster.folder / "last-done"
    body = f"""
    if [ $ROTA_ATTEMPT = 2 ]; then rota checkpoint get; exit 0; fi
    while [ ! -e {go} ]; do sleep 0.1; done
    echo last > $ROTA_CHECKPOINT_FILE; touch {done}; exit 1
    """
    job_id = cluster.client().submit(
        shell_job(script(body), max_retries=1, backoff=[0.1], constraints=ON_A1)
    ).job_id
    wait_running(cluster, job_id)
    agent.kill()
    go.touch()
    wait_until(done.exists, 10, "the task has ended")
    agent.start()
    job = cluster.wait_job(job_id, 40)
    assert [a.exit_code for a in job.runs[0].attempts] == [1, 0]
    assert output(cluster, job_id) == "last\n"


def test_a_stale_attempt_overwrites_nothing(cluster):
    """The first attempt saves while its agent stands still; by the time it wakes up the second has saved, too."""
    go = cluster.folder / "stale-go"
    pids = cluster.folder / "stale-pids"
    body = f"""
    if [ $ROTA_ATTEMPT = 3 ]; then rota checkpoint get; exit 0; fi
    if [ $ROTA_ATTEMPT = 2 ]; then
      rota checkpoint get; echo fresh | rota checkpoint put || exit 3
      while [ ! -e {go} ]; do sleep 0.1; done; exit 1
    fi
    echo $$ > {pids}
    echo early | rota checkpoint put || exit 4
    while [ ! -e {go}-stale ]; do sleep 0.1; done
    echo stale > $ROTA_CHECKPOINT_FILE; touch {go}-written
    sleep 60
    """
    client = cluster.client()
    job_id = client.submit(shell_job(script(body), max_retries=1, backoff=[0.1])).job_id
    wait_until(lambda: checkpoint_bytes(cluster, job_id) == len("early\n"), 30, "the first is saved")
    first = attempts(cluster, job_id)[0].worker_id
    agent = cluster.agents[first]
    agent.send(signal.SIGSTOP)
    Path(f"{go}-stale").touch()
    wait_until(Path(f"{go}-written").exists, 10, "the first attempt writes once more")
    expect_dead([int(pids.read_text())], LEASE_TTL_SECONDS, "the shim has killed it")
    wait_until(lambda: len(attempts(cluster, job_id)) == 2, 20, "it runs elsewhere")
    wait_until(lambda: cluster.rota("logs", job_id).stdout == "early\n", 20, "the second has begun with what was durable")
    fresh = client.run(job_id)
    agent.send(signal.SIGCONT)
    cluster.wait_connected(30)
    time.sleep(2)
    go.touch()
    job = cluster.wait_job(job_id, 40)
    assert [a.exit_code for a in job.runs[0].attempts][1:] == [1, 0] and fresh.attempts[1].worker_id != first
    assert output(cluster, job_id) == "fresh\n"


def test_not_confirmed_in_time(cluster):
    """An agent that stands still confirms nothing; the exit code tells it from a refusal."""
    agent = cluster.agents["a1"]
    go = cluster.folder / "unconfirmed-go"
    body = f"""
    while [ ! -e {go} ]; do sleep 0.1; done
    echo x | rota checkpoint put --timeout 500ms; echo "put: $?"; touch {go}-done; sleep 1
    """
    job_id = cluster.client().submit(shell_job(script(body), constraints=ON_A1)).job_id
    wait_running(cluster, job_id)
    agent.send(signal.SIGSTOP)
    go.touch()
    wait_until(Path(f"{go}-done").exists, 10, "it has waited")
    agent.send(signal.SIGCONT)
    cluster.wait_job(job_id, 30)
    assert "put: 75\n" in output(cluster, job_id)


def test_many_at_once(cluster):
    """Each task hears of its own, and a fast writer makes no queue."""
    body = """
    if [ $ROTA_ATTEMPT = 2 ]; then cat $ROTA_CHECKPOINT_FILE; exit 0; fi
    n=0
    while [ $n -lt 200 ]; do n=$((n + 1)); echo "$ROTA_JOB_ID $n" > mine; mv mine $ROTA_CHECKPOINT_FILE; done
    exit 1
    """
    job_ids = cluster.submit_all([shell_job(body, max_retries=1, backoff=[0.1])] * 10)
    for job in cluster.wait_jobs(job_ids, 90):
        assert output(cluster, job.job_id) == f"{job.job_id} 200\n"


def test_outside_of_a_task(cluster):
    environment = clean_environment("outside")
    for words in (["put"], ["get"]):
        done = subprocess.run(
            [str(binaries() / "rota"), "checkpoint", *words],
            env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
        )
        assert done.returncode == 1 and "ROTA_CHECKPOINT_FILE" in done.stderr
