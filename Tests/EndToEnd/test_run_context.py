"""What runs know: variables, headers and templates, on a real cluster."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import end_reason_name, exec_job, http_job, messages, run_state_name, shell_job, status_name

# What a shell, an HTTP message, a template or a terminal could trip over.
HOSTILE = {
    "plain": "eu-1",
    "spaces": "  two  words ",
    "quotes": "\"double\" 'single' `back`",
    "shell": "$(echo pwned) ${HOME} ; exit 9 | cat && false * ~",
    "lines": "one\ntwo\r\nthree",
    "template": "{{job_id}} {{nonsense",
    "unicode": "grüße 語 😀",
    "flags": "--help",
    "empty": "",
}


def output(cluster: Cluster, job_id: str, run_id: str = "", attempt: int = 0) -> str:
    chunks = cluster.client().logs(job_id, run_id, attempt=attempt, timeout=10)
    return b"".join(chunk.data for chunk in chunks).decode()


def environment(text: str) -> dict[str, str]:
    """What `env -0` printed."""
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


def with_params(spec: messages.JobSpec, params: dict[str, str]) -> messages.JobSpec:
    spec.params.update(params)
    return spec


class Recorder(BaseHTTPRequestHandler):
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append((self.path, dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def recorder() -> Iterator[str]:
    """The address of a server that notes every POST in `Recorder.seen`."""
    Recorder.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_argument_stays_one_whatever_it_contains(pair: Cluster) -> None:
    names = sorted(HOSTILE)
    argv = ["printf", "%s\\0", "job={{job_id}}", *(f"<{{{{params.{name}}}}}>" for name in names), r"\{{.Names}}"]
    job = pair.run_job(with_params(exec_job(argv), HOSTILE))
    assert status_name(job.status) == "completed", job
    assert output(pair, job.job_id).split("\0") == [
        f"job={job.job_id}", *(f"<{HOSTILE[name]}>" for name in names), "{{.Names}}", "",
    ]


def test_variables_of_a_process(pair: Cluster) -> None:
    spec = exec_job(
        ["env", "-0"],
        env={"DAY": "{{scheduled_time | in_zone UTC | date}}", "ROTA_TRIGGER": "mine", "QUOTED": "{{params.quotes | json}}"},
    )
    before = datetime.now(timezone.utc)
    job = pair.run_job(with_params(spec, HOSTILE))
    env = environment(output(pair, job.job_id))
    run = job.runs[0]
    due = datetime.fromisoformat(env["ROTA_SCHEDULED_TIME"].replace("Z", "+00:00"))
    assert abs(due - before) < timedelta(seconds=30)
    assert int(env["ROTA_SCHEDULED_UNIX"]) == int(due.timestamp())
    assert env["DAY"] == f"{due:%Y-%m-%d}"
    assert env["QUOTED"] == json.dumps(HOSTILE["quotes"])
    expected = {
        "ROTA_NAMESPACE": "default", "ROTA_JOB_ID": job.job_id, "ROTA_RUN_ID": run.run_id, "ROTA_ATTEMPT": "1",
        "ROTA_RETRY_COUNT": "0", "ROTA_FENCING_TOKEN": "1", "ROTA_TRIGGER": "schedule",
        "ROTA_PREVIOUS_SCHEDULED_TIME": "", "ROTA_NEXT_SCHEDULED_TIME": "", "ROTA_LAST_SUCCESS_TIME": "",
    }
    assert {name: env[name] for name in expected} == expected
    assert json.loads(env["ROTA_PARAMS"]) == HOSTILE
    assert {name: env[f"ROTA_PARAM_{name.upper()}"] for name in HOSTILE} == HOSTILE


def test_a_script_is_never_filled_in(pair: Cluster) -> None:
    script = 'echo "{{job_id}} $ROTA_PARAM_X"'
    job = pair.run_job(with_params(shell_job(script), {"x": '"; echo pwned; "'}))
    assert output(pair, job.job_id) == '{{job_id}} "; echo pwned; "\n'


def test_each_attempt_is_filled_in_anew(pair: Cluster) -> None:
    script = 'echo "$0 $1 $2"; test "$0" -ge 2'
    argv = ["sh", "-c", script, "{{attempt}}", "{{retry_count}}", "{{scheduled_time | unix_ms}}"]
    job = pair.run_job(exec_job(argv, max_retries=2, backoff=[0.1]))
    assert status_name(job.status) == "completed" and len(job.runs[0].attempts) == 2
    due = job.runs[0].scheduled_time.ToMilliseconds()
    assert [output(pair, job.job_id, attempt=number) for number in (1, 2)] == [f"1 0 {due}\n", f"2 1 {due}\n"]


def test_headers_of_a_request(pair: Cluster, recorder: str) -> None:
    spec = http_job(
        recorder + "/{{params.unicode | urlencode}}?day={{scheduled_time | in_zone UTC | date}}",
        method="POST",
        headers={"X-Run": "{{run_id}}/{{attempt}}"},
        body='{"last": {{last_success_time | json}}, "text": {{params.quotes | json}}}',
    )
    job = pair.run_job(with_params(spec, HOSTILE))
    assert status_name(job.status) == "completed", job
    ((path, headers, body),) = Recorder.seen
    run = job.runs[0]
    day = run.scheduled_time.ToDatetime().date().isoformat()
    assert path == f"/gr%C3%BC%C3%9Fe%20%E8%AA%9E%20%F0%9F%98%80?day={day}"
    assert json.loads(body) == {"last": None, "text": HOSTILE["quotes"]}
    expected = {
        "X-Run": f"{run.run_id}/1", "Rota-Namespace": "default", "Rota-Job-Id": job.job_id, "Rota-Run-Id": run.run_id,
        "Rota-Attempt": "1", "Rota-Retry-Count": "0", "Rota-Fencing-Token": "1", "Rota-Trigger": "schedule",
        "Rota-Scheduled-Unix": str(run.scheduled_time.seconds),
    }
    assert {name: headers.get(name) for name in expected} == expected
    assert headers["Rota-Params"].isascii() and json.loads(headers["Rota-Params"]) == HOSTILE
    assert "Rota-Last-Success-Time" not in headers


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"exec": ["docker", "ps", "{{.Names}}"]}, r"exec[2]: character 3: there is no value '.Names'"),
        ({"exec": ["docker", "ps", "{{.Names}}"]}, r"write '\{{'"),
        ({"exec": ["a", "{{job_id"]}, "exec[1]: character 1: the '{{' here is not closed"),
        ({"exec": ["a", "{{job_id | date}}"]}, "exec[1]: character 12: 'date' needs a time"),
        ({"noop": True, "env": {"A": "{{scheduled_time | dat}}"}}, "env.A: character 20: no filter is called 'dat'"),
        ({"exec": ["a", "{{params.x}}"]}, "exec[1]: character 1: there is no parameter 'x'"),
        ({"http": {"url": "http://h/{{scheduled_time | format '%Q'}}"}}, "http.url: character 36: '%Q' is not known"),
        ({"http": {"url": "http://h/{{scheduled_time | format '%a %b'}}"}}, "http.url: spaces"),
        ({"http": {"url": "http://h/", "headers": {"Rota-Job-Id": "x"}}}, "headers that begin with Rota- are set by the agent"),
        ({"exec": ["a", "{{scheduled_time | in_zone Europe/Berln}}"]}, "did you mean Europe/Berlin?"),
        ({"exec": ["a", "b\x00{{job_id}}"]}, "exec[1]: a NUL character"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(pair: Cluster, job: dict[str, object], message: str) -> None:
    answer = pair.rest.post("/jobs", job)
    assert answer.status == 400, answer.text
    assert message in answer.json()["error"]["message"], answer.text


def test_what_only_the_run_shows_is_a_failed_start(pair: Cluster) -> None:
    """No occurrence comes before a job that runs once, so its program has no name."""
    job = pair.run_job(exec_job(["{{previous_scheduled_time}}", "x"], max_retries=1, backoff=[0.1]))
    assert status_name(job.status) == "failed"
    attempts = job.runs[0].attempts
    assert [end_reason_name(attempt.end_reason) for attempt in attempts] == ["start_failed"] * 2
    assert all("a template cannot be filled in: exec[0]: the program is empty" in attempt.error for attempt in attempts)
    assert not any(attempt.HasField("start_time") for attempt in attempts)
    # The slots are free again, and nothing is left to be told.
    assert status_name(pair.run_job(exec_job(["true"])).status) == "completed"


def test_the_times_around_a_run(pair: Cluster) -> None:
    spec = exec_job(["env", "-0"], env={"LOCAL": "{{scheduled_time | format '%H:%M:%S %z'}}"})
    spec.schedules.add(cron="* * * * * *", time_zone="Asia/Kathmandu", max_runs=6)
    job_id = pair.client().submit(spec).job_id

    def runs() -> list[messages.Run]:
        found = [run for run in pair.client().runs(job_id=job_id, page_size=100) if run_state_name(run.state) == "completed"]
        return sorted(found, key=lambda run: run.run_id) if len(found) == 6 else []

    seen = wait_until(runs, 40, "six runs have ended", every=0.5)
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    for number, run in enumerate(seen):
        env = environment(output(pair, job_id, run.run_id))
        due = run.scheduled_time.ToDatetime(timezone.utc)

        def text(time: datetime) -> str:
            return f"{time:%Y-%m-%dT%H:%M:%SZ}"

        assert env["ROTA_SCHEDULED_TIME"] == text(due)
        assert env["LOCAL"] == f"{due.astimezone(kathmandu):%H:%M:%S +0545}"
        assert env["ROTA_PREVIOUS_SCHEDULED_TIME"] == text(due - timedelta(seconds=1))
        assert env["ROTA_NEXT_SCHEDULED_TIME"] == (text(due + timedelta(seconds=1)) if number < 5 else "")
        assert env["ROTA_TRIGGER"] == "schedule"
        earlier = [text(other.scheduled_time.ToDatetime(timezone.utc)) for other in seen[:number]]
        # On a slow machine a run may begin before the one before it has ended.
        assert env["ROTA_LAST_SUCCESS_TIME"] in [*earlier, ""]
        if number == 5:
            assert env["ROTA_LAST_SUCCESS_TIME"] in earlier, "five seconds are enough for one of five"


def test_a_triggered_run_knows_its_parameters(pair: Cluster) -> None:
    spec = exec_job(["printf", "%s|", "{{trigger}}", "{{params.a}}", "{{params.b}}"])
    spec.schedules.add(cron="0 0 1 1 *")
    job_id = pair.client().submit(with_params(spec, {"a": "job", "b": "job"})).job_id
    answer = pair.rest.post(f"/jobs/{job_id}/trigger", {"params": {"b": "x y"}})
    assert answer.status in (200, 201), answer.text

    def ended() -> messages.Run | None:
        run = next(iter(pair.client().runs(job_id=job_id)), None)
        return run if run is not None and run_state_name(run.state) == "completed" else None

    wait_until(ended, 20, "the triggered run has ended")
    assert output(pair, job_id) == "manual|job|x y|"
