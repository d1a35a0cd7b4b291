"""Inside the process of a task: runs the handler and talks to the worker."""
from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Any

from . import channel, limits
from .context import (
    Cancelled,
    CheckpointError,
    Context,
    Fail,
    Handler,
    Retry,
    TaskInfo,
    check_progress,
    task_logger,
)
from .model import Wish


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keeps the request to stop from tearing a message apart."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ProcessContext(Context):
    """The context in a process of its own. SIGTERM raises `Cancelled` in the main thread, once."""

    def __init__(self, info: TaskInfo, log: logging.Logger, worker: socket.socket) -> None:
        super().__init__(info, log)
        self._worker = worker
        self._lock = threading.RLock()
        self._cancelled = False
        self._received = b""

    def on_term(self, _number: int, _frame: FrameType | None) -> None:
        if not self._cancelled:
            self._cancelled = True
            raise Cancelled

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def send(self, message: dict[str, Any], data: bytes = b"") -> None:
        frame = channel.pack(message, data)
        with self._lock, _undisturbed():
            self._worker.sendall(frame)

    def save_checkpoint(self, data: bytes) -> None:
        if len(data) > limits.CHECKPOINT_BYTES:
            raise CheckpointError(f"it has {len(data)} bytes; at most {limits.CHECKPOINT_BYTES} are kept")
        with self._lock:
            sequence = self._next_sequence()
            try:
                self.send({"op": "checkpoint", "sequence": sequence}, bytes(data))
                while True:
                    answer = self._receive()
                    # One that was given up when the task was asked to stop may still be answered.
                    if answer.get("sequence") == sequence:
                        break
            except OSError as error:
                raise CheckpointError(f"the worker does not answer: {error}") from error
        if answer["error"]:
            raise CheckpointError(answer["error"])

    _sequence = 0

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def _receive(self) -> dict[str, Any]:
        while True:
            if len(self._received) >= channel.HEADER.size:
                text, data = channel.lengths(self._received[: channel.HEADER.size])
                end = channel.HEADER.size + text + data
                if len(self._received) >= end:
                    message, _ = channel.unpack(self._received[channel.HEADER.size : end - data], b"")
                    self._received = self._received[end:]
                    return message
            select.select([self._worker], [], [])
            with _undisturbed():
                got = self._worker.recv(65_536)
                self._received += got
            if not got:
                raise ConnectionError("it is gone")

    def progress(self, fraction: float, message: str = "") -> None:
        check_progress(fraction, message)
        self.send({"op": "progress", "fraction": float(fraction), "message": message})


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _time(ns: int | None) -> datetime | None:
    """Exact to the microsecond, which a float of seconds is not."""
    return None if ns is None else _EPOCH + timedelta(microseconds=ns // 1_000)


def _text(time: datetime | None) -> str:
    """RFC 3339 in UTC, as agents write it: a fraction only where there is one. Empty for none."""
    if time is None:
        return ""
    precision = "seconds" if time.microsecond == 0 else "microseconds" if time.microsecond % 1_000 else "milliseconds"
    return time.isoformat(timespec=precision).replace("+00:00", "Z")


def info_of(spec: dict[str, Any], checkpoint: bytes | None) -> TaskInfo:
    """The facts of an attempt, from what the worker wrote into its folder."""
    scheduled_time = _time(spec["scheduled_ns"])
    assert scheduled_time is not None, "every run has a scheduled time"
    return TaskInfo(
        name=spec["name"],
        namespace=spec["namespace"],
        job_id=spec["job_id"],
        run_id=spec["run_id"],
        attempt=spec["attempt"],
        fencing_token=spec["fence"],
        scheduled_time=scheduled_time,
        retry_count=spec["retry_count"],
        worker_id=spec["worker_id"],
        env=spec["env"],
        deadline=_time(spec["deadline_ns"] or None),
        checkpoint=checkpoint,
        trigger=spec["trigger"],
        params=spec["params"],
        previous_scheduled_time=_time(spec["previous_scheduled_ns"]),
        next_scheduled_time=_time(spec["next_scheduled_ns"]),
        last_success_time=_time(spec["last_success_ns"]),
    )


def environment(info: TaskInfo, user_id: str) -> dict[str, str]:
    """The variables of an attempt's process: the job's, with Rota's own winning."""
    return {
        **info.env,
        **{f"ROTA_PARAM_{name.upper()}": value for name, value in sorted(info.params.items())},
        "ROTA_PARAMS": json.dumps(dict(sorted(info.params.items())), ensure_ascii=False, separators=(",", ":")),
        "ROTA_JOB_ID": info.job_id,
        "ROTA_NAMESPACE": info.namespace,
        "ROTA_RUN_ID": info.run_id,
        "ROTA_ATTEMPT": str(info.attempt),
        "ROTA_FENCING_TOKEN": str(info.fencing_token),
        "ROTA_TRIGGER": info.trigger,
        "ROTA_SCHEDULED_TIME": _text(info.scheduled_time),
        "ROTA_SCHEDULED_UNIX": str((info.scheduled_time - _EPOCH) // timedelta(seconds=1)),
        "ROTA_PREVIOUS_SCHEDULED_TIME": _text(info.previous_scheduled_time),
        "ROTA_NEXT_SCHEDULED_TIME": _text(info.next_scheduled_time),
        "ROTA_LAST_SUCCESS_TIME": _text(info.last_success_time),
        "ROTA_RETRY_COUNT": str(info.retry_count),
        "ROTA_WORKER_ID": info.worker_id,
        "ROTA_USER_ID": user_id,
    }


def describe(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, (Fail, Retry)) and str(error):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()


def wish_of(error: BaseException) -> Wish:
    """What an exception says of further attempts."""
    return Wish(isinstance(error, Fail), error.after_ms if isinstance(error, Retry) else None)


def run(handlers: dict[str, Handler], folder: Path, worker: socket.socket) -> int:
    """Runs the attempt whose folder this is; the exit code of its process."""
    spec = json.loads((folder / "attempt.json").read_text())
    saved = folder / "checkpoint"
    info = info_of(spec, saved.read_bytes() if saved.exists() else None)
    os.environ.update(environment(info, spec["user_id"]))
    context = ProcessContext(info, task_logger(info.run_id, logging.StreamHandler(sys.stdout)), worker)
    code = 1
    try:
        signal.signal(signal.SIGTERM, context.on_term)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if spec["working_directory"]:
            os.chdir(spec["working_directory"])
        result = handlers[info.name](context, json.loads(spec["payload"] or "null"))
        if result is not None:
            print(json.dumps(result), flush=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except Cancelled:
        print("the task was asked to stop", file=sys.stderr)
    except BaseException as error:
        traceback.print_exc()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            wish = wish_of(error)
            context.send(
                {
                    "op": "failed",
                    "error": describe(error)[: limits.ERROR_BYTES],
                    "no_retry": wish.no_retry,
                    "retry_after_ms": wish.retry_after_ms,
                }
            )
        except OSError:
            print("the worker is gone", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code & 0xFF
