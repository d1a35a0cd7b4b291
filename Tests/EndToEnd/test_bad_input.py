"""Bad input: a clear error that names the field, the right code, nothing half-written, and no crash."""
from __future__ import annotations

import json
import subprocess
import uuid

import grpc
import pytest

from cluster import binaries
from rest import listed, raw_status
from rota_client import (
    RotaError,
    calendar,
    constraint,
    exec_job,
    http_job,
    messages,
    misfire,
    noop_job,
    overlap,
    schedule,
    shell_job,
)

OK = {"exec": ["true"]}
EPOCH = "1970-01-01T00:00:00Z"


def on(*schedules: object, **more: object) -> dict:
    """A job with these schedules."""
    return {**OK, "schedules": list(schedules), **more}


def nested(depth: int) -> bytes:
    return b'{"exec": ["true"], "env": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


# What is wrong, the body, and a word that the message has to have.
REST_BODIES: list[tuple[str, object, str]] = [
    ("no task", {"user_id": "u"}, "exec"),
    ("two tasks", {"exec": ["true"], "noop": {}}, "noop"),
    ("an unknown field", {**OK, "tiemout": "3s"}, "tiemout"),
    ("a duplicate key", b'{"exec": ["true"], "user_id": "a", "user_id": "b"}', "user_id"),
    ("too deep", nested(80), "env"),
    ("invalid UTF-8", b'{"exec": ["true"], "user_id": "\xff\xfe"}', "UTF-8"),
    ("no JSON", b"exec=true", "object"),
    ("an empty body", b"", ""),
    ("an array", [], "object"),
    ("cut off", b'{"exec": ["true"', ""),
    ("trailing text", b'{"exec": ["true"]} x', ""),
    ("NaN", b'{"exec": ["true"], "max_retries": NaN}', ""),
    ("1e400", b'{"exec": ["true"], "max_retries": 1e400}', "max_retries"),
    ("2^64", b'{"exec": ["true"], "max_retries": 18446744073709551616}', "max_retries"),
    ("a fraction", {**OK, "max_retries": 1.5}, "max_retries"),
    ("negative retries", {**OK, "max_retries": -1}, "max_retries"),
    ("huge retries", {**OK, "max_retries": 10**9}, "max_retries"),
    ("retries as text", {**OK, "max_retries": "3"}, "max_retries"),
    ("a negative timeout", {**OK, "timeout": "-5s"}, "timeout"),
    ("a timeout of nothing", {**OK, "timeout": "0s"}, "timeout"),
    ("a timeout of ages", {**OK, "timeout": "99999999999h"}, "timeout"),
    ("a timeout without unit", {**OK, "timeout": "soon"}, "timeout"),
    ("exec as text", {"exec": "true"}, "exec"),
    ("exec without program", {"exec": []}, "exec"),
    ("an empty program", {"exec": [""]}, "exec"),
    ("a number among the arguments", {"exec": ["echo", 1]}, "exec"),
    ("NUL in an argument", {"exec": ["echo", "a\0b"]}, "exec"),
    ("NUL in the environment", {**OK, "env": {"A": "x\0y"}}, "env"),
    ("= in a variable's name", {**OK, "env": {"A=B": "1"}}, "env"),
    ("a variable without name", {**OK, "env": {"": "1"}}, "env"),
    ("arguments over 128 KiB", {"exec": ["echo", "x" * 140_000]}, "131072"),
    ("a relative working directory", {**OK, "working_directory": "tmp"}, "working_directory"),
    ("an upper-case id", {**OK, "job_id": "Job"}, "job_id"),
    ("a path as id", {**OK, "job_id": "../x"}, "job_id"),
    ("dots as id", {**OK, "job_id": ".."}, "job_id"),
    ("an id that is too long", {**OK, "job_id": "a" * 129}, "job_id"),
    ("NUL in an id", {**OK, "job_id": "a\0"}, "job_id"),
    ("a homoglyph", {**OK, "job_id": "j\u043eb"}, "job_id"),
    ("right-to-left text", {**OK, "job_id": "a\u202eb"}, "job_id"),
    ("a bad namespace", {**OK, "namespace": "a/b"}, "namespace"),
    ("a user id that is too long", {**OK, "user_id": "u" * 129}, "user_id"),
    ("priority over the top", {**OK, "priority": 101}, "priority"),
    ("priority below", {**OK, "priority": -1}, "priority"),
    ("no time", {**OK, "execution_time": "tomorrow"}, "execution_time"),
    ("31 February", {**OK, "execution_time": "2026-02-31T00:00:00Z"}, "execution_time"),
    ("a time without zone", {**OK, "execution_time": "2026-02-01T00:00:00"}, "execution_time"),
    ("milliseconds passed as seconds", {**OK, "execution_time": 1760000000000}, "execution_time"),
    ("the year 99999", {**OK, "execution_time": "99999-01-01T00:00:00Z"}, "execution_time"),
    ("no URL", {"http": {}}, "url"),
    ("a file URL", {"http": {"url": "file:///etc/passwd"}}, "url"),
    ("CR LF in a URL", {"http": {"url": "http://x/\r\nHost: y"}}, "url"),
    ("CR LF in a header", {"http": {"url": "http://x/", "headers": {"A": "b\r\nC: d"}}}, "headers"),
    ("a header without name", {"http": {"url": "http://x/", "headers": {"": "b"}}}, "headers"),
    ("an unknown method", {"http": {"url": "http://x/", "method": "BREW"}}, "method"),
    ("an empty script", {"shell": {"script": ""}}, "script"),
    ("a task without name", {"task": {"payload": 1}}, "task.name"),
    ("a path as a task's name", {"task": "../x"}, "task.name"),
    ("a payload with a duplicate key", b'{"task": {"name": "t", "payload": {"a": 1, "a": 2}}}', "task.payload"),
    ("a payload that is too deep", {"task": {"name": "t", "payload": json.loads("[" * 49 + "]" * 49)}}, "task.payload"),
    ("a payload over 256 KiB", {"task": {"name": "t", "payload": "x" * 262_143}}, "262144"),
    ("NaN as payload", b'{"task": {"name": "t", "payload": NaN}}', "payload"),
    ("an unknown operator", {**OK, "constraints": [{"label": "a", "operator": "~", "values": ["b"]}]}, "operator"),
    ("in without values", {**OK, "constraints": [{"label": "a", "operator": "in", "values": []}]}, "values"),
    ("a constraint without label", {**OK, "constraints": [{"operator": "exists"}]}, "label"),
    ("negative backoff", {**OK, "backoff": {"list": ["-1s"]}}, "backoff"),
    ("jitter over 1", {**OK, "backoff": {"list": ["1s"], "jitter": 1.5}}, "jitter"),
    ("an unknown policy", {**OK, "on_agent_loss": "shrug"}, "on_agent_loss"),
    ("memory in an unknown unit", {**OK, "limits": {"memory_bytes": "64M"}}, "limits.memory_bytes"),
    ("memory that is too little", {**OK, "limits": {"memory_bytes": 4096}}, "limits.memory_bytes"),
    ("no process at all", {**OK, "limits": {"pids": 0}}, "limits.pids"),
    ("a negative share of a processor", {**OK, "limits": {"cpus": -0.5}}, "limits.cpus"),
    ("an unknown limit", {**OK, "limits": {"disk": 1}}, "limits.disk"),
    ("limits for what is no process", {"noop": {}, "limits": {"pids": 5}}, "limits"),
    ("an option as user", {**OK, "run_as": "--root"}, "run_as"),
    ("three parts of a user", {**OK, "run_as": "a:b:c"}, "run_as"),
    ("a user for what is no process", {"http": "http://x/", "run_as": "app"}, "run_as"),
    ("a filter of nothing", {**OK, "retry_on": {}}, "retry_on"),
    ("an exit code beyond bytes", {**OK, "retry_on": {"exit_codes": ["1-256"]}}, "retry_on.exit_codes[0]"),
    ("a code that is none", {**OK, "no_retry_on": {"exit_codes": [1, "two"]}}, "no_retry_on.exit_codes[1]"),
    ("statuses of a program", {**OK, "retry_on": {"http_statuses": [500]}}, "retry_on.http_statuses"),
    ("a status beyond 5xx", {"http": "http://x/", "retry_on": {"http_statuses": ["6xx"]}}, "retry_on.http_statuses[0]"),
    ("a reason that is none", {**OK, "retry_on": {"reasons": ["bad luck"]}}, "retry_on.reasons[0]"),
    ("a total timeout of nothing", {**OK, "total_timeout": "0s"}, "total_timeout"),
    ("a wait that nobody asked for", {**OK, "agent_loss_wait": "5m"}, "agent_loss_wait"),
    ("a wait of ages", {**OK, "on_agent_loss": "wait", "agent_loss_wait": "31d"}, "agent_loss_wait"),
    ("a key that is too long", {**OK, "idempotency_key": "k" * 129}, "idempotency_key"),
    # When it runs.
    ("minute 61", on("61 * * * *"), "schedules[0].cron: character 1: 61 is not a minute"),
    ("a step of nothing", on("*/0 * * * *"), "schedules[0].cron: character"),
    ("31 February", on("0 0 31 2 *"), "schedules[0].cron"),
    ("1 MB of cron", on("* " * 250_000 + "* * * *"), "schedules[0].cron"),
    ("four fields", on("* * * *"), "schedules[0].cron"),
    ("a bad second schedule", on("@daily", {"every": "0s"}), "schedules[1].every"),
    ("two rules in one schedule", on({"every": "5m", "cron": "@daily"}), "schedules[0].cron"),
    ("no rule", on({"time_zone": "UTC"}), "schedules[0]"),
    ("the same schedule twice", on("@daily", "@daily"), "schedules[1]"),
    ("schedules that are no list", {**OK, "schedules": "@daily"}, "schedules"),
    ("an unknown field of a schedule", on({"cron": "@daily", "tz": "UTC"}), "schedules[0].tz"),
    ("too many schedules", on(*(f"{n} * * * *" for n in range(33))), "33"),
    ("an unknown zone", on({"cron": "@daily", "time_zone": "Europe/Atlantis"}), "schedules[0].time_zone"),
    ("a path as zone", on({"cron": "@daily", "time_zone": "../../etc/passwd"}), "schedules[0].time_zone"),
    ("the end before the start", on({"every": "5m", "start_time": 10, "end_time": 5}), "schedules[0].end_time"),
    ("an end long ago", on({"cron": "@daily", "end_time": EPOCH}), "schedules"),
    ("no runs", on({"cron": "@daily", "max_runs": 0}), "schedules[0].max_runs"),
    ("a jitter of ages", on({"cron": "@daily", "jitter": "48h"}), "schedules[0].jitter"),
    ("an unknown calendar", on({"cron": "@daily", "calendars": ["no-such"]}), "schedules[0].calendars[0]"),
    ("a bad calendar's name", on({"cron": "@daily", "calendars": ["A B"]}), "schedules[0].calendars[0]"),
    ("an unknown DST policy", on({"cron": "@daily", "dst_gap": "maybe"}), "schedules[0].dst_gap"),
    ("a schedule and a time", on("@daily", execution_time="2099-01-01T00:00:00Z"), "execution_time"),
    ("a delay and a time", {**OK, "delay": "5m", "execution_time": "2099-01-01T00:00:00Z"}, "delay"),
    ("a delay and a schedule", on("@daily", delay="5m"), "delay"),
    ("a negative delay", {**OK, "delay": "-5m"}, "delay"),
    ("an unknown frequency", {**OK, "frequency": "fortnightly"}, "frequency"),
    ("a frequency and a schedule", on("@daily", frequency="daily"), "frequency"),
    ("a zone without frequency", {**OK, "time_zone": "UTC"}, "time_zone"),
    ("an unknown misfire policy", on("@daily", misfire="sometimes"), "misfire"),
    ("a misfire limit of nothing", on("@daily", misfire={"policy": "all", "limit": 0}), "misfire.limit"),
    ("an unknown overlap policy", on("@daily", overlap="kill"), "overlap"),
    ("an endless queue", on("@daily", overlap={"policy": "queue", "limit": 10**6}), "overlap.limit"),
    ("a limit without queue", on("@daily", overlap={"policy": "forbid", "limit": 1}), "overlap.limit"),
    ("a parameter with a bad name", {**OK, "params": {"a-b": "1"}}, "params.a-b"),
    ("a parameter that is no text", {**OK, "params": {"a": 1}}, "params.a"),
    ("NUL in a parameter", {**OK, "params": {"a": "x\0"}}, "params.a"),
    ("too many parameters", {**OK, "params": {f"p{n}": "" for n in range(65)}}, "params"),
    ("parameters over 32 KiB", {**OK, "params": {"a": "x" * 40_000}}, "32768"),
]


