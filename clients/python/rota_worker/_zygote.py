"""The fork server: has the handlers loaded, and makes a process for each attempt of a task.

A program of its own without threads and without gRPC, since neither survives a fork. Its arguments: a socket,
the trust file, a module or file, and the name of the worker in it.
"""
from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from . import _child
from ._minder import Minder, become_subreaper, descendants, die_with_parent, kill
from .registry import Handlers, find_worker
from .trust import TrustFile


def load(target: str, attribute: str) -> Handlers:
    """Imports what the worker's program is made of; only what it defines at its top level is there."""
    if target.endswith(".py"):
        scope = runpy.run_path(target, run_name="__rota_worker__")
        return find_worker(scope, attribute, target)
    return find_worker(vars(importlib.import_module(target)), attribute, target)


class Zygote:
    def __init__(self, server: socket.socket, trust: TrustFile, handlers: Handlers) -> None:
        self._server = server
        self._trust = trust
        self._handlers = handlers
        self._minders: set[int] = set()

    def run(self) -> None:
        """Serves until the worker is gone and all minders with it."""
        become_subreaper()
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        is_serving = True
        while is_serving or self._minders:
            waiting = [wake_read, self._server.fileno()] if is_serving else [wake_read]
            for ready in select.select(waiting, [], [])[0]:
                if ready == self._server.fileno():
                    is_serving = self._serve()
                else:
                    os.read(wake_read, 4_096)
            self._reap()

    def _serve(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._server, 8_192, 2)
        if not data:
            return False
        request = json.loads(data)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                die_with_parent(server)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                self._mind(request, descriptors)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        self._minders.add(pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _mind(self, request: dict[str, Any], descriptors: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        self._server.close()
        control = socket.socket(fileno=descriptors[0])
        worker = socket.socket(fileno=descriptors[1])
        folder = Path(request["folder"])
        minder = Minder(request, control, self._trust)
        minder.run(lambda: _child.run(self._handlers, folder, worker), worker)

    def _reap(self) -> None:
        lost = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            lost = lost or (pid in self._minders and status != 0)
            self._minders.discard(pid)
        if lost:
            # A minder that was killed leaves its task's tree to this process.
            for pid in descendants(os.getpid()):
                if pid not in self._minders and not self._is_minded(pid):
                    kill(pid, signal.SIGKILL)

    def _is_minded(self, pid: int) -> bool:
        return any(pid in descendants(minder) for minder in self._minders)


def main() -> None:
    server_fd, trust_fd, target, attribute = sys.argv[1:5]
    sys.argv = [target]
    server = socket.socket(fileno=int(server_fd))
    os.set_inheritable(server.fileno(), False)
    trust = TrustFile(int(trust_fd), writable=False)
    try:
        handlers = load(target, attribute)
        if threading.active_count() > 1:
            raise RuntimeError("it starts threads when it is imported; start them in the handlers")
    except Exception as error:
        server.send(json.dumps({"error": _child.describe(error)[:1_024]}).encode())
        raise
    server.send(json.dumps({"tasks": len(handlers)}).encode())
    Zygote(server, trust, handlers).run()
