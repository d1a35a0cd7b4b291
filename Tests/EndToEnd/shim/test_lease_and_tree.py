"""rota-shim: the agent's end, the deadline, and process trees that try to get away."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from shim_harness import Deadline, alive, boottime, encode_spec, wait_until, with_marker

HERE = os.path.dirname(os.path.abspath(__file__))


def fork_tree(body):
    """A Python task with helpers for getting away."""
    return [sys.executable, "-S", "-c", "import os, signal, sys, time\n" + body]


# MARK: - The agent is gone


@pytest.mark.alone
def test_end_of_the_control_pipe_kills_at_once(start):
    shim = start(["sh", "-c", "trap '' TERM HUP; sleep 60 & wait"], g=60_000)
    pid, _, _ = shim.started()
    gone = boottime()
    shim.close_control()
    ending = shim.ended()
    assert (ending.reason, ending.signal) == ("agent-gone", signal.SIGKILL)
    assert (ending.boottime_ns - gone) / 1e9 < 0.2 and not alive(pid)


def test_agent_gone_before_the_start(start, tmp_path):
    spec = encode_spec(["touch", str(tmp_path / "ran")])
    shim = start(raw=spec[:-1])
    os.kill(shim.pid, signal.SIGSTOP)
    os.write(shim.control, spec[-1:])
    shim.close_control()
    os.kill(shim.pid, signal.SIGCONT)
    assert shim.failed()[:2] == (0, "agent-gone")
    assert not (tmp_path / "ran").exists()


AGENT = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from shim_harness import *
deadline = Deadline(sys.argv[3], 400_000_000)
env = dict([sys.argv[5].split('=')], PATH='/usr/bin:/bin')
shim = Shim(sys.argv[2], encode_spec(['sh', '-c', 'sleep 60 & setsid sleep 60 & wait'], env, x=sys.argv[4]), deadline)
print(*shim.started(), flush=True)
while True:
    deadline.set(boottime() + 400_000_000)
    time.sleep(0.02)
"""


@pytest.fixture
def agent(start, shim_path, tmp_path):
    """A process that plays the agent: renews its trust by 400 ms, 50 times a second."""
    arguments = [HERE, shim_path, str(tmp_path / "lease"), str(tmp_path / "result"), start.marker]
    process = subprocess.Popen([sys.executable, "-c", AGENT, *arguments], stdout=subprocess.PIPE, text=True)
    process.task = int(process.stdout.readline().split()[0])
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    # The result file is written once everything is dead.
    wait_until(lambda: (tmp_path / "result").exists(), what="result file")


def result(tmp_path):
    wait_until(lambda: (tmp_path / "result").exists(), what="result file")
    return (tmp_path / "result").read_text().split()


def test_killed_agent(agent, start, tmp_path):
    wait_until(lambda: len(with_marker(start.marker)) >= 3)
    agent.kill()
    assert result(tmp_path)[:2] == ["E", "agent-gone"]
    assert with_marker(start.marker) == []


@pytest.mark.alone
def test_stopped_agent_is_fenced_at_the_deadline(agent, start, tmp_path):
    time.sleep(1)  # well past the first deadline: it was extended about fifty times
    assert alive(agent.task) and not (tmp_path / "result").exists()
    agent.send_signal(signal.SIGSTOP)
    time.sleep(0.05)
    trusted_until = int.from_bytes((tmp_path / "lease").read_bytes()[:8], "little")
    assert trusted_until > boottime() and alive(agent.task)
    line = result(tmp_path)
    assert line[:2] == ["E", "fenced"]
    assert with_marker(start.marker) == []
    late = (int(line[7]) - trusted_until) / 1e9
    assert 0 <= late < 0.1, late


# MARK: - The deadline


@pytest.mark.alone
def test_deadline_passes(start, tmp_path):
    deadline = Deadline(tmp_path / "lease", 300_000_000)
    shim = start(["sh", "-c", "trap '' TERM; sleep 60 & wait"], deadline=deadline, g=60_000)
    shim.started()
    ending = shim.ended()
    assert (ending.reason, ending.signal) == ("fenced", signal.SIGKILL)
    assert 0 <= (ending.boottime_ns - deadline.value) / 1e9 < 0.1


@pytest.mark.alone
def test_deadline_extended_many_times(start, tmp_path):
    deadline = Deadline(tmp_path / "lease", 1_000_000_000)
    shim = start(["sleep", "60"], deadline=deadline)
    pid, _, _ = shim.started()
    for _ in range(150):
        deadline.set(boottime() + 500_000_000)
        time.sleep(0.01)
    assert alive(pid)
    ending = shim.ended()
    assert ending.reason == "fenced"
    assert 0 <= (ending.boottime_ns - deadline.value) / 1e9 < 0.1


@pytest.mark.alone
def test_deadline_passes_during_the_grace(start, tmp_path):
    deadline = Deadline(tmp_path / "lease", 400_000_000)
    shim = start(["sh", "-c", "trap '' TERM; while :; do sleep 0.02; done"], deadline=deadline, g=60_000)
    shim.started()
    time.sleep(0.1)
    shim.send("T")
    ending = shim.ended()
    assert ending.reason == "terminated"
    assert (ending.boottime_ns - deadline.value) / 1e9 < 0.1


def test_task_that_finishes_before_the_deadline(start, tmp_path):
    shim = start(["true"], deadline=Deadline(tmp_path / "lease", 10**9))
    shim.started()
    assert shim.ended().reason == "exited"


