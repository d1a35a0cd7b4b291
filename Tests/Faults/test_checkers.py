"""Each checker passes a good history, and finds each thing that can be wrong in a bad one."""
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from suite.checkers import CHECKERS, Violation
from suite.history import Event, History

SECOND = 1_000_000_000
MICROS = 1_700_000_000_000_000
TIMES = ["2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z"]
CREATED = "2023-11-14T22:13:00Z"


class Story:
    """A made-up history: what a cluster that works would leave behind."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.revision = 100

    def add(self, kind: str, t: int = 0, **fields: Any) -> None:
        self.events.append({"t": t, "kind": kind, **fields})

    def put(self, key: str, value: dict[str, Any], created: int = 0) -> int:
        self.revision += 1
        self.add("change", revision=self.revision, key=key, type="put", created=created or self.revision, value=value)
        return created or self.revision

    def delete(self, key: str) -> None:
        self.revision += 1
        self.add("change", revision=self.revision, key=key, type="delete")

    def job(self, marker: str, job: str, **plan: Any) -> None:
        """A job that was planned, submitted and acknowledged."""
        self.add("plan", marker=marker, round=1, **plan)
        self.add("op", op="submit", marker=marker, job=job, server="s1", begin=1, end=2, outcome="ok")
        self.put(f"/rota/jobs/001/default/{job}", {"spec": {"user_id": marker}, "created_at": CREATED})

    def run(self, job: str, run: str, states: list[dict[str, Any]]) -> None:
        created = 0
        for value in states:
            created = self.put(f"/rota/runs/001/default/{job}/{run}", value, created)

    def task(self, what: str, run: str, attempt: int, t: float, agent: str = "a1", extra: int = 0) -> None:
        self.add("task", t=round(t * SECOND), what=what, run=run, attempt=attempt, fence=attempt, agent=agent,
                 pid=attempt, extra=str(extra))  # fmt: skip


def attempt(number: int, agent: str, incarnation: int, **end: Any) -> dict[str, Any]:
    return {"attempt": number, "worker_id": agent, "incarnation": incarnation, **end}


def record(state: str, attempts: list[dict[str, Any]], time: str = TIMES[0]) -> dict[str, Any]:
    count = len(attempts)
    made = {"state": state, "scheduled_time": time, "attempts": attempts, "attempt": count, "fence": count}
    return made if count else {"state": state, "scheduled_time": time}


LOST = {"end_time": "t", "end_reason": "agent_lost"}
DONE = {"end_time": "t", "end_reason": "exited", "exit_code": 0}


def good() -> Story:
    """A one-off job that moves from a lost agent to another, a cron job with three occurrences, a job that forbids
    overlaps, and a task in steps."""
    story = Story()
    a1 = story.put("/rota/agents/a1", {})
    a2 = story.put("/rota/agents/a2", {})
    story.job("one_off-1-0", "moved", **{"class": "one_off"})
    first = attempt(1, "a1", a1)
    story.run("moved", "r", [record("queued", []), record("assigned", [first]), record("running", [first])])
    created = story.revision - 2
    story.task("start", "moved/r", 1, 1.0)
    story.task("beat", "moved/r", 1, 2.0)
    story.delete("/rota/agents/a1")
    lost, second = attempt(1, "a1", a1, **LOST), attempt(2, "a2", a2)
    key = "/rota/runs/001/default/moved/r"
    story.put(key, record("queued", [lost]), created)
    story.events[-1]["value"] |= {"attempt": 1, "fence": 1}
    story.put(key, record("assigned", [lost, second]), created)
    story.put(key, record("completed", [lost, attempt(2, "a2", a2, **DONE)]), created)
    story.task("start", "moved/r", 2, 5.0, "a2")
    story.task("end", "moved/r", 2, 6.0, "a2")
    for kind, job in (("cron", "ticks"), ("forbid", "turns")):
        story.job(f"{kind}-1-1", job, **{"class": kind, "window": [MICROS, MICROS + 2_000_000], "every": 1})
        times = TIMES if kind == "cron" else TIMES[::2]
        for n, time in enumerate(times):
            its = [record("assigned", [attempt(1, "a2", a2)], time), record("completed", [attempt(1, "a2", a2, **DONE)], time)]
            story.run(job, f"r{n}", its)
            story.task("start", f"{job}/r{n}", 1, 10 + n, "a2")
            story.task("end", f"{job}/r{n}", 1, 10.5 + n, "a2")
    story.put("/rota/jobs/001/default/turns", {"spec": {"user_id": "forbid-1-1"}, "created_at": CREATED,
                                               "skipped_count": 1}, _created(story, "turns"))  # fmt: skip
    story.job("steps-1-2", "steps", **{"class": "steps"})
    story.run("steps", "r", [record("assigned", [attempt(1, "a2", a2)]), record("completed", [attempt(1, "a2", a2, **DONE)])])
    for what, at, step in (("start", 20, 0), ("from", 20, 0), ("saved", 21, 1), ("end", 22, 0)):
        story.task(what, "steps/r", 1, at, "a2", step)
    _failing_jobs(story, a2)
    _losses_and_drains(story)
    _groups(story, a2)
    read: dict[str, Any] = {"job": "moved", "server": "s2", "outcome": "ok", "found": True, "cancelled": False}
    story.add("op", op="read", begin=3, end=4, status="running", revision=7, runs={"r": "running"}, **read)
    story.add("op", op="read", begin=5, end=6, status="completed", revision=7, runs={"r": "completed"}, **read)
    story.add("replaced", t=0, round=1, agent="a2", how="SIGUSR2", left=round(5.5 * SECOND), seconds=0.5, in_time=True)
    story.add("recovered", round=1, faults=["kill_agent"], seconds=3.0, bound=10.0, why="")
    story.add("census", round=1, processes={}, empty_leases=[], descriptors={"s1/1": 30})
    story.add("round", round=1, phase="end", faults=["replace_agent"])
    return story


def _failing_jobs(story: Story, a2: int) -> None:
    """One whose failure is not to be retried, and one that somebody asks to be run again."""
    failed = record("failed", [attempt(1, "a2", a2, end_time="t", end_reason="exited", exit_code=75)])
    for kind, job in (("not_retried", "once"), ("run_again", "again")):
        story.job(f"{kind}-1-3", job, **{"class": kind})
        story.run(job, "r", [record("assigned", [attempt(1, "a2", a2)]), failed])
    story.add("op", op="retry", job="again", run="r-r001", server="s1", begin=3, end=4, outcome="unknown")
    story.add("op", op="retry", job="again", run="r-r001", server="s2", begin=5, end=6, outcome="ok")
    begun = {**record("queued", []), "retry_of": "r", "fence": 1}
    tried = {**record("assigned", [attempt(1, "a2", a2)]), "retry_of": "r", "fence": 2}
    story.run("again", "r-r001", [begun, tried, {**failed, "retry_of": "r", "fence": 2}])


def _groups(story: Story, a2: int) -> None:
    """Two runs of a concurrency group one after the other; of a job that allows two at once, two beside each other."""
    spec = {"concurrency": {"key": "g"}}
    done = attempt(1, "a2", a2, **DONE)
    for n, job in enumerate(("one", "two")):
        marker = f"grouped-1-{n}"
        story.job(marker, job, **{"class": "grouped"})
        _job_spec(story, job, {"user_id": marker, **spec})
        states = [record("queued", []), record("assigned", [attempt(1, "a2", a2)]), record("completed", [done])]
        story.run(job, "r", [{**each, "group": "g"} for each in states])
        story.task("start", f"{job}/r", 1, 60 + 2 * n, "a2")
        story.task("end", f"{job}/r", 1, 61 + 2 * n, "a2")
    story.job("cron-1-8", "pair", **{"class": "cron", "window": [MICROS, MICROS + 1_000_000], "every": 1})
    _job_spec(story, "pair", {"user_id": "cron-1-8", "max_running": 2})
    for n in range(2):
        story.put(f"/rota/runs/001/default/pair/r{n}", record("assigned", [attempt(1, "a2", a2)], TIMES[n]))
    for n, created in enumerate((story.revision - 1, story.revision)):
        story.put(f"/rota/runs/001/default/pair/r{n}", record("completed", [done], TIMES[n]), created)
        story.task("start", f"pair/r{n}", 1, 70 + n / 10, "a2")
        story.task("end", f"pair/r{n}", 1, 71, "a2")
    story.job("skipping-1-9", "skipped", **{"class": "skipping"})
    story.run("skipped", "r", [record("queued", []), record("skipped", [])])


def _job_spec(story: Story, job: str, spec: dict[str, Any]) -> None:
    """What the job was from its first record on."""
    for event in story.events:
        if event["kind"] == "change" and event["key"] == f"/rota/jobs/001/default/{job}":
            event["value"] = {**event["value"], "spec": spec}


def _losses_and_drains(story: Story) -> None:
    """A run waits for its agent, is taken as lost after the brake's pause, and handed over when its next one is drained."""
    a3, a4 = story.put("/rota/agents/a3", {}), story.put("/rota/agents/a4", {})
    story.job("waiting-1-4", "waits", **{"class": "waiting"})
    key = "/rota/runs/001/default/waits/r"
    first = attempt(1, "a3", a3, assigned_at="2023-11-14T22:13:20Z")
    story.run("waits", "r", [record("assigned", [first])])
    created = story.revision
    story.delete("/rota/agents/a3")
    for _ in range(2):
        story.put("/rota/jobs/001/default/waits", {"spec": {"user_id": "waiting-1-4"}, "created_at": CREATED}, _created(story, "waits"))
        story.add("paused", round=1, revision=story.revision)
    queued = {**record("queued", [{**first, **LOST}]), "waits_for_worker": "a3", "waits_until": "2023-11-14T22:13:40Z"}
    story.put(key, {**queued, "attempt": 1, "fence": 1}, created)
    second = attempt(2, "a4", a4, assigned_at="2023-11-14T22:13:40.5Z")
    story.put(key, record("assigned", [queued["attempts"][0], second]), created)
    since = story.revision
    story.task("start", "waits/r", 2, 40, "a4")
    story.task("beat", "waits/r", 2, 45, "a4")
    handed = [queued["attempts"][0], {**second, "end_time": "t", "end_reason": "agent_stopped"}]
    story.put(key, {**record("queued", handed), "waits_for_worker": "a4", "waits_until": "2023-11-14T22:14:00Z"}, created)
    story.add("drained", round=1, agent="a4", since=since, until=story.revision, deadline=44 * SECOND, leader_killed=False)
    a3 = story.put("/rota/agents/a3", {})
    third = attempt(3, "a3", a3, assigned_at="2023-11-14T22:14:01Z")
    story.put(key, record("assigned", [*handed, third]), created)
    story.put(key, record("completed", [*handed, {**third, **DONE}]), created)
    story.task("start", "waits/r", 3, 61, "a3")
    story.task("end", "waits/r", 3, 62, "a3")


