"""How a worker works."""
from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import grpc

from rota_client.credentials import tls_credentials

from .etcd import parse_endpoint
from .lease import margin_ms
from .model import is_identifier
from .tls import TLS


def default_slots() -> int:
    """Four for each core, at least 8."""
    return max(8, 4 * (os.cpu_count() or 1))


def default_cpus() -> float:
    """The processors that this process may run on."""
    return float(len(os.sched_getaffinity(0)))


def default_memory() -> int:
    """The machine's memory, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def default_worker_id() -> str:
    """The host's name, made an identifier."""
    name = re.sub(r"[^a-z0-9._-]", "-", socket.gethostname().lower()).lstrip("._-")[:128]
    return name or "worker"


def default_data_dir(worker_id: str) -> Path:
    """Where programs keep what should survive a restart, by the XDG Base Directory Specification."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "rota-worker" / worker_id


@dataclass
class Configuration:
    """See `Worker` for what the fields mean."""

    worker_id: str
    etcd: Sequence[str]
    slots: int
    labels: Mapping[str, str]
    pool: Literal["process", "thread"]
    data_dir: Path
    cpus: float = 0.0
    memory_bytes: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    prefix: str = "/rota"
    lease_ttl: int = 6
    drain_timeout: float = 30.0
    log_bytes: int = 20 << 20
    tls: TLS | None = None
    etcd_tls: TLS | None = None

    def validate(self, tasks: Mapping[str, object]) -> None:
        """Raises `ValueError` that names the setting."""

        def check(holds: bool, message: str) -> None:
            if not holds:
                raise ValueError(message)

        rule = "[a-z0-9][a-z0-9._-]{0,127}"
        check(is_identifier(self.worker_id), f"worker_id: {self.worker_id!r} does not match {rule}")
        check(1 <= self.slots <= 100_000, f"slots: it is {self.slots}; it has to be 1 to 100000")
        check(0 <= self.cpus <= 4_096, f"cpus: it is {self.cpus}; it has to be 0 to 4096")
        check(0 <= self.memory_bytes <= 1 << 50, f"memory_bytes: it is {self.memory_bytes}; it has to be 0 to 2^50")
        check(len(self.resources) <= 16, f"resources: there are {len(self.resources)}; at most 16 are looked at")
        for name, amount in self.resources.items():
            check(is_identifier(name), f"resources: {name!r} does not match {rule}")
            check(name not in ("cpus", "memory"), f"resources: {name} has an argument of its own")
            check(0 <= amount <= 1e9, f"resources: {name} is {amount}; it has to be 0 to 1000000000")
        check(self.pool in ("process", "thread"), f"pool: it is {self.pool!r}; it has to be process or thread")
        check(2 <= self.lease_ttl <= 3_600, f"lease_ttl: it is {self.lease_ttl}; it has to be 2 to 3600 seconds")
        check(margin_ms(self.lease_ttl) * 2 <= self.lease_ttl * 1_000, "lease_ttl: it is too short")
        check(self.drain_timeout >= 0, f"drain_timeout: it is {self.drain_timeout}; it must not be negative")
        check(self.log_bytes >= 4_096, f"log_bytes: it is {self.log_bytes}; it has to be at least 4096")
        check(self.prefix.startswith("/") and not self.prefix.endswith("/"), "prefix: it is /like/this")
        for endpoint in self.etcd:
            parse_endpoint(endpoint, self.etcd_tls is not None)
        check(len(tasks) <= 1_024, f"tasks: the worker offers {len(tasks)}; at most 1024 are looked at")
        check(len(tasks) > 0, "tasks: the worker offers none; add one with @worker.task(\"name\")")

    def etcd_context(self) -> ssl.SSLContext | None:
        """For https; None where `etcd_tls` is absent, which leaves https to the system's authorities."""
        if self.etcd_tls is None:
            return None
        context = ssl.create_default_context(cafile=_text(self.etcd_tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.etcd_tls.cert is not None:
            context.load_cert_chain(self.etcd_tls.cert, self.etcd_tls.key)
        return context

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """For the leader; None for a connection without TLS."""
        if self.tls is None:
            return None
        return tls_credentials(self.tls.ca, self.tls.cert, self.tls.key)


def _text(path: Path | str | None) -> str | None:
    return str(path) if path is not None else None