def test_endless_trust(start, tmp_path):
    deadline = Deadline(tmp_path / "lease")
    deadline.set(2**64 - 1)
    shim = start(["true"], deadline=deadline)
    shim.started()
    assert shim.ended().reason == "exited"


@pytest.mark.parametrize("ago", [None, 1, 10**9])
def test_no_start_without_trust(start, tmp_path, ago):
    deadline = Deadline(tmp_path / "lease", 0)
    deadline.set(0 if ago is None else boottime() - ago)
    failed = start(["touch", str(tmp_path / "ran")], deadline=deadline).failed()
    assert failed[:2] == (0, "fenced")
    assert not (tmp_path / "ran").exists()


def test_deadline_file_too_small(start, tmp_path):
    assert start(["true"], deadline=Deadline(tmp_path / "lease", size=7)).failed()[:2] == (errno.EINVAL, "deadline")


def test_deadline_file_cut_short_means_no_trust(start, tmp_path):
    deadline = Deadline(tmp_path / "lease", 200_000_000)
    shim = start(["sleep", "60"], deadline=deadline)
    shim.started()
    os.ftruncate(deadline.fd, 0)
    assert shim.ended().reason == "fenced"


# MARK: - Trees


def test_background_children_end_with_the_main_process(start):
    shim = start(["sh", "-c", "sleep 60 & sleep 60 & exit 3"])
    shim.started()
    ending = shim.ended()
    assert (ending.reason, ending.code) == ("exited", 3)
    assert with_marker(start.marker) == []


DAEMON = """
def daemon(depth):
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in set(range(1, 32)) - {signal.SIGCHLD}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    print(os.getpid(), flush=True)
    if depth:
        daemon(depth - 1)
    time.sleep(60)
    os._exit(0)
daemon(4)
"""


@pytest.mark.parametrize("end", ["exit", "K", "gone"])
def test_daemons_that_left_the_session(start, tmp_path, end):
    shim = start(fork_tree(DAEMON + ("time.sleep(0.3)" if end == "exit" else "time.sleep(60)")))
    shim.started()
    wait_until(lambda: len((tmp_path / "out").read_text().split()) == 5)
    daemons = [int(pid) for pid in (tmp_path / "out").read_text().split()]
    assert all(map(alive, daemons))
    if end == "K":
        shim.send("K")
    elif end == "gone":
        shim.close_control()
    ending = shim.ended()
    assert ending.reason == {"exit": "exited", "K": "killed", "gone": "agent-gone"}[end]
    assert not any(map(alive, daemons))


def test_orphans_are_reaped_while_the_task_runs(start, tmp_path):
    body = """
for _ in range(50):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
print('done', flush=True)
time.sleep(60)
"""
    shim = start(fork_tree(body))
    pid, _, _ = shim.started()
    wait_until(lambda: (tmp_path / "out").read_text() == "done\n")

    def children():
        with open(f"/proc/{shim.pid}/task/{shim.pid}/children") as file:
            return [int(child) for child in file.read().split()]

    wait_until(lambda: children() == [pid])
    shim.send("K")
    shim.ended()


def test_stopped_descendants_are_killed(start, tmp_path):
    body = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        print('up', flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(60)
"""
    shim = start(fork_tree(body))
    shim.started()
    wait_until(lambda: (tmp_path / "out").read_text() == "up\n")
    shim.send("K")
    assert shim.ended().reason == "killed"


# Every process forks on and on, each child in a session of its own. The number of live ones is bounded by slots
# (locked bytes of one file) that the dead give back, as RLIMIT_NPROC would do for others than root: so each death
# makes room for a birth, which is what makes bombs hard to kill.
BOMB = """
import fcntl, random
limit, pause = int(sys.argv[1]), float(sys.argv[2])
def enter():
    fd = os.open('slots', os.O_RDWR | os.O_CREAT)
    for slot in random.sample(range(limit), min(limit, 8)):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            return
        except OSError:
            pass
    os._exit(0)
while True:
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        enter()
    time.sleep(pause)
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass
"""


@pytest.mark.parametrize("limit, pause", [(200, 0.5), (20, 0.01)])
def test_fork_bomb(start, tmp_path, limit, pause):
    shim = start(fork_tree(BOMB) + [str(limit), str(pause)], d=tmp_path)
    shim.started()
    wait_until(lambda: len(with_marker(start.marker)) >= limit * 0.8, 30, "the bomb")
    sent = boottime()
    shim.send("K")
    ending = shim.ended(30)
    assert ending.reason == "killed"
    assert with_marker(start.marker) == []
    print(f"bomb of {limit} dead after {(ending.boottime_ns - sent) / 1e6:.0f} ms")


def test_strangers_are_left_alone(start, tmp_path):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        shim = start(fork_tree(BOMB) + ["20", "0.02"], d=tmp_path)
        shim.started()
        wait_until(lambda: len(with_marker(start.marker)) >= 15, 30)
        shim.send("K")
        shim.ended(30)
        assert stranger.poll() is None and alive(stranger.pid)
        with open(f"/proc/{stranger.pid}/stat") as stat:
            assert stat.read().rsplit(")", 1)[1].split()[0] == "S"
    finally:
        stranger.kill()
        stranger.wait()


def test_killed_shim_takes_its_task_along(start):
    shim = start(["sleep", "60"])
    pid, _, _ = shim.started()
    os.kill(shim.pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
