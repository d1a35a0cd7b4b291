"""What the cluster has to do while faults happen: jobs of all classes, cancellations, and reads at all servers.

Each job is planned in the history before it is submitted; its marker, the `user_id` of its specification, finds it again
whatever becomes of the answer.
"""
from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from .clients import RecordedClient
from .cluster import Cluster
from .history import HistoryWriter

SECOND = 1_000_000
# A client gives up on a submission after so long; the key then tells nobody any more.
SUBMIT_PATIENCE = 45.0
RETRY_PAUSE = 0.3
# What a task that is to fail ends with.
TEMPORARY_FAILURE = 75
BACKOFF = {"list": ["500ms", "1s"], "jitter": 0.1}
STEPS, STEP_MILLIS = 6, 800


@dataclass(frozen=True)
class Load:
    """Jobs a second."""

    one_off: float = 4.0
    retrying: float = 0.8
    at_most_once: float = 0.8
    cancelled: float = 1.0
    steps: float = 0.25
    """Of a worker's tasks and of processes, so many each: both save checkpoints."""
    doomed: float = 0.2
    chosen: float = 0.2
    """Of jobs whose failures are not retried, of failed jobs that are run again, and of those that wait for a lost agent, so
    many each."""
    grouped: float = 0.6
    """Of jobs that wait for a slot of a concurrency group; a third as many each of those that are skipped when it is full,
    and of those for which the oldest is cancelled."""
    recurring: int = 2
    """Of cron jobs and of those that forbid overlaps, so many each for the whole round."""
    reads: float = 6.0
    use_keys: bool = True
    """Whether submissions carry idempotency keys."""

    def scaled(self, factor: float) -> Load:
        """The same mix, more or less of it."""
        return Load(
            self.one_off * factor, self.retrying * factor, self.at_most_once * factor, self.cancelled * factor,
            self.steps * factor, self.doomed * factor, self.chosen * factor, self.grouped * factor,
            self.recurring, self.reads, self.use_keys,
        )  # fmt: skip


