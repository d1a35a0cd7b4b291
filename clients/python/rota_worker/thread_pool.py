"""Runs each attempt in a thread of the worker: cheap, but a thread cannot be killed.

So stopping is the handler's business (`Context.raise_if_cancelled`), and a watchdog in a process of its own
kills the whole worker when a thread is still there shortly after the trust in the lease has ended.
"""
from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import os
import subprocess
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from . import _child, executor, launch, limits, logs
from .clock import wall_ns
from .context import Cancelled, CheckpointError, Context, TaskInfo, check_progress, task_logger
from .files import DataFolder
from .model import Assignment, AttemptKey, AttemptRef, End, EndReason, KillMode, Wish
from .registry import Handlers
from .trust import TrustFile


class _LogHandler(logging.Handler):
    """A logger's output in the attempt's log."""

    def __init__(self, writer: logs.LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record).encode() + b"\n")
        except OSError:
            self.handleError(record)


@dataclass
class Running:
    assignment: Assignment
    folder: Path
    cancelled: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    waiting: dict[int, concurrent.futures.Future[str]] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class ThreadContext(Context):
    def __init__(self, info: TaskInfo, log: logging.Logger, pool: ThreadPool, running: Running) -> None:
        super().__init__(info, log)
        self._pool = pool
        self._running = running

    @property
    def cancelled(self) -> bool:
        return self._running.cancelled.is_set()

    def save_checkpoint(self, data: bytes) -> None:
        if len(data) > limits.CHECKPOINT_BYTES:
            raise CheckpointError(f"it has {len(data)} bytes; at most {limits.CHECKPOINT_BYTES} are kept")
        answer: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._pool.call(self._pool.save, self._running, bytes(data), answer)
        if error := answer.result():
            raise CheckpointError(error)

    def progress(self, fraction: float, message: str = "") -> None:
        check_progress(fraction, message)
        self._pool.call(self._pool.progress_made, self._running.assignment.ref, float(fraction), message)


class ThreadPool:
    def __init__(
        self, handlers: Handlers, folder: DataFolder, trust: TrustFile, worker_id: str, log_bytes: int,
        grace_ns: int,
    ) -> None:
        """`grace_ns` is what threads may take to stop when trust has ended, before the worker is killed."""
        self._handlers = handlers
        self._folder = folder
        self._trust = trust
        self._worker_id = worker_id
        self._log_bytes = log_bytes
        self._grace_ns = grace_ns
        self._events: executor.TaskEvents | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[AttemptKey, Running] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    async def begin(self, events: executor.TaskEvents) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        alive, theirs = os.pipe()
        argv = launch.argv("_watchdog", self._trust.descriptor, self._grace_ns)
        # It ends when its input does, which is when this process does.
        self._watchdog = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=theirs, pass_fds=(self._trust.descriptor,), start_new_session=True
        )
        os.close(theirs)
        os.set_blocking(alive, False)
        # It says a word when it is up; then nothing until it ends.
        ready: asyncio.Future[bytes] = self._loop.create_future()

        def up() -> None:
            assert self._loop is not None
            self._loop.remove_reader(alive)
            ready.set_result(os.read(alive, 16))

        self._loop.add_reader(alive, up)
        if not await asyncio.wait_for(ready, limits.FORK_SECONDS):
            raise RuntimeError("the watchdog has not started")
        self._loop.add_reader(alive, self._watchdog_ended, alive)

    def _watchdog_ended(self, alive: int) -> None:
        assert self._loop is not None and self._events is not None
        self._loop.remove_reader(alive)
        os.close(alive)
        if self._watchdog is not None:
            # Nobody would end the threads in time any more: they end now.
            if self._running:
                os._exit(1)
            self._events.fatal("the watchdog has ended")

    def call(self, function: object, *arguments: object) -> None:
        """From a thread into the event loop."""
        assert self._loop is not None and callable(function)
        self._loop.call_soon_threadsafe(function, *arguments)

    # Attempts, in the event loop

    def start(self, assignment: Assignment) -> None:
        assert self._events is not None and self._loop is not None, "begin comes first"
        try:
            folder, spec = executor.prepare(self._folder, assignment, self._worker_id)
        except OSError as error:
            self._events.task_ended(
                assignment.ref, End(wall_ns(), EndReason.START_FAILED, error=f"the worker: {error}")
            )
            return
        running = Running(assignment, folder)
        self._running[assignment.ref.key] = running
        self._trust.threads = len(self._running)
        if assignment.timeout_ms is not None:
            running.timer = self._loop.call_later(assignment.timeout_ms / 1_000, self._cancel, running, "timeout")
        info = _child.info_of(spec, assignment.checkpoint or None)
        self._events.task_started(assignment.ref, wall_ns())
        threading.Thread(
            target=self._run, args=(running, info), name=f"rota-{assignment.ref.run_id}", daemon=True
        ).start()

    @staticmethod
    def _cancel(running: Running, why: str) -> None:
        running.why = running.why or why
        running.cancelled.set()
        # Whoever waits for a checkpoint waits no more.
        for answer in running.waiting.values():
            answer.set_result("the task was asked to stop")
        running.waiting.clear()

    def kill(self, ref: AttemptRef, mode: KillMode) -> None:
        if (running := self._running.get(ref.key)) is not None:
            self._cancel(running, "stopped")

    def save(self, running: Running, data: bytes, answer: concurrent.futures.Future[str]) -> None:
        assert self._events is not None
        running.waiting[self._events.checkpoint_wanted(running.assignment.ref, data)] = answer

    def progress_made(self, ref: AttemptRef, fraction: float, message: str) -> None:
        assert self._events is not None
        self._events.progress_made(ref, fraction, message)

    def checkpoint_done(self, ref: AttemptRef, sequence: int, error: str) -> None:
        running = self._running.get(ref.key)
        answer = running.waiting.pop(sequence, None) if running is not None else None
        if answer is not None:
            answer.set_result(error)

    def _ended(self, running: Running, code: int, failure: str, wish: Wish) -> None:
        assert self._events is not None
        if running.timer is not None:
            running.timer.cancel()
        del self._running[running.assignment.ref.key]
        self._trust.threads = len(self._running)
        reason = EndReason.EXITED
        if running.why == "timeout":
            reason, failure = EndReason.TIMEOUT, executor.timed_out(running.assignment.timeout_ms)
        elif running.why and code != 0:
            reason, failure = EndReason.CANCELLED, ""
        end = End(
            wall_ns(),
            reason,
            exit_code=code,
            error=failure,
            output_tail=logs.tail(running.folder),
            wish=wish if reason is EndReason.EXITED else Wish(),
        )
        self._events.task_ended(running.assignment.ref, end)

    # In the attempt's thread

    def _run(self, running: Running, info: TaskInfo) -> None:
        out = logs.LogWriter(running.folder, "stdout", self._log_bytes)
        handler = _LogHandler(out)
        context = ThreadContext(info, task_logger(info.run_id, handler), self, running)
        code, failure, wish = 1, "", Wish()
        try:
            result = self._handlers[info.name](context, json.loads(running.assignment.payload or "null"))
            if result is not None:
                out.write(json.dumps(result).encode() + b"\n")
            code = 0
        except Cancelled:
            failure = "the task was asked to stop"
        except BaseException as error:
            failure, wish = _child.describe(error), _child.wish_of(error)
            context.log.error("%s", traceback.format_exc())
        finally:
            handler.close()
            out.close()
            self.call(self._ended, running, code, failure, wish)

    def close(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None and watchdog.stdin is not None:
            watchdog.stdin.close()
            watchdog.wait()
