"""Backfills on real clusters: each occurrence of a past range once, in order, a few at a time, whatever dies meanwhile."""
from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from backfills import TERMINAL, WAYS, Asked, backfills, most_unfinished, wait_state
from cluster import Cluster, Server
from faulty_cluster import FaultyCluster
from history import Recorder, check
from processes import wait_until
from rota_client import messages, run_state_name
from surfaces import Refused, checked, unique
from witness import RunWatch

DAILY = "0 3 * * *"
ENDED_KEPT = 20
FIRST = datetime(2026, 3, 1, 3, tzinfo=timezone.utc)


def days(count: int, first: datetime = FIRST) -> list[datetime]:
    """The occurrences of `DAILY` in the range that `asked` asks for."""
    return [first + timedelta(days=day) for day in range(count)]


def text_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def texts(count: int) -> tuple[str, ...]:
    return tuple(text_of(day) for day in days(count))


def asked(count: int, **more) -> Asked:
    """The range from the first to the last of so many occurrences, both included."""
    return Asked(text_of(days(count)[0]), text_of(days(count)[-1]), **more)


def daily(cluster: Cluster, recorder: Recorder | None = None, seconds: int = 0, **options) -> str:
    """A job that is due each day, of whose own runs none comes while a test lasts: it is paused."""
    client = cluster.client()
    spec = recorder.spec(seconds=seconds, **options) if recorder else messages.JobSpec(noop={})
    spec.schedules.add(cron=DAILY)
    job = client.submit(spec, job_id=unique("backfill")).job_id
    client.pause(job)
    return job


def runs_of(cluster: Cluster, job: str) -> list[messages.Run]:
    """A job's runs, by their scheduled times."""
    return sorted(cluster.client().runs(job_id=job, page_size=1000), key=lambda run: run.scheduled_time.ToMicroseconds())


def wait_ended(cluster: Cluster, job: str, seconds: float = 30) -> list[messages.Run]:
    """A job's runs, once all that there are have ended."""

    def ended() -> bool:
        return all(run_state_name(run.state) in TERMINAL for run in runs_of(cluster, job))

    wait_until(ended, seconds, f"all runs of {job} have ended", every=0.2)
    return runs_of(cluster, job)


def scheduled(runs: list[messages.Run]) -> tuple[str, ...]:
    return tuple(run.scheduled_time.ToJsonString() for run in runs)


@pytest.fixture
def recorder(pair: Cluster) -> Iterator[Recorder]:
    made = Recorder(pair.folder, unique("backfill"))
    yield made
    made.finish()


# What it does


@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
@pytest.mark.parametrize("way", WAYS)
def test_the_occurrences_run_one_by_one_in_order(pair: Cluster, recorder: Recorder, way: str, order: str):
    ask, job = backfills(way, pair), daily(pair, recorder)
    started = ask.start(job, asked(5, order=order, params={"reason": "a b=c"}))
    assert (started.state, started.occurrences, started.preview) == ("running", 5, ())
    done = wait_state(ask, job, started.id)
    assert (done.occurrences, done.created, done.existing, done.finished) == (5, 5, 0, True)
    assert ask.list(job) == [done]
    runs = wait_ended(pair, job)
    assert scheduled(runs) == texts(5)
    for run in runs:
        assert run_state_name(run.state) == "completed" and run.backfill_id == started.id
        assert run.trigger == messages.RunTrigger.RUN_TRIGGER_BACKFILL and dict(run.params) == {"reason": "a b=c"}
    # By the tasks' own words: each begins after the one before has ended.
    check(recorder)
    executions = sorted(recorder.executions(), key=lambda execution: execution.start)
    in_order = runs if order == "oldest_first" else runs[::-1]
    assert [execution.run for execution in executions] == [f"{job}/{run.run_id}" for run in in_order]
    for earlier, later in zip(executions, executions[1:]):
        assert earlier.ended and earlier.last < later.start
    pair.client().cancel(job)


def test_never_more_at_a_time_than_asked_for(pair: Cluster, recorder: Recorder):
    with RunWatch(pair) as watch:
        ask, job = backfills("rest", pair), daily(pair, recorder, seconds=1)
        started = ask.start(job, asked(12, parallelism=3))
        wait_state(ask, job, started.id, seconds=60)
        runs = wait_ended(pair, job)
        # The watch is a process of its own, which may have yet to write down the last change.
        wait_until(lambda: len(watch.creations()) >= 12, 10, "the watch has seen all")
        assert most_unfinished(watch, job, started.id) == 3
        assert all(watch.creations()[f"{job}/{run.run_id}"] == 1 for run in runs)
    assert scheduled(runs) == texts(12)
    check(recorder)
    pair.client().cancel(job)


