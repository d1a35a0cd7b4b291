"""Concurrency groups, `max_running` and `start_deadline`: through every interface, and through a leader that is killed."""
from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from cluster import LEASE_TTL_SECONDS, Cluster
from processes import wait_until
from rota_client import RotaError, concurrency, constraint, exec_job, messages, noop_job, run_state_name, shell_job, status_name
from witness import RunWatch

OWNED = ("assigned", "running")
NOBODY = constraint("no-agent-has-this", "exists")


@pytest.fixture(scope="module")
def trio():
    with Cluster(servers=3, agents=2, slots=16) as cluster:
        yield cluster


def held(cluster: Cluster, group: str, seconds: int = 300, **options) -> str:
    """A job that holds a slot of a group."""
    spec = exec_job(["sleep", str(seconds)], concurrency=concurrency(group, **options), kill_grace=1)
    job_id = cluster.client().submit(spec).job_id
    wait_until(lambda: status_name(cluster.client().job(job_id).status) == "running", 10, f"{job_id} runs")
    return job_id


def run_of(cluster: Cluster, job_id: str) -> messages.Run:
    return cluster.client().job(job_id).runs[0]


def state_of(cluster: Cluster, job_id: str) -> str:
    return run_state_name(run_of(cluster, job_id).state)


def most_at_once(file: Path) -> Counter[str]:
    """Of each group, how many tasks have been between their two lines at once."""
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()
    # Lines of less than a page are appended whole, so their order is that of what happened.
    for line in file.read_text().splitlines():
        what, group = line.split()
        inside[group] += 1 if what == "begin" else -1
        most[group] = max(most[group], inside[group])
    return most


# Through a leader's end


def test_no_limit_is_exceeded_while_the_leader_is_killed(trio: Cluster) -> None:
    file = trio.folder / "groups"
    file.touch()
    script = f'echo "begin $ROTA_PARAM_N" >> {file}; sleep 0.5; echo "end $ROTA_PARAM_N" >> {file}'
    specs = [
        shell_job(script, params={"n": f"g{n % 3}"}, concurrency=concurrency("through-{{params.n}}", limit=2))
        for n in range(60)
    ]
    with RunWatch(trio) as watch:
        ids = trio.submit_all(specs)
        many = trio.client().submit(
            shell_job(f'echo "begin job" >> {file}; sleep 0.5; echo "end job" >> {file}', max_running=3)
        ).job_id
        for _ in range(14):
            trio.client().trigger(many)
        time.sleep(2)
        old = trio.leader()
        old.kill()
        wait_until(lambda: file.read_text().count("end") >= 40, LEASE_TTL_SECONDS + 30, "tasks run again")
        survivor = next(server for server in trio.servers if server.running)
        jobs = trio.wait_jobs([*ids, many], 90, survivor)
        time.sleep(1)
        by_group = watch.peaks(OWNED, lambda job, record: record.get("group"))
        by_job = watch.peaks(OWNED)
    old.start()
    old.wait_ready()
    assert {run_state_name(run.state) for job in jobs for run in job.runs} == {"completed"}
    assert {run.group for job in jobs for run in job.runs} == {"", *(f"through-g{n}" for n in range(3))}
    assert by_group == {f"through-g{n}": 2 for n in range(3)} and by_job[many] == 3
    assert most_at_once(file) == {"g0": 2, "g1": 2, "g2": 2, "job": 3}
    assert file.read_text().count("begin") == len(specs) + 15


def test_the_oldest_makes_way_for_a_run_that_a_new_leader_finds_waiting(trio: Cluster) -> None:
    old = held(trio, "way")
    leader = trio.leader()
    leader.kill()
    survivor = next(server for server in trio.servers if server.running)
    client = trio.client(survivor)
    spec = noop_job(concurrency=concurrency("way", when_full="cancel_oldest"))
    new = client.submit(spec).job_id
    job = trio.wait_job(new, 30, survivor)
    assert status_name(job.status) == "completed"
    run = client.job(old).runs[0]
    assert run_state_name(run.state) == "cancelled" and f"made way for run {new}/" in run.message
    leader.start()
    leader.wait_ready()


# Objects of groups


