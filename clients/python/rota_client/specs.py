"""Builds job specifications. Lengths of time are in seconds."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .messages import AgentLossPolicy, Backoff, Constraint, ConstraintOperator, JobSpec

_OPERATORS = {
    "=": ConstraintOperator.CONSTRAINT_OPERATOR_EQUAL,
    "!=": ConstraintOperator.CONSTRAINT_OPERATOR_NOT_EQUAL,
    "in": ConstraintOperator.CONSTRAINT_OPERATOR_IN,
    "not_in": ConstraintOperator.CONSTRAINT_OPERATOR_NOT_IN,
    "exists": ConstraintOperator.CONSTRAINT_OPERATOR_EXISTS,
    "not_exists": ConstraintOperator.CONSTRAINT_OPERATOR_NOT_EXISTS,
}


def constraint(label: str, operator: str, *values: str) -> Constraint:
    """A condition on an agent's labels; `operator` is =, !=, in, not_in, exists or not_exists."""
    if operator not in _OPERATORS:
        raise ValueError(f"operator is {operator!r}; it has to be one of {', '.join(_OPERATORS)}")
    return Constraint(label=label, operator=_OPERATORS[operator], values=values)


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
    fail_when_agent_is_lost: bool = False,
) -> JobSpec:
    """Fills in what all kinds of jobs share; what is not said takes the server's default.

    `backoff` lists the waits before the first, second … retry; the last one stands for all that follow.
    `execution_time` has to know its time zone.
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
        if execution_time.tzinfo is None:
            raise ValueError("execution_time has no time zone; say for example tzinfo=timezone.utc")
        spec.execution_time.FromDatetime(execution_time)
    if fail_when_agent_is_lost:
        spec.on_agent_loss = AgentLossPolicy.AGENT_LOSS_POLICY_FAIL
    return spec
