"""rota-shim: control groups, limits of processes, and another user."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgroups import group, v1_folders, v2_folders
from shim_harness import alive, wait_until

HERE = Path(__file__).resolve().parent
NOBODY = 65534
SHIM_GONE = 5


# One that other users can run, too: the tests' own may be in somebody's home.
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable


def python(body):
    return [PYTHON, "-S", "-c", body]


def output(tmp_path, name="out"):
    return (tmp_path / name).read_text()


# MARK: - Limits of processes


def test_address_space(start, tmp_path):
    shim = start(python("bytearray(300 << 20)"), M=200 << 20)
    shim.started()
    assert shim.ended().code == 1 and "MemoryError" in output(tmp_path, "err")


def test_niceness(start, tmp_path):
    shim = start(["nice"], N=7)
    shim.started()
    assert shim.ended().code == 0 and int(output(tmp_path)) == os.nice(0) + 7


def test_limits_are_hard_ones(start, tmp_path):
    body = "import resource as r; print(*r.getrlimit(r.RLIMIT_AS), *r.getrlimit(r.RLIMIT_NPROC))"
    limits = {"M": 1 << 30, "P": 123}
    shim = start(python(body), **limits)
    shim.started()
    assert shim.ended().code == 0 and output(tmp_path).split() == [str(1 << 30)] * 2 + ["123"] * 2


@pytest.mark.parametrize(
    "tags, word",
    [
        ({"M": 0}, "'M'"),
        ({"M": -1}, "'M'"),
        ({"P": 0}, "'P'"),
        ({"N": 20}, "'N'"),
        ({"N": "x"}, "'N'"),
        ({"U": 4294967295, "G": "1"}, "'U'"),
        ({"U": 1}, "'G'"),
        ({"G": "1"}, "'G'"),
        ({"U": 1, "G": ""}, "'G'"),
        ({"U": 1, "G": "1,"}, "'G'"),
        ({"U": 1, "G": ",1"}, "'G'"),
        ({"U": 1, "G": "1,,2"}, "'G'"),
        ({"U": 1, "G": "4294967295"}, "'G'"),
        ({"U": 1, "G": "99999999999999999999999"}, "'G'"),
        ({"U": 1, "G": "root"}, "'G'"),
        ({"C": ""}, "'C'"),
    ],
)
def test_bad_confinement(start, tmp_path, tags, word):
    shim = start(["touch", str(tmp_path / "ran")], **tags)
    error, stage, message = shim.failed()
    assert (error, stage) == (errno.EINVAL, "spec") and word in message
    assert not (tmp_path / "ran").exists()


# MARK: - Another user


def as_user(start, argv, user=NOBODY, groups="65534", **tags):
    """A shim whose task runs as another user; None where these tests are not root's, after it has been refused."""
    shim = start(argv, U=user, G=groups, **tags)
    if os.geteuid() == 0:
        return shim
    assert shim.failed()[:2] == (errno.EPERM, "run-as")
    return None


def test_user_and_groups(start, tmp_path):
    who = "import os; print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))"
    if shim := as_user(start, python(who), groups="17,4,100"):
        shim.started()
        assert shim.ended().code == 0
        assert output(tmp_path) == f"({NOBODY}, {NOBODY}, {NOBODY}) (17, 17, 17) [4, 17, 100]\n"


def test_there_is_no_way_back(start, tmp_path):
    body = (
        "import os\nfor change in (os.setuid, os.seteuid, os.setgid, os.setegid):\n"
        " try: change(0); print('back')\n except PermissionError: print('no')\n"
        "print(*[l.split()[1] for l in open('/proc/self/status') if l[:6] in ('CapPrm', 'CapEff', 'CapAmb')])"
    )
    if shim := as_user(start, python(body)):
        shim.started()
        shim.ended()
        assert output(tmp_path).split() == ["no"] * 4 + ["0" * 16] * 3


def test_logs_and_result_stay_the_agents(start, tmp_path):
    tmp_path.chmod(0o755)
    script = f"rm -f {tmp_path}/out; echo x >> {tmp_path}/out; echo x > {tmp_path}/result; echo done"
    if shim := as_user(start, ["sh", "-c", script]):
        shim.started()
        shim.ended()
        assert output(tmp_path) == "done\n" and (tmp_path / "out").stat().st_uid == os.geteuid()
        assert output(tmp_path, "result").startswith("E exited 0 0 ")


def test_a_working_directory_that_the_user_cannot_enter(start, tmp_path):
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    if shim := as_user(start, ["true"], d=shut):
        error, stage, message = shim.failed()
        assert (error, stage) == (errno.EACCES, "chdir") and f"user {NOBODY} cannot enter" in message