@pytest.mark.parametrize("way", WAYS)
def test_what_has_run_is_not_run_again_and_a_dry_run_says_so(pair: Cluster, way: str):
    ask, job = backfills(way, pair), daily(pair)
    wait_state(ask, job, ask.start(job, asked(3, parallelism=3)).id)
    first = {run.run_id for run in wait_ended(pair, job)}

    def stored() -> dict[str, str]:
        kinds = ("jobs", "runs", "backfills")
        return {key: value for kind in kinds for key, value in pair.etcd.pairs(f"/rota/{kind}/").items() if job in key}

    before = stored()
    for order in ("oldest_first", "newest_first"):
        told = ask.start(job, asked(7, order=order, dry_run=True))
        assert (told.id, told.occurrences, told.created, told.existing) == ("", 7, 0, 3)
        assert told.preview == (texts(7)[3:] if order == "oldest_first" else texts(7)[:2:-1])
    assert stored() == before and len(ask.list(job)) == 1, "a dry run creates nothing"
    done = wait_state(ask, job, ask.start(job, asked(7, order="newest_first", parallelism=7)).id)
    assert (done.occurrences, done.created, done.existing) == (7, 4, 3)
    runs = wait_ended(pair, job)
    assert scheduled(runs) == texts(7) and first <= {run.run_id for run in runs}
    assert all(len(run.attempts) == 1 for run in runs)
    again = ask.start(job, asked(7, dry_run=True))
    assert (again.existing, again.preview) == (7, ())
    pair.client().cancel(job)


def test_runs_of_the_schedule_itself_are_not_run_again(pair: Cluster):
    client = pair.client()
    job = pair.submit({"noop": {}, "schedules": ["* * * * * *"]})
    wait_until(lambda: len(runs_of(pair, job)) >= 3, 20, "it fires")
    client.pause(job)
    own = wait_ended(pair, job)
    time.sleep(3)
    start, end = own[0].scheduled_time.ToJsonString(), text_of(datetime.now(timezone.utc) - timedelta(seconds=1))
    ask = backfills("grpc", pair)
    wanted = ask.start(job, Asked(start, end, dry_run=True))
    assert wanted.existing == len(own)
    done = wait_state(ask, job, ask.start(job, Asked(start, end, parallelism=10)).id)
    assert (done.occurrences, done.existing) == (wanted.occurrences, len(own))
    runs = wait_ended(pair, job)
    times = [run.scheduled_time.ToSeconds() for run in runs]
    assert times == list(range(times[0], times[0] + done.occurrences))
    triggers = {run.run_id: run.trigger for run in runs}
    assert {run.run_id for run in own} == {
        each for each, trigger in triggers.items() if trigger != messages.RunTrigger.RUN_TRIGGER_BACKFILL
    }
    client.cancel(job)


def test_a_backfill_of_a_job_that_forbids_overlap_overlaps_nothing(pair: Cluster, recorder: Recorder):
    job = daily(pair, recorder, seconds=1, overlap=messages.Overlap(policy=messages.OverlapAction.OVERLAP_ACTION_FORBID))
    ask = backfills("rest", pair)
    started = ask.start(job, asked(4, parallelism=4))
    wait_state(ask, job, started.id)
    runs = wait_ended(pair, job)
    assert scheduled(runs) == texts(4)
    check(recorder)
    executions = sorted(recorder.executions(), key=lambda execution: execution.start)
    assert len(executions) == 4
    for earlier, later in zip(executions, executions[1:]):
        assert earlier.last < later.start, f"{earlier} overlaps {later}"
    pair.client().cancel(job)


# Asking twice, cancelling


@pytest.mark.parametrize("way", WAYS)
def test_one_id_is_one_backfill(pair: Cluster, way: str):
    ask, job = backfills(way, pair), daily(pair)
    wanted = asked(3, id=unique("b"))
    first = ask.start(job, wanted)
    assert first.id == wanted.id
    wait_state(ask, job, wanted.id)
    again = ask.start(job, wanted)
    assert (again.state, again.created, len(ask.list(job))) == ("completed", 3, 1)
    with pytest.raises(Refused) as refused:
        ask.start(job, asked(4, id=wanted.id))
    assert "is taken by another backfill" in refused.value.message and wanted.id in refused.value.message
    wait_ended(pair, job)
    pair.client().cancel(job)


@pytest.mark.parametrize("way", WAYS)
def test_cancelled_in_the_middle_it_creates_nothing_more(pair: Cluster, recorder: Recorder, way: str):
    ask, job = backfills(way, pair), daily(pair, recorder, seconds=90)
    started = ask.start(job, asked(6, parallelism=2))
    wait_until(lambda: len(recorder.executions()) == 2, 30, "two of its runs have begun")
    cancelled = ask.cancel(job, started.id)
    assert (cancelled.state, cancelled.created, cancelled.finished) == ("cancelled", 2, True)
    assert ask.cancel(job, started.id) == cancelled, "asking again changes nothing"
    recorder.finish()
    runs = wait_ended(pair, job)
    time.sleep(1)
    assert scheduled(runs_of(pair, job)) == texts(6)[:2]
    assert [run_state_name(run.state) for run in runs] == ["completed"] * 2, "what has begun goes on to its end"
    # Another one goes on where it was left.
    done = wait_state(ask, job, ask.start(job, asked(6, parallelism=6)).id)
    assert (done.created, done.existing) == (4, 2)
    assert scheduled(wait_ended(pair, job)) == texts(6)
    check(recorder)
    pair.client().cancel(job)