def _created(story: Story, job: str) -> int:
    return next(int(e["created"]) for e in story.events if e["kind"] == "change" and e["key"].endswith(f"/{job}"))


def find(check: str, story: Story) -> list[Violation]:
    return CHECKERS[check](History(story.events))


@pytest.mark.parametrize("check", CHECKERS)
def test_a_good_history_passes(check: str) -> None:
    assert find(check, good()) == []


# What is done to the good history, by what has to be found then.


def _op(story: Story, marker: str) -> Event:
    return next(e for e in story.events if e["kind"] == "op" and e.get("marker") == marker)


def _change(story: Story, key: str, state: str) -> Event:
    return next(e for e in story.events if e["kind"] == "change" and key in e["key"] and e["value"].get("state") == state)


def lost_job(story: Story) -> None:
    story.events = [e for e in story.events if not (e["kind"] == "change" and "/moved" in e["key"])]


def refused_job_runs(story: Story) -> None:
    _op(story, "one_off-1-0")["outcome"] = "fail"


def unfinished_run(story: Story) -> None:
    story.events.remove(_change(story, "/moved/r", "completed"))


def failed_run(story: Story) -> None:
    _change(story, "/moved/r", "completed")["value"]["state"] = "failed"


def wrong_reason(story: Story) -> None:
    next(e for e in story.events if e["kind"] == "plan")["end_reason"] = "out_of_memory"
    for event in story.events:
        if event["kind"] == "change" and event["key"] == "/rota/agents/a2":
            event["value"] = {"isolation": "cgroup_v1 memory,pids,cpu"}