def test_another_users_task_dies_with_its_shim(start):
    """A change of user clears the parent-death signal, so it has to be set behind it."""
    if shim := as_user(start, ["sleep", "60"]):
        pid, _, _ = shim.started()
        os.kill(shim.pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), SHIM_GONE, "the task died with its shim")
        os.waitpid(shim.pid, 0)
        shim.exit_status = -signal.SIGKILL


def test_another_users_tree_is_killed(start):
    if shim := as_user(start, ["sh", "-c", "setsid sleep 60 & trap '' TERM; sleep 60"], g=100):
        shim.started()
        shim.send("T")
        assert shim.ended().reason == "terminated"


def test_processes_of_a_user_are_limited(start, tmp_path):
    # The user's others count, too; one that nobody else uses has none.
    script = "for n in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo no"
    if shim := as_user(start, ["sh", "-c", script], user=54321, groups="54321", P=4):
        shim.started()
        shim.ended()
        assert "no" not in output(tmp_path) and "fork" in output(tmp_path, "err").lower()


def test_only_root_becomes_another_user(shim_path, tmp_path):
    """Another one's shim says so, and never runs the task as its own user."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    program = tmp_path / "rota-shim"
    program.write_bytes(Path(shim_path).read_bytes())
    program.chmod(0o755)
    script = tmp_path / "play.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom shim_harness import *\n"
        f"deadline = Deadline({str(tmp_path / 'lease')!r})\n"
        f"shim = Shim({str(program)!r}, encode_spec(['touch', {str(tmp_path / 'ran')!r}], U=1, G='1'), deadline)\n"
        "print(*shim.failed())\n"
    )
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run([*become, PYTHON, "-B", str(script)], capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith(f"{errno.EPERM} run-as cannot become user 1"), done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()


# MARK: - Control groups


def test_a_control_group_that_is_not_there(start, tmp_path):
    shim = start(["touch", str(tmp_path / "ran")], C="/sys/fs/cgroup/there/is/no/such/group")
    error, stage, message = shim.failed()
    assert (error, stage) == (errno.ENOENT, "cgroup") and "control group" in message
    assert not (tmp_path / "ran").exists()


def test_the_task_is_in_its_groups_and_the_shim_is_not(start, tmp_path):
    for controller, parent in v1_folders().items():
        with group(parent, "join") as folder:
            shim = start(["cat", "/proc/self/cgroup"], C=folder, o=tmp_path / controller)
            shim.started()
            assert str(shim.pid) not in (folder / "cgroup.procs").read_text().split()
            shim.ended()
            lines = [line.split(":", 2) for line in output(tmp_path, controller).splitlines()]
            assert any(controller in names.split(",") and path.endswith(folder.name) for _, names, path in lines)


def test_what_is_in_the_groups_dies_with_the_task(start):
    """Whoever its parent is: the tree of parents cannot find it."""
    # Version 2 needs no controllers for this, and kills all at once.
    for parent in [*v1_folders().values(), *v2_folders()]:
        with group(parent, "kill") as folder:
            (folder / "below").mkdir()
            stranger = subprocess.Popen(["sleep", "60"])
            deeper = subprocess.Popen(["sleep", "60"])
            (folder / "cgroup.procs").write_text(str(stranger.pid))
            (folder / "below" / "cgroup.procs").write_text(str(deeper.pid))
            shim = start(["true"], C=folder)
            shim.started()
            shim.ended()
            assert stranger.wait(5) == -signal.SIGKILL and deeper.wait(5) == -signal.SIGKILL


def test_a_fork_bomb_in_its_group(start):
    """It is stopped by its limit, and nothing is left of it when the shim says so."""
    folders = v1_folders()
    for parent in [folders["pids"]] if "pids" in folders else []:
        with group(parent, "bomb") as folder:
            (folder / "pids.max").write_text("40")
            shim = start(["sh", "-c", "b() { b & b & }; (b) & exec sleep 60"], C=folder, t=1000, g=0)
            shim.started()
            most = 0
            until = time.monotonic() + 0.8
            while time.monotonic() < until:
                most = max(most, len((folder / "cgroup.procs").read_text().split()))
            assert most <= 40
            assert shim.ended().reason == "timeout"
            assert (folder / "cgroup.procs").read_text() == ""


def test_memory_of_a_group(start):
    folders = v1_folders()
    for parent in [folders["memory"]] if "memory" in folders else []:
        with group(parent, "memory") as folder:
            (folder / "memory.limit_in_bytes").write_text(str(64 << 20))
            shim = start(python("x = bytearray(200 << 20); print(len(x))"), C=folder)
            shim.started()
            assert shim.ended().signal == signal.SIGKILL
            assert "oom_kill 1" in (folder / "memory.oom_control").read_text()