@pytest.mark.parametrize("what, body, word", REST_BODIES, ids=[case[0] for case in REST_BODIES])
def test_rest_refuses(pair, what, body, word):
    before = len(pair.etcd.pairs("/rota/jobs/"))
    answer = pair.rest.request("POST", "/jobs", body)
    assert answer.status == 400, f"{what}: {answer.status} {answer.text}"
    problem = answer.json()
    assert word.lower() in json.dumps(problem, ensure_ascii=False).lower(), problem
    assert len(pair.etcd.pairs("/rota/jobs/")) == before, "nothing is half-written"


def test_rest_refuses_other_requests(pair):
    rest = pair.rest
    for method, path, status in [
        ("GET", "/jobs/there-is-none", 404),
        ("DELETE", "/jobs/there-is-none", 404),
        ("GET", "/jobs/..%2f..%2fleader", 400),
        ("GET", "/jobs/%00", 400),
        ("GET", "/nowhere", 404),
        ("PUT", "/jobs", 405),
        ("GET", "/jobs?status=asleep", 400),
        ("GET", "/jobs?page_size=0x10", 400),
        ("GET", "/jobs?page_size=-1", 400),
        ("GET", "/jobs?page_size=100000", 400),
        ("GET", "/jobs?page_token=forged", 400),
        ("GET", "/jobs?sttaus=pending", 400),
        ("GET", "/job/executions?status=asleep", 400),
        ("GET", "/job/executions?page_token=AAAA", 400),
        ("POST", "/jobs/there-is-none/pause", 404),
        ("POST", "/jobs/there-is-none/trigger", 404),
        ("POST", "/jobs/Bad/resume", 400),
        ("POST", "/jobs/there-is-none/explode", 404),
        ("GET", "/jobs/there-is-none/pause", 405),
        ("POST", "/jobs/there-is-none/skip-next?when=now", 400),
        ("GET", "/calendars/there-is-none", 404),
        ("DELETE", "/calendars/there-is-none", 404),
        ("GET", "/calendars/A%20B", 400),
        ("GET", "/calendars?page_token=forged", 400),
        ("GET", "/calendars?page_size=-1", 400),
    ]:
        answer = rest.request(method, path)
        # A path that no route matches may be "not found" before anybody looks at the method.
        allowed = {status, 404} if status in (405, 400) and "?" not in path else {status}
        assert answer.status in allowed, f"{method} {path}: {answer.status} {answer.text}"
        assert answer.json(), f"{method} {path}: no explanation"