def test_the_object_of_a_group_has_the_last_word(pair: Cluster) -> None:
    client = pair.client()
    jobs = [client.submit(exec_job(["sleep", "300"], concurrency=concurrency("objects"), kill_grace=1)).job_id for _ in range(4)]

    def states() -> Counter[str]:
        return Counter(state_of(pair, job) for job in jobs)

    wait_until(lambda: states() == {"running": 1, "queued": 3}, 10, "one runs")
    made = client.put_group("objects", 3, description="three")
    wait_until(lambda: states() == {"running": 3, "queued": 1}, 10, "three run")
    shown = pair.rest.get("/groups/objects").json()
    assert {name: shown[name] for name in ("limit", "running", "waiting", "description", "etag")} == {
        "limit": 3, "running": 3, "waiting": 1, "description": "three", "etag": made.etag,
    }  # fmt: skip
    with pytest.raises(RotaError):
        client.put_group("objects", 4, if_match="1-1")
    done = pair.rota("groups", "put", "objects", "--limit", "4", "--if-match", made.etag, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["limit"] == 4
    wait_until(lambda: states() == {"running": 4}, 10, "all run")
    assert "objects" in pair.rota("groups").stdout
    assert pair.rest.delete("/groups/objects").status == 204
    assert pair.rest.get("/groups/objects").status == 404
    late = client.submit(noop_job(concurrency=concurrency("objects"))).job_id
    for job in jobs[1:]:
        client.cancel(job)
    pair.wait_jobs(jobs[1:], 20)
    assert state_of(pair, late) == "queued", "the jobs' own limit counts again"
    client.cancel(jobs[0])
    assert status_name(pair.wait_job(late).status) == "completed"


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("a", {"limit": 0}, "limit"), ("a", {}, "limit"), ("a", {"limit": 1, "limits": 2}, "limits"),
        ("A", {"limit": 1}, "name"), ("a", {"limit": 1, "labels": {"x": "a,b"}}, "labels.x"),
    ],
)  # fmt: skip
def test_a_wrong_object_is_refused_by_its_field(pair: Cluster, name: str, body: dict, field: str) -> None:
    answer = pair.rest.request("PUT", f"/groups/{name}", body)
    assert answer.status == 400 and field in answer.text, answer.text


# Explanations


def test_explanations_name_who_holds_the_slots(pair: Cluster) -> None:
    holder = held(pair, "explained", 300)
    waiting = pair.client().submit(noop_job(concurrency=concurrency("explained"), start_deadline=600)).job_id
    many = pair.client().submit(exec_job(["sleep", "300"], max_running=1, kill_grace=1)).job_id
    wait_until(lambda: status_name(pair.client().job(many).status) == "running", 10, "the first runs")
    second = pair.client().trigger(many).run_id
    wait_until(lambda: state_of(pair, waiting) == "queued", 5, "it waits")

    def findings(path: str) -> dict[str, dict]:
        answer = pair.rest.get(path)
        assert answer.status == 200, answer.text
        return {finding["code"]: finding for finding in answer.json()["findings"]}

    found = findings(f"/jobs/{waiting}/explain")
    assert set(found) == {"group_full", "start_deadline"}
    facts = found["group_full"]["facts"]
    assert (facts["group"], facts["limit"], facts["running"], facts["waiting"]) == ("explained", "1", "1", "1")
    assert facts["holders"].startswith(holder + "/")
    found = findings(f"/jobs/{many}/runs/{second}/explain")
    assert set(found) == {"job_limit"} and found["job_limit"]["facts"]["holders"].startswith(many + "/")
    for job in (holder, many):
        pair.client().cancel(job)
    pair.wait_jobs([holder, many, waiting], 20)


# What becomes of those that find it full


def test_one_that_waits_says_who_holds_the_slot(pair: Cluster) -> None:
    holder = held(pair, "waits")
    waiting = pair.client().submit(noop_job(concurrency=concurrency("waits"))).job_id
    free = pair.client().submit(noop_job(concurrency=concurrency("another"))).job_id
    assert status_name(pair.wait_job(free).status) == "completed"
    client = pair.client(pair.leader())
    message = wait_until(lambda: client.job(waiting).runs[0].message, 5, "it says why it waits")
    assert "concurrency group 'waits' was full (limit 1): held by " + holder in message, message
    pair.client().cancel(holder)
    assert status_name(pair.wait_job(waiting).status) == "completed"


