"""rota-shim without its agent: the task goes on until the deadline, and the agent's next process takes over."""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from shim_harness import Deadline, NextAgent, alive, boottime, wait_until, with_marker


@pytest.fixture
def orphan(start, tmp_path):
    """orphan(argv, deadline=..., **tags) -> (shim, its `S` line): a task whose first agent is gone."""

    def run(argv, **tags):
        tags.setdefault("c", tmp_path / "agent.sock")
        shim = start(argv, **tags)
        first = shim.started()
        shim.hang_up()
        return shim, first

    return run


def connect(shim, path):
    wait_until(lambda: os.path.exists(path), what="the shim's socket")
    return NextAgent(shim, str(path))


def result(tmp_path):
    wait_until(lambda: (tmp_path / "result").exists(), what="result file")
    return (tmp_path / "result").read_text().split()


def test_task_goes_on_and_is_fenced_at_the_deadline(orphan, start, tmp_path):
    deadline = Deadline(tmp_path / "lease", 1_500_000_000)
    shim, (pid, _, _) = orphan(["sh", "-c", "sleep 60 & setsid sleep 60 & wait"], deadline=deadline)
    time.sleep(0.5)
    assert alive(pid) and not (tmp_path / "result").exists()
    line = result(tmp_path)
    assert line[:2] == ["E", "fenced"]
    assert int(line[7]) >= deadline.value, "it was given its time"
    assert with_marker(start.marker) == []
    shim.collect()
    assert not (tmp_path / "agent.sock").exists(), "a shim leaves no socket behind"


def test_next_agent_hears_the_state_and_the_end(orphan, tmp_path):
    shim, first = orphan(["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done; echo done; exit 7"], d=tmp_path)
    agent = connect(shim, tmp_path / "agent.sock")
    assert agent.started() == first, "the same pid, start time and moment"
    assert agent.peer() == shim.pid
    (tmp_path / "go").touch()
    ending = agent.ended()
    assert (ending.reason, ending.code, ending.stdout_bytes) == ("exited", 7, 5)
    assert result(tmp_path) == agent.lines[-1].split()
    assert (tmp_path / "out").read_text() == "done\n"


@pytest.mark.parametrize("command, reason", [("T", "terminated"), ("K", "killed")])
def test_next_agent_commands(orphan, tmp_path, command, reason):
    shim, _ = orphan(["sleep", "60"])
    agent = connect(shim, tmp_path / "agent.sock")
    agent.started()
    agent.send(command)
    assert agent.ended().reason == reason


def test_next_agent_renews_the_trust(orphan, tmp_path):
    """The file is the same one for all agents: whoever takes over writes on where the one before ended."""
    deadline = Deadline(tmp_path / "lease", 4_000_000_000)
    shim, (pid, _, _) = orphan(["sleep", "60"], deadline=deadline)
    agent = connect(shim, tmp_path / "agent.sock")
    agent.started()
    next_file = Deadline(tmp_path / "lease", 0)
    next_file.set(boottime() + 60_000_000_000)
    time.sleep(4.5)
    assert alive(pid)
    agent.send("K")
    assert agent.ended().reason == "killed"


def test_newer_agent_wins(orphan, tmp_path):
    shim, first = orphan(["sleep", "60"])
    older = connect(shim, tmp_path / "agent.sock")
    assert older.started() == first
    newer = connect(shim, tmp_path / "agent.sock")
    assert newer.started() == first
    assert older.line() is None, "the older one is hung up on"
    with pytest.raises(BrokenPipeError):
        for _ in range(10):
            older.send("K")
            time.sleep(0.05)
    assert alive(first[0])
    newer.send("T")
    assert newer.ended().reason == "terminated"


def test_agent_after_agent(orphan, tmp_path):
    shim, first = orphan(["sleep", "60"])
    for _ in range(3):
        agent = connect(shim, tmp_path / "agent.sock")
        assert agent.started() == first
        agent.hang_up()
        time.sleep(0.05)
        assert alive(first[0])
    last = connect(shim, tmp_path / "agent.sock")
    last.started()
    last.send("K")
    assert last.ended().reason == "killed"


def test_end_without_an_agent_is_in_the_file(orphan, tmp_path):
    shim, _ = orphan(["sh", "-c", "sleep 0.3; exit 9"])
    assert result(tmp_path)[:3] == ["E", "exited", "9"]
    shim.collect()
    assert not (tmp_path / "agent.sock").exists()


