"""Which certificates a worker uses. Without gRPC, since the processes of tasks import it."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TLS:
    """Files in PEM. With `ca` alone the peer is authenticated, with the others this worker, too."""

    ca: Path | str | None = None
    """Whom to believe; the system's authorities when absent."""
    cert: Path | str | None = None
    """For the leader its identity has to be spiffe://<cluster>/agent/<worker_id>."""
    key: Path | str | None = None