def never_ran(story: Story) -> None:
    story.events = [e for e in story.events if not (e["kind"] == "task" and e["run"] == "moved/r" and e["attempt"] == 2)]


def submitted_twice(story: Story) -> None:
    story.job("one_off-1-0", "again", **{"class": "one_off"})


def overlap(story: Story) -> None:
    story.task("beat", "moved/r", 1, 5.5)


def lock_taken(story: Story) -> None:
    story.task("busy", "moved/r", 2, 5.0, "a2")


def overlapping_turns(story: Story) -> None:
    story.task("beat", "turns/r0", 1, 11.2, "a2")


def missed(story: Story) -> None:
    story.events = [e for e in story.events if not (e["kind"] == "change" and "/ticks/r1" in e["key"])]


def doubled_occurrence(story: Story) -> None:
    story.run("ticks", "again", [record("queued", [], TIMES[1])])


def not_due(story: Story) -> None:
    story.run("ticks", "early", [record("queued", [], "2023-11-14T22:13:19Z")])


def uncounted(story: Story) -> None:
    for event in story.events:
        event.get("value", {}).pop("skipped_count", None)


def started_twice(story: Story) -> None:
    story.task("start", "moved/r", 2, 5.2, "a2")


def unknown_run(story: Story) -> None:
    story.task("start", "nobody/r", 1, 30.0)


