"""Builds job specifications. Lengths of time are in seconds."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .messages import (
    Affinity,
    AlertRule,
    Backoff,
    CalendarSpec,
    Concurrency,
    Constraint,
    ConstraintOperator,
    FailureFilter,
    JobSpec,
    MisfirePolicy,
    Overlap,
    Placement,
    Resources,
    Schedule,
    Spread,
)

_OPERATORS = {
    "=": ConstraintOperator.CONSTRAINT_OPERATOR_EQUAL,
    "!=": ConstraintOperator.CONSTRAINT_OPERATOR_NOT_EQUAL,
    "in": ConstraintOperator.CONSTRAINT_OPERATOR_IN,
    "not_in": ConstraintOperator.CONSTRAINT_OPERATOR_NOT_IN,
    "exists": ConstraintOperator.CONSTRAINT_OPERATOR_EXISTS,
    "not_exists": ConstraintOperator.CONSTRAINT_OPERATOR_NOT_EXISTS,
    ">": ConstraintOperator.CONSTRAINT_OPERATOR_GREATER,
    "<": ConstraintOperator.CONSTRAINT_OPERATOR_LESS,
    "regex": ConstraintOperator.CONSTRAINT_OPERATOR_REGEX,
}


def constraint(label: str, operator: str, *values: str) -> Constraint:
    """A condition on an agent's labels; `operator` is =, !=, in, not_in, exists, not_exists, >, < or regex."""
    if operator not in _OPERATORS:
        raise ValueError(f"operator is {operator!r}; it has to be one of {', '.join(_OPERATORS)}")
    return Constraint(label=label, operator=_OPERATORS[operator], values=values)


def affinity(weight: int, label: str, operator: str, *values: str) -> Affinity:
    """A preference for agents that meet a condition: a weight of -100 to 100, and what `constraint` takes."""
    return Affinity(constraint=constraint(label, operator, *values), weight=weight)


def resources(*, cpus: float = 0.0, memory_bytes: int = 0, **custom: float) -> Resources:
    """What each attempt is promised of its agent: `resources(cpus=2, memory_bytes=4 << 30, gpu=1)`."""
    return Resources(cpus=cpus, memory_bytes=memory_bytes, custom=custom)


def placement(
    *,
    strategy: str = "",
    hash_key: str = "",
    affinities: Sequence[Affinity] = (),
    spread: str = "",
    spread_weight: int = 0,
    anti_affinity: str = "",
    agent: str = "",
) -> Placement:
    """Which agent is chosen: `strategy` is least_loaded, bin_pack, round_robin, consistent_hash (by `hash_key`) or
    random; `affinities` are made by `affinity`; `spread` is a label over whose values the job's runs are spread;
    `anti_affinity` is preferred or required; `agent` is the one that may run it.
    """
    made = Placement(
        strategy=_label("PLACEMENT_STRATEGY", strategy),
        hash_key=hash_key,
        affinity=affinities,
        anti_affinity=_label("ANTI_AFFINITY", anti_affinity),
        agent=agent,
    )
    if spread:
        made.spread.CopyFrom(Spread(label=spread, weight=spread_weight))
    return made
def alert(
    on: str,
    threshold: float | None = None,
    *,
    window: float | None = None,
    count: int = 0,
    silence: float | None = None,
    webhook: str = "",
    command: str = "",
) -> AlertRule:
    """When somebody is to be told: `on` is late, long, stuck (each with a `threshold`) or failed."""
    rule = AlertRule(on="ALERT_CAUSE_" + on.upper(), count=count, webhook=webhook, command=command)
    for field, seconds in (("threshold", threshold), ("window", window), ("silence", silence)):
        if seconds is not None:
            getattr(rule, field).FromTimedelta(timedelta(seconds=seconds))
    return rule


def schedule(
    *,
    cron: str = "",
    every: float | None = None,
    fixed_delay: float | None = None,
    frequency: str = "",
    at: datetime | None = None,
    time_zone: str = "",
    dst_gap: str = "",
    dst_overlap: str = "",
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    max_runs: int = 0,
    jitter: float | None = None,
    calendars: Sequence[str] = (),
) -> Schedule:
    """One rule for when a job is due: exactly one of `cron`, `every`, `fixed_delay`, `frequency` (hourly, daily,
    weekly, monthly) and `at`. `dst_gap` is run_after or skip; `dst_overlap` first, second or both.
    """
    rules = {"cron": cron, "every": every, "fixed_delay": fixed_delay, "frequency": frequency, "at": at}
    given = [name for name, value in rules.items() if value not in ("", None)]
    if len(given) != 1:
        raise ValueError(f"exactly one of {', '.join(rules)} is needed, not {', '.join(given) or 'none'}")
    made = Schedule(
        time_zone=time_zone,
        max_runs=max_runs,
        calendars=calendars,
        frequency=_label("FREQUENCY", frequency),
        dst_gap=_label("DST_GAP", dst_gap),
        dst_overlap=_label("DST_OVERLAP", dst_overlap),
    )
    if cron:
        made.cron = cron
    if every is not None:
        made.every.FromTimedelta(timedelta(seconds=every))
    if fixed_delay is not None:
        made.fixed_delay.FromTimedelta(timedelta(seconds=fixed_delay))
    for name, time in (("at", at), ("start_time", start_time), ("end_time", end_time)):
        if time is not None:
            getattr(made, name).FromDatetime(_with_zone(name, time))
    if jitter is not None:
        made.jitter.FromTimedelta(timedelta(seconds=jitter))
    return made


