"""What schedules fire, to the occurrence: several on one job, bounds, delays, jitter, and changes while they fire."""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import expect_dead
from faulty_cluster import FaultyCluster
from occurrences import every, judge, microseconds
from processes import wait_until
from rota_client import RotaError, messages, run_state_name, status_name
from surfaces import checked, unique
from witness import RunWatch

EACH_SECOND = "* * * * * *"
LEAD_SECONDS = 3
SETTLE_SECONDS = 30
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.fixture(scope="module")
def duo() -> Iterator[FaultyCluster]:
    with FaultyCluster(servers=2, agents=2) as cluster:
        yield cluster


@pytest.fixture
def watch(duo: FaultyCluster) -> Iterator[RunWatch]:
    with RunWatch(duo) as watch:
        yield watch


def text_of(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def window(length: int) -> tuple[float, float]:
    """So many seconds that begin soon."""
    first = float(int(time.time()) + LEAD_SECONDS)
    return first, first + length


def bounded(span: tuple[float, float], **schedule: Any) -> dict[str, Any]:
    return {**schedule, "start_time": text_of(span[0]), "end_time": text_of(span[1])}


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def submit(cluster: FaultyCluster, schedules: Sequence[Any], **spec: Any) -> str:
    task = {} if "shell" in spec else {"noop": True}
    return checked(cluster.rest.post("/jobs", {**task, **spec, "schedules": list(schedules)}))["job_id"]


def ended(cluster: FaultyCluster, job_id: str) -> messages.Job:
    return cluster.wait_job(job_id, SETTLE_SECONDS)


def expect(
    cluster: FaultyCluster, watch: RunWatch, job_id: str, times: Sequence[float], span: tuple[float, float]
) -> None:
    """Within the window each of these occurrences has its one run, and there is no other."""
    judge({job_id: times}, span, cluster.seen_runs([job_id]), creations=watch.creations()).expect_nothing()


# Bounds


def test_several_schedules_of_one_job_run_once_where_they_meet(duo: FaultyCluster, watch: RunWatch):
    span = window(12)
    alone = span[0] + 0.5
    schedules = [bounded(span, cron="*/2 * * * * *"), bounded(span, cron="*/3 * * * * ?"), {"at": text_of(alone)}]
    job_id = submit(duo, schedules)
    job = ended(duo, job_id)
    both = set(every(2, span)) & set(every(3, span))
    assert len(both) >= 2, "the schedules never meet"
    expect(duo, watch, job_id, [*every(2, span), *every(3, span), alone], span)
    assert status_name(job.status) == "completed" and not job.HasField("next_run_time")
    assert [state.runs for state in job.schedule_states] == [len(every(2, span)), len(every(3, span)), 1]


def test_max_runs_counts_what_each_schedule_names(duo: FaultyCluster, watch: RunWatch):
    first, last = span = window(12)
    schedules = [
        bounded(span, cron=EACH_SECOND, max_runs=3), bounded(span, every="2s", max_runs=5),
    ]  # fmt: skip
    job_id = submit(duo, schedules)
    job = ended(duo, job_id)
    expect(duo, watch, job_id, [first + offset for offset in (0, 1, 2, 4, 6, 8)], (first, last + 2))
    assert [state.runs for state in job.schedule_states] == [3, 5]
    assert status_name(job.status) == "completed" and not job.HasField("next_run_time")


def test_both_ends_belong_to_the_window(duo: FaultyCluster, watch: RunWatch):
    first, last = span = window(4)
    job_id = submit(duo, [bounded(span, every="2s")])
    ended(duo, job_id)
    expect(duo, watch, job_id, [first, first + 2, last], (first - 2, last + 2))


def test_a_fixed_delay_counts_from_the_end_of_the_last_run(duo: FaultyCluster, watch: RunWatch):
    first = time.time() + LEAD_SECONDS
    schedule = {"fixed_delay": "1s", "start_time": text_of(first), "max_runs": 4}
    job_id = submit(duo, [schedule], shell="sleep 0.7")
    runs = sorted(ended(duo, job_id).runs, key=lambda run: run.scheduled_time.ToMicroseconds())
    assert len(runs) == 4 and {run_state_name(run.state) for run in runs} == {"completed"}
    assert runs[0].scheduled_time.ToMilliseconds() == int(first * 1000)
    for earlier, later in zip(runs, runs[1:]):
        assert later.scheduled_time.ToMilliseconds() == earlier.finished_at.ToMilliseconds() + 1000
    assert set(watch.creations()[f"{job_id}/{run.run_id}"] for run in runs) == {1}


def test_jitter_delays_as_the_preview_says(duo: FaultyCluster, watch: RunWatch):
    span = window(16)
    job_id = submit(duo, [bounded(span, cron="*/2 * * * * *", jitter="1500ms")])
    preview = duo.rest.get(f"/jobs/{job_id}/next", count=100).json()["occurrences"]
    due = {seconds_of(each["scheduled_time"]): seconds_of(each["due_time"]) for each in preview}
    assert checked(duo.rest.get(f"/jobs/{job_id}"))["next_run_time"] == preview[0]["due_time"]
    assert list(due) == every(2, span)
    delays = {moment: later - moment for moment, later in due.items()}
    assert all(0 <= delay <= 1.5 for delay in delays.values())
    assert len({round(delay, 3) for delay in delays.values()}) > len(delays) // 2, "hardly any jitter"
    job = ended(duo, job_id)
    expect(duo, watch, job_id, every(2, span), span)
    for run in job.runs:
        moment = run.scheduled_time.ToMicroseconds() / 1_000_000
        assert run.created_at.ToMicroseconds() >= microseconds(due[moment]), f"{run.run_id} was early"


# Changes while it fires


def test_a_skipped_occurrence_has_no_run(duo: FaultyCluster, watch: RunWatch):
    span = window(14)
    job_id = submit(duo, [bounded(span, cron="*/2 * * * * *")])
    skipped: list[float] = []
    for number in range(2):
        sleep_until(span[0] + 1 + 6 * number)
        while True:  # what is next may be decided between the two calls: then nothing is skipped
            moment = checked(duo.rest.get(f"/jobs/{job_id}"))["next_run_time"]
            answer = checked(duo.servers[1].rest.post(f"/jobs/{job_id}/skip-next", {"scheduled_time": moment}))
            if answer.get("skipped_count", 0) > number:
                break
        skipped.append(seconds_of(moment))
    job = ended(duo, job_id)
    assert len(set(skipped)) == 2
    expect(duo, watch, job_id, [each for each in every(2, span) if each not in skipped], span)
    assert (job.skipped_count, job.last_skip_reason) == (2, "requested")
    assert job.last_skipped_time.ToMicroseconds() == microseconds(skipped[-1])


def test_triggers_leave_occurrences_as_they_are(duo: FaultyCluster, watch: RunWatch):
    span = window(6)
    job_id = submit(duo, [bounded(span, cron=EACH_SECOND)], params={"n": "0"})
    triggered = {}
    for number in range(1, 6):
        sleep_until(span[0] + number)
        values = {"n": str(number), "text": "$(id) {{n}}"}
        answer = duo.servers[number % 2].rest.post(f"/jobs/{job_id}/trigger", {"params": values})
        triggered[checked(answer)["run_id"]] = values
    job = ended(duo, job_id)
    expect(duo, watch, job_id, every(1, span), span)
    manual = {run.run_id: dict(run.params) for run in job.runs if run.run_id in triggered}
    assert manual == triggered
    assert len(job.runs) == len(every(1, span)) + len(triggered)


def test_an_update_takes_over_at_once(duo: FaultyCluster, watch: RunWatch):
    """Old occurrences up to it, new ones after it; whoever comes with what is stale changes nothing."""
    span = window(16)
    old = bounded(span, cron=EACH_SECOND)
    job_id = submit(duo, [old])
    read = duo.rest.get(f"/jobs/{job_id}")
    sleep_until(span[0] + 6.5)
    spec = {"noop": True, "schedules": [bounded(span, cron="*/3 * * * * *")]}
    path, stale = f"/jobs/{job_id}", {"if-match": read.headers["etag"]}
    updated = duo.servers[1].rest.request("PUT", path, spec, stale)
    assert updated.status == 200 and updated.json()["generation"] == 2, updated.text
    changed_at = seconds_of(updated.json()["schedule_states"][0]["decided_through"])
    for rest in (duo.servers[0].rest, duo.servers[1].rest):
        refused = rest.request("PUT", path, {"noop": True, "schedules": [old]}, stale)
        assert (refused.status, refused.json()["error"]["code"]) == (412, "stale"), refused.text
    with pytest.raises(RotaError) as error:
        duo.client().update(job_id, messages.JobSpec(noop={}), if_match=read.json()["etag"])
    assert error.value.code.name == "ABORTED"
    job = ended(duo, job_id)
    assert job.generation == 2 and span[0] + 6 < changed_at < span[0] + 10
    # What was due just then may have gone to neither: it was not decided before, and is not made up for.
    before = [moment for moment in every(1, span) if moment < changed_at - 1]
    after = [moment for moment in every(3, span) if moment > changed_at]
    expect(duo, watch, job_id, before, (span[0], changed_at - 1))
    expect(duo, watch, job_id, after, (changed_at, span[1]))
    for run in job.runs:
        expected = 1 if run.scheduled_time.ToMicroseconds() <= microseconds(changed_at) else 2
        assert [attempt.generation for attempt in run.attempts] in ([expected], [2]), run


def test_updates_that_keep_the_schedule_lose_no_occurrence(duo: FaultyCluster, watch: RunWatch):
    span = window(8)
    schedule = bounded(span, cron=EACH_SECOND)
    job_id = submit(duo, [schedule], params={"n": "0"})
    number = 0
    while time.time() < span[1] - 1:
        number += 1
        spec = {"noop": True, "schedules": [schedule], "params": {"n": str(number)}}
        read = duo.servers[number % 2].rest.get(f"/jobs/{job_id}")
        changed = duo.servers[(number + 1) % 2].rest.request(
            "PUT", f"/jobs/{job_id}", spec, {"if-match": read.headers["etag"]}
        )
        assert changed.status == 200, changed.text
        time.sleep(0.05)
    job = ended(duo, job_id)
    expect(duo, watch, job_id, every(1, span), span)
    assert job.generation == number + 1 and dict(job.spec.params) == {"n": str(number)}


def test_a_calendar_leaves_out_exactly_its_time(duo: FaultyCluster, watch: RunWatch):
    name = unique("calendar")
    checked(duo.rest.request("PUT", f"/calendars/{name}", {"days": []}))
    first, last = span = window(16)
    job_id = submit(duo, [bounded(span, cron=EACH_SECOND, calendars=[name])])
    sleep_until(first + 4.5)
    checked(duo.servers[1].rest.request("PUT", f"/calendars/{name}", {"days": WEEK}))
    closed = time.time()
    sleep_until(first + 10.5)
    checked(duo.rest.request("PUT", f"/calendars/{name}", {"days": []}))
    opened = time.time()
    # Until the change takes effect the job has no occurrence left, so that its end has to be waited for.
    sleep_until(last)
    job = ended(duo, job_id)
    # A second around each change: what is due then may be decided on either side of it.
    expect(duo, watch, job_id, every(1, span), (first, closed - 1))
    expect(duo, watch, job_id, [], (closed + 1, opened - 1))
    expect(duo, watch, job_id, every(1, span), (opened + 1, last))
    assert job.skipped_count == 0, "excluded time is no occurrence"


def test_a_deleted_job_fires_no_more(duo: FaultyCluster, watch: RunWatch):
    pids = duo.folder / unique("pids")
    script = f"echo $$ >> {pids}; exec sleep 60"
    job_id = submit(duo, [EACH_SECOND], shell=script)
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) >= 3, 30, "three of its tasks run")
    checked(duo.servers[1].rest.delete(f"/jobs/{job_id}"))
    deleted = time.time()
    wait_until(lambda: duo.rest.get(f"/jobs/{job_id}").status == 404, 30, "the job is gone")
    expect_dead([int(pid) for pid in pids.read_text().split()], 15, "its tasks are dead")
    time.sleep(2)
    times = [seconds_of(record["scheduled_time"]) for key, record, _ in watch.changes() if f"/{job_id}/" in key]
    assert times and max(times) <= deleted, "a run was created after the deletion"
    left = [key for kind in ("jobs", "runs") for key in duo.etcd.pairs(f"/rota/{kind}/") if f"/{job_id}" in key]
    assert left == []
