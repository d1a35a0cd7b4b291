"""The server under test, as scripted peers see it."""
from __future__ import annotations

from interop import InteropServer
from peer import Peer


class Server(InteropServer):
    """An `interop-server` that scripted peers connect to."""

    def connect(self, *entries: tuple[int, int], preface: bytes | None = None) -> Peer:
        """A connection that begins with these settings, or with other octets than a preface."""
        return Peer(self.port, *entries, preface=preface)

    @property
    def rss(self) -> int:
        """Resident memory, bytes."""
        return self.memory("VmRSS")