def test_grace_goes_on_without_an_agent(start, tmp_path):
    script = "trap 'sleep 0.5; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    shim = start(["sh", "-c", script], c=tmp_path / "agent.sock", g=60_000)
    shim.started()
    wait_until(lambda: (tmp_path / "out").read_text() == "up\n")
    shim.send("T")
    shim.hang_up()
    assert result(tmp_path)[:3] == ["E", "terminated", "5"]


def test_timeout_goes_on_without_an_agent(orphan, tmp_path):
    orphan(["sleep", "60"], t=700)
    assert result(tmp_path)[:2] == ["E", "timeout"]


def test_long_path(start, tmp_path):
    """Longer than a socket's address can be."""
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    shim = start(["sleep", "60"], c=folder / "agent.sock")
    first = shim.started()
    shim.hang_up()
    agent = connect(shim, folder / "agent.sock")
    assert agent.started() == first
    agent.send("K")
    agent.ended()


def test_no_socket_no_adoption(orphan, tmp_path):
    """Where nobody could come, nothing is left to run."""
    _, (pid, _, _) = orphan(["sleep", "60"], c=tmp_path / "nowhere" / "agent.sock")
    assert result(tmp_path)[:2] == ["E", "agent-gone"]
    assert not alive(pid)


def test_something_in_the_sockets_place(orphan, tmp_path):
    (tmp_path / "agent.sock").write_text("left by somebody")
    shim, first = orphan(["sleep", "60"])
    wait_until(lambda: (tmp_path / "agent.sock").is_socket(), what="the shim's socket")
    agent = NextAgent(shim, str(tmp_path / "agent.sock"))
    assert agent.started() == first
    agent.send("K")
    agent.ended()


CONNECT = """
import os, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
    print(connection.recv(100))
except OSError as error:
    print(type(error).__name__)
"""


def test_other_users_are_refused(start):
    """By the file's mode, and where that was changed by the user's id. Only root can try."""
    with tempfile.TemporaryDirectory(prefix="rota-open-") as name:
        refuse_others(start, Path(name))


def refuse_others(start, folder):
    folder.chmod(0o755)
    path = folder / "agent.sock"
    shim = start(["sleep", "60"], c=path)
    first = shim.started()
    shim.hang_up()
    wait_until(path.is_socket, what="the shim's socket")
    assert path.stat().st_mode & 0o777 == 0o600
    if os.geteuid() == 0:
        expected = {0o600: "PermissionError", 0o666: "b''"}
        for mode, said in expected.items():
            path.chmod(mode)
            done = subprocess.run([sys.executable, "-c", CONNECT, str(path)], capture_output=True, text=True, timeout=20)
            assert done.stdout.strip() == said, done.stderr
    agent = NextAgent(shim, str(path))
    assert agent.started() == first and alive(first[0])
    agent.send("K")
    agent.ended()


def test_many_connections_do_no_harm(orphan, tmp_path):
    shim, first = orphan(["sleep", "60"])
    wait_until(lambda: (tmp_path / "agent.sock").is_socket(), what="the shim's socket")
    for _ in range(300):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(str(tmp_path / "agent.sock"))
        stranger.close()
    agent = connect(shim, tmp_path / "agent.sock")
    assert agent.started() == first
    assert len(os.listdir(f"/proc/{shim.pid}/fd")) < 20
    agent.send("K")
    agent.ended()


def test_output_is_written_without_an_agent(orphan, tmp_path):
    """More than pipes hold: the task never waits for an agent."""
    script = "i=0; while [ $i -lt 200 ]; do head -c 4096 /dev/zero; i=$((i+1)); done; echo end >&2"
    orphan(["sh", "-c", f"sleep 0.3; {script}"])
    assert result(tmp_path)[:3] == ["E", "exited", "0"]
    assert (tmp_path / "out").stat().st_size == 200 * 4096
    assert (tmp_path / "err").read_text() == "end\n"


def test_stopped_shim_is_not_lost(orphan, tmp_path):
    """A connection waits for a shim that does not run at the moment."""
    shim, first = orphan(["sleep", "60"])
    wait_until(lambda: (tmp_path / "agent.sock").is_socket(), what="the shim's socket")
    os.kill(shim.pid, signal.SIGSTOP)
    agent = connect(shim, tmp_path / "agent.sock")
    assert select.select([agent.status], [], [], 0.3)[0] == []
    os.kill(shim.pid, signal.SIGCONT)
    assert agent.started() == first
    agent.send("K")
    agent.ended()
