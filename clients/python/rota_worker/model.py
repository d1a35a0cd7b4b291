"""What a worker knows of attempts: plain values, without gRPC."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


def is_identifier(text: str) -> bool:
    """Whether a text can be an id in Rota."""
    return IDENTIFIER.fullmatch(text) is not None


class AttemptKey(NamedTuple):
    """What identifies an attempt within one worker."""

    namespace: str
    job_id: str
    run_id: str
    attempt: int


class AttemptRef(NamedTuple):
    """Which attempt of which run; all fields count."""

    namespace: str
    job_id: str
    run_id: str
    attempt: int
    fence: int
    incarnation: int

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(self.namespace, self.job_id, self.run_id, self.attempt)

    @property
    def wire_bytes(self) -> int:
        """About what it takes in a message, with the fixed fields of an update."""
        return len(self.namespace) + len(self.job_id) + len(self.run_id) + 96


class EndReason(Enum):
    """Why an attempt ended; the values are those of `rota.v1.EndReason`."""

    EXITED = 1
    TIMEOUT = 2
    CANCELLED = 3
    FENCED = 4
    AGENT_STOPPED = 5
    START_FAILED = 7

    @property
    def is_agents_fault(self) -> bool:
        """It costs the job no retry."""
        return self in (EndReason.FENCED, EndReason.AGENT_STOPPED)


@dataclass(frozen=True)
class Usage:
    user_us: int = 0
    system_us: int = 0
    max_rss_kib: int = 0


@dataclass(frozen=True)
class Assignment:
    """One attempt to run."""

    ref: AttemptRef
    kind: str
    """`task`; anything else is refused."""
    name: str
    payload: str
    """JSON text; empty stands for null."""
    scheduled_ns: int
    retry_count: int = 0
    timeout_ms: int | None = None
    kill_grace_ms: int | None = None
    checkpoint: bytes = b""
    user_id: str = ""
    working_directory: str = ""
    env: tuple[tuple[str, str], ...] = ()
    trigger: str = "schedule"
    """What made the run: `schedule`, `manual` or `backfill`."""
    params: tuple[tuple[str, str], ...] = ()
    previous_scheduled_ns: int | None = None
    next_scheduled_ns: int | None = None
    last_success_ns: int | None = None


@dataclass(frozen=True)
class Wish:
    """What a task wants to follow its failure."""

    no_retry: bool = False
    """Another attempt would be of no use."""
    retry_after_ms: int | None = None
    """How long the next attempt is to wait; as the job says for None."""


@dataclass(frozen=True)
class End:
    """How an attempt ended."""

    ended_ns: int
    reason: EndReason
    exit_code: int = 0
    signal: int = 0
    error: str = ""
    output_tail: bytes = b""
    usage: Usage | None = None
    wish: Wish = Wish()


@dataclass(frozen=True)
class Progress:
    fraction: float
    message: str
    at_ns: int


@dataclass(frozen=True)
class Update:
    """What became of an attempt. A start and an end may be one update."""

    ref: AttemptRef
    started_ns: int | None = None
    end: End | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Health:
    cpu: float = 0.0
    load1: float = 0.0
    memory_total: int = 0
    memory_available: int = 0
    disk_total: int = 0
    disk_available: int = 0


@dataclass(frozen=True)
class Status:
    """A batch of news. The sequence is 0 where there are no updates."""

    sequence: int = 0
    updates: tuple[Update, ...] = ()
    health: Health | None = None
    draining: bool = False


@dataclass(frozen=True)
class CheckpointMessage:
    ref: AttemptRef
    sequence: int
    data: bytes


class KillMode(Enum):
    """How a task is stopped."""

    TERMINATE = "terminate"
    """Ask, and kill after the grace of the job."""
    NOW = "now"


@dataclass(frozen=True)
class Kill:
    ref: AttemptRef
    mode: KillMode
    reason: str


@dataclass(frozen=True)
class CheckpointResult:
    """An answer for the task: `error` is empty once the checkpoint is durable."""

    ref: AttemptRef
    sequence: int
    error: str


@dataclass
class Effects:
    """What has to be done, in the order of the members."""

    journal: list[Update] = field(default_factory=list)
    """To keep on disk until `unjournal`: begun attempts (without an end) and ends."""
    unjournal: list[AttemptRef] = field(default_factory=list)
    start: list[Assignment] = field(default_factory=list)
    """Each is answered by `task_ended` for certain, and by `task_started` before that if it did."""
    kill: list[Kill] = field(default_factory=list)
    answers: list[CheckpointResult] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.journal or self.unjournal or self.start or self.kill or self.answers)


@dataclass
class Counters:
    """What should be rare, since the start."""

    foreign_assignments: int = 0
    duplicate_assignments: int = 0
    dropped_assignments: int = 0
    bad_acknowledgements: int = 0
    fenced: int = 0