# Requests that change a job, what is wrong with their bodies, and the field that is named.
CONTROL_BODIES: list[tuple[str, str, str, object, str]] = [
    ("an unknown field", "POST", "pause", {"reason": "x"}, "reason"),
    ("a note that is no text", "POST", "pause", {"note": 1}, "note"),
    ("a note over 1 KiB", "POST", "pause", {"note": "x" * 1025}, "note"),
    ("a body that is no object", "POST", "resume", [], "body"),
    ("something in a body that takes nothing", "POST", "resume", {"note": "x"}, "note"),
    ("bad values", "POST", "trigger", {"params": {"a b": "1"}}, "params"),
    ("values that are no texts", "POST", "trigger", {"params": {"a": [1]}}, "params"),
    ("an empty key", "POST", "trigger", {"idempotency_key": ""}, "idempotency_key"),
    ("a key that is too long", "POST", "trigger", {"idempotency_key": "k" * 129}, "idempotency_key"),
    ("no time", "POST", "skip-next", {"scheduled_time": "soon"}, "scheduled_time"),
    ("a reason over 1 KiB", "POST", "cancel", {"reason": "x" * 1025}, "reason"),
    ("an update without task", "PUT", "", {"schedules": ["@daily"]}, "task"),
    ("an update with a bad schedule", "PUT", "", on("61 * * * *"), "schedules"),
    ("an update with what only submissions have", "PUT", "", {**OK, "frequency": "daily"}, "frequency"),
    ("an update with an unknown calendar", "PUT", "", on({"cron": "@daily", "calendars": ["no-such"]}), "schedules"),
]


