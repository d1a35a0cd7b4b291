"""The REST side, on the paths that the project promises."""
from __future__ import annotations

import json
import re
import threading
import time
import uuid

import pytest

from processes import wait_until
from rest import Rest, listed

UNPLACEABLE = [{"label": "name", "operator": "=", "values": ["nobody"]}]
TERMINAL = ("completed", "failed", "cancelled")


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def wait_ended(rest: Rest, job_id: str, seconds: float = 20) -> dict:
    def ended() -> dict | None:
        answer = rest.get(f"/jobs/{job_id}")
        assert answer.status == 200, answer.text
        job = answer.json()
        return job if job["status"] in TERMINAL else None

    return wait_until(ended, seconds, f"job {job_id} has ended")


@pytest.mark.parametrize("base", ["", "/v1"])
def test_a_job_from_submit_to_result(pair, base):
    body = {"user_id": "u003", "exec": ["/bin/sh", "-c", "echo hi"], "timeout": "30m", "max_retries": 3}
    answer = pair.rest.post(f"{base}/jobs", body)
    assert answer.status == 201, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    submitted = answer.json()
    assert submitted["status"] == "pending" and submitted["user_id"] == "u003"

    job = wait_ended(pair.rest, submitted["job_id"])
    assert job["status"] == "completed"
    execution = job["executions"][0]
    assert execution["state"] == "completed"
    assert execution["job_id"] == submitted["job_id"]
    assert execution["worker_id"] in pair.agents
    assert execution["exit_code"] == 0

    # Any server answers, and under either base.
    for server in pair.servers:
        for path in (f"/jobs/{job['job_id']}", f"/v1/jobs/{job['job_id']}"):
            assert wait_until(lambda: server.rest.get(path).json() == job, 5, f"{server.name} says the same")


def test_a_job_keeps_the_id_and_namespace_that_it_was_given(pair):
    job_id = unique("mine")
    answer = pair.rest.post("/jobs", {"job_id": job_id, "namespace": "team-a", "noop": {}})
    assert answer.status == 201, answer.text
    assert answer.json()["job_id"] == job_id and answer.json()["namespace"] == "team-a"
    again = pair.rest.post("/jobs", {"job_id": job_id, "namespace": "team-a", "noop": {}})
    assert again.status == 409, again.text
    assert job_id in again.text
    elsewhere = pair.rest.post("/jobs", {"job_id": job_id, "namespace": "team-b", "noop": {}})
    assert elsewhere.status == 201, elsewhere.text


def test_cancel_kills_what_runs(pair):
    marker = pair.folder / unique("running")
    job_id = pair.submit({"exec": ["/bin/sh", "-c", f"echo $$ > {marker}; exec sleep 60"]})
    wait_until(lambda: marker.exists() and marker.read_text().strip(), 10, "the task runs")
    pid = int(marker.read_text())
    answer = pair.rest.post(f"/jobs/{job_id}/cancel", {"reason": "no need"})
    assert answer.status in (200, 202), answer.text
    job = wait_ended(pair.rest, job_id)
    assert job["status"] == "cancelled" and job["cancel_reason"] == "no need"
    from cluster import expect_dead

    expect_dead([pid], 5, "the cancelled task is dead")


def test_cancel_of_a_waiting_job_takes_effect_at_once(pair):
    job_id = pair.submit({"noop": {}, "constraints": UNPLACEABLE})
    assert pair.rest.get(f"/jobs/{job_id}").json()["status"] == "pending"
    cancel = f"/v1/jobs/{job_id}/cancel"
    assert pair.rest.request("POST", cancel).status in (200, 202)
    assert wait_ended(pair.rest, job_id, 5)["status"] == "cancelled"
    # Asking again changes nothing and is no error.
    assert pair.rest.request("POST", cancel).status in (200, 202)


