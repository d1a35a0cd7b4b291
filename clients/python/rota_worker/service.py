"""A running worker: the machine, and everything that does what it decides, in one event loop."""
from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import metadata

from rota_client._generated.rota.v1 import agent_session_pb2 as pb

from . import limits, logs, wire
from .clock import boot_ns, wall_ns
from .config import Configuration
from .etcd import Etcd
from .executor import Executor
from .files import DataFolder
from .health import HealthSampler
from .journal import Journal
from .lease import Held, LeaseKeeper, SavedIncarnation, margin_ms
from .machine import Machine
from .model import AttemptRef, End, KillMode, Progress, is_identifier
from .process_pool import ProcessPool
from .registry import Handlers
from .session import LeaderFinder, SessionEnd, SessionLoop
from .thread_pool import ThreadPool
from .trust import TrustFile

log = logging.getLogger("rota_worker")

EXIT_FENCED = 70
"""The exit code of a worker that ended since it could not end its tasks otherwise."""


def _version() -> str:
    try:
        return "python-" + metadata.version("rota-client")
    except metadata.PackageNotFoundError:
        return "python-dev"


class Service:
    """Owns the machine; everything but the lease's calls happens in the event loop."""

    def __init__(self, configuration: Configuration, handlers: Handlers, target: str, attribute: str) -> None:
        configuration.validate(handlers)
        self.configuration = configuration
        self.worker_id = configuration.worker_id
        self.ttl_seconds = configuration.lease_ttl
        self._handlers = handlers
        self._target = target
        self._attribute = attribute
        self._machine = Machine(configuration.slots, handlers)
        self._folder = DataFolder(configuration.data_dir)
        self._journal = Journal(self._folder)
        self._began = datetime.now(timezone.utc)
        self._news = asyncio.Event()
        self._drain = asyncio.Event()
        self._hurry = asyncio.Event()
        self._drain_seconds = configuration.drain_timeout
        self._failure: str | None = None
        self._progress: dict[AttemptRef, Progress] = {}
        self._version = _version()

    # Life

    def run(self) -> None:
        """Until it is drained, or cannot go on: `RuntimeError` then."""
        asyncio.run(self._main())
        if self._failure is not None:
            raise RuntimeError(self._failure)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        lock = self._folder.lock()
        self._trust = TrustFile.create(self._folder.trust)
        self._health = HealthSampler(self._folder.path)
        self._pool = self._make_pool(lock)
        await self._pool.begin(self)
        self._recover()
        context = self.configuration.etcd_context
        patience = max(0.2, self.ttl_seconds / 4)
        keeper = LeaseKeeper(
            Etcd(self.configuration.etcd, patience, context),
            f"{self.configuration.prefix}/agents/{self.worker_id}",
            self._record,
            self.ttl_seconds,
            self.worker_id,
            self._folder.incarnation,
        )
        finder = LeaderFinder(lambda: Etcd(self.configuration.etcd, 2.0, context), self.configuration.prefix)
        self._install_signals()
        keeper.start(self, lambda error: self._later(self.fatal, f"the lease's thread failed: {error!r}"))
        sessions = SessionLoop(self, finder, self.configuration.channel_credentials)
        jobs = [
            self._loop.create_task(job)
            for job in (sessions.run(), self._watch_trust(), self._sample(), self._pass_on(), self._clean_up())
        ]
        for job in jobs:
            job.add_done_callback(self._job_ended)
        try:
            await self._until_drained()
        finally:
            clean = await self._end_tasks()
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            # In its thread, which may wait for a request: the loop has nothing else to do.
            await asyncio.to_thread(keeper.stop, clean)
            self._pool.close()
            os.close(lock)

    def _make_pool(self, lock: int) -> Executor:
        options = self.configuration
        if options.pool == "thread":
            # Half of what is between the end of trust and the end of the lease is for the handlers.
            grace_ns = margin_ms(self.ttl_seconds) * 1_000_000 // 2
            return ThreadPool(
                self._handlers, self._folder, self._trust, self.worker_id, options.log_bytes, grace_ns
            )
        return ProcessPool(
            self._target, self._attribute, self._folder, lock, self._trust, self.worker_id, options.log_bytes,
            len(self._handlers),
        )

    def _record(self) -> bytes:
        record = {
            "worker_id": self.worker_id,
            "host": socket.gethostname(),
            "labels": dict(self.configuration.labels),
            "slots": self.configuration.slots,
            "version": self._version,
            "started_at": self._began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "kinds": ["task"],
            "tasks": sorted(self._handlers),
            "resources": {
                "cpus": self.configuration.cpus,
                "memory_bytes": self.configuration.memory_bytes,
                "custom": dict(self.configuration.resources),
            },
        }
        return json.dumps(record, separators=(",", ":")).encode()

    def _recover(self) -> None:
        saved = SavedIncarnation.load(self._folder.incarnation)
        self._machine.recovered(self._journal.load(), wall_ns(), saved.leader_epoch if saved else 0)
        self._settle()

    def _install_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def asked() -> None:
            # The second time is an order to be quick.
            if self._drain.is_set():
                self._hurry.set()
            self._drain.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, asked)

    def drain(self, timeout: float | None) -> None:
        """From any thread: stop gracefully."""

        def begin() -> None:
            if timeout is not None:
                self._drain_seconds = timeout
            self._drain.set()

        self._later(begin)

    def _later(self, function: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    # Stopping

    async def _until_drained(self) -> None:
        await self._drain.wait()
        if self._failure is not None:
            return
        log.info("draining: %d tasks run", self._machine.active_count)
        self._machine.drain(wall_ns())
        self._settle()
        await self._wait_idle(self._drain_seconds)

    async def _end_tasks(self) -> bool:
        """Ends what runs, and has the ends acknowledged. False when the lease must not be given back."""
        if self._machine.active_count > 0 and self._failure is None:
            self._machine.stop_all(KillMode.TERMINATE, wall_ns())
            self._settle()
            await self._wait_idle(limits.KILL_GRACE_MS / 1_000)
        self._machine.stop_all(KillMode.NOW, wall_ns())
        self._settle()
        if self.configuration.pool == "thread" and self._machine.active_count > 0:
            # What they work on moves when the lease lapses, and they are dead long before.
            log.error("%d tasks do not stop, and threads cannot be killed: exiting", self._machine.active_count)
            os._exit(EXIT_FENCED)
        began = self._loop.time()
        while self._machine.active_count > 0:
            if self._failure is not None and self._loop.time() - began > limits.BROKEN_SECONDS:
                # The helpers see this process end, and kill what there may still be.
                log.error("%d tasks are not known to have ended: exiting", self._machine.active_count)
                os._exit(EXIT_FENCED)
            await asyncio.sleep(0.02)
        deadline = self._loop.time() + limits.ACKNOWLEDGEMENT_SECONDS
        while self._machine.unacknowledged_count > 0 and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        if left := self._machine.unacknowledged_count:
            log.warning("%d results are not acknowledged yet; they are kept", left)
        # A fork server that was killed may have left something behind.
        return self._failure is None

    async def _wait_idle(self, seconds: float) -> None:
        deadline = self._loop.time() + seconds
        while self._machine.active_count > 0 and self._loop.time() < deadline and not self._hurry.is_set():
            await asyncio.sleep(0.02)

    def fatal(self, why: str) -> None:
        log.error("the worker cannot go on: %s", why)
        self._failure = self._failure or why
        self._drain.set()

    def _job_ended(self, job: asyncio.Task[None]) -> None:
        if not job.cancelled() and (error := job.exception()) is not None:
            log.error("a part of the worker failed", exc_info=error)
            self.fatal(f"{error!r}")

    # Effects

    def _settle(self) -> None:
        """Does what the machine wants done, which may lead to more."""
        while effects := self._machine.take_effects(wall_ns(), boot_ns()):
            for update in effects.journal:
                self._journal.keep(update)
            for ref in effects.unjournal:
                self._journal.forget(ref)
            for assignment in effects.start:
                self._pool.start(assignment)
            for kill in effects.kill:
                self._pool.kill(kill.ref, kill.mode)
            for answer in effects.answers:
                # Behind what the pool is just doing: it may not know the sequence yet.
                self._loop.call_soon(self._pool.checkpoint_done, answer.ref, answer.sequence, answer.error)
        self._news.set()

    # The pool's news

    def task_started(self, ref: AttemptRef, wall_ns: int) -> None:
        self._machine.task_started(ref, wall_ns)
        self._settle_soon()

    def task_ended(self, ref: AttemptRef, end: End) -> None:
        self._progress.pop(ref, None)
        self._machine.task_ended(ref, end)
        self._settle_soon()

    def checkpoint_wanted(self, ref: AttemptRef, data: bytes) -> int:
        sequence = self._machine.checkpoint(ref, data, boot_ns())
        self._settle_soon()
        return sequence

    def progress_made(self, ref: AttemptRef, fraction: float, message: str) -> None:
        self._progress[ref] = Progress(fraction, message, wall_ns())

    def _settle_soon(self) -> None:
        """Not at once: the pool may be in the middle of starting something."""
        self._loop.call_soon(self._settle)

    async def _pass_on(self) -> None:
        while True:
            await asyncio.sleep(limits.PROGRESS_INTERVAL_SECONDS)
            latest, self._progress = self._progress, {}
            for ref, progress in latest.items():
                self._machine.progress(ref, progress)
            if latest:
                self._settle()

    # The lease, from its thread

    def incarnation_began(self, held: Held) -> None:
        self._trust.trusted_until = held.trusted_until
        self._later(self._begin_incarnation, held)

    def _begin_incarnation(self, held: Held) -> None:
        self._held = held
        self._machine.new_incarnation(held.create_revision)
        self._machine.lease_trusted(held.trusted_until, wall_ns(), boot_ns())
        self._settle()

    def lease_trusted(self, until: int) -> None:
        # Here and not in the loop, which may be busy: the watchdogs read it.
        if boot_ns() < self._trust.trusted_until:
            self._trust.trusted_until = max(self._trust.trusted_until, until)
            self._later(self._trusted, until)
        else:
            # Past the old end everything has to be dead before there is trust again.
            self._fence(lambda: self._machine.tick(wall_ns(), boot_ns()))
            self._trust.trusted_until = until
            self._later(self._trusted, until)

    def _trusted(self, until: int) -> None:
        self._machine.lease_trusted(until, wall_ns(), boot_ns())
        self._settle()

    def incarnation_ended(self, why: str) -> None:
        self._trust.trusted_until = min(self._trust.trusted_until, boot_ns())
        self._fence(lambda: self._machine.incarnation_lost(wall_ns(), boot_ns()))

    def _fence(self, end_all: Callable[[], None]) -> None:
        """In the lease's thread: ends all tasks, and waits until they are dead."""
        dead = threading.Event()

        async def fence() -> None:
            end_all()
            self._settle()
            while self._machine.active_count > 0:
                await asyncio.sleep(0.01)
            dead.set()

        asyncio.run_coroutine_threadsafe(fence(), self._loop)
        dead.wait()

    async def _watch_trust(self) -> None:
        """Looks at the clock when trust runs out. The watchdogs do the same for themselves."""
        while True:
            left = (self._trust.trusted_until - boot_ns()) / 1e9
            await asyncio.sleep(left if left > 0 else 0.1)
            before = self._machine.counters.fenced
            self._machine.tick(wall_ns(), boot_ns())
            if (count := self._machine.counters.fenced - before) > 0:
                log.error("the lease can no longer be trusted: killing %d tasks", count)
            self._settle()

    # The session

    @property
    def is_registered(self) -> bool:
        return self._machine.incarnation is not None

    def hello(self) -> pb.AgentMessage | None:
        incarnation = self._machine.incarnation
        if incarnation is None:
            return None
        return wire.hello(
            self.worker_id, incarnation, self._version, self._machine.known(), self._health.sample(),
            self._machine.is_draining,
        )

    def session_opened(self, leader_epoch: int) -> bool:
        seen = self._machine.leader_epoch
        if not self._machine.session_opened(leader_epoch):
            return False
        incarnation = self._machine.incarnation
        if leader_epoch != seen and incarnation is not None:
            # Before anything that this leader says is done.
            saved = SavedIncarnation(self.worker_id, self._held.lease, incarnation, leader_epoch)
            try:
                saved.save(self._folder.incarnation)
            except OSError as error:
                log.error("the leader's epoch cannot be saved; a restart begins a new incarnation: %s", error)
                self._folder.incarnation.unlink(missing_ok=True)
        self._settle()
        return True

    def session_closed(self) -> None:
        self._machine.session_closed()

    def received(self, message: pb.ServerMessage) -> None:
        wall, boot = wall_ns(), boot_ns()
        match message.WhichOneof("message"):
            case "assign":
                assignments = [wire.assignment_from_wire(a) for a in message.assign.assignments]
                self._machine.assign(assignments, wall, boot)
            case "stop":
                refs = [wire.ref_from_wire(ref) for ref in message.stop.attempts]
                if message.stop.hand_over and not message.stop.forget:
                    self._machine.hand_over(refs, message.stop.reason, wall)
                else:
                    self._machine.stop(refs, message.stop.forget, message.stop.reason, wall)
            case "ack":
                self._machine.acknowledged(message.ack.sequence)
            case "checkpoint_ack":
                ack = message.checkpoint_ack
                self._machine.checkpoint_acknowledged(wire.ref_from_wire(ack.attempt), ack.sequence, ack.error)
            case other:
                log.debug("a message of a kind that this version does not know: %s", other)
        self._settle()

    async def outgoing(self) -> list[pb.AgentMessage]:
        while True:
            self._news.clear()
            if self._machine.incarnation is None:
                raise SessionEnd("the incarnation has ended")
            if self._machine.wants_new_session:
                raise SessionEnd("assignments were dropped while too much was not acknowledged: asking for them again")
            if messages := self._machine.take_messages():
                return [wire.message_to_wire(message) for message in messages]
            await self._news.wait()

    def answer_log_query(self, query: pb.LogQuery) -> pb.LogReply:
        ref = wire.ref_from_wire(query.attempt)
        # Asked first: what the task writes before it ends is in the files by then.
        is_live = self._machine.is_live(ref)
        reply = pb.LogReply(request=query.request, offset=max(0, query.offset), end=not is_live)
        stream = {1: "stdout", 2: "stderr"}.get(query.stream)
        names = (ref.namespace, ref.job_id, ref.run_id)
        if stream is None or query.limit <= 0 or not all(map(is_identifier, names)):
            reply.error = "the query needs a stream, a positive limit, and an attempt with valid ids"
            return reply
        folder = self._folder.attempt(ref)
        if not folder.is_dir():
            if not is_live:
                reply.error = "this worker has no output of that attempt: it never had any, or it was removed by age"
            return reply
        reply.offset, reply.data, end = logs.read(folder, stream, query.offset, query.limit)
        reply.end = not is_live and reply.offset + len(reply.data) >= end
        return reply

    # Beside it

    async def _sample(self) -> None:
        while True:
            self._machine.health_sampled(self._health.sample())
            self._news.set()
            await asyncio.sleep(limits.HEALTH_SECONDS)

    async def _clean_up(self) -> None:
        while True:
            await asyncio.sleep(limits.JANITOR_SECONDS)
            needed = {self._folder.attempt(key) for key in self._machine.attempts}
            removed = await asyncio.to_thread(
                self._folder.sweep, needed, limits.FOLDER_SECONDS, limits.FOLDERS_KEPT
            )
            if removed:
                log.debug("removed %d folders of old attempts", removed)