@pytest.mark.parametrize("what, method, action, body, field", CONTROL_BODIES, ids=[case[0] for case in CONTROL_BODIES])
def test_rest_refuses_bad_control(pair, what, method, action, body, field):
    job = pair.submit(on("0 0 1 1 *"))
    before = pair.rest.get(f"/jobs/{job}").json()
    answer = pair.rest.request(method, f"/jobs/{job}/{action}".rstrip("/"), body)
    assert answer.status == 400, f"{what}: {answer.status} {answer.text}"
    assert answer.json()["error"]["field"].startswith(field), answer.text
    assert pair.rest.get(f"/jobs/{job}").json() == before, "nothing is half-written"
    pair.rest.delete(f"/jobs/{job}")


CALENDARS: list[tuple[str, object, str]] = [
    ("an unknown field", {"holidays": []}, "holidays"),
    ("no day", {"days": ["christmas"]}, "days[0]"),
    ("30 February", {"days": ["12-25", "02-30"]}, "days[1]"),
    ("a range backwards", {"ranges": [{"from": "2026-02-01", "to": "2026-01-01"}]}, "ranges[0]"),
    ("a range without end", {"ranges": [{"from": "2026-02-01"}]}, "ranges[0].to"),
    ("a bad window", {"cron": ["* 99 * * *"]}, "cron[0]"),
    ("an unknown zone", {"time_zone": "Europe/Atlantis"}, "time_zone"),
    ("too many days", {"days": [f"{year}-01-01" for year in range(1970, 2972)]}, "days"),
    ("a description over 1 KiB", {"description": "x" * 1025}, "description"),
]


