"""Controlling jobs that exist, over gRPC, REST and the command line alike."""
from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import Cluster, expect_dead
from processes import wait_until
from rest import listed
from surfaces import SURFACES, Refused, Surface, checked, unique

YEARLY = "0 0 1 1 *"
HOURLY = "0 * * * *"
EACH_SECOND = "* * * * * *"
TERMINAL = ("completed", "failed", "cancelled")


@pytest.fixture(params=SURFACES)
def surface(request: pytest.FixtureRequest, pair: Cluster) -> Surface:
    return SURFACES[request.param](pair)


def job_of(cluster: Cluster, job: str) -> dict:
    answer = cluster.rest.get(f"/jobs/{job}")
    assert answer.status == 200, answer.text
    return answer.json()


def run_ids(cluster: Cluster, job: str) -> set[str]:
    return {run["run_id"] for run in job_of(cluster, job).get("runs", [])}


def wait_run(cluster: Cluster, job: str, run: str, state: str = "completed", seconds: float = 20) -> dict:
    def ended() -> dict | None:
        answer = cluster.rest.get(f"/jobs/{job}/runs/{run}").json()
        return answer if answer.get("state") in TERMINAL else None

    found = wait_until(ended, seconds, f"run {job}/{run} has ended")
    assert found["state"] == state, found
    return found


def seconds_of(text: str) -> float:
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


# Each call


def test_pause_with_a_note_and_resume(pair: Cluster, surface: Surface):
    job = pair.submit({"job_id": unique("pause"), "noop": True, "schedules": [YEARLY]})
    before = job_of(pair, job)
    surface.pause(job, "stock-taking")
    paused = job_of(pair, job)
    assert paused["status"] == "pending" and paused["pause_note"] == "stock-taking"
    assert paused["paused_at"] and paused["next_run_time"] == before["next_run_time"]
    surface.pause(job)
    assert job_of(pair, job)["pause_note"] == "stock-taking", "a note that is not given stays"
    surface.pause(job, "still counting")
    assert job_of(pair, job)["pause_note"] == "still counting"
    assert job_of(pair, job)["paused_at"] == paused["paused_at"]
    for _ in range(2):
        surface.resume(job)
        assert not {"paused_at", "pause_note"} & set(job_of(pair, job))
    assert job_of(pair, job)["generation"] == 1, "the specification is what it was"
    surface.cancel(job)
    assert job_of(pair, job)["status"] == "cancelled"
    with pytest.raises(Refused) as refused:
        surface.pause(job)
    assert refused.value.code == "failed_precondition" and job in refused.value.message


def test_trigger_with_values_also_while_paused(pair: Cluster, surface: Surface):
    job = pair.submit({"job_id": unique("trigger"), "noop": True, "schedules": [YEARLY], "params": {"n": "0"}})
    surface.pause(job)
    first = surface.trigger(job, {"n": "1", "words": "a b=c"})
    run = wait_run(pair, job, first)
    assert run["trigger"] == "manual" and run["params"] == {"n": "1", "words": "a b=c"}
    assert surface.trigger(job) != first, "each trigger is a run of its own"
    assert job_of(pair, job)["status"] == "pending"
    with pytest.raises(Refused) as refused:
        surface.trigger(unique("nobody"))
    assert refused.value.code == "not_found"


def test_one_trigger_for_one_key(pair: Cluster, surface: Surface):
    job = pair.submit({"job_id": unique("once"), "noop": True, "schedules": [YEARLY], "overlap": "forbid"})
    key = unique("key")
    first = surface.trigger(job, {"n": "1"}, key)
    # Also while that run is what the overlap policy would be against.
    assert surface.trigger(job, {"n": "1"}, key) == first
    wait_run(pair, job, first)
    assert surface.trigger(job, {"n": "1"}, key) == first
    assert run_ids(pair, job) == {first}
    with pytest.raises(Refused) as refused:
        surface.trigger(job, {"n": "2"}, key)
    assert refused.value.code == "already_exists" and first in refused.value.message


def test_skip_the_next(pair: Cluster, surface: Surface):
    job = pair.submit({"job_id": unique("skip"), "noop": True, "schedules": [HOURLY]})
    before = job_of(pair, job)
    surface.skip_next(job)
    after = job_of(pair, job)
    assert seconds_of(after["next_run_time"]) - seconds_of(before["next_run_time"]) == 3600
    assert (after["skipped_count"], after["last_skip_reason"]) == (1, "requested")
    assert after["last_skipped_time"] == before["next_run_time"]
    assert after["schedule_states"][0]["decided_through"] == before["next_run_time"]
    once = pair.submit({"noop": True, "execution_time": "2099-01-01T00:00:00Z"})
    with pytest.raises(Refused) as refused:
        surface.skip_next(once)
    assert "runs once" in refused.value.message


