"""The history of a story: everything that happened, as JSON lines, in the order in which it was written down.

| kind | what it tells |
| --- | --- |
| `begin` | seed, lease TTLs, the wall clock at that moment |
| `round` | the begin and the end of a round of faults; `settled`: whether all jobs had ended by then |
| `plan` | a job that is about to be submitted: its marker (the `user_id` of its specification) and what it may come to |
| `op` | a call of a client: begin, end, `ok`, `fail` (certainly not done) or `unknown` |
| `change` | a put or a deletion in etcd, as an outside watch saw it |
| `task` | a line that a task wrote |
| `fault` | a fault is injected or healed |
| `process` | a process of the cluster starts, stops or is killed |
| `replaced` | an agent's process has left, and how long after that the next one spoke; `in_time`: whether its tasks have to go on |
| `paused` | up to this revision the brake has held back the runs of lost agents, since the one before in its round |
| `drained` | between these revisions an agent was drained, and when the deadline was |
| `waiting` | what does not work yet after healing |
| `recovered` | how long after healing everything worked again |
| `census` | which processes, leases and descriptors were there when nothing was to be done |

`t` is CLOCK_MONOTONIC in nanoseconds; revisions order the changes.
"""
from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = dict[str, Any]
TERMINAL = ("completed", "failed", "cancelled", "skipped")
# Why an attempt ended that its task did not end.
AGENTS_DOING = ("agent_lost", "fenced", "agent_stopped")


class HistoryWriter:
    """Takes events from all threads, and keeps them in memory and in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.events: list[Event] = []
        self._lock = threading.Lock()
        self._out = open(file, "a", encoding="utf-8")

    def add(self, kind: str, t: int | None = None, **fields: Any) -> None:
        """Writes an event down, of now if no time is given."""
        self.extend([{"t": time.monotonic_ns() if t is None else t, "kind": kind, **fields}])

    def extend(self, events: Iterable[Event]) -> None:
        """Writes several down."""
        added = list(events)
        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in added)
        with self._lock:
            if self._out.closed:
                return  # the story was interrupted, and a client of it is still waiting for an answer
            self.events += added
            self._out.write(text)
            self._out.flush()

    def close(self) -> None:
        """Takes nothing more."""
        with self._lock:
            self._out.close()


@dataclass
class Change:
    """A put or a deletion of a key. `revision` is etcd's."""

    revision: int
    key: str
    deleted: bool
    created: int
    lease: int
    value: dict[str, Any]


@dataclass
class Attempt:
    """One execution of a task, by its own words; times in nanoseconds."""

    run: str
    attempt: int
    fence: int
    agent: str
    starts: list[int] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    last: int = 0
    ended: bool = False
    busy: bool = False
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    """What it said of its steps: (`from` or `saved`, the step, when)."""

    @property
    def job(self) -> str:
        return self.run.split("/")[0]

    def __str__(self) -> str:
        return f"{self.run} attempt {self.attempt} (fence {self.fence}) on {self.agent}"


@dataclass
class Life:
    """The changes of one key from its creation to its deletion."""

    key: str
    created: int
    changes: list[Change] = field(default_factory=list)
    deleted_at: int | None = None

    @property
    def last(self) -> dict[str, Any]:
        return self.changes[-1].value if self.changes else {}

    @property
    def name(self) -> str:
        """`job/run` of a run, the job's id of a job."""
        parts = self.key.split("/")
        return "/".join(parts[5:]) if parts[2] == "runs" else parts[-1]


class History:
    """A history, sorted by subject. Checkers only look at it."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.by_kind: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            self.by_kind[event["kind"]].append(event)
        self.changes = sorted((_change(event) for event in self.by_kind["change"]), key=lambda c: c.revision)
        self.jobs: list[Life] = []
        self.runs: list[Life] = []
        self.agents: dict[str, list[Life]] = defaultdict(list)
        self._sort_changes()
        self.attempts = _attempts(self.by_kind["task"])
        self.runs_of: dict[str, list[Life]] = defaultdict(list)
        for run in self.runs:
            self.runs_of[run.name.split("/")[0]].append(run)

    @property
    def begin(self) -> Event:
        return self.by_kind["begin"][0] if self.by_kind["begin"] else {}

    @property
    def plans(self) -> dict[str, Event]:
        """Planned jobs by their markers."""
        return {event["marker"]: event for event in self.by_kind["plan"]}

    def ops(self, name: str) -> list[Event]:
        """The calls of one kind, in the order of their ends."""
        return [event for event in self.by_kind["op"] if event["op"] == name]

    @property
    def settled_rounds(self) -> set[int]:
        """Rounds that have ended, so that all of their jobs had to come to an end."""
        return {event["round"] for event in self.by_kind["round"] if event["phase"] == "end"}

    def agent_present(self, agent: str, incarnation: int, revision: int) -> bool:
        """Whether an incarnation's key was there just before that revision."""
        return any(
            life.created == incarnation
            and life.created < revision
            and (life.deleted_at is None or life.deleted_at >= revision)
            for life in self.agents[agent]
        )

    def _sort_changes(self) -> None:
        open_lives: dict[str, Life] = {}
        for change in self.changes:
            subject = change.key.split("/")[2] if change.key.count("/") >= 2 else ""
            if subject not in ("jobs", "runs", "agents"):
                continue
            if change.deleted:
                if life := open_lives.pop(change.key, None):
                    life.deleted_at = change.revision
                continue
            life = open_lives.get(change.key)
            if life is None or life.created != change.created:
                life = open_lives[change.key] = Life(change.key, change.created)
                if subject == "agents":
                    self.agents[change.key.split("/")[-1]].append(life)
                else:
                    (self.jobs if subject == "jobs" else self.runs).append(life)
            life.changes.append(change)


def _change(event: Event) -> Change:
    return Change(
        event["revision"], event["key"], event["type"] == "delete", event.get("created", 0), event.get("lease", 0),
        event.get("value") or {},
    )  # fmt: skip


def _attempts(events: Iterable[Event]) -> list[Attempt]:
    found: dict[tuple[str, int, int], Attempt] = {}
    for event in sorted(events, key=lambda each: each["t"]):
        key = (event["run"], event["attempt"], event["fence"])
        attempt = found.setdefault(key, Attempt(*key, event["agent"]))
        attempt.pids.add(event["pid"])
        attempt.last = max(attempt.last, event["t"])
        match event["what"]:
            case "start":
                attempt.starts.append(event["t"])
            case "end":
                attempt.ended = True
            case "busy":
                attempt.busy = True
            case "from" | "saved":
                attempt.steps.append((event["what"], int(event["extra"]), event["t"]))
    return list(found.values())


def load(file: Path) -> History:
    """A history that was kept."""
    with open(file, encoding="utf-8") as lines:
        return History([json.loads(line) for line in lines])
