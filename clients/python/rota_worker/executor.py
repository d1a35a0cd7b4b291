"""What runs tasks, as the rest of the worker sees it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from . import limits
from .clock import wall_ns
from .files import DataFolder, replace
from .model import Assignment, AttemptRef, End, KillMode


class TaskEvents(Protocol):
    """Hears of tasks, in the thread of the event loop."""

    def task_started(self, ref: AttemptRef, wall_ns: int) -> None: ...

    def task_ended(self, ref: AttemptRef, end: End) -> None:
        """All of it is dead, or it could not be started."""

    def checkpoint_wanted(self, ref: AttemptRef, data: bytes) -> int:
        """The sequence under which `Executor.checkpoint_done` will answer."""

    def progress_made(self, ref: AttemptRef, fraction: float, message: str) -> None: ...

    def fatal(self, why: str) -> None:
        """The worker cannot go on."""


class Executor(Protocol):
    """Runs attempts; every `start` is answered by `task_ended`. Called in the thread of the event loop."""

    async def begin(self, events: TaskEvents) -> None: ...

    def start(self, assignment: Assignment) -> None: ...

    def kill(self, ref: AttemptRef, mode: KillMode) -> None: ...

    def checkpoint_done(self, ref: AttemptRef, sequence: int, error: str) -> None: ...

    def close(self) -> None:
        """When nothing runs any more."""


def facts(assignment: Assignment, worker_id: str) -> dict[str, object]:
    """What an attempt's task has to know, as JSON."""
    ref = assignment.ref
    timeout = assignment.timeout_ms
    return {
        "name": assignment.name,
        "payload": assignment.payload,
        "namespace": ref.namespace,
        "job_id": ref.job_id,
        "run_id": ref.run_id,
        "attempt": ref.attempt,
        "fence": ref.fence,
        "scheduled_ns": assignment.scheduled_ns,
        "previous_scheduled_ns": assignment.previous_scheduled_ns,
        "next_scheduled_ns": assignment.next_scheduled_ns,
        "last_success_ns": assignment.last_success_ns,
        "trigger": assignment.trigger,
        "params": dict(assignment.params),
        "retry_count": assignment.retry_count,
        "worker_id": worker_id,
        "user_id": assignment.user_id,
        "working_directory": assignment.working_directory,
        "env": dict(assignment.env),
        "deadline_ns": wall_ns() + timeout * 1_000_000 if timeout is not None else 0,
    }


def prepare(folder: DataFolder, assignment: Assignment, worker_id: str) -> tuple[Path, dict[str, object]]:
    """Makes an attempt's folder, with what its task has to know."""
    path = folder.attempt(assignment.ref)
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    spec = facts(assignment, worker_id)
    replace(path / "attempt.json", json.dumps(spec).encode())
    if assignment.checkpoint:
        replace(path / "checkpoint", assignment.checkpoint)
    return path, spec


def grace_ms(assignment: Assignment) -> int:
    grace = assignment.kill_grace_ms
    return limits.KILL_GRACE_MS if grace is None else grace


def timed_out(timeout_ms: int | None) -> str:
    return f"it ran longer than its timeout of {timeout_ms} ms"