def test_skipping_a_named_occurrence_twice_skips_one(pair: Cluster):
    job = pair.submit({"noop": True, "schedules": [HOURLY]})
    first = job_of(pair, job)["next_run_time"]
    path, body = f"/jobs/{job}/skip-next", {"scheduled_time": first}
    assert checked(pair.rest.post(path, body))["skipped_count"] == 1
    assert checked(pair.servers[1].rest.post(path, body))["skipped_count"] == 1
    later = pair.rest.post(path, {"scheduled_time": "2099-01-01T00:00:00Z"})
    assert later.status == 409 and "the next occurrence is" in later.text


def test_update_counts_generations_and_keeps_what_is_unchanged(pair: Cluster, surface: Surface):
    job = pair.submit({"job_id": unique("update"), "noop": True, "schedules": [HOURLY]})
    surface.skip_next(job)
    before = job_of(pair, job)
    surface.update(job, HOURLY)
    assert job_of(pair, job) == before, "what is as it was changes nothing"
    surface.update(job, "30 * * * *")
    after = job_of(pair, job)
    assert after["generation"] == 2 and after["etag"] != before["etag"]
    assert after["schedules"] == ["30 * * * *"] and after["next_run_time"][14:16] == "30"
    assert after["skipped_count"] == 1


def test_a_stale_etag_is_refused(pair: Cluster, surface: Surface):
    job = pair.submit({"job_id": unique("stale"), "noop": True, "schedules": [HOURLY]})
    etag = job_of(pair, job)["etag"]
    surface.update(job, "10 * * * *", etag)
    now = job_of(pair, job)
    for attempt in (lambda: surface.update(job, "20 * * * *", etag), lambda: surface.delete(job, etag)):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "stale" and now["etag"] in refused.value.message
    assert job_of(pair, job) == now
    surface.update(job, "20 * * * *", now["etag"])
    # What does not change the specification does not change the etag.
    latest = job_of(pair, job)["etag"]
    surface.pause(job)
    assert job_of(pair, job)["etag"] == latest


def test_calendars(pair: Cluster, surface: Surface):
    name = unique("holidays")
    etag = surface.put_calendar(name, ["12-25"])
    assert surface.calendar(name) == ["12-25"] and name in surface.calendars()
    assert surface.put_calendar(name, ["12-25"]) == etag, "what is as it was changes nothing"
    other = surface.put_calendar(name, ["12-25", "sun"], etag)
    assert other != etag
    with pytest.raises(Refused) as refused:
        surface.put_calendar(name, ["sat"], etag)
    assert refused.value.code == "stale"
    job = pair.submit({"noop": True, "schedules": [{"cron": YEARLY, "calendars": [name]}]})
    with pytest.raises(Refused) as refused:
        surface.delete_calendar(name)
    assert refused.value.code == "failed_precondition" and job in refused.value.message
    pair.rest.delete(f"/jobs/{job}")
    surface.delete_calendar(name)
    assert name not in surface.calendars()
    for attempt in (lambda: surface.calendar(name), lambda: surface.delete_calendar(name)):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "not_found"
    # Another of the same name has another etag.
    assert surface.put_calendar(name, ["12-25"]) != etag
    surface.delete_calendar(name)


def test_a_calendar_that_is_not_there_is_refused_at_once(pair: Cluster):
    schedules = [HOURLY, {"cron": HOURLY, "calendars": [unique("nothing")], "time_zone": "UTC", "max_runs": 9}]
    answer = pair.rest.post("/jobs", {"noop": True, "schedules": schedules})
    assert answer.status == 400 and answer.json()["error"]["field"] == "schedules[1].calendars[0]", answer.text


