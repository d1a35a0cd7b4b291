"""Tasks of other users that save their progress, and tasks that try to have the agent, which is root, read or write for them."""
from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster, binaries
from rota_client import end_reason_name, messages, shell_job, status_name

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run tasks as another user")

NUMBERS = "4242:4343"
"""A user that the machine does not know."""
SECRET = "root's alone"


class Users:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.folder.chmod(0o711)
        programs = cluster.folder / "bin"
        programs.mkdir()
        programs.chmod(0o755)
        # Where the checkout is, others may not get to.
        shutil.copy2(binaries() / "rota", programs / "rota")
        self.secret = cluster.folder / "secret"
        self.secret.write_text(SECRET)
        self.secret.chmod(0o600)

    def script(self, body: str) -> str:
        return f"PATH={shlex.quote(str(self.cluster.folder / 'bin'))}:$PATH\nF=$ROTA_CHECKPOINT_FILE\n{body}"

    def run(self, body: str, user: str, retries: int) -> messages.Job:
        spec = shell_job(self.script(body), run_as=user, max_retries=retries, backoff=[0.1], timeout=60)
        return self.cluster.run_job(spec, 90)

    def output(self, job: messages.Job) -> str:
        return b"".join(chunk.data for chunk in self.cluster.client().logs(job.job_id)).decode()

    def folder(self, job: messages.Job) -> Path:
        """Of its first attempt."""
        (run,) = (self.cluster.folder / "agents" / "a1" / "attempts" / "default" / job.job_id).iterdir()
        return run / "1"


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    with Cluster(agents=1, agent_flags=["--allow-run-as", f"nobody,{NUMBERS}"]) as cluster:
        yield Users(cluster)


def outcome(job: messages.Job) -> list[tuple[str, int]]:
    return [(end_reason_name(a.end_reason), a.exit_code) for a in job.runs[0].attempts]


@pytest.mark.parametrize("user, uid", [("nobody", 65534), (NUMBERS, 4242)])
def test_another_users_task_saves(users, user, uid):
    """By the helper, by another file that is renamed, and in the file that the agent has made."""
    body = r"""
    stat -c %u "$(dirname $F)"
    case $ROTA_ATTEMPT in
    1) [ ! -e $F ] || exit 8; echo first | rota checkpoint put || exit 9 ;;
    2) rota checkpoint get; stat -c %u $F $F.saved; printf 'in place\n' > $F || exit 8
       until [ "$(cut -d ' ' -f 1 $F.saved 2> /dev/null)" = "$(sha256sum < $F | cut -c 1-64)" ]; do sleep 0.05; done ;;
    3) rota checkpoint get; head -c 300000 /dev/zero > large; mv large $F
       until [ -s $F.error ]; do sleep 0.05; done; cut -d ' ' -f 1,2 $F.error
       printf 'renamed\n' > new; mv new $F
       until [ "$(cut -d ' ' -f 1 $F.saved 2> /dev/null)" = "$(sha256sum < $F | cut -c 1-64)" ]; do sleep 0.05; done
       [ ! -e $F.error ] || exit 7 ;;
    4) rota checkpoint get; exit 0 ;;
    esac
    exit 1
    """
    job = users.run(body, user, 3)
    assert outcome(job) == [("exited", 1)] * 3 + [("exited", 0)], [a.error for a in job.runs[0].attempts]
    assert users.output(job) == f"{uid}\nrenamed\n"
    logs = [(users.folder(job).parent / str(n) / "stdout.log").read_text() for n in (1, 2, 3)]
    assert logs == [f"{uid}\n", f"{uid}\nfirst\n{uid}\n{uid}\n", f"{uid}\nin place\n- 300000\n"]


def test_nothing_is_read_for_a_task(users):
    """Neither through links nor from pipes and folders, nor when they come and go; what was saved stays saved."""
    body = f"""
    if [ $ROTA_ATTEMPT != 1 ]; then rota checkpoint get; fi
    [ $ROTA_ATTEMPT != 3 ] || exit 0
    [ $ROTA_ATTEMPT = 1 ] || {{ ln -s {users.secret} last; mv -T last $F; exit 1; }}
    echo good | rota checkpoint put || exit 9
    plant() {{ rm -rf $F $F.error; mv -T planted $F; until [ -s $F.error ]; do sleep 0.05; done; cut -d ' ' -f 3- $F.error; }}
    ln -s {users.secret} planted; plant
    mkfifo planted; plant
    mkdir planted; plant
    ln {users.secret} planted 2> /dev/null && plant
    ln -s /dev/zero planted; plant
    rm -f $F
    n=0
    while [ $n -lt 300 ]; do
      n=$((n + 1))
      ln -s {users.secret} planted; mv -T planted $F
      echo good > planted; mv -T planted $F
    done
    until [ -s $F.saved ]; do sleep 0.05; done
    exit 1
    """
    job = users.run(body, "nobody", 2)
    assert outcome(job) == [("exited", 1), ("exited", 1), ("exited", 0)], [a.error for a in job.runs[0].attempts]
    assert users.output(job) == "good\n", "the link that was left at the end was not followed, either"
    said = (users.folder(job) / "stdout.log").read_text().splitlines()
    assert [line for line in said if "plain file with one name" in line] and len(said) >= 4
    assert all("plain file" in line or "cannot be opened" in line or "belong" in line for line in said), said
    assert SECRET not in users.output(job) and users.secret.stat().st_nlink == 1


def test_nothing_is_written_for_a_task(users):
    """The agent's marks replace what stands in their place, and change nothing elsewhere."""
    precious = users.cluster.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("still here")
    before = [(path.stat().st_mode, path.stat().st_uid) for path in (precious, precious / "file")]
    body = f"""
    D=$(dirname $F)
    if [ $ROTA_ATTEMPT = 2 ]; then rota checkpoint get; exit 0; fi
    for name in data.saved data.error .data.saved .data.error .data; do ln -s {precious}/file $D/$name; done
    echo one | rota checkpoint put || exit 9
    [ ! -L $F.saved ] || exit 8
    head -c 300000 /dev/zero > large; mv large $F
    until [ -s $F.error ]; do sleep 0.05; done
    rm -f $F.saved; mkdir $F.saved
    echo two > $F
    sleep 0.5
    rmdir $F.saved
    rm -rf $D 2> /dev/null; mv $D $D-old 2> /dev/null && exit 7
    ln -s {precious} $ROTA_SCRATCH_DIR/../checkpoint-new 2> /dev/null && exit 6
    echo three | rota checkpoint put --timeout 1s
    mkdir -p $D 2> /dev/null
    exit 1
    """
    job = users.run(body, "nobody", 1)
    assert outcome(job) == [("exited", 1), ("exited", 0)], [a.error for a in job.runs[0].attempts]
    assert status_name(job.status) == "completed" and users.output(job) in ("one\n", "two\n", "three\n")
    assert (precious / "file").read_text() == "still here" and len(list(precious.iterdir())) == 1
    assert [(path.stat().st_mode, path.stat().st_uid) for path in (precious, precious / "file")] == before