def misfire(
    policy: str = "latest", *, limit: int = 0, within: float | None = None, grace: float | None = None
) -> MisfirePolicy:
    """What becomes of missed occurrences: skip, latest, or all, of which `limit` run at most; none that are older
    than `within`. What is late by no more than `grace` is not missed.
    """
    made = MisfirePolicy(policy=_label("MISFIRE_ACTION", policy), limit=limit)
    if within is not None:
        made.within.FromTimedelta(timedelta(seconds=within))
    if grace is not None:
        made.grace.FromTimedelta(timedelta(seconds=grace))
    return made


def overlap(policy: str, *, limit: int = 0) -> Overlap:
    """What happens when a job is due while a run of it has not ended: allow, forbid, queue (at most `limit` wait)
    or replace.
    """
    return Overlap(policy=_label("OVERLAP_ACTION", policy), limit=limit)


def concurrency(key: str, limit: int = 1, when_full: str = "wait") -> Concurrency:
    """A group of runs of which only `limit` may be with agents at once. `key` may be a template, as
    "report-{{params.customer}}"; `when_full` is wait, skip or cancel_oldest.
    """
    return Concurrency(key=key, limit=limit, when_full=_label("WHEN_FULL", when_full))


def failures(
    *, exit_codes: Sequence[int | str] = (), http_statuses: Sequence[int | str] = (), reasons: Sequence[str] = ()
) -> FailureFilter:
    """Which failures are meant, for `retry_on` and `no_retry_on`: exit codes as 75 or "100-119", HTTP statuses as 429 or
    "5xx", and reasons: exited, signal, timeout, start_failed, out_of_memory, agent_stopped.
    """
    return FailureFilter(
        exit_codes=[str(code) for code in exit_codes],
        http_statuses=[str(status) for status in http_statuses],
        reasons=reasons,
    )


def calendar(
    *,
    days: Sequence[str] = (),
    ranges: Sequence[tuple[str, str]] = (),
    cron: Sequence[str] = (),
    time_zone: str = "",
    description: str = "",
    labels: Mapping[str, str] | None = None,
) -> CalendarSpec:
    """A set of excluded time; see `docs/SCHEDULES.md`. A range is excluded from its first time up to, not
    including, its second.
    """
    made = CalendarSpec(
        days=days, cron=cron, time_zone=time_zone, description=description, labels=labels or {}
    )
    for start, end in ranges:
        # `from` is a word of Python's.
        made.ranges.add(**{"from": start, "to": end})
    return made


def _label(enumeration: str, value: str) -> str | None:
    """The label of an enumeration's value, which a message refuses when it does not exist; none for no value."""
    return f"{enumeration}_{value.upper()}" if value else None


def _with_zone(name: str, time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"{name} has no time zone; say for example tzinfo=timezone.utc")
    return time


def exec_job(argv: Sequence[str], **options: Any) -> JobSpec:
    """A program with its arguments, started without a shell. For `options` see `_with_options`."""
    spec = JobSpec()
    spec.exec.argv.extend(argv)
    return _with_options(spec, **options)


def shell_job(script: str, interpreter: Sequence[str] = (), **options: Any) -> JobSpec:
    """A script for /bin/sh, or for `interpreter`. For `options` see `_with_options`."""
    spec = JobSpec()
    spec.shell.script = script
    spec.shell.interpreter.extend(interpreter)
    return _with_options(spec, **options)


def http_job(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str = "", **options: Any
) -> JobSpec:
    """An HTTP request that an agent makes. For `options` see `_with_options`."""
    spec = JobSpec()
    spec.http.url, spec.http.method, spec.http.body = url, method, body
    spec.http.headers.update(headers or {})
    return _with_options(spec, **options)


def task_job(name: str, payload: Any = None, **options: Any) -> JobSpec:
    """A task that workers offer under this name; `payload` is any JSON value. For `options` see `_with_options`."""
    spec = JobSpec()
    spec.task.name, spec.task.payload = name, json.dumps(payload)
    return _with_options(spec, **options)


