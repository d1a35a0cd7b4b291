"""Between the worker and each task that has a process of its own, as `rota-shim` is for programs.

It owns the task's process tree and its output, and kills the tree when the task is over, when it is told to,
when the job's timeout or the trust in the worker's lease ends, and when the worker is gone. It needs no
living worker to do so.
"""
from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .clock import BootTimer, boot_ns, wall_ns
from .logs import STREAMS, LogWriter
from .trust import TrustFile

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def die_with_parent(parent: int) -> None:
    """SIGKILL when the parent ends; at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Orphans among the descendants become children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def descendants(root: int) -> list[int]:
    """The living processes below one, whatever session they went into."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Minder:
    """One attempt: its process, its clocks, its logs."""

    def __init__(self, request: dict[str, Any], control: socket.socket, trust: TrustFile) -> None:
        self._folder = Path(request["folder"])
        self._timeout_ms: int | None = request["timeout_ms"]
        self._grace_ns = request["kill_grace_ms"] * 1_000_000
        self._log_bytes: int = request["log_bytes"]
        self._control = control
        self._trust = trust
        self._timer = BootTimer()
        self._pid = 0
        self._status: tuple[int, Any] | None = None
        self._why = ""
        self._kill_at: int | None = None
        self._timeout_at: int | None = None
        self._pipes: dict[int, LogWriter] = {}

    def run(self, task: Callable[[], int], channel: socket.socket) -> None:
        """Runs `task` in a process of its own and reports its end; returns when all of it is dead.

        `channel` is the task's: it closes with the task.
        """
        os.setsid()
        become_subreaper()
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Who sends SIGTERM to everything means the tasks; what becomes of them is the worker's business.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._start(task, [wake_read, wake_write, self._timer.descriptor])
        channel.close()
        self._report(op="started", pid=self._pid, wall_ns=wall_ns())
        if self._timeout_ms is not None:
            self._timeout_at = boot_ns() + self._timeout_ms * 1_000_000
        poll = select.poll()
        for descriptor in (wake_read, self._timer.descriptor, self._control.fileno(), *self._pipes):
            poll.register(descriptor, select.POLLIN)
        while self._status is None:
            self._timer.set(self._look_at_clock())
            for descriptor, _ in poll.poll():
                if descriptor == self._control.fileno():
                    self._take_order(poll)
                elif descriptor in self._pipes:
                    self._pump(descriptor, poll)
                elif descriptor == wake_read:
                    os.read(wake_read, 4_096)
            self._reap()
        self._kill_tree()
        for descriptor in list(self._pipes):
            while descriptor in self._pipes and self._pump(descriptor, None):
                pass
        code, usage = self._status
        self._report(
            op="ended",
            why=self._why,
            code=os.waitstatus_to_exitcode(code),
            wall_ns=wall_ns(),
            usage=[int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss],
        )

    def _start(self, task: Callable[[], int], close_in_task: list[int]) -> None:
        ends = [os.pipe2(os.O_CLOEXEC) for _ in STREAMS]
        minder = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                die_with_parent(minder)
                os.setsid()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for number, (_, write_end) in enumerate(ends, start=1):
                    os.dup2(write_end, number)
                for descriptor in [*close_in_task, self._control.fileno(), *(end for pair in ends for end in pair)]:
                    os.close(descriptor)
                code = task()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        for stream, (read_end, write_end) in zip(STREAMS, ends, strict=True):
            os.close(write_end)
            os.set_blocking(read_end, False)
            self._pipes[read_end] = LogWriter(self._folder, stream, self._log_bytes)

    def _report(self, **message: Any) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            pass  # Nobody is left to hear it; the order loop sees the same and ends the task.

    # What ends a task

    def _look_at_clock(self) -> int:
        """Acts on what is due; when to look again."""
        now = boot_ns()
        trusted_until = self._trust.trusted_until
        if now >= trusted_until:
            self._stop("fenced", at_once=True)
        if self._timeout_at is not None and now >= self._timeout_at:
            self._timeout_at = None
            self._stop("timeout")
        if self._kill_at is not None and now >= self._kill_at:
            # Again a little later, for what it starts meanwhile.
            self._kill_at = now + 50_000_000
            for pid in descendants(os.getpid()):
                kill(pid, signal.SIGKILL)
        due = [moment for moment in (trusted_until, self._timeout_at, self._kill_at) if moment and moment > now]
        return min(due, default=now + 100_000_000)

    def _stop(self, why: str, at_once: bool = False) -> None:
        self._why = self._why or why
        if at_once:
            self._kill_at = 0 if self._kill_at is None else min(self._kill_at, boot_ns())
        elif self._kill_at is None:
            self._kill_at = boot_ns() + self._grace_ns
            try:
                os.killpg(self._pid, signal.SIGTERM)
            except ProcessLookupError:
                kill(self._pid, signal.SIGTERM)

    def _take_order(self, poll: select.poll) -> None:
        try:
            order = self._control.recv(4_096)
        except OSError:
            order = b""
        if not order:
            poll.unregister(self._control.fileno())
            self._stop("worker gone", at_once=True)
        else:
            self._stop("stopped", at_once=json.loads(order)["mode"] == "now")

    # Output and the end

    def _pump(self, descriptor: int, poll: select.poll | None) -> bool:
        """Moves some output into the log; whether there may be more at once."""
        try:
            data = os.read(descriptor, 65_536)
        except BlockingIOError:
            return False
        writer = self._pipes[descriptor]
        if data:
            try:
                writer.write(data)
            except OSError:
                return True  # A full disk costs the output, not the task.
            return True
        if poll is not None:
            poll.unregister(descriptor)
        writer.close()
        os.close(descriptor)
        del self._pipes[descriptor]
        return False

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._status = (status, usage)

    def _kill_tree(self) -> None:
        """What the task left behind ends with it."""
        while left := descendants(os.getpid()):
            for pid in left:
                kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.002)
        self._reap()