def not_adopted(story: Story) -> None:
    value = _change(story, "/moved/r", "completed")["value"]
    value["attempts"][-1] = {**value["attempts"][-1], "end_reason": "agent_stopped"}


def nothing_to_adopt(story: Story) -> None:
    next(e for e in story.events if e["kind"] == "replaced")["left"] = 90 * SECOND


def two_fences(story: Story) -> None:
    story.task("start", "moved/r", 2, 5.3, "a2")
    story.events[-1]["fence"] = 3


def ended_twice(story: Story) -> None:
    change = copy.deepcopy(_change(story, "/moved/r", "completed"))
    story.revision += 1
    story.events.append({**change, "revision": story.revision, "value": {**change["value"], "state": "failed"}})


def backwards(story: Story) -> None:
    change = _change(story, "/moved/r", "running")
    change["value"] = {**change["value"], "state": "retrying"}
    second = [e for e in story.events if e["kind"] == "change" and "/moved/r" in e["key"]][3]
    second["value"] = {**second["value"], "state": "running"}


def removed_too_early(story: Story) -> None:
    story.events.remove(_change(story, "/moved/r", "completed"))
    story.delete("/rota/runs/001/default/moved/r")


def removed_before_its_runs(story: Story) -> None:
    story.delete("/rota/jobs/001/default/moved")


def removed_with_work_to_do(story: Story) -> None:
    story.delete("/rota/runs/001/default/moved/r")
    job = next(e for e in story.events if e["kind"] == "change" and e["key"] == "/rota/jobs/001/default/moved")
    job["value"]["next_run_time"] = TIMES[0]
    story.delete("/rota/jobs/001/default/moved")


def removed(story: Story) -> None:
    """As retention does it; who looks afterwards does not find it."""
    story.delete("/rota/runs/001/default/moved/r")
    story.delete("/rota/jobs/001/default/moved")
    forgotten(story)


def found_again(story: Story) -> None:
    removed(story)
    story.add("op", op="read", job="moved", server="s3", begin=9, end=10, outcome="ok", found=True, cancelled=False,
              status="completed", revision=7, runs={"r": "completed"})  # fmt: skip


def stale_read(story: Story) -> None:
    story.add("op", op="read", job="moved", server="s3", begin=7, end=8, outcome="ok", found=True, cancelled=False,
              status="running", revision=7, runs={"r": "running"})  # fmt: skip


def forgotten(story: Story) -> None:
    story.add("op", op="read", job="moved", server="s3", begin=7, end=8, outcome="ok", found=False, cancelled=False,
              status=None, revision=0, runs={})  # fmt: skip