def test_short_forms_of_submissions(pair: Cluster):
    start = "2099-03-01T08:00:00Z"
    daily = checked(pair.rest.post("/jobs", {"noop": True, "frequency": "daily", "execution_time": start}))
    assert daily["schedules"] == [{"frequency": "daily", "start_time": start}]
    assert daily["next_run_time"] == start and "execution_time" not in daily
    key = {"idempotency-key": unique("key")}
    body = {"noop": True, "delay": "1h"}
    delayed = checked(pair.rest.post("/jobs", body, key))
    assert 3590 < seconds_of(delayed["execution_time"]) - seconds_of(delayed["created_at"]) <= 3600
    again = pair.servers[1].rest.post("/jobs", body, key)
    assert (again.status, again.json()["job_id"]) == (200, delayed["job_id"]), "the key stands for the request"
    for job in (daily, delayed):
        pair.rest.delete(f"/jobs/{job['job_id']}")


def test_if_match_and_etag_are_those_of_http(pair: Cluster):
    answer = pair.rest.post("/jobs", {"noop": True, "schedules": [YEARLY]})
    job, etag = answer.json()["job_id"], answer.headers["etag"]
    assert etag == f'"{answer.json()["etag"]}"' == pair.rest.get(f"/jobs/{job}").headers["etag"]
    spec = {"noop": True, "schedules": [HOURLY]}
    stale = pair.rest.request("PUT", f"/jobs/{job}", spec, {"if-match": '"other"'})
    assert stale.status == 412 and stale.json()["error"]["code"] == "stale", stale.text
    for bad in ("other", 'W/"x"', '"a", "b"', '""'):
        assert pair.rest.request("PUT", f"/jobs/{job}", spec, {"if-match": bad}).status == 400
    done = pair.rest.request("PUT", f"/jobs/{job}", spec, {"if-match": etag})
    assert done.status == 200 and done.headers["etag"] not in (etag, "")
    assert pair.rest.request("PUT", f"/jobs/{job}", {**spec, "priority": 1}, {"if-match": "*"}).status == 200
    assert pair.rest.request("PUT", f"/calendars/{unique('c')}", {}, {"if-match": "*"}).status == 412
    assert pair.rest.delete(f"/jobs/{job}").status == 202


def test_an_update_must_not_leave_a_job_without_a_time(pair: Cluster):
    job = pair.submit({"noop": True, "schedules": [YEARLY]})
    answer = pair.rest.request("PUT", f"/jobs/{job}", {"noop": True})
    assert answer.status == 400 and answer.json()["error"]["field"] == "execution_time", answer.text
    once = {"noop": True, "execution_time": "2099-01-01T00:00:00Z"}
    assert checked(pair.rest.request("PUT", f"/jobs/{job}", once))["next_run_time"] == once["execution_time"]
    pair.rest.delete(f"/jobs/{job}")


# With runs


def test_overlap_holds_for_triggers(pair: Cluster, surface: Surface):
    for policy, most in (("forbid", 1), ({"policy": "queue", "limit": 2}, 3)):
        job = pair.submit({"shell": "sleep 60", "schedules": [YEARLY], "overlap": policy})
        runs = [surface.trigger(job) for _ in range(most)]
        with pytest.raises(Refused) as refused:
            surface.trigger(job)
        assert refused.value.code == "failed_precondition" and runs[-1] in refused.value.message
        states = {run["run_id"]: run["state"] for run in job_of(pair, job)["runs"]}
        assert set(states) == set(runs)
        assert sum(state in ("assigned", "running") for state in states.values()) <= 1
        pair.rest.post(f"/jobs/{job}/cancel", {"reason": "seen enough"})


def test_update_while_it_runs(pair: Cluster):
    gate, out = pair.folder / unique("gate"), pair.folder / unique("out")
    script = f'echo "start $V" >> {out}; while [ ! -e {gate} ]; do sleep 0.1; done; echo "end $V" >> {out}'
    spec = {"shell": script, "env": {"V": "1"}, "schedules": [YEARLY]}
    job = pair.submit(spec)
    first = checked(pair.rest.request("POST", f"/jobs/{job}/trigger"))["run_id"]
    wait_until(lambda: out.exists() and "start 1" in out.read_text(), 15, "the first run has started")
    updated = checked(pair.rest.request("PUT", f"/jobs/{job}", {**spec, "env": {"V": "2"}}))
    assert updated["generation"] == 2
    gate.touch()
    wait_run(pair, job, first)
    second = checked(pair.servers[1].rest.request("POST", f"/jobs/{job}/trigger"))["run_id"]
    wait_run(pair, job, second)
    assert out.read_text().split("\n")[:4] == ["start 1", "end 1", "start 2", "end 2"]
    generations = {e["run_id"]: e["generation"] for e in job_of(pair, job)["executions"]}
    assert generations == {first: 1, second: 2}
    pair.rest.delete(f"/jobs/{job}")


