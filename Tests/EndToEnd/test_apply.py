"""Config as code: `rota apply`, `rota diff` and `rota export`."""
from __future__ import annotations

import json
import os
import pty
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from cluster import CHECKOUT, Cluster, binaries
from processes import wait_until


class Files:
    """A namespace of its own, and files about it."""

    def __init__(self, cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.namespace = f"apply-{uuid.uuid4().hex[:8]}"

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def rota(self, command: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return self.cluster.rota(command, "-n", self.namespace, *arguments, **options)

    def apply(self, *arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess[str]:
        done = self.rota("apply", *arguments, **options)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done

    def job(self, name: str) -> dict:
        answer = self.cluster.rest.get(f"/jobs/{name}", namespace=self.namespace)
        assert answer.status == 200, answer.text
        return answer.json()

    def names(self, status: str = "pending") -> set[str]:
        answer = self.cluster.rest.get("/jobs", namespace=self.namespace, status=status)
        return {job["job_id"] for job in answer.json()["jobs"]}


@pytest.fixture
def files(pair, tmp_path) -> Files:
    return Files(pair, tmp_path)


def job(name: str, more: str = "", cron: str = "0 3 * * *") -> str:
    return f"kind: Job\njob_id: {name}\nexec: [echo, hi]\nschedules:\n  - cron: \"{cron}\"\n    time_zone: Europe/Berlin\n{more}\n"


HOLIDAYS = "kind: Calendar\nname: holidays\ntime_zone: Europe/Berlin\ndays: [12-25, sun]\n"


def test_create_change_and_leave_alone(files):
    path = files.write("jobs.yaml", job("nightly") + "---\n" + job("hourly", "timeout: 30m", "0 * * * *"))
    done = files.apply("-f", path)
    assert f"job {files.namespace}/nightly created" in done.stdout
    assert "2 created, 0 changed, 0 deleted, 0 unchanged" in done.stdout
    before = {name: files.job(name) for name in ("nightly", "hourly")}
    assert before["hourly"]["timeout"] == "30m" and "user_id" not in before["hourly"]

    done = files.apply("-f", path)
    assert "0 created, 0 changed, 0 deleted, 2 unchanged" in done.stdout
    for name, was in before.items():
        now = files.job(name)
        assert (now["etag"], now["revision"]) == (was["etag"], was["revision"]), "what is right is not touched"

    files.write("jobs.yaml", job("nightly") + "---\n" + job("hourly", "timeout: 1h\nenv: {A: b}", "5 * * * *"))
    done = files.apply("-f", path)
    assert f"job {files.namespace}/hourly changed (env, schedules[0].cron, timeout)" in done.stdout
    hourly = files.job("hourly")
    assert hourly["timeout"] == "1h" and hourly["generation"] == before["hourly"]["generation"] + 1
    assert files.job("nightly")["etag"] == before["nightly"]["etag"]


def test_the_dry_run_and_the_diff_say_what_would_be_done_and_do_nothing(files):
    path = files.write("jobs.yaml", job("nightly", "env: {A: '1', B: '2'}"))
    done = files.rota("diff", "-f", path)
    assert done.returncode == 1, done.stderr
    assert f"+ job {files.namespace}/nightly ({path}:1:1)" in done.stdout
    assert "1 to be created" in files.apply("-f", path, "--dry-run").stdout
    assert not files.names()
    files.apply("-f", path)
    done = files.rota("diff", "-f", path)
    assert done.returncode == 0 and "1 unchanged" in done.stdout, done.stdout

    files.write("jobs.yaml", job("nightly", "env: {A: '3', C: '4'}\ntimeout: 5m", "0 4 * * *"))
    done = files.rota("diff", "-f", path)
    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines()]
    for line in (
        '~ env.A: "1" → "3"', '- env.B: "2"', '+ env.C: "4"', '~ schedules[0].cron: "0 3 * * *" → "0 4 * * *"',
        '+ timeout: "5m"',
    ):
        assert line in lines, done.stdout
    told = json.loads(files.rota("diff", "-f", path, "-o", "json").stdout)
    assert not told["applied"] and told["unchanged"] == 0
    [change] = told["changes"]
    assert (change["action"], change["kind"], change["name"], change["line"]) == ("update", "Job", "nightly", 1)
    assert {"path": "env.A", "old": "1", "new": "3"} in change["differences"]
    assert {"path": "timeout", "new": "5m"} in change["differences"]
    assert files.job("nightly")["env"] == {"A": "1", "B": "2"}
    assert files.rota("diff", "-f", str(files.folder / "none.yaml")).returncode == 2
    assert files.rota("diff").returncode == 2


def test_an_applied_change_is_a_version(files):
    path = files.write("a.yaml", job("a", "timeout: 1h"))
    files.apply("-f", path)
    files.write("a.yaml", job("a", "timeout: 2h"))
    files.apply("-f", path, "--by", "ada")
    done = files.rota("diff", "a", "--from", "1", "--to", "2")
    assert done.returncode == 1 and done.stdout == '~ timeout: "1h" → "2h"\n', done.stdout + done.stderr
    assert files.rota("diff", "a").stdout == done.stdout
    assert files.rota("diff", "a", "--from", "2", "--to", "2").returncode == 0
    assert files.rota("diff", "none").returncode == 2
    assert files.rota("diff", "a", "-f", path).returncode == 2
    history = files.rota("versions", "a").stdout
    assert "ada" in history, history


def test_folders_several_documents_json_and_standard_input(files):
    files.write("config/a.yaml", job("a") + "---\n# nothing\n---\n" + job("b"))
    files.write("config/deep/c.json", json.dumps({"kind": "Job", "job_id": "c", "noop": True, "priority": 7,
                                                  "execution_time": "2099-01-01T00:00:00Z"}))
    files.write("config/notes.txt", "not for rota")
    files.write("config/.hidden.yaml", "neither")
    files.write("more.yml", job("d"))
    files.apply("-f", str(files.folder / "config"), "-f", str(files.folder / "more.yml"))
    assert files.names() == {"a", "b", "c", "d"} and files.job("c")["priority"] == 7
    files.apply("-f", "-", stdin=job("e").encode())
    assert "e" in files.names()
    files.apply("-f", str(files.write("empty/readme.md", "")).rsplit("/", 1)[0], code=2)


def test_calendars_come_before_the_jobs_that_name_them(files):
    text = job("nightly", "    calendars: [holidays]") + "---\n" + HOLIDAYS
    path = files.write("all.yaml", text)
    done = files.apply("-f", path)
    assert "2 created" in done.stdout
    calendar = files.cluster.rest.get("/calendars/holidays", namespace=files.namespace).json()
    assert calendar["days"] == ["12-25", "sun"]
    assert "2 unchanged" in files.apply("-f", path).stdout
    files.write("all.yaml", text.replace("sun]", "sat, sun]"))
    assert f"calendar {files.namespace}/holidays changed (days[1], days[2])" in files.apply("-f", path).stdout
    # One that is neither there nor described.
    path = files.write("other.yaml", job("other", "    calendars: [vacation]"))
    done = files.apply("-f", path, code=2)
    assert f"{path}:7:17: job {files.namespace}/other: schedules[0].calendars[0]" in done.stderr, done.stderr


WRONG = [
    ("an unknown field", "timout: 3m", "timout: is not known; did you mean 'timeout'?"),
    ("a wrong type", "env: {PORT: 8080}", "env.PORT: a text was expected; put it in quotes"),
    ("out of bounds", "priority: 101", "priority"),
    ("given twice", "priority: 1\npriority: 2", "'priority' is given twice"),
    ("no YAML", "env: {A: b", "is not YAML"),
    ("a bad schedule", "misfire: sometimes", "misfire"),
    ("only for submissions", "delay: 5m", "execution_time"),
]


@pytest.mark.parametrize("wrong, words", [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_nothing_is_written_unless_all_files_are_right(files, wrong, words):
    good = files.write("a.yaml", job("good"))
    path = files.write("b.yaml", job("bad", wrong))
    done = files.apply("-f", good, "-f", path, code=2)
    line = 7 + wrong.count("\npriority")
    assert words in done.stderr and "nothing was changed" in done.stderr, done.stderr
    assert f"{path}:" in done.stderr
    if "YAML" not in words and "twice" not in words:
        assert f"{path}:{line}:" in done.stderr, done.stderr
    assert not files.names()


def test_all_errors_are_shown(files):
    path = files.write("b.yaml", "---\n".join(job(f"j{number}", "nonsense: 1") for number in range(30)))
    done = files.apply("-f", path, code=2)
    assert done.stderr.count("nonsense") == 20 and "… and 10 more" in done.stderr and "30 errors" in done.stderr


def test_prune_deletes_what_has_the_label_and_is_in_no_file(files):
    mark = f"team={files.namespace}"
    labels = f"labels: {{team: {files.namespace}}}"
    first = files.write("a.yaml", job("a", labels) + "---\n" + HOLIDAYS + labels)
    second = files.write("b.yaml", job("b", "    calendars: [holidays]\n" + labels))
    files.apply("-f", first, "-f", second)
    files.apply("-f", "-", stdin=job("unlabelled").encode())
    # What is deleted is confirmed.
    done = files.apply("-f", first, "--prune", "-l", mark, code=2)
    assert "--yes" in done.stderr and files.names() == {"a", "b", "unlabelled"}
    assert f"- job {files.namespace}/b" in files.apply("-f", first, "--prune", "-l", mark, "--dry-run").stdout
    done = files.apply("-f", first, "--prune", "-l", mark, "--yes")
    assert f"job {files.namespace}/b deleted" in done.stdout and "1 deleted, 2 unchanged" in done.stdout
    wait_until(lambda: files.names() == {"a", "unlabelled"}, 20, "the job is gone")
    # A calendar that a job of the files names is not taken from under it.
    named = files.write("a.yaml", job("a", "    calendars: [holidays]\n" + labels))
    done = files.apply("-f", named, "--prune", "-l", mark, "--yes", code=2)
    assert "holidays" in done.stderr
    files.write("a.yaml", job("a", labels))
    done = files.apply("-f", named, "--prune", "-l", mark, "--yes")
    assert f"calendar {files.namespace}/holidays deleted" in done.stdout
    assert files.cluster.rest.get("/calendars/holidays", namespace=files.namespace).status == 404
    # Both flags or none.
    assert files.rota("apply", "-f", named, "--prune").returncode == 2
    assert files.rota("apply", "-f", named, "-l", mark).returncode == 2


def test_prune_asks_at_a_terminal(files):
    mark = f"team={files.namespace}"
    labels = f"labels: {{team: {files.namespace}}}"
    files.apply("-f", "-", stdin=(job("a", labels) + "---\n" + job("b", labels)).encode())
    path = files.write("a.yaml", job("a", labels))
    argv = [str(binaries() / "rota"), "apply", "--server", files.cluster.servers[0].grpc, "-n", files.namespace]
    for answer, code, left in ((b"n\n", 2, {"a", "b"}), (b"y\n", 0, {"a"})):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*argv, "-f", path, "--prune", "-l", mark], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=files.cluster.env, text=True,
        )
        os.close(theirs)
        os.write(ours, answer)
        _, error = process.communicate(timeout=30)
        os.close(ours)
        assert process.returncode == code, error
        assert f"- job {files.namespace}/b" in error and "[y/N]" in error
        wait_until(lambda: files.names() == left, 20, f"{left} are left")


def test_a_job_that_is_being_deleted_or_was_cancelled(files):
    path = files.write("a.yaml", job("a"))
    files.apply("-f", path)
    assert files.rota("cancel", "a").returncode == 0
    assert "unchanged (it was cancelled)" in files.apply("-f", path).stdout
    files.write("a.yaml", job("a", "timeout: 1m"))
    assert "was cancelled" in files.apply("-f", path, code=2).stderr
    assert files.rota("delete", "a").returncode == 0

    def applied() -> bool:
        done = files.rota("apply", "-f", path)
        assert done.returncode == 0 or "is being deleted" in done.stderr, done.stderr
        return done.returncode == 0

    wait_until(applied, 20, "it is created anew")
    assert files.job("a")["timeout"] == "1m"


def test_what_a_server_refuses_leaves_the_rest_done(files):
    # Never due: only a server, which knows the time, can tell.
    never = job("never").replace("time_zone: Europe/Berlin", 'end_time: "2001-01-01T00:00:00Z"')
    path = files.write("a.yaml", job("a") + "---\n" + never + "---\n" + job("b"))
    done = files.apply("-f", path, code=1)
    assert f"{path}:12:1: job {files.namespace}/never: schedules: " in done.stderr, done.stderr
    assert "1 could not be done" in done.stderr and files.names() == {"a", "b"}
    told = json.loads(files.apply("-f", path, "-o", "json", code=1).stdout)
    [change] = told["changes"]
    assert change["name"] == "never" and "schedules" in change["error"] and not told["applied"]


EVERYTHING = """
kind: Job
job_id: everything
user_id: zoë
labels: {team: data, tier: "1"}
shell:
  script: |
    #!/bin/sh
    echo "$A"   # no comment
  interpreter: [/bin/bash, -eu]
env: {A: "no", B: "007", C: "a: b"}
working_directory: /srv
timeout: 30m
kill_grace: 1500ms
max_retries: 3
backoff: {initial: 1s, multiplier: 1.5, max: 1h, jitter: 0}
priority: 80
constraints: ["zone in (eu,us)", exists gpu]
on_agent_loss: wait
agent_loss_wait: 2m
schedules:
  - cron: "*/5 * * * MON-FRI"
    time_zone: Europe/Berlin
    dst_gap: skip
    dst_overlap: both
    jitter: 10s
    calendars: [holidays]
  - {every: 1h, start_time: "2026-01-01T00:00:00Z", end_time: "2090-01-01T00:00:00Z", max_runs: 5}
  - {frequency: daily, start_time: "2026-01-01T00:00:00Z"}
misfire: {policy: all, limit: 3, within: 6h, grace: 5s}
overlap: {policy: queue, limit: 2}
params: {customer: "12"}
retry_on: {exit_codes: ["75", "100-119"], reasons: [timeout]}
no_retry_on: {exit_codes: ["99"]}
total_timeout: 2h
limits: {memory_bytes: 536870912, pids: 10, cpus: 0.5}
---
kind: Job
job_id: payload
execution_time: "2099-01-01T00:00:00Z"
task: {name: resize, payload: {width: 320, ratio: 1.0, big: 1234567890123456789, names: [a, "no"], nothing: null}}
---
kind: Job
job_id: request
execution_time: "2099-01-01T00:00:00Z"
http: {method: POST, url: "https://example.org/x?a=b", headers: {X-A: "1"}, body: "{}"}
"""


def test_an_export_applied_changes_nothing(files):
    files.apply("-f", files.write("all.yaml", EVERYTHING + "---\n" + HOLIDAYS))
    text = files.rota("export").stdout
    assert text.count("---\n") == 4 and "kind: Calendar" in text and "    echo \"$A\"   # no comment\n" in text, text
    done = files.rota("diff", "-f", "-", stdin=text.encode())
    assert done.returncode == 0 and "4 unchanged" in done.stdout, done.stdout + done.stderr
    assert "4 unchanged" in files.apply("-f", "-", stdin=text.encode()).stdout
    # In another namespace, it makes the same.
    other = Files(files.cluster, files.folder)
    moved = text.replace(files.namespace, other.namespace)
    other.apply("-f", "-", stdin=moved.encode())
    assert other.rota("export").stdout == moved
    # A part of it.
    assert "job_id: everything" in files.rota("export", "-l", "tier=1").stdout
    assert files.rota("export", "-l", "tier=1").stdout.count("---\n") == 1
    assert files.rota("export", "--kind", "Calendar").stdout.count("---\n") == 1
    assert files.rota("export", "payload").stdout.count("kind: Job") == 1
    assert files.rota("export", "nothing-of-this-name").returncode == 1


def test_an_export_leaves_out_what_has_ended(files):
    done = files.cluster.rota("submit", "-n", files.namespace, "--wait", "--job-id", "once", "--", "true")
    assert done.returncode == 0, done.stderr
    assert "once" not in files.rota("export").stdout
    assert "job_id: once" in files.rota("export", "--all").stdout


def test_all_fields_of_a_submission_are_those_of_a_document(files):
    """What REST takes, a document takes: each field of an answer that a document does not is one of the job's state."""
    files.apply("-f", files.write("all.yaml", EVERYTHING + "---\n" + HOLIDAYS))
    shown = files.job("everything")
    body = {name: value for name, value in shown.items() if name not in {
        "namespace", "job_id", "status", "created_at", "next_run_time", "revision", "generation", "etag", "schedule_states",
    }}
    text = json.dumps({"kind": "Job", "job_id": "everything", **body})
    assert "1 unchanged" in files.apply("-f", "-", stdin=text.encode()).stdout


def test_groups_and_quotas(files):
    mark = f"team={files.namespace}"
    labels = f"labels: {{team: {files.namespace}}}\n"
    group = f"kind: Group\nname: reports\nlimit: 2\n{labels}"
    quota = f"kind: Quota\nnamespace: {files.namespace}\nmax_jobs: 100\n{labels}"
    work = job("work", f"concurrency: {{key: reports, limit: 9}}\n{labels}")
    path = files.write("all.yaml", "---\n".join([work, group, quota]))
    lines = files.apply("-f", path).stdout.splitlines()
    assert set(lines[:2]) == {f"group {files.namespace}/reports created", f"quota {files.namespace} created"}
    assert lines[2] == f"job {files.namespace}/work created", "what it goes by is there before it"
    assert "3 unchanged" in files.apply("-f", path).stdout
    exported = files.rota("export").stdout
    kinds = [line for line in exported.splitlines() if line.startswith("kind: ")]
    assert kinds == ["kind: Group", "kind: Quota", "kind: Job"], exported
    assert "3 unchanged" in files.apply("-f", "-", stdin=exported.encode()).stdout

    changed = [work, group.replace("limit: 2", "limit: 3"), quota.replace("100", "200")]
    files.write("all.yaml", "---\n".join(changed))
    done = files.rota("diff", "-f", path)
    for line in ("~ limit: 2 → 3", "~ max_jobs: 100 → 200"):
        assert line in done.stdout, done.stdout
    assert "2 changed, 0 deleted, 1 unchanged" in files.apply("-f", path).stdout
    wrong = [
        (group.replace("limit: 2", "limit: 0"), 3, "limit"), (quota.replace("100", "none"), 3, "max_jobs"),
        (group + "limt: 1", 5, "'limit'"), (quota.replace("namespace: ", "name: "), 2, "namespace"),
    ]
    for text, line, words in wrong:
        done = files.apply("-f", files.write("wrong.yaml", text), code=2)
        assert words in done.stderr and f"wrong.yaml:{line}:" in done.stderr, done.stderr

    files.write("all.yaml", job("other", labels))
    done = files.apply("-f", path, "--prune", "-l", mark, "--yes")
    assert "1 created, 0 changed, 3 deleted" in done.stdout
    assert files.rota("export").stdout.count("kind: ") == 1


def test_queues(files):
    mark = f"team={files.namespace}"
    labels = f"labels: {{team: {files.namespace}}}\n"
    queue = f"kind: Queue\nname: {files.namespace}\nweight: 300\nmax_running: 5\nagents: [zone=eu]\n{labels}"
    work = job("work", f"queue: {files.namespace}\n{labels}")
    path = files.write("all.yaml", work + "---\n" + queue)
    lines = files.apply("-f", path).stdout.splitlines()
    assert lines[:2] == [f"queue {files.namespace} created", f"job {files.namespace}/work created"]
    assert "2 unchanged" in files.apply("-f", path).stdout
    exported = files.rota("export").stdout
    assert "kind: Queue" not in exported, "a queue is of no namespace"
    exported += files.cluster.rota("export", "--kind", "Queue", files.namespace).stdout
    assert "2 unchanged" in files.apply("-f", "-", stdin=exported.encode()).stdout
    files.write("all.yaml", work + "---\n" + queue.replace("300", "400"))
    assert f"queue {files.namespace} changed (weight)" in files.apply("-f", path).stdout
    for text, line, words in ((f"namespace: x\n{queue}", 1, "whole cluster"), (queue + "wieght: 1", 7, "'weight'")):
        done = files.apply("-f", files.write("wrong.yaml", text), code=2)
        assert words in done.stderr and f"wrong.yaml:{line}:" in done.stderr, done.stderr
    files.write("all.yaml", work)
    done = files.apply("-f", path, "--prune", "-l", mark, "--yes")
    assert f"queue {files.namespace} deleted" in done.stdout.splitlines()
    assert files.cluster.rota("export", "--kind", "Queue", files.namespace).returncode == 1


def test_many_documents(files):
    text = "---\n".join(job(f"j{number}") for number in range(300))
    files.apply("-f", "-", stdin=text.encode())
    assert "300 unchanged" in files.apply("-f", "-", stdin=text.encode()).stdout


def test_apply_waits_while_a_server_holds_submissions_back(tmp_path):
    with Cluster(servers=1, agents=0, server_flags=["--submit-rate", "600/1m+20"]) as slow:
        files = Files(slow, tmp_path)
        text = "---\n".join(job(f"j{number}") for number in range(60))
        started = time.monotonic()
        files.apply("-f", "-", stdin=text.encode())
        assert time.monotonic() - started > 2, "the rate held"
        assert len(files.names()) == 60


def test_a_server_that_is_not_there(files):
    path = files.write("a.yaml", job("a"))
    argv = [str(binaries() / "rota"), "apply", "--server", "127.0.0.1:1", "-f", path]
    done = subprocess.run(argv, env=files.cluster.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "127.0.0.1:1" in done.stderr


def test_only_the_program_has_yaml():
    """YAML is for people's files: no module of servers or agents knows of it."""
    sources = CHECKOUT / "Sources"
    users = {path.parts[len(sources.parts)] for path in sources.rglob("*.swift") if "import Yams" in path.read_text()}
    assert users == {"ConfigFiles"}
    importers = {path.parts[len(sources.parts)] for path in sources.rglob("*.swift")
                 if "import ConfigFiles" in path.read_text()}
    assert importers == {"rota"}