def cancel_forgotten(story: Story) -> None:
    story.add("op", op="cancel", job="ticks", server="s1", begin=7, end=8, outcome="ok")
    story.add("op", op="read", job="ticks", server="s3", begin=9, end=10, outcome="ok", found=True, cancelled=False,
              status="pending", revision=9, runs={})  # fmt: skip


def older_checkpoint(story: Story) -> None:
    story.task("start", "steps/r", 2, 23, "a2")
    story.task("from", "steps/r", 2, 23, "a2", 0)


def taken_from_a_living_agent(story: Story) -> None:
    story.events = [e for e in story.events if not (e["kind"] == "change" and e["type"] == "delete")]


def given_to_a_dead_agent(story: Story) -> None:
    for event in story.events:
        if event["kind"] == "change" and "/moved/r" in event["key"] and event["value"]["state"] in ("assigned", "completed"):
            event["value"]["attempts"][-1]["worker_id"] = "a9"


def same_fence(story: Story) -> None:
    for event in story.events:
        if event["kind"] == "change" and "/moved/r" in event["key"] and event["value"].get("attempt") == 2:
            event["value"]["fence"] = 1


def rewritten_attempt(story: Story) -> None:
    value = _change(story, "/moved/r", "completed")["value"]
    value["attempts"] = [{**value["attempts"][0], "end_reason": "exited"}, value["attempts"][1]]


def retried_after_all(story: Story) -> None:
    value = _change(story, "/once/r", "failed")["value"]
    value["attempts"] = [value["attempts"][0], {**value["attempts"][0], "attempt": 2}]


def retry_lost(story: Story) -> None:
    story.events = [e for e in story.events if not (e["kind"] == "change" and "/again/r-r001" in e["key"])]


def retried_twice(story: Story) -> None:
    story.run("again", "r-r002", [{**record("queued", []), "retry_of": "r"}])


def retried_unasked(story: Story) -> None:
    for event in story.events:
        if event.get("op") == "retry":
            event["outcome"] = "fail"


def did_not_wait(story: Story) -> None:
    for event in story.events:
        if event.get("value", {}).get("waits_for_worker") == "a3":
            event["value"]["waits_until"] = "2023-11-14T22:14:40Z"


def given_to_a_drained_agent(story: Story) -> None:
    next(e for e in story.events if e["kind"] == "drained")["since"] -= 1


def taken_in_a_pause(story: Story) -> None:
    story.add("paused", round=1, revision=story.revision)


def not_handed_over(story: Story) -> None:
    story.task("beat", "waits/r", 2, 55, "a4")


def nothing_to_hand_over(story: Story) -> None:
    next(e for e in story.events if e["kind"] == "drained")["deadline"] = 90 * SECOND


def slow(story: Story) -> None:
    story.add("recovered", round=2, faults=["kill_leader"], seconds=11.0, bound=10.0, why="")


def never_back(story: Story) -> None:
    story.add("recovered", round=2, faults=["kill_leader"], seconds=None, bound=10.0, why="s1 is not ready")


def orphan(story: Story) -> None:
    story.add("census", round=2, processes={"77": "witness"}, empty_leases=[], descriptors={})


def lease_left(story: Story) -> None:
    story.add("census", round=2, processes={}, empty_leases=["694d"], descriptors={})


def descriptors_leak(story: Story) -> None:
    story.add("census", round=2, processes={}, empty_leases=[], descriptors={"s1/1": 300})


def too_many_records(story: Story) -> None:
    """The second is assigned before the first has ended."""
    order = [e for e in story.events if e["kind"] == "change" and e["key"].endswith(("/one/r", "/two/r"))]
    ended = next(e for e in order if e["key"].endswith("/one/r") and e["value"]["state"] == "completed")
    given = next(e for e in order if e["key"].endswith("/two/r") and e["value"]["state"] == "assigned")
    ended["revision"], given["revision"] = given["revision"], ended["revision"]


def too_many_tasks(story: Story) -> None:
    story.task("beat", "one/r", 1, 62.5, "a2")


def too_many_of_a_job(story: Story) -> None:
    _job_spec(story, "pair", {"user_id": "cron-1-8", "max_running": 1})