def test_one_that_does_not_wait_is_skipped(pair: Cluster) -> None:
    holder = held(pair, "skips")
    skipped = pair.client().submit(noop_job(concurrency=concurrency("skips", when_full="skip"))).job_id
    job = pair.wait_job(skipped)
    assert status_name(job.status) == "cancelled" and run_state_name(job.runs[0].state) == "skipped"
    assert holder in job.runs[0].message and not job.runs[0].attempts
    shown = pair.rest.get(f"/jobs/{skipped}").json()["runs"][0]
    assert (shown["state"], shown["status"], shown["group"]) == ("skipped", "cancelled", "skips")
    assert "skipped" in pair.rota("job", skipped).stdout
    pair.client().cancel(holder)
    pair.wait_job(holder)
    again = pair.client().submit(noop_job(concurrency=concurrency("skips", when_full="skip"))).job_id
    assert status_name(pair.wait_job(again).status) == "completed"


def test_a_blocked_run_keeps_no_slot_from_others(pair: Cluster) -> None:
    blocked = pair.client().submit(noop_job(concurrency=concurrency("blocked"), constraints=[NOBODY], priority=100)).job_id
    others = [pair.client().submit(noop_job(concurrency=concurrency("blocked"))).job_id for _ in range(5)]
    assert {status_name(job.status) for job in pair.wait_jobs(others, 20)} == {"completed"}
    assert state_of(pair, blocked) == "queued"
    pair.client().cancel(blocked)


# Late starts


def test_what_has_not_begun_in_time_is_skipped(pair: Cluster) -> None:
    client = pair.client()
    unplaceable = client.submit(noop_job(constraints=[NOBODY], start_deadline=1)).job_id
    holder = held(pair, "late")
    too_late = client.submit(noop_job(concurrency=concurrency("late"), start_deadline=1)).job_id
    in_time = client.submit(noop_job(concurrency=concurrency("late"), start_deadline=60)).job_id
    for job in pair.wait_jobs([unplaceable, too_late], 10):
        assert run_state_name(job.runs[0].state) == "skipped"
        assert "it was not started within 1s of when it was due" in job.runs[0].message
    assert holder in run_of(pair, too_late).message
    client.cancel(holder)
    assert status_name(pair.wait_job(in_time).status) == "completed"


# Interfaces


def test_fields_go_through_every_interface(pair: Cluster) -> None:
    body = {"key": "fields-{{params.who}}", "limit": 3, "when_full": "cancel_oldest"}
    wanted = {"concurrency": body, "max_running": 4, "start_deadline": "1m30s"}
    params = {"params": {"who": "ann"}}
    by_rest = pair.submit({"noop": True, **wanted, **params})
    spec = noop_job(
        concurrency=concurrency("fields-{{params.who}}", 3, "cancel_oldest"), max_running=4, start_deadline=90,
        params={"who": "ann"},
    )  # fmt: skip
    by_grpc = pair.client().submit(spec).job_id
    done = pair.rota(
        "submit", "-o", "json", "--noop", "--param", "who=ann", "--concurrency-key", body["key"], "--concurrency-limit",
        "3", "--when-full", "cancel_oldest", "--max-running", "4", "--start-deadline", "90s",
    )  # fmt: skip
    by_cli = json.loads(done.stdout)["job_id"]
    for job_id in (by_rest, by_grpc, by_cli):
        pair.wait_job(job_id)
        shown = pair.rest.get(f"/jobs/{job_id}").json()
        assert {name: shown[name] for name in wanted} == wanted, job_id
        assert shown["runs"][0]["group"] == "fields-ann"
        assert pair.client().job(job_id).runs[0].group == "fields-ann"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"concurrency": {"key": ""}}, "concurrency.key"),
        ({"concurrency": {"key": "a", "limit": 0}}, "concurrency.limit"),
        ({"concurrency": {"key": "a", "when_full": "explode"}}, "concurrency.when_full"),
        ({"concurrency": {"key": "{{params.nobody}}"}}, "concurrency.key"),
        ({"concurrency": {"key": "{{attempt}}"}}, "concurrency.key"),
        ({"concurrency": {"limit": 2}}, "concurrency.key"),
        ({"max_running": -1}, "max_running"),
        ({"start_deadline": 0}, "start_deadline"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(pair: Cluster, wrong: dict, field: str) -> None:
    answer = pair.rest.post("/jobs", {"noop": True, **wrong})
    assert answer.status == 400 and field in answer.text, answer.text