class Workload:
    """The work of one round; threads submit, cancel and read until it is over."""

    def __init__(self, cluster: Cluster, history: HistoryWriter, number: int, random: Random, load: Load) -> None:
        self.cluster, self.history, self.number, self.load = cluster, history, number, load
        self.client = RecordedClient(history)
        self.random = random
        self._ids = itertools.count()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._acknowledged: list[str] = []
        self._lock = threading.Lock()

    def start(self, seconds: float) -> None:
        """Begins; recurring jobs are due for so many seconds."""
        for n in range(self.load.recurring):
            for kind in ("cron", "forbid"):
                self._spawn(self._submit, *self._recurring(kind, n, seconds), Random(self.random.random()))
        rates = {
            "one_off": self.load.one_off, "retrying": self.load.retrying, "at_most_once": self.load.at_most_once,
            "cancelled": self.load.cancelled, "steps": self.load.steps, "process_steps": self.load.steps,
            "doomed": self.load.doomed, "not_retried": self.load.chosen, "run_again": self.load.chosen,
            "waiting": self.load.chosen, "grouped": self.load.grouped, "skipping": self.load.grouped / 3,
            "displacing": self.load.grouped / 3,
        }  # fmt: skip
        for kind, rate in rates.items():
            if rate > 0:
                self._spawn(self._keep_submitting, kind, rate, Random(self.random.random()))
        if self.load.reads > 0:
            self._spawn(self._keep_reading, Random(self.random.random()))

    def stop(self) -> None:
        """No new jobs; waits until every submission has come to an end."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def add(self, kind: str, body: dict[str, Any], **plan: Any) -> None:
        """One more job, of a fault: submitted in the background until it is acknowledged or patience ends."""
        marker = self._marker(kind)
        self._plan(marker, kind, **plan)
        self._spawn(self._submit, marker, {**body, "user_id": marker}, Random(self.random.random()))

    def submit_once(self, kind: str, body: dict[str, Any]) -> str | None:
        """One more job, of a fault, by one call; None when that is not acknowledged."""
        marker = self._marker(kind)
        self._plan(marker, kind)
        return self.client.submit(self.random.choice(self.cluster.servers), marker, {**body, "user_id": marker}, marker)

    def submit_twice(self) -> None:
        """A job whose first acknowledgement is lost on the way, so that it is submitted again."""
        marker = self._marker("one_off")
        self._plan(marker, "one_off")
        body = {"exec": self.cluster.tasks.argv(100), "user_id": marker}
        self._spawn(self._submit, marker, body, Random(self.random.random()), True)

    def submit_and_cancel(self) -> None:
        """A job that is cancelled at about the time when it ends."""
        marker = self._marker("cancelled")
        self._plan(marker, "cancelled")
        body = {**self._body("cancelled", self.random), "user_id": marker}
        self._spawn(self._submit, marker, body, Random(self.random.random()))

    def _spawn(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    # Jobs

    def _marker(self, kind: str) -> str:
        return f"{kind}-{self.number}-{next(self._ids)}"

    def _plan(self, marker: str, kind: str, **plan: Any) -> None:
        self.history.add("plan", marker=marker, round=self.number, **{"class": kind, **plan})

    def _recurring(self, kind: str, n: int, seconds: float) -> tuple[str, dict[str, Any]]:
        marker = self._marker(kind)
        first = (int(time.time()) + 4) * SECOND
        last = first + int(seconds) * SECOND
        self._plan(marker, kind, window=[first, last], every=1)
        flags, millis = ("s", 1_300) if kind == "forbid" else ("-", 150)
        body = {
            "exec": self.cluster.tasks.argv(millis, flags=flags),
            "schedules": [{"cron": "* * * * * *", "start_time": _rfc3339(first), "end_time": _rfc3339(last)}],
            "misfire": {"policy": "all", "limit": 1000, "grace": "10m"},
            "overlap": {"policy": kind if kind == "forbid" else "allow"},
            "user_id": marker,
        }
        return marker, body

    def _body(self, kind: str, random: Random) -> dict[str, Any]:
        tasks = self.cluster.tasks
        millis = random.choice([20, 100, 300, 1_000, 2_500, 6_000])
        match kind:
            case "one_off":
                flags = "t" if random.random() < 0.2 else "-"
                body: dict[str, Any] = {"exec": tasks.argv(millis, flags=flags)}
                if random.random() < 0.2:
                    # Not a `delay`, which counts from the server's clock: that may be an hour off.
                    due = time.time_ns() // 1000 + random.randrange(1, 5) * SECOND
                    body["execution_time"] = _rfc3339(due)
                return body
            case "retrying":
                failures = random.randrange(1, 3)
                return {"exec": tasks.argv(100, failures=failures), "max_retries": failures + 1, "backoff": BACKOFF}
            case "doomed":
                return {"exec": tasks.argv(50, failures=99), "max_retries": 1, "backoff": BACKOFF}
            case "not_retried":
                never = {"exit_codes": [TEMPORARY_FAILURE]}
                return {"exec": tasks.argv(50, failures=99), "max_retries": 3, "backoff": BACKOFF, "no_retry_on": never}
            case "run_again":
                return {"exec": tasks.argv(50, failures=99)}
            case "waiting":
                wait = {"on_agent_loss": "wait", "agent_loss_wait": "20s"}
                return {"exec": tasks.argv(random.choice([1_500, 5_000])), **wait}
            case "at_most_once":
                return {"exec": tasks.argv(random.choice([500, 1_500, 5_000])), "on_agent_loss": "fail"}
            case "grouped" | "skipping" | "displacing":
                policy = {"grouped": "wait", "skipping": "skip", "displacing": "cancel_oldest"}[kind]
                group = {"key": f"{kind}-{{{{params.n}}}}", "limit": 1 + (kind == "grouped"), "when_full": policy}
                params = {"n": str(random.randrange(2))}
                argv = tasks.argv(random.choice([100, 1_000, 3_000]))
                return {"exec": argv, "kill_grace": "1s", "params": params, "concurrency": group, "max_running": 1}
            case "cancelled":
                return {"exec": tasks.argv(millis), "kill_grace": "1s"}
            case "process_steps":
                return {"exec": tasks.argv(STEPS * STEP_MILLIS, flags="c")}
            case _:
                payload = {"steps": STEPS, "millis": STEP_MILLIS}
                return {"task": {"name": "steps", "payload": payload}, "kill_grace": "2s"}

    # Threads

    def _keep_submitting(self, kind: str, rate: float, random: Random) -> None:
        """A client of its own; while a submission hangs, others go on in threads of their own."""
        while not self._over.wait(random.expovariate(rate)):
            marker = self._marker(kind)
            self._plan(marker, kind)
            body = {**self._body(kind, random), "user_id": marker}
            self._spawn(self._submit, marker, body, Random(random.random()))

    def _submit(self, marker: str, body: dict[str, Any], random: Random, lose_first: bool = False) -> None:
        """Submits until it is acknowledged. A client without an idempotency key must not try again after `unknown`,
        but that is what clients without one do."""
        key = marker if self.load.use_keys else ""
        deadline = time.monotonic() + SUBMIT_PATIENCE
        job = None
        lose = lose_first
        while job is None and time.monotonic() < deadline:
            job = self.client.submit(random.choice(self.cluster.servers), marker, body, key, lose)
            lose = False
            if job is None:
                # One in ten is content with not knowing.
                if random.random() < 0.1 and marker.startswith("one_off") and not lose_first:
                    return
                time.sleep(RETRY_PAUSE)
        if job is None:
            return
        with self._lock:
            self._acknowledged.append(job)
        if marker.startswith("cancelled"):
            self._cancel(job, random)
        elif marker.startswith("run_again"):
            self._run_again(job, marker, random)

    def _cancel(self, job: str, random: Random) -> None:
        """Cancels at about the time when the task ends."""
        time.sleep(random.choice([0.0, 0.02, 0.1, 0.3, 1.0]) + random.random() * 0.1)
        deadline = time.monotonic() + SUBMIT_PATIENCE
        while time.monotonic() < deadline:
            if self.client.cancel(random.choice(self.cluster.servers), job) in ("ok", "fail"):
                return
            time.sleep(RETRY_PAUSE)

    def _run_again(self, job: str, marker: str, random: Random) -> None:
        """Asks for it until it is acknowledged: before it has failed there is nothing to be run again."""
        deadline = time.monotonic() + SUBMIT_PATIENCE
        while time.monotonic() < deadline:
            time.sleep(RETRY_PAUSE + random.random())
            if self.client.retry(random.choice(self.cluster.servers), job, f"{marker}-again"):
                return

    def _keep_reading(self, random: Random) -> None:
        while not self._over.wait(random.expovariate(self.load.reads)):
            with self._lock:
                job = random.choice(self._acknowledged[-200:]) if self._acknowledged else None
            if job:
                # A server that is cut off keeps its reader waiting: the others must not wait for it.
                server = random.choice(self.cluster.servers)
                self._spawn(self.client.read, server, job)


def _rfc3339(micros: int) -> str:
    return datetime.fromtimestamp(micros / SECOND, UTC).isoformat().replace("+00:00", "Z")