def skipped_after_a_start(story: Story) -> None:
    run = [e for e in story.events if e["kind"] == "change" and e["key"].endswith("/skipped/r")]
    run[0]["value"] = record("running", [attempt(1, "a2", 1)])


SPOILED: list[tuple[str, Callable[[Story], None], str]] = [
    ("C1", lost_job, "lost"),
    ("C1", refused_job_runs, "wrong"),
    ("C1", unfinished_run, "lost"),
    ("C1", failed_run, "wrong"),
    ("C1", wrong_reason, "wrong"),
    ("C1", never_ran, "lost"),
    ("C1", submitted_twice, "doubled"),
    ("C2", overlap, "doubled"),
    ("C2", lock_taken, "doubled"),
    ("C2", overlapping_turns, "doubled"),
    ("C3", missed, "lost"),
    ("C3", doubled_occurrence, "doubled"),
    ("C3", not_due, "wrong"),
    ("C3", uncounted, "lost"),
    ("C4", started_twice, "doubled"),
    ("C4", unknown_run, "wrong"),
    ("C4", two_fences, "doubled"),
    ("C4", not_adopted, "wrong"),
    ("C4", nothing_to_adopt, "wrong"),
    ("C5", ended_twice, "doubled"),
    ("C5", backwards, "wrong"),
    ("C5", removed_too_early, "lost"),
    ("C5", removed_before_its_runs, "lost"),
    ("C5", removed_with_work_to_do, "lost"),
    ("C6", stale_read, "lost"),
    ("C6", found_again, "lost"),
    ("C6", forgotten, "lost"),
    ("C6", cancel_forgotten, "lost"),
    ("C6", older_checkpoint, "lost"),
    ("C7", taken_from_a_living_agent, "wrong"),
    ("C7", given_to_a_dead_agent, "wrong"),
    ("C7", same_fence, "wrong"),
    ("C7", rewritten_attempt, "wrong"),
    ("C1", retried_after_all, "wrong"),
    ("C1", retry_lost, "lost"),
    ("C1", retried_twice, "doubled"),
    ("C1", retried_unasked, "wrong"),
    ("C7", did_not_wait, "wrong"),
    ("C7", given_to_a_drained_agent, "wrong"),
    ("C7", taken_in_a_pause, "wrong"),
    ("C8", not_handed_over, "wrong"),
    ("C8", nothing_to_hand_over, "wrong"),
    ("C8", slow, "wrong"),
    ("C8", never_back, "wrong"),
    ("C9", orphan, "wrong"),
    ("C9", lease_left, "wrong"),
    ("C9", descriptors_leak, "wrong"),
    ("C10", too_many_records, "doubled"),
    ("C10", too_many_tasks, "doubled"),
    ("C10", too_many_of_a_job, "doubled"),
    ("C5", skipped_after_a_start, "wrong"),
]


@pytest.mark.parametrize(("check", "spoil", "kind"), SPOILED, ids=[f"{c}-{s.__name__}" for c, s, _ in SPOILED])
def test_a_bad_history_is_found(check: str, spoil: Callable[[Story], None], kind: str) -> None:
    story = good()
    spoil(story)
    found = find(check, story)
    assert kind in {violation.kind for violation in found}, found


@pytest.mark.parametrize("check", CHECKERS)
def test_ended_jobs_may_be_removed(check: str) -> None:
    story = good()
    removed(story)
    assert find(check, story) == []


def test_the_revision_of_an_end_is_added_once() -> None:
    story = good()
    value = _change(story, "/moved/r", "completed")["value"]
    ended = value["attempts"][0]
    value["attempts"] = [{**ended, "start_revision": 7, "end_revision": 7}, value["attempts"][1]]
    assert find("C7", story) == []
    value["attempts"] = [{**ended, "end_revision": 7, "exit_code": 1}, value["attempts"][1]]
    assert find("C7", story) != []


def test_a_live_round_is_not_judged_yet() -> None:
    """Before a round has ended its jobs may still be on their way."""
    story = good()
    unfinished_run(story)
    story.events = [e for e in story.events if e["kind"] != "round"]
    assert find("C1", story) == [] and find("C3", story) == []