@pytest.mark.parametrize("what, body, field", CALENDARS, ids=[case[0] for case in CALENDARS])
def test_bad_calendars_are_refused(pair, what, body, field):
    name = f"c-{uuid.uuid4().hex[:8]}"
    answer = pair.rest.request("PUT", f"/calendars/{name}", body)
    assert answer.status == 400, f"{what}: {answer.status} {answer.text}"
    assert answer.json()["error"]["field"].startswith(field), answer.text
    assert pair.rest.get(f"/calendars/{name}").status == 404, "nothing is half-written"


def test_an_error_never_carries_markup_or_escapes(pair):
    answer = pair.rest.post("/jobs", {**OK, "job_id": "<script>\u001b[31m"})
    assert answer.status == 400 and answer.headers["content-type"].startswith("application/json")
    assert b"\x1b" not in answer.body


def test_the_wrong_content_type(pair):
    answer = pair.rest.request("POST", "/jobs", b"<job/>", {"content-type": "application/xml"})
    assert answer.status == 415, answer.text


def test_a_body_over_the_limit_is_refused_before_it_is_sent(pair):
    head = b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
    assert raw_status(pair.rest.raw(head + b"{")) == 413


def test_an_endless_chunked_body_is_refused(pair):
    head = b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    assert raw_status(pair.rest.raw(head + chunk * 256)) in (413, 0)
    assert pair.rest.get("/healthz").status == 200