def test_jobs_are_filtered_and_paged(pair):
    user = unique("u")
    wanted = [pair.submit({"user_id": user, "noop": {}, "constraints": UNPLACEABLE}) for _ in range(25)]
    done = pair.submit({"user_id": user, "noop": {}})
    wait_ended(pair.rest, done)

    seen: list[str] = []
    query = {"status": "pending", "user_id": user, "page_size": 10}
    pages = 0
    while True:
        answer = pair.rest.get("/jobs", **query)
        page = listed(answer, "jobs")
        assert len(page) <= 10
        assert all(job["status"] == "pending" and job["user_id"] == user for job in page)
        seen += [job["job_id"] for job in page]
        pages += 1
        token = answer.json().get("next_page_token")
        if not token:
            break
        query["page_token"] = token
        # What comes in meanwhile neither repeats nor hides anything on later pages.
        pair.submit({"user_id": user, "noop": {}, "constraints": UNPLACEABLE})
    assert pages == 3
    assert len(seen) == len(set(seen)) and set(wanted) <= set(seen)
    assert seen[: len(wanted)] == wanted[::-1], "newest first"

    completed = listed(pair.rest.get("/jobs", status="completed", user_id=user), "jobs")
    assert [job["job_id"] for job in completed] == [done]
    for job in listed(pair.rest.get("/jobs", status="pending", user_id=user, page_size=100), "jobs"):
        pair.rest.request("POST", f"/jobs/{job['job_id']}/cancel")


def test_executions_by_worker_and_job_and_status(pair):
    on_a1 = [{"label": "name", "operator": "=", "values": ["a1"]}]
    job_id = pair.submit({"exec": ["true"], "constraints": on_a1})
    wait_ended(pair.rest, job_id)

    of_job = listed(pair.rest.get("/job/executions", job_id=job_id), "executions")
    assert [(e["job_id"], e["worker_id"]) for e in of_job] == [(job_id, "a1")]
    of_worker = listed(pair.rest.get("/job/executions", worker_id="a1", page_size=1000), "executions")
    assert job_id in {e["job_id"] for e in of_worker}
    assert {e["worker_id"] for e in of_worker} == {"a1"}
    elsewhere = listed(pair.rest.get("/v1/job/executions", worker_id="a2", job_id=job_id), "executions")
    assert elsewhere == []
    assert listed(pair.rest.get("/job/executions", job_id=job_id, status="failed"), "executions") == []
    assert len(listed(pair.rest.get("/job/executions", job_id=job_id, status="completed"), "executions")) == 1


def test_agents_show_their_labels_capacity_and_health(pair):
    def complete() -> list[dict]:
        agents = sorted(listed(pair.leader().rest.get("/agents"), "agents"), key=lambda a: a["worker_id"])
        return agents if all(a.get("health", {}).get("memory_total_bytes") for a in agents) else []

    agents = wait_until(complete, 15, "agents have told their health")
    assert [agent["worker_id"] for agent in agents] == ["a1", "a2"]
    for agent in agents:
        assert agent["labels"]["name"] == agent["worker_id"]
        assert agent["slots"] == 8 and agent["connected"] is True
        assert agent["health"]["memory_available_bytes"] > 0 and agent["health"]["disk_available_bytes"] > 0
    assert {a["worker_id"] for a in listed(pair.rest.get("/v1/agents"), "agents")} == {"a1", "a2"}


def test_health_and_metrics(pair):
    for server in pair.servers:
        for base in ("", "/v1"):
            assert server.rest.get(f"{base}/healthz").status == 200
            assert server.rest.get(f"{base}/readyz").status == 200
        answer = server.rest.get("/metrics")
        assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
        sample = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="(\\.|[^"\\])*",?)*\})? \S+')
        samples = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
        assert samples and any(line.startswith("rota_") for line in samples)
        assert not [line for line in samples if not sample.fullmatch(line)]


