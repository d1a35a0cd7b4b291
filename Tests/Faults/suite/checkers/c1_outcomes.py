"""C1: every acknowledged submit reaches an end that it may have, once; a refused one never exists."""
from __future__ import annotations

from collections import defaultdict

from ..history import AGENTS_DOING, TERMINAL, Event, History, Life
from .violation import Violation

# How a run may end, by the class of its job; `failed` of an at-most-once job has to be its agent's doing.
ALLOWED = {
    "one_off": {"completed"},
    "retrying": {"completed"},
    "doomed": {"failed"},
    "not_retried": {"failed"},
    "run_again": {"failed"},
    "waiting": {"completed"},
    "at_most_once": {"completed", "failed"},
    "cancelled": {"completed", "cancelled"},
    "steps": {"completed"},
    "process_steps": {"completed"},
    "cron": {"completed"},
    "forbid": {"completed"},
    "noop": {"completed"},
    "grouped": {"completed"},
    "skipping": {"completed", "skipped"},
    "displacing": {"completed", "cancelled"},
    "broken": {"failed"},
    # Of which nobody knows beforehand what becomes of them.
    "simulated": {"completed", "failed", "cancelled", "skipped"},
}
# Jobs that have exactly one run.
SINGLE = set(ALLOWED) - {"cron", "forbid", "run_again", "simulated"}


def outcomes(history: History) -> list[Violation]:
    """See the module."""
    answers: dict[str, list[Event]] = defaultdict(list)
    for op in history.ops("submit"):
        answers[op["marker"]].append(op)
    jobs: dict[str, list[Life]] = defaultdict(list)
    for job in history.jobs:
        jobs[job.last.get("spec", {}).get("user_id", "")].append(job)
    ran = {attempt.job for attempt in history.attempts}
    settled = history.settled_rounds
    found: list[Violation] = []
    for marker, plan in history.plans.items():
        its_jobs, tries = jobs[marker], answers[marker]
        acknowledged = [op for op in tries if op["outcome"] == "ok"]
        refused = bool(tries) and all(op["outcome"] == "fail" for op in tries)
        if acknowledged and not its_jobs:
            found.append(Violation("C1", "lost", f"{marker}: acknowledged as {acknowledged[0]['job']}, not in etcd"))
        if len(its_jobs) > 1:
            names = ", ".join(job.name for job in its_jobs)
            found.append(Violation("C1", "doubled", f"{marker}: one submission made the jobs {names}"))
        if len({op["job"] for op in acknowledged}) > 1:
            found.append(Violation("C1", "doubled", f"{marker}: answered with different jobs"))
        for job in its_jobs:
            if refused:
                more = ", and ran" if job.name in ran else ""
                found.append(Violation("C1", "wrong", f"{marker}: refused, but {job.name} is in etcd{more}"))
            elif plan["round"] in settled:
                found += _judge(history, plan, job)
    return found


def _judge(history: History, plan: Event, job: Life) -> list[Violation]:
    found: list[Violation] = []
    runs = history.runs_of[job.name]
    name, kind = f"{plan['class']} job {job.name}", plan["class"]
    if kind in SINGLE and len(runs) != 1:
        found.append(Violation("C1", "doubled" if runs else "lost", f"{name} has {len(runs)} runs"))
    if kind == "run_again":
        found += _judge_again(history, name, job, runs)
    executions = {(attempt.run, attempt.attempt): attempt for attempt in history.attempts if attempt.job == job.name}
    for run in runs:
        state = run.last["state"]
        message = run.last.get("message", "")
        if state not in TERMINAL:
            found.append(Violation("C1", "lost", f"{name}: run {run.name} is still {state} ({message})"))
        elif state not in ALLOWED[kind]:
            found.append(Violation("C1", "wrong", f"{name}: run {run.name} is {state} ({message})"))
        elif state == "failed" and kind == "at_most_once" and _end_reason(run) not in AGENTS_DOING:
            found.append(Violation("C1", "wrong", f"{name}: failed by {_end_reason(run)} ({message})"))
        elif kind == "not_retried" and (count := _failures(run)) != 1:
            found.append(Violation("C1", "wrong", f"{name}: run {run.name} has failed {count} times, and may not be retried"))
        elif wrong := _wrong_reason(history, plan, run):
            found.append(Violation("C1", "wrong", f"{name}: {wrong} ({message})"))
        elif state == "completed" and kind != "noop":
            execution = executions.get((run.name, run.last.get("attempt", 0)))
            if execution is None or not execution.ended:
                found.append(Violation("C1", "lost", f"{name}: run {run.name} is completed, but never ran to its end"))
    return found


def _judge_again(history: History, name: str, job: Life, runs: list[Life]) -> list[Violation]:
    """One run by itself, and one more where somebody asked for it, however often."""
    tries = [op for op in history.ops("retry") if op["job"] == job.name]
    made = {op["run"] for op in tries if op["outcome"] == "ok"}
    again = {run.name.split("/")[1] for run in runs if "retry_of" in run.last}
    found: list[Violation] = []
    if len(runs) - len(again) != 1:
        found.append(Violation("C1", "doubled" if runs else "lost", f"{name} has {len(runs) - len(again)} runs of its own"))
    if missing := made - again:
        found.append(Violation("C1", "lost", f"{name}: asked to run again, acknowledged as {missing}, not in etcd"))
    if len(again) > 1:
        found.append(Violation("C1", "doubled", f"{name}: asked once to run again, and has the runs {sorted(again)}"))
    if again and all(op["outcome"] == "fail" for op in tries):
        found.append(Violation("C1", "wrong", f"{name}: nobody was told to run it again, and there is {again}"))
    return found


def _failures(run: Life) -> int:
    return sum(attempt.get("end_reason") == "exited" for attempt in run.last.get("attempts", []))


def _wrong_reason(history: History, plan: Event, run: Life) -> str:
    """Some plans say why the last attempt has to end, where its agent limits tasks by control groups."""
    attempts = run.last.get("attempts") or [{}]
    records = [life.last for life in history.agents[attempts[-1].get("worker_id", "")]]
    has_groups = any("cgroup" in record.get("isolation", "") for record in records)
    wanted = plan.get("end_reason")
    if wanted and has_groups and _end_reason(run) != wanted:
        return f"it ended as {_end_reason(run)}, and not as {wanted}"
    return ""


def _end_reason(run: Life) -> str:
    attempts = run.last.get("attempts") or [{}]
    return str(attempts[-1].get("end_reason", "nothing"))
