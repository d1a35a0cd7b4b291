"""Processes, ports and what is left of them: the harness ends only what it started."""
from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PORTS = range(20000, 32000)  # below what the kernel gives to outgoing connections
_port_locks: list[int] = []


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on and that no parallel test run was given."""
    folder = Path(tempfile.gettempdir()) / "rota-e2e-ports"
    folder.mkdir(exist_ok=True)
    for _ in range(2000):
        port = random.choice(PORTS)
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _port_locks.append(lock)  # held until this test run ends
        return port
    raise RuntimeError(f"no free port in {PORTS}")


def wait_until(condition: Callable[[], object], seconds: float, what: str, every: float = 0.05):
    """Polls until `condition` is true and returns its value; errors of connections count as false."""
    deadline = time.monotonic() + seconds
    last_error: Exception | None = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last_error = None
        except (OSError, ConnectionError) as error:
            last_error = error
        if time.monotonic() >= deadline:
            detail = f" (last error: {last_error})" if last_error else ""
            raise AssertionError(f"after {seconds} s still not: {what}{detail}")
        time.sleep(every)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes_of(mark: str) -> dict[int, str]:
    """The processes whose arguments, environment or working folder speak of `mark`: pid to arguments."""
    found: dict[int, str] = {}
    needle = mark.encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            arguments = (folder / "cmdline").read_bytes()
            if not arguments:  # a zombie or a kernel thread
                continue
            inside = needle in arguments or needle in (folder / "environ").read_bytes()
            if inside or mark in os.readlink(folder / "cwd"):
                found[int(folder.name)] = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
    return found


class Child:
    """A process that ends at the latest when the test run does."""

    def __init__(self, name: str, argv: list[str], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self.argv = argv
        self.env = env
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        with open(self.log, "ab") as log:
            # Killed with the test run, even when that is killed itself; its own group, so that a Ctrl-C
            # in the terminal reaches the harness alone.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.log.parent,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None, f"{self.name} was never started"
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        assert self.process is not None, f"{self.name} was never started"
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} (pid {self.pid}) did not end within {seconds} s") from None

    def kill(self) -> None:
        """SIGKILL, which also ends a stopped process."""
        if self.running:
            self.send(signal.SIGKILL)
            self.wait(10)

    def stop(self, seconds: float = 10) -> int | None:
        """SIGTERM; after `seconds` SIGKILL. The exit code, or None when it had to be killed."""
        if not self.running:
            return self.process.returncode if self.process else None
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except AssertionError:
            self.kill()
            return None

    def log_tail(self, lines: int = 60) -> str:
        if not self.log.exists():
            return "(nothing)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