def test_broken_http_is_refused(pair):
    two_lengths = b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}"
    for data in (two_lengths, b"GET / HTTP/9.9\r\n\r\n", b"\x00\x01\x02\r\n\r\n"):
        assert raw_status(pair.rest.raw(data, timeout=3)) in (400, 505, 0)
    assert pair.rest.get("/healthz").status == 200


GRPC_SPECS = [
    ("no task", messages.JobSpec(user_id="u"), "task"),
    ("no program", exec_job([]), "exec"),
    ("NUL in an argument", exec_job(["a\0b"]), "exec"),
    ("= in a variable's name", exec_job(["true"], env={"A=B": "1"}), "env"),
    ("a relative working directory", exec_job(["true"], working_directory="x"), "working_directory"),
    ("negative retries", exec_job(["true"], max_retries=-1), "max_retries"),
    ("a negative timeout", exec_job(["true"], timeout=-1), "timeout"),
    ("priority over the top", exec_job(["true"], priority=1000), "priority"),
    ("an empty script", shell_job(""), "script"),
    ("a file URL", http_job("file:///etc/passwd"), "url"),
    ("CR LF in a header", http_job("http://x/", headers={"A": "b\r\nC: d"}), "headers"),
    ("a user id that is too long", noop_job(user_id="u" * 129), "user_id"),
    ("in without values", noop_job(constraints=[constraint("a", "in")]), "values"),
    ("an unknown operator", messages.JobSpec(noop={}, constraints=[{"label": "a", "operator": 99}]), "operator"),
    ("arguments over 128 KiB", exec_job(["echo", "x" * 140_000]), "131072"),
    ("minute 61", noop_job(schedules=[schedule(cron="61 * * * *")]), "spec.schedules[0].cron: character 1"),
    ("a schedule without rule", noop_job(schedules=[messages.Schedule()]), "spec.schedules[0].rule"),
    ("once as a rule", noop_job(schedules=[schedule(frequency="once")]), "spec.schedules[0].frequency"),
    ("an unknown zone", noop_job(schedules=[schedule(cron="@daily", time_zone="X")]), "spec.schedules[0].time_zone"),
    (
        "an unknown calendar",
        noop_job(schedules=[schedule(every=60, calendars=["no-such"])]),
        "spec.schedules[0].calendars[0]",
    ),
    ("an interval of nothing", noop_job(schedules=[schedule(every=0)]), "spec.schedules[0].every"),
    ("a limit without queue", noop_job(overlap=overlap("forbid", limit=2)), "spec.overlap.limit"),
    ("an unknown overlap policy", noop_job(overlap=messages.Overlap(policy=99)), "spec.overlap.policy"),
    ("a negative misfire limit", noop_job(misfire=misfire("all", limit=-1)), "spec.misfire.limit"),
    ("a parameter with a bad name", noop_job(params={"a b": "1"}), "spec.params.a b"),
]


