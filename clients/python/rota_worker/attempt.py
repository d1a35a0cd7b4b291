"""What a worker keeps of each attempt, and of the session with the leader."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from .model import Assignment, AttemptKey, AttemptRef, CheckpointMessage, End, Health, KillMode, Progress


class Phase(Enum):
    WAITING = "waiting"
    ACTIVE = "active"
    ENDED = "ended"


class Cause(Enum):
    """Why the machine had a task stopped."""

    CANCELLED = "cancelled"
    FENCED = "fenced"
    AGENT_STOPPED = "agent stopped"


@dataclass
class Attempt:
    ref: AttemptRef
    phase: Phase
    assignment: Assignment | None = None
    started_ns: int | None = None
    end: End | None = None
    progress: Progress | None = None
    cause: Cause | None = None
    cause_text: str = ""
    killed: KillMode | None = None
    forgotten: bool = False
    queued: bool = False
    checkpoint: CheckpointMessage | None = None
    """The one that is not acknowledged."""
    checkpoints: int = 0


@dataclass
class Session:
    outbox: deque[AttemptKey] = field(default_factory=deque)
    in_flight: deque[tuple[int, list[AttemptKey]]] = field(default_factory=deque)
    last_sequence: int = 0
    health: Health | None = None
    tell_draining: bool = False
    # Whether an assignment was dropped: the leader takes it for known while the session lasts.
    has_dropped: bool = False
