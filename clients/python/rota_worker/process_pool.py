"""Runs each attempt in a process of its own, which can be killed: the pool of choice."""
from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import channel, executor, launch, limits, logs
from .clock import wall_ns
from .files import DataFolder
from .model import Assignment, AttemptKey, AttemptRef, End, EndReason, KillMode, Usage, Wish
from .trust import TrustFile

log = logging.getLogger("rota_worker.pool")


async def _receive(peer: socket.socket) -> bytes:
    """The next message of a helper; nothing once it has ended, in whatever way."""
    try:
        return await asyncio.get_running_loop().sock_recv(peer, 8_192)
    except ConnectionError:
        return b""


@dataclass
class Running:
    assignment: Assignment
    folder: Path
    control: socket.socket
    writer: asyncio.StreamWriter | None = None
    failure: str = ""
    wish: Wish = Wish()
    checkpoints: dict[int, int] = field(default_factory=dict)
    """The task's sequence of each checkpoint that the machine has one for."""


class ProcessPool:
    """Talks to the fork server, to the minder of each attempt, and to its task."""

    def __init__(
        self, target: str, attribute: str, folder: DataFolder, lock: int, trust: TrustFile, worker_id: str,
        log_bytes: int, tasks: int,
    ) -> None:
        """`target` and `attribute` say where the fork server finds the handlers."""
        self._target = target
        self._attribute = attribute
        self._folder = folder
        self._lock = lock
        self._trust = trust
        self._worker_id = worker_id
        self._log_bytes = log_bytes
        self._expected = tasks
        self._events: executor.TaskEvents | None = None
        self._server: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._running: dict[AttemptKey, Running] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    async def begin(self, events: executor.TaskEvents) -> None:
        """Starts the fork server; raises `RuntimeError` when it cannot load the handlers."""
        self._events = events
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = launch.argv(
            "_zygote", theirs.fileno(), self._trust.descriptor, self._target, self._attribute
        )
        # Its own session: a Ctrl-C in the terminal is for the worker, which drains.
        self._process = subprocess.Popen(
            argv,
            pass_fds=(theirs.fileno(), self._trust.descriptor, self._lock),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.setblocking(False)
        self._server = ours
        loop = asyncio.get_running_loop()
        try:
            said = await asyncio.wait_for(loop.sock_recv(ours, 8_192), limits.FORK_SECONDS)
        except asyncio.TimeoutError:
            raise RuntimeError(f"{self._target} was not loaded within {limits.FORK_SECONDS:g} s") from None
        message = json.loads(said) if said else {"error": "its process ended"}
        if "error" in message:
            raise RuntimeError(f"{self._target} cannot be loaded by the processes of tasks: {message['error']}")
        if message["tasks"] != self._expected:
            raise RuntimeError(
                f"{self._target} offers {message['tasks']} tasks when it is imported, the worker {self._expected}: "
                "define all of them at its top level"
            )
        self._go(self._watch(ours))

    def _go(self, work: Any) -> None:
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._done)

    def _done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()) is not None and self._events is not None:
            log.error("a pool's job failed", exc_info=error)
            self._events.fatal(f"the pool failed: {error!r}")

    async def _watch(self, server: socket.socket) -> None:
        while await _receive(server):
            pass
        if self._events is not None and self._process is not None:
            self._events.fatal("the fork server has ended")

    # Attempts

    def start(self, assignment: Assignment) -> None:
        assert self._events is not None and self._server is not None, "begin comes first"
        ref = assignment.ref
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stream, task_stream = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            folder, _ = executor.prepare(self._folder, assignment, self._worker_id)
            request = {
                "folder": str(folder),
                "timeout_ms": assignment.timeout_ms,
                "kill_grace_ms": executor.grace_ms(assignment),
                "log_bytes": self._log_bytes,
            }
            socket.send_fds(self._server, [json.dumps(request).encode()], [theirs.fileno(), task_stream.fileno()])
        except OSError as error:
            for end in (control, stream):
                end.close()
            self._events.task_ended(ref, End(wall_ns(), EndReason.START_FAILED, error=f"the worker: {error}"))
            return
        finally:
            theirs.close()
            task_stream.close()
        control.setblocking(False)
        running = Running(assignment, folder, control)
        self._running[ref.key] = running
        self._go(self._follow(running, stream))

    def kill(self, ref: AttemptRef, mode: KillMode) -> None:
        running = self._running.get(ref.key)
        if running is None:
            return
        try:
            running.control.send(json.dumps({"mode": mode.value}).encode())
        except OSError as error:
            log.debug("the minder of %s has ended: %s", ref.run_id, error)

    def checkpoint_done(self, ref: AttemptRef, sequence: int, error: str) -> None:
        running = self._running.get(ref.key)
        asked = running.checkpoints.pop(sequence, None) if running is not None else None
        if running is None or running.writer is None or asked is None:
            return
        running.writer.write(channel.pack({"sequence": asked, "error": error}))

    async def _follow(self, running: Running, stream: socket.socket) -> None:
        """From the start of an attempt to its end."""
        assert self._events is not None
        loop = asyncio.get_running_loop()
        ref = running.assignment.ref
        reader, running.writer = await asyncio.open_connection(sock=stream)
        listening = loop.create_task(self._listen(running, reader))
        ended: dict[str, Any] | None = None
        while ended is None:
            said = await _receive(running.control)
            if not said:
                break
            message = json.loads(said)
            if message["op"] == "started":
                self._events.task_started(ref, message["wall_ns"])
            else:
                ended = message
        await listening
        running.writer.close()
        running.control.close()
        del self._running[ref.key]
        self._events.task_ended(ref, self._end(running, ended))

    async def _listen(self, running: Running, reader: asyncio.StreamReader) -> None:
        """What the task says, until it has ended."""
        assert self._events is not None
        ref = running.assignment.ref
        try:
            while True:
                text, data = channel.lengths(await reader.readexactly(channel.HEADER.size))
                message, checkpoint = channel.unpack(await reader.readexactly(text), await reader.readexactly(data))
                if message["op"] == "progress":
                    self._events.progress_made(ref, message["fraction"], message["message"])
                elif message["op"] == "checkpoint":
                    self._save(running, message["sequence"], checkpoint)
                else:
                    running.failure = message["error"]
                    running.wish = Wish(message["no_retry"], message["retry_after_ms"])
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # It has ended, perhaps in the middle of a message.
        except (ValueError, KeyError) as error:
            running.failure = f"its process sent what is no message: {error}"

    def _save(self, running: Running, asked: int, data: bytes) -> None:
        assert self._events is not None
        ref = running.assignment.ref
        sequence = self._events.checkpoint_wanted(ref, data)
        running.checkpoints[sequence] = asked

    def _end(self, running: Running, ended: dict[str, Any] | None) -> End:
        if ended is None:
            error = "the process that minded it was killed"
            return End(wall_ns(), EndReason.AGENT_STOPPED, error=error, output_tail=logs.tail(running.folder))
        code = ended["code"]
        reason = {
            "": EndReason.EXITED,
            "timeout": EndReason.TIMEOUT,
            "fenced": EndReason.FENCED,
            "worker gone": EndReason.AGENT_STOPPED,
        }.get(ended["why"], EndReason.CANCELLED)
        error = running.failure
        if reason is EndReason.TIMEOUT:
            error = executor.timed_out(running.assignment.timeout_ms)
        elif reason is EndReason.FENCED:
            error = "the worker's lease could not be trusted"
        elif reason is EndReason.CANCELLED:
            error = ""
        return End(
            ended_ns=ended["wall_ns"],
            reason=reason,
            exit_code=max(0, code),
            signal=max(0, -code),
            error=error,
            output_tail=logs.tail(running.folder),
            usage=Usage(*ended["usage"]),
            wish=running.wish if reason is EndReason.EXITED else Wish(),
        )

    def close(self) -> None:
        """The fork server ends when its socket closes and no task is left."""
        process, self._process = self._process, None
        for job in self._jobs:
            job.cancel()
        if self._server is not None:
            self._server.close()
        if process is not None:
            try:
                process.wait(limits.LOCK_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