@pytest.mark.parametrize("what, spec, word", GRPC_SPECS, ids=[case[0] for case in GRPC_SPECS])
def test_grpc_refuses(pair, what, spec, word):
    with pytest.raises(RotaError) as caught:
        pair.client().submit(spec)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT, caught.value
    assert word.lower() in caught.value.message.lower()
    # In a batch it is refused alone.
    good, bad = pair.client().submit_batch(
        [messages.SubmitRequest(spec=noop_job()), messages.SubmitRequest(spec=spec)]
    )
    assert good.code == 0 and good.job_id
    assert bad.code == grpc.StatusCode.INVALID_ARGUMENT.value[0] and word.lower() in bad.message.lower()


def test_grpc_codes(pair):
    client = pair.client()

    def code(call) -> grpc.StatusCode:
        with pytest.raises(RotaError) as caught:
            call()
        return caught.value.code

    job_id = f"twice-{uuid.uuid4().hex[:8]}"
    client.submit(noop_job(), job_id=job_id)
    status = grpc.StatusCode
    assert code(lambda: client.submit(noop_job(), job_id=job_id)) == status.ALREADY_EXISTS
    assert code(lambda: client.submit(noop_job(), job_id="UPPER")) == status.INVALID_ARGUMENT
    assert code(lambda: client.job("there-is-none")) == status.NOT_FOUND
    assert code(lambda: client.cancel("there-is-none")) == status.NOT_FOUND
    assert code(lambda: client.pause("there-is-none")) == status.NOT_FOUND
    assert code(lambda: client.trigger("there-is-none")) == status.NOT_FOUND
    assert code(lambda: client.trigger("there-is-none", params={"a b": ""})) == status.INVALID_ARGUMENT
    assert code(lambda: client.update("there-is-none", noop_job())) == status.NOT_FOUND
    assert code(lambda: client.delete("there-is-none")) == status.NOT_FOUND
    assert code(lambda: client.pause("UPPER")) == status.INVALID_ARGUMENT
    assert code(lambda: client.calendar("there-is-none")) == status.NOT_FOUND
    assert code(lambda: client.put_calendar("UPPER", calendar())) == status.INVALID_ARGUMENT
    assert code(lambda: client.put_calendar("c", calendar(days=["x"]))) == status.INVALID_ARGUMENT
    assert code(lambda: list(client.calendars(page_size=-1))) == status.INVALID_ARGUMENT
    assert code(lambda: list(client.watch("there-is-none", timeout=5))) == status.NOT_FOUND
    assert code(lambda: list(client.logs("there-is-none", timeout=5))) == status.NOT_FOUND
    assert code(lambda: list(client.jobs(page_size=-1))) == status.INVALID_ARGUMENT
    assert code(lambda: client.submit_batch([messages.SubmitRequest(spec=noop_job())] * 1001)) == (
        status.INVALID_ARGUMENT
    )
    huge = exec_job(["true"], env={f"V{n}": "x" * 60_000 for n in range(200)})
    assert code(lambda: client.submit(huge)) in (status.RESOURCE_EXHAUSTED, status.INVALID_ARGUMENT)


def test_the_same_idempotency_key_with_another_job(pair):
    key = uuid.uuid4().hex
    first = pair.client().submit(noop_job(), idempotency_key=key)
    assert pair.client().submit(noop_job(), idempotency_key=key).job_id == first.job_id
    with pytest.raises(RotaError) as caught:
        pair.client().submit(exec_job(["true"]), idempotency_key=key)
    assert caught.value.code == grpc.StatusCode.ALREADY_EXISTS
    assert "idempotency" in caught.value.message


