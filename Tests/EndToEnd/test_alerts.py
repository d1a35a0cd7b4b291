"""Alerts: what is late, long, stuck or failed is noticed once and told at least once, to whom the operator allows."""
from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import alert, constraint, messages, noop_job, schedule, shell_job

DELIVERED = messages.AlertState.ALERT_STATE_DELIVERED
GIVEN_UP = messages.AlertState.ALERT_STATE_GIVEN_UP
NEVER = "no agent has this label"


@dataclass
class Receiver:
    """Takes webhooks; refuses the first `refusals` of each path."""

    refusals: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str], dict]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with receiver.lock:
                    receiver.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                    left = receiver.refusals.get(self.path, 0)
                    receiver.refusals[self.path] = max(0, left - 1)
                self.send_response(503 if left else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def at(self, path: str) -> list[tuple[dict[str, str], dict]]:
        with self.lock:
            return [(headers, body) for seen, headers, body in self.seen if seen == path]


@dataclass
class World:
    cluster: Cluster
    receiver: Receiver
    log: Path

    def told_by_command(self, job: str) -> list[dict]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["job_id"] == job]

    def alerts(self, job: str) -> list[messages.Alert]:
        return list(self.cluster.client().alerts(job_id=job))

    def wait_alert(self, job: str, seconds: float = 20, state: int = DELIVERED) -> messages.Alert:
        def found():
            ended = [entry for entry in self.alerts(job) if entry.state == state]
            return ended[0] if ended else None

        return wait_until(found, seconds, f"an alert of {job}")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("alerts")
    log = folder / "log"
    page = folder / "page"
    page.write_text(f"#!/bin/sh\ncat >> {log}\necho >> {log}\nenv > {folder}/env\n")
    broken = folder / "broken"
    broken.write_text("#!/bin/sh\nexit 7\n")
    for program in (page, broken):
        program.chmod(0o755)
    flags = [f"--alert-command=page={page}", f"--alert-command=broken={broken}"]
    flags += ["--alert-webhook-host", "127.0.0.1", "--lease-ttl", "2s"]
    with Cluster(servers=2, agents=1, server_flags=flags) as cluster:
        yield World(cluster, Receiver(), log)


def yearly(spec: messages.JobSpec) -> messages.JobSpec:
    spec.schedules.append(schedule(cron="0 0 1 1 *"))
    return spec


def test_a_failed_run_is_told_by_webhook_and_command(world: World):
    path = "/failed"
    spec = shell_job("exit 3", alerts=[alert("failed", webhook=world.receiver.url(path), command="page")])
    job = world.cluster.run_job(spec).job_id
    told = world.wait_alert(job)
    run = world.cluster.client().run(job)
    assert told.run_id == run.run_id and told.rule.on == messages.AlertCause.ALERT_CAUSE_FAILED
    assert told.at.ToMicroseconds() == run.finished_at.ToMicroseconds()
    assert {(entry.kind, entry.tries, entry.state) for entry in told.deliveries} == {
        ("webhook", 1, DELIVERED), ("command", 1, DELIVERED)
    }
    [(headers, body)] = world.receiver.at(path)
    assert headers["idempotency-key"] == f"default/{job}/{told.alert_id}"
    assert headers["content-type"] == "application/json"
    assert body["alert_id"] == told.alert_id and body["on"] == "failed" and body["job_id"] == job
    assert "has failed" in body["message"] and "deliveries" not in body
    assert world.told_by_command(job) == [body]
    environment = (world.log.parent / "env").read_text()
    assert f"ROTA_ALERT_ID={told.alert_id}" in environment and "ETCD" not in environment
    keys = world.cluster.etcd.ctl("get", "--prefix", "--keys-only", "/rota/alerts/").split()
    assert any(key.endswith(f"/default/{job}/{told.alert_id}") for key in keys)


def test_a_run_that_does_not_start_is_late_once(world: World):
    spec = noop_job(constraints=[constraint("name", "=", NEVER)], alerts=[alert("late", 1, command="page")])
    client = world.cluster.client()
    job = client.submit(spec).job_id
    told = world.wait_alert(job)
    due = client.run(job).scheduled_time.ToMilliseconds()
    assert told.at.ToMilliseconds() == due + 1_000
    assert "had not started 1s after it was due" in told.message
    client.cancel(job)
    client.wait(job, timeout=20)
    assert len(world.alerts(job)) == 1 and len(world.told_by_command(job)) == 1


def test_long_and_stuck(world: World):
    client = world.cluster.client()
    rules = [alert("long", 2, command="page"), alert("stuck", 1, command="page")]
    job = client.submit(shell_job("sleep 60", alerts=rules)).job_id
    wait_until(lambda: len(world.told_by_command(job)) == 2, 20, "both are told")
    assert {entry["on"] for entry in world.told_by_command(job)} == {"long", "stuck"}
    assert all(entry["attempt"] == 1 for entry in world.told_by_command(job))
    client.cancel(job)
    client.wait(job, timeout=30)
    assert len(world.alerts(job)) == 2


def test_a_run_in_time_is_not_told(world: World):
    rules = [alert("late", 30, command="page"), alert("long", 30, command="page"), alert("failed", command="page")]
    job = world.cluster.run_job(shell_job("sleep 0.2", alerts=rules)).job_id
    other = world.cluster.run_job(shell_job("exit 1", alerts=[alert("failed", command="page")])).job_id
    world.wait_alert(other)
    assert world.alerts(job) == []