def noop_job(**options: Any) -> JobSpec:
    """A job that does nothing and succeeds. For `options` see `_with_options`."""
    spec = JobSpec()
    spec.noop.SetInParent()
    return _with_options(spec, **options)


def _with_options(
    spec: JobSpec,
    *,
    user_id: str = "",
    env: Mapping[str, str] | None = None,
    working_directory: str = "",
    timeout: float | None = None,
    kill_grace: float | None = None,
    max_retries: int = 0,
    backoff: Sequence[float] = (),
    priority: int = 0,
    constraints: Sequence[Constraint] = (),
    execution_time: datetime | None = None,
    schedules: Sequence[Schedule] = (),
    misfire: MisfirePolicy | None = None,
    overlap: Overlap | None = None,
    params: Mapping[str, str] | None = None,
    retry_on: FailureFilter | None = None,
    no_retry_on: FailureFilter | None = None,
    total_timeout: float | None = None,
    on_agent_loss: str = "",
    agent_loss_wait: float | None = None,
    memory_bytes: int = 0,
    pids: int = 0,
    cpus: float = 0.0,
    run_as: str = "",
    resources: Resources | None = None,
    placement: Placement | None = None,
    queue: str = "",
    concurrency: Concurrency | None = None,
    max_running: int = 0,
    start_deadline: float | None = None,
    labels: Mapping[str, str] | None = None,
    alerts: Sequence[AlertRule] = (),
) -> JobSpec:
    """Fills in what all kinds of jobs share; what is not said takes the server's default.

    `backoff` lists the waits before the first, second … retry; the last one stands for all that follow.
    `execution_time` has to know its time zone. `schedules`, `misfire` and `overlap` are made by the functions of
    those names, `retry_on` and `no_retry_on` by `failures`, `alerts` by `alert`. `total_timeout` counts from the run's creation, over all
    attempts and waits. `on_agent_loss` is restart, fail, or wait for `agent_loss_wait`. `memory_bytes`, `pids` and `cpus`
    limit what each attempt may use; `run_as` is a user, or user:group, of the agent's machine that the agent allows. They
    are for `exec_job` and `shell_job`. `resources` are what each attempt is promised of its agent, `placement` says which
    agent is chosen; both are made by the functions of those names. `queue` is the one that its runs wait in. `concurrency`
    is made by the function of that name; `max_running` bounds how many runs of the job are with agents at once; a run
    that has not begun `start_deadline` after it was due is skipped. `labels` are what the job is filed under.
    """
    spec.user_id = user_id
    spec.env.update(env or {})
    spec.working_directory = working_directory
    if timeout is not None:
        spec.timeout.FromTimedelta(timedelta(seconds=timeout))
    if kill_grace is not None:
        spec.kill_grace.FromTimedelta(timedelta(seconds=kill_grace))
    spec.max_retries = max_retries
    if backoff:
        spec.backoff.CopyFrom(Backoff())
        for seconds in backoff:
            spec.backoff.list.add().FromTimedelta(timedelta(seconds=seconds))
    spec.priority = priority
    spec.constraints.extend(constraints)
    if execution_time is not None:
        spec.execution_time.FromDatetime(_with_zone("execution_time", execution_time))
    spec.schedules.extend(schedules)
    if misfire is not None:
        spec.misfire.CopyFrom(misfire)
    if overlap is not None:
        spec.overlap.CopyFrom(overlap)
    spec.params.update(params or {})
    if retry_on is not None:
        spec.retry_on.CopyFrom(retry_on)
    if no_retry_on is not None:
        spec.no_retry_on.CopyFrom(no_retry_on)
    if total_timeout is not None:
        spec.total_timeout.FromTimedelta(timedelta(seconds=total_timeout))
    if on_agent_loss:
        spec.MergeFrom(JobSpec(on_agent_loss=_label("AGENT_LOSS_POLICY", on_agent_loss)))
    if agent_loss_wait is not None:
        spec.agent_loss_wait.FromTimedelta(timedelta(seconds=agent_loss_wait))
    if memory_bytes or pids or cpus:
        spec.limits.memory_bytes, spec.limits.pids, spec.limits.cpus = memory_bytes, pids, cpus
    spec.run_as = run_as
    if resources is not None:
        spec.resources.CopyFrom(resources)
    if placement is not None:
        spec.placement.CopyFrom(placement)
    spec.queue = queue
    if concurrency is not None:
        spec.concurrency.CopyFrom(concurrency)
    spec.max_running = max_running
    if start_deadline is not None:
        spec.start_deadline.FromTimedelta(timedelta(seconds=start_deadline))
    spec.labels.update(labels or {})
    spec.alerts.extend(alerts)
    return spec
