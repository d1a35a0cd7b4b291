"""The command line, as people and scripts use it."""
from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

from cluster import CHECKOUT, binaries
from processes import wait_until


def job_id_of(cluster, *arguments: str) -> str:
    done = cluster.rota("submit", "-o", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["job_id"]


def test_submit_and_wait_prints_the_output_and_exits_as_the_task(pair):
    done = pair.rota("submit", "--wait", "--", "sh", "-c", "echo hi; exit 3")
    assert (done.returncode, done.stdout) == (3, "hi\n"), done.stderr


def test_logs_again_and_from_another_server(pair):
    job_id = job_id_of(pair, "--", "sh", "-c", "echo hi; echo there >&2; exit 3")
    pair.wait_job(job_id)
    for server in pair.servers:
        done = pair.rota("logs", job_id, server=server)
        assert done.returncode == 0, done.stderr
        assert "hi\n" in done.stdout
        assert "there\n" in done.stdout + done.stderr


def test_logs_follow(pair):
    job_id = job_id_of(pair, "--", "sh", "-c", "echo one; sleep 1; echo two")
    done = pair.rota("logs", "-f", job_id, server=pair.servers[1])
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr


def test_listings_in_json(pair):
    job_id = job_id_of(pair, "--user-id", "cli-user", "--", "true")
    pair.wait_job(job_id)
    for arguments in (("jobs",), ("job", job_id), ("runs",), ("agents",)):
        done = pair.rota(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
    assert job_id in pair.rota("jobs", "--user-id", "cli-user", "-o", "json").stdout
    assert json.loads(pair.rota("job", job_id, "-o", "json").stdout)["status"] == "completed"


def test_listings_as_tables(pair):
    job_id = job_id_of(pair, "--", "true")
    pair.wait_job(job_id)
    assert job_id in pair.rota("jobs", "-o", "table").stdout
    assert job_id in pair.rota("job", job_id, "-o", "table").stdout
    assert job_id in pair.rota("runs", "-o", "table").stdout
    agents = pair.rota("agents", "-o", "table").stdout
    assert "a1" in agents and "a2" in agents


def test_cancel(pair):
    job_id = job_id_of(pair, "--", "sleep", "60")
    assert pair.rota("cancel", job_id).returncode == 0
    done = pair.rota("job", job_id, "-o", "json")
    wait_until(
        lambda: json.loads(pair.rota("job", job_id, "-o", "json").stdout)["status"] == "cancelled", 15, done.stdout
    )


def test_the_server_may_come_from_the_environment(pair):
    argv = [str(binaries() / "rota"), "agents", "-o", "json"]
    env = {**pair.env, "ROTA_SERVER": pair.servers[1].grpc}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "a1" in done.stdout


def test_a_server_that_is_not_there(pair):
    argv = [str(binaries() / "rota"), "jobs", "--server", "127.0.0.1:1"]
    started = time.monotonic()
    done = subprocess.run(argv, env=pair.env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "127.0.0.1:1" in done.stderr
    assert time.monotonic() - started < 30


def test_version_help_and_completions(pair):
    rota = str(binaries() / "rota")
    run = lambda *words: subprocess.run([rota, *words], env=pair.env, capture_output=True, text=True, timeout=60)
    assert re.search(r"\d+\.\d+\.\d+", run("version").stdout)
    usage = run("--help").stdout
    for command in ("server", "agent", "dev", "submit", "jobs", "job", "runs", "logs", "cancel", "agents", "version"):
        assert re.search(rf"^  {command}\b", usage, re.M), command
    for shell in ("bash", "zsh", "fish"):
        assert "rota" in run("--generate-completion-script", shell).stdout
    wrong = run("submit", "--no-such-flag")
    assert wrong.returncode != 0 and "--no-such-flag" in wrong.stderr


def test_ctrl_c_of_a_waiting_submit_leaves_the_job_alone(pair):
    argv = [str(binaries() / "rota"), "submit", "--server", pair.servers[0].grpc, "--wait", "--user-id", "ctrl-c"]
    process = subprocess.Popen(
        [*argv, "--", "sleep", "3"], env=pair.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    listing = ("jobs", "--user-id", "ctrl-c", "-o", "json")
    wait_until(lambda: '"running"' in pair.rota(*listing).stdout, 10, "it runs")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    wait_until(lambda: '"completed"' in pair.rota(*listing).stdout, 15, "the job went on to its end")


def test_the_python_example(pair):
    example = CHECKOUT / "clients" / "python" / "examples" / "submit_and_follow.py"
    argv = [sys.executable, str(example), "--server", pair.servers[1].grpc, "--"]
    env = pair.env
    done = subprocess.run(
        [*argv, "sh", "-c", "echo hi; echo err >&2; exit 3"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == "hi\n" and "err\n" in done.stderr and "failed" in done.stderr
    done = subprocess.run([*argv, "true"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "completed" in done.stderr
