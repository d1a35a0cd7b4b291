"""What a handler is given."""
from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from . import limits

Handler = Callable[["Context", Any], Any]
"""Takes the context and the decoded payload. What it returns, None or a JSON value, is the last line of
the attempt's output; an exception is a failure."""


class Cancelled(BaseException):
    """The attempt has to end: it was cancelled, timed out, or the worker stops or lost its lease.

    Not an `Exception`, so that an `except Exception` does not swallow it.
    """


class CheckpointError(Exception):
    """A checkpoint was not saved: refused as too large or stale, or the attempt is not the worker's any more."""


class Fail(Exception):
    """Raised by a handler: the attempt has failed, and another would be of no use. The run fails, whatever retries its
    job allows."""


class Retry(Exception):
    """Raised by a handler: the attempt has failed, and the next one, where the job allows one, waits `after` (seconds,
    or a timedelta; at most a day) in place of the job's backoff."""

    def __init__(self, reason: str = "", *, after: float | timedelta) -> None:
        super().__init__(reason)
        seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
        if not 0 <= seconds <= limits.RETRY_AFTER_SECONDS:
            raise ValueError(f"after is {seconds:g} s; it has to be 0 to {limits.RETRY_AFTER_SECONDS:g}")
        self.after_ms = round(seconds * 1_000)


@dataclass(frozen=True)
class TaskInfo:
    """The facts of an attempt."""

    name: str
    namespace: str
    job_id: str
    run_id: str
    attempt: int
    fencing_token: int
    """Rises with each attempt of the run: hand it to the systems that the task writes to."""
    scheduled_time: datetime
    retry_count: int
    worker_id: str
    env: Mapping[str, str]
    """The job's `env`; in a process it is in `os.environ`, too."""
    deadline: datetime | None
    """When the job's timeout ends the attempt."""
    checkpoint: bytes | None
    """What an earlier attempt of the run saved last."""
    trigger: str
    """What made the run: `schedule`, `manual`, `backfill` or `retry`."""
    params: Mapping[str, str]
    """The job's values and those that the run was triggered with."""
    previous_scheduled_time: datetime | None
    """The occurrence before `scheduled_time`, by the job's schedules; None when there is none."""
    next_scheduled_time: datetime | None
    """The occurrence after it."""
    last_success_time: datetime | None
    """The scheduled time of the job's last run that succeeded, of those that are kept."""


class Context(ABC):
    """An attempt, as its handler sees it. Safe to use from several threads."""

    def __init__(self, info: TaskInfo, log: logging.Logger) -> None:
        self.info = info
        self.log = log
        """Its output is in the attempt's log: `rota logs` shows it."""

    @property
    def job_id(self) -> str:
        return self.info.job_id

    @property
    def run_id(self) -> str:
        return self.info.run_id

    @property
    def attempt(self) -> int:
        return self.info.attempt

    @property
    def fencing_token(self) -> int:
        return self.info.fencing_token

    @property
    def scheduled_time(self) -> datetime:
        return self.info.scheduled_time

    @property
    def previous_scheduled_time(self) -> datetime | None:
        return self.info.previous_scheduled_time

    @property
    def next_scheduled_time(self) -> datetime | None:
        return self.info.next_scheduled_time

    @property
    def last_success_time(self) -> datetime | None:
        return self.info.last_success_time

    @property
    def trigger(self) -> str:
        return self.info.trigger

    @property
    def params(self) -> Mapping[str, str]:
        return self.info.params

    @property
    def retry_count(self) -> int:
        return self.info.retry_count

    @property
    def deadline(self) -> datetime | None:
        return self.info.deadline

    @property
    def checkpoint(self) -> bytes | None:
        return self.info.checkpoint

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Whether the attempt has to end."""

    def raise_if_cancelled(self) -> None:
        """Raises `Cancelled` when the attempt has to end."""
        if self.cancelled:
            raise Cancelled

    @abstractmethod
    def save_checkpoint(self, data: bytes) -> None:
        """Returns once it is durable: the run's next attempt starts from it. At most 256 KiB.

        Waits while there is no leader. Raises `CheckpointError` when it was not saved.
        """

    @abstractmethod
    def progress(self, fraction: float, message: str = "") -> None:
        """Says how far the task is, 0 to 1. Cheap: what follows quickly replaces what was said before."""


def check_progress(fraction: float, message: str) -> None:
    """Raises `ValueError` for what is no progress."""
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"progress: the fraction is {fraction}; it has to be 0 to 1")
    if (size := len(message.encode())) > limits.PROGRESS_MESSAGE_BYTES:
        raise ValueError(f"progress: the message has {size} bytes; at most {limits.PROGRESS_MESSAGE_BYTES} fit")


def task_logger(key: str, handler: logging.Handler) -> logging.Logger:
    """A logger of its own for an attempt, outside of the tree of loggers: it vanishes with the attempt."""
    log = logging.Logger(f"rota_worker.task.{key}", logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    return log