CLI_ARGUMENTS = [
    ("no task", ["submit"], "nothing to run"),
    ("a bad id", ["submit", "--job-id", "Bad/Id", "--", "true"], "job_id"),
    ("a bad timeout", ["submit", "--timeout", "soon", "--", "true"], "timeout"),
    ("negative retries", ["submit", "--max-retries=-1", "--", "true"], "max"),
    ("a bad variable", ["submit", "--env", "=x", "--", "true"], "env"),
    ("a bad status", ["jobs", "--status", "asleep"], "status"),
    ("an unknown job", ["job", "there-is-none"], "there-is-none"),
    ("logs of an unknown job", ["logs", "there-is-none"], "there-is-none"),
    ("cancelling an unknown job", ["cancel", "there-is-none"], "there-is-none"),
    ("pausing an unknown job", ["pause", "there-is-none"], "there-is-none"),
    ("triggering an unknown job", ["trigger", "there-is-none"], "there-is-none"),
    ("deleting an unknown job", ["delete", "there-is-none"], "there-is-none"),
    ("updating an unknown job", ["update", "there-is-none", "--priority", "1"], "there-is-none"),
    ("a bad expression", ["submit", "--cron", "61 * * * *", "--noop"], "schedules[0].cron: character 1: 61 is not"),
    ("an unknown zone", ["submit", "--cron", "@daily", "--tz", "Europe/Berln", "--noop"], "europe/berlin"),
    ("a zone without schedule", ["submit", "--tz", "UTC", "--noop"], "--tz goes with"),
    ("a schedule and a time", ["submit", "--cron", "@daily", "--at", "2099-01-01T00:00:00Z", "--noop"], "--start"),
    ("a schedule and a delay", ["submit", "--every", "5m", "--delay", "5m", "--noop"], "--delay"),
    ("a bad misfire policy", ["submit", "--every", "5m", "--misfire", "some", "--noop"], "--misfire"),
    ("a number that misfire does not take", ["submit", "--every", "5m", "--misfire", "skip:3", "--noop"], "skip:3"),
    ("a bad overlap policy", ["submit", "--every", "5m", "--overlap", "queue:many", "--noop"], "--overlap"),
    ("a bad parameter", ["submit", "--param", "a-b=1", "--noop"], "params.a-b"),
    ("waiting for a schedule", ["submit", "--wait", "--every", "5m", "--noop"], "--wait"),
    ("a range without end", ["calendar", "put", "c", "--range", "2026-01-01"], "--range"),
    ("a bad day", ["calendar", "put", "c", "--day", "someday"], "days[0]"),
    ("an unknown calendar", ["calendar", "get", "there-is-none"], "there-is-none"),
]


@pytest.mark.parametrize("what, arguments, word", CLI_ARGUMENTS, ids=[case[0] for case in CLI_ARGUMENTS])
def test_the_command_line_refuses(pair, what, arguments, word):
    done = pair.rota(*arguments)
    assert done.returncode not in (0, -11, -6, 139, 134), f"{what}: {done.returncode}"
    assert word in done.stderr.lower().replace("-", "_") or word in done.stderr.lower(), done.stderr


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["server", "--etcd", "127.0.0.1:1", "--http", "not-an-address"], "not-an-address"),
        (["server", "--id", "Bad Id", "--etcd", "127.0.0.1:1"], "id"),
        (["agent", "--id", "../x", "--data-dir", "unused", "--etcd", "127.0.0.1:1"], "id"),
        (["agent", "--slots", "0", "--data-dir", "unused", "--etcd", "127.0.0.1:1"], "slots"),
        (["agent", "--lease-ttl=-3s", "--data-dir", "unused", "--etcd", "127.0.0.1:1"], "lease"),
        (["agent", "--label", "novalue", "--data-dir", "unused", "--etcd", "127.0.0.1:1"], "label"),
    ],
)
def test_services_refuse_bad_flags(pair, arguments, word):
    done = subprocess.run(
        [str(binaries() / "rota"), *arguments],
        env=pair.env, cwd=pair.folder, capture_output=True, text=True, timeout=30,
    )
    assert done.returncode > 0, done.stderr
    assert word in done.stderr + done.stdout


def test_after_all_that_it_still_works(pair):
    done = pair.rota("submit", "--wait", "--", "echo", "fine")
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert listed(pair.rest.get("/agents"), "agents")