def test_delete_while_it_runs(pair: Cluster, surface: Surface):
    marker = pair.folder / unique("running")
    job = pair.submit({"shell": f"echo $$ > {marker}; exec sleep 60", "schedules": [YEARLY]})
    checked(pair.rest.request("POST", f"/jobs/{job}/trigger"))
    wait_until(lambda: marker.exists() and marker.read_text().strip(), 15, "the task runs")
    surface.delete(job)
    expect_dead([int(marker.read_text())], 15, "the task of the deleted job is dead")
    wait_until(lambda: pair.rest.get(f"/jobs/{job}").status == 404, 15, "the job is gone")
    kinds = ("jobs", "runs", "checkpoints", "backfills")
    left = [key for kind in kinds for key in pair.etcd.pairs(f"/rota/{kind}/") if f"/{job}" in key]
    assert left == []
    with pytest.raises(Refused) as refused:
        surface.delete(job)
    assert refused.value.code == "not_found"
    # The id is free for another job.
    assert pair.rest.post("/jobs", {"job_id": job, "noop": True}).status == 201


def test_a_calendar_takes_effect_on_the_next_fire(pair: Cluster):
    name = unique("calendar")
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    checked(pair.rest.request("PUT", f"/calendars/{name}", {"days": []}))
    job = pair.submit({"noop": True, "schedules": [{"cron": EACH_SECOND, "calendars": [name]}]})
    wait_until(lambda: len(run_ids(pair, job)) >= 2, 20, "it is due each second")
    checked(pair.servers[1].rest.request("PUT", f"/calendars/{name}", {"days": week}))
    time.sleep(2)
    before = run_ids(pair, job)
    time.sleep(3)
    assert run_ids(pair, job) == before, "all days are excluded"
    checked(pair.rest.request("PUT", f"/calendars/{name}", {"days": []}))
    wait_until(lambda: len(run_ids(pair, job)) >= len(before) + 2, 20, "it is due again")
    pair.rest.delete(f"/jobs/{job}")


# Several at once


def test_two_updaters_lose_no_update(pair: Cluster):
    job = pair.submit({"noop": True, "schedules": [EACH_SECOND], "params": {"n": "0"}})
    rounds = 8

    def count_up(server: int) -> None:
        rest = pair.servers[server].rest
        for _ in range(rounds):
            while True:
                read = rest.get(f"/jobs/{job}")
                number = int(read.json()["params"]["n"]) + 1
                spec = {"noop": True, "schedules": [EACH_SECOND], "params": {"n": str(number)}}
                answer = rest.request("PUT", f"/jobs/{job}", spec, {"if-match": read.headers["etag"]})
                if answer.status == 200:
                    break
                assert answer.status == 412, answer.text

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(count_up, range(2)))
    end = job_of(pair, job)
    assert end["params"] == {"n": str(2 * rounds)} and end["generation"] == 2 * rounds + 1
    pair.rest.delete(f"/jobs/{job}")


def test_nothing_is_due_once_a_pause_is_answered(pair: Cluster):
    job = pair.submit({"noop": True, "schedules": [EACH_SECOND], "misfire": "skip"})
    wait_until(lambda: run_ids(pair, job), 20, "it fires")
    for turn in range(2):
        rest = pair.servers[turn % 2].rest
        checked(rest.request("POST", f"/jobs/{job}/pause", {"note": f"turn {turn}"}))
        before = run_ids(pair, job)
        time.sleep(2.5)
        assert run_ids(pair, job) == before
        checked(rest.request("POST", f"/jobs/{job}/resume"))
        wait_until(lambda: len(run_ids(pair, job)) > len(before), 20, "it fires again")
    pair.rest.delete(f"/jobs/{job}")


def test_many_triggers_at_once_are_as_many_runs(pair: Cluster):
    job = pair.submit({"noop": True, "schedules": [YEARLY]})
    answers: list[str] = []

    def trigger(number: int) -> None:
        rest = pair.servers[number % 2].rest
        answers.append(checked(rest.request("POST", f"/jobs/{job}/trigger"))["run_id"])

    threads = [threading.Thread(target=trigger, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 12 and run_ids(pair, job) == set(answers)
    for run in answers:
        wait_run(pair, job, run)
    assert listed(pair.rest.get("/runs", job_id=job), "runs")
    pair.rest.delete(f"/jobs/{job}")