def test_the_latest_ended_ones_are_kept(pair: Cluster, recorder: Recorder):
    ask, job = backfills("grpc", pair), daily(pair, recorder)
    made = [wait_state(ask, job, ask.start(job, asked(1)).id).id for _ in range(ENDED_KEPT + 2)]
    # The last one was created beside those that had ended before.
    assert [each.id for each in ask.list(job)] == made[:-ENDED_KEPT - 2:-1]
    assert len(wait_ended(pair, job)) == 1, "one occurrence, one run"
    pair.client().cancel(job)


def test_it_ends_with_its_job(pair: Cluster, recorder: Recorder):
    ask = backfills("grpc", pair)
    for action in ("cancel", "delete"):
        job = daily(pair, recorder, seconds=90)
        started = ask.start(job, asked(6, parallelism=2))
        wait_until(lambda: len(runs_of(pair, job)) == 2, 20, "two of its runs are there")
        getattr(pair.client(), action)(job)
        if action == "cancel":
            assert wait_state(ask, job, started.id, "cancelled").created == 2
            assert [run_state_name(run.state) for run in wait_ended(pair, job)] == ["cancelled"] * 2
            with pytest.raises(Refused) as refused:
                ask.start(job, asked(6))
            assert refused.value.code == "failed_precondition" and "is cancelled" in refused.value.message
        else:
            wait_until(lambda: pair.rest.get(f"/jobs/{job}").status == 404, 20, "the job is gone")
            assert not [key for kind in ("runs", "backfills") for key in pair.etcd.pairs(f"/rota/{kind}/") if job in key]


def test_ten_of_a_job_may_run_at_a_time(pair: Cluster, recorder: Recorder):
    ask, job = backfills("rest", pair), daily(pair, recorder, seconds=90)
    started = [ask.start(job, asked(50)).id for _ in range(10)]
    assert len(set(started)) == 10
    with pytest.raises(Refused) as refused:
        ask.start(job, asked(50))
    assert refused.value.code == "failed_precondition" and "10 backfills" in refused.value.message
    assert {told.id for told in ask.list(job)} == set(started)
    checked(pair.rest.post(f"/jobs/{job}/cancel", None))
    for each in started:
        wait_state(ask, job, each, "cancelled")
    # Each occurrence has at most one run, whichever of them came first.
    times = scheduled(wait_ended(pair, job))
    assert len(set(times)) == len(times)


# While servers die


OCCURRENCES = 36
PARALLELISM = 4


@pytest.fixture(scope="module")
def trio() -> Iterator[FaultyCluster]:
    with FaultyCluster() as cluster:
        yield cluster


@pytest.mark.parametrize("fault, order", [("kill -9", "oldest_first"), ("standing still", "newest_first")])
def test_each_occurrence_runs_once_though_the_owner_is_lost_in_the_middle(trio: FaultyCluster, fault: str, order: str):
    recorder = Recorder(trio.folder, unique("owner"))
    with RunWatch(trio) as watch:
        # Long enough for the fault to come in the middle on any machine.
        job = daily(trio, recorder, seconds=1)
        owner = trio.owner_of(job)
        ask = backfills("rest", trio, other_than(trio, owner))
        started = ask.start(job, asked(OCCURRENCES, order=order, parallelism=PARALLELISM))
        wait_until(lambda: len(watch.creations()) >= 10, 30, "it is under way")
        if fault == "kill -9":
            owner.kill()
            assert ask.get(job, started.id).state == "running", "it was killed in the middle"
            done = wait_state(ask, job, started.id, seconds=60)
        else:
            with trio.standing_still(owner):
                assert ask.get(job, started.id).state == "running", "it stood still in the middle"
                wait_until(lambda: ask.get(job, started.id).created >= OCCURRENCES // 2, 60, "another owner goes on")
            done = wait_state(ask, job, started.id, seconds=60)
        runs = wait_ended(trio, job, 60)
        wait_until(lambda: len(watch.creations()) >= OCCURRENCES, 10, "the watch has seen all")
        creations, most = watch.creations(), most_unfinished(watch, job, started.id)
    assert (done.occurrences, done.created, done.existing) == (OCCURRENCES, OCCURRENCES, 0)
    assert scheduled(runs) == texts(OCCURRENCES)
    assert creations == {f"{job}/{run.run_id}": 1 for run in runs}
    assert {run_state_name(run.state) for run in runs} == {"completed"}
    assert most == PARALLELISM
    check(recorder)
    assert len({execution.run for execution in recorder.executions()}) == OCCURRENCES
    trio.client(trio.alive()[0]).cancel(job)
    if not owner.running:
        trio.bring_back(owner)


def other_than(cluster: FaultyCluster, server: Server) -> Server:
    return next(each for each in cluster.alive() if each is not server)