@pytest.mark.parametrize("where", ["header", "field"])
def test_an_idempotency_key_makes_one_job(pair, where):
    key = unique("key")

    def submit(body: dict, rest: Rest = pair.rest):
        if where == "header":
            return rest.post("/jobs", body, {"idempotency-key": key})
        return rest.post("/jobs", {**body, "idempotency_key": key})

    first = submit({"exec": ["true"]})
    assert first.status == 201, first.text
    # Through another server, and with the fields in another spelling of the same value.
    again = submit({"exec": ["true"], "priority": 50}, pair.servers[1].rest)
    assert again.status in (200, 201), again.text
    assert again.json()["job_id"] == first.json()["job_id"]
    other = submit({"exec": ["false"]})
    assert other.status == 409, other.text
    assert "idempotency" in other.text


def test_concurrent_submits_with_one_key_make_one_job(pair):
    key, user = unique("key"), unique("u")
    answers = []

    def submit(n: int) -> None:
        rest = pair.servers[n % 2].rest
        answers.append(rest.post("/jobs", {"noop": {}, "user_id": user}, {"idempotency-key": key}))

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.status for a in answers} <= {200, 201}, [a.text for a in answers if a.status not in (200, 201)]
    assert len({a.json()["job_id"] for a in answers}) == 1
    assert len(listed(pair.rest.get("/jobs", user_id=user), "jobs")) == 1


def test_execution_time_is_kept(pair):
    due = time.time() + 2
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(due)) + f".{int(due % 1 * 1000):03d}Z"
    output = pair.folder / unique("started")
    job_id = pair.submit({"exec": ["/bin/sh", "-c", f"date +%s%N > {output}"], "execution_time": text})
    job = pair.rest.get(f"/jobs/{job_id}").json()
    assert job["status"] == "pending" and job["next_run_time"].startswith(text[:19])
    assert wait_ended(pair.rest, job_id)["status"] == "completed"
    started = int(output.read_text()) / 1e9
    assert due - 0.001 <= started < due + 1


def test_a_scheduled_job_can_be_cancelled_before_it_runs(pair):
    job_id = pair.submit({"exec": ["true"], "execution_time": "2099-01-01T00:00:00Z"})
    assert pair.rest.request("POST", f"/jobs/{job_id}/cancel").status in (200, 202)
    job = wait_ended(pair.rest, job_id, 5)
    assert job["status"] == "cancelled"
    assert job.get("executions", []) == []


def test_etcd_reads_like_a_status_page(pair):
    job_id = pair.submit({"exec": ["echo", "hi"], "user_id": "u003"})
    wait_ended(pair.rest, job_id)
    pairs = pair.etcd.pairs("/rota/")
    for kind in ("meta", "leader/", "servers/", "agents/", "jobs/", "runs/"):
        assert any(key.startswith(f"/rota/{kind}") for key in pairs), f"no key of {kind}"
    for key, value in pairs.items():
        if not key.startswith("/rota/sync/"):
            assert isinstance(json.loads(value), dict), key
    record = next(json.loads(v) for k, v in pairs.items() if k.startswith("/rota/jobs/") and job_id in k)
    assert "u003" in json.dumps(record) and "echo" in json.dumps(record)
    run = next(json.loads(v) for k, v in pairs.items() if k.startswith("/rota/runs/") and job_id in k)
    assert run["state"] == "completed"
    assert set(pair.agents) == {k.rsplit("/", 1)[1] for k in pairs if k.startswith("/rota/agents/")}


def test_secrets_are_not_logged(pair):
    secret = unique("s3cr3t")
    pair.submit({"exec": ["sh", "-c", "exit 1"], "env": {"DB_PASSWORD": secret}})
    headers = {"Authorization": f"Bearer {secret}"}
    job_id = pair.submit({"http": {"url": f"http://{pair.servers[0].http}/nowhere", "headers": headers}})
    wait_ended(pair.rest, job_id)
    bad = pair.rest.post("/jobs", {"exec": ["true"], "env": {"A=B": secret}})
    assert bad.status == 400 and secret not in bad.text
    assert secret not in pair.logs_text()