def test_a_webhook_that_fails_is_tried_again(world: World):
    path = "/stubborn"
    world.receiver.refusals[path] = 2
    job = world.cluster.run_job(shell_job("exit 1", alerts=[alert("failed", webhook=world.receiver.url(path))])).job_id
    told = world.wait_alert(job, 30)
    assert told.deliveries[0].tries == 3
    keys = [headers["idempotency-key"] for headers, _ in world.receiver.at(path)]
    assert len(keys) == 3 and len(set(keys)) == 1


def test_what_is_not_allowed_is_given_up(world: World):
    rules = [
        alert("failed", command="rm"),
        alert("failed", webhook="http://example.org/x"),
        alert("failed", webhook="http://127.0.0.1@example.org/x"),
    ]
    job = world.cluster.run_job(shell_job("exit 1", alerts=rules)).job_id

    def given_up():
        found = world.alerts(job)
        return found if len(found) == 3 and all(entry.state == GIVEN_UP for entry in found) else None

    errors = sorted(entry.deliveries[0].error for entry in wait_until(given_up, 20, "all are given up"))
    assert "no command 'rm'" in errors[2] and "example.org" in errors[1] and "user name" in errors[0]


def test_a_command_that_fails_is_tried_again(world: World):
    job = world.cluster.run_job(shell_job("exit 1", alerts=[alert("failed", command="broken")])).job_id

    def tried():
        found = world.alerts(job)
        return found and found[0].deliveries[0].tries >= 2 and found[0]

    told = wait_until(tried, 20, "it is tried again")
    assert told.deliveries[0].error == "exit code 7" and told.state != DELIVERED


def test_count_and_silence(world: World):
    client = world.cluster.client()
    rules = [alert("failed", count=3, window=3_600, command="page"), alert("failed", silence=3_600, command="page")]
    job = client.submit(yearly(shell_job("exit 1", alerts=rules))).job_id
    for _ in range(5):
        run = client.trigger(job)
        wait_until(lambda: client.run(job, run.run_id).HasField("finished_at"), 20, "it has ended")
    wait_until(lambda: len(world.told_by_command(job)) == 2, 20, "both rules have told")
    time.sleep(1)
    assert sorted(entry["count"] for entry in world.told_by_command(job)) == [1, 3]


def test_a_leader_that_dies_leaves_nothing_untold(world: World):
    """Its successor tells what it has not told, with the same ids, and notices what was to be noticed meanwhile."""
    path = "/orphan"
    world.receiver.refusals[path] = 1_000
    client = world.cluster.client()
    job = world.cluster.run_job(shell_job("exit 1", alerts=[alert("failed", webhook=world.receiver.url(path))])).job_id
    wait_until(lambda: world.receiver.at(path), 20, "the leader tries")
    late = client.submit(
        noop_job(constraints=[constraint("name", "=", NEVER)], alerts=[alert("late", 3, command="page")])
    ).job_id
    leader = world.cluster.leader()
    leader.kill()
    world.receiver.refusals[path] = 0
    told = world.wait_alert(job, 40)
    assert {headers["idempotency-key"] for headers, _ in world.receiver.at(path)} == {f"default/{job}/{told.alert_id}"}
    world.wait_alert(late, 40)
    leader.start()
    leader.wait_ready()
    assert len(world.alerts(job)) == 1 and len(world.alerts(late)) == 1


def test_rest_and_the_command_line(world: World):
    cluster = world.cluster
    name = f"w-{uuid.uuid4().hex[:8]}"
    cluster.rota("submit", "--job-id", name, "--alert", "failed,silence=1h,command=page", "--alert", "late:5m", "--", "false")
    told = world.wait_alert(name)
    job = cluster.rest.get(f"/v1/jobs/{name}").json()
    assert job["alerts"] == [
        {"on": "failed", "silence": "1h", "command": "page"}, {"on": "late", "threshold": "5m"}
    ]
    [shown] = cluster.rest.get("/v1/alerts", job_id=name).json()["alerts"]
    assert shown["alert_id"] == told.alert_id and shown["state"] == "delivered"
    assert shown["deliveries"][0]["kind"] == "command" and shown["rule"] == job["alerts"][0]
    table = cluster.rota("alerts", "--job", name).stdout.splitlines()
    assert table[0].split()[0] == "AT" and len(table) == 2 and "delivered" in table[1] and "page" in table[1]
    assert len(json.loads(cluster.rota("alerts", "-o", "json").stdout)["alerts"]) >= 2
    pages = list(cluster.client().alerts(page_size=1))
    assert len(pages) == len(list(cluster.client().alerts())) >= 2
    assert cluster.rest.get("/v1/alerts", page_token="x").status == 400


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"on": "late"}, "alerts[0].threshold"),
        ({"on": "failed", "count": 2}, "alerts[0].window"),
        ({"on": "failed", "webhook": "file:///etc/passwd"}, "alerts[0].webhook"),
        ({"on": "failed", "command": "/bin/sh"}, "alerts[0].command"),
        ({"on": "sometimes"}, "alerts[0].on"),
        ({"on": "failed", "who": "me"}, "alerts[0].who"),
    ],
)
def test_rules_that_make_no_sense_are_refused(world: World, rule: dict, field: str):
    answer = world.cluster.rest.post("/v1/jobs", {"noop": True, "alerts": [rule]})
    assert answer.status == 400 and field in answer.text, answer.text


def test_the_client_refuses_unknown_causes():
    with pytest.raises(ValueError):
        alert("sometimes")
