"""A TCP proxy that can go silent, as a network does: nothing is forwarded, and nobody is told."""
from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Forwards connections to `target`, until it stalls."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._stalled = False
        self._sockets: list[socket.socket] = []
        self.accepted = 0
        """How many connections have come in."""
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind, error, trace) -> None:
        with self._lock:
            sockets, self._sockets = [self._listener, *self._sockets], []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def stall(self) -> None:
        """From now on what comes is swallowed; connections stay open and new ones are taken."""
        with self._lock:
            self._stalled = True

    def cut(self) -> None:
        """Closes all connections, for both sides to see."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def resume(self) -> None:
        """Forwards new connections again. The old ones have lost bytes: they stay silent."""
        with self._lock:
            self._stalled = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._sockets.append(client)
                stalled = self._stalled
            # A connection that came during the silence never gets through.
            threading.Thread(target=self._serve, args=(client, stalled), daemon=True).start()

    def _serve(self, client: socket.socket, swallowed: bool) -> None:
        lost = threading.Event()
        if swallowed:
            lost.set()
            return self._pump(client, client, lost)
        host, port = self.target.rsplit(":", 1)
        try:
            server = socket.create_connection((host, int(port)), timeout=5)
        except OSError:
            return client.close()
        server.settimeout(None)
        with self._lock:
            self._sockets.append(server)
        threading.Thread(target=self._pump, args=(server, client, lost), daemon=True).start()
        self._pump(client, server, lost)

    def _pump(self, source: socket.socket, sink: socket.socket, lost: threading.Event) -> None:
        """Moves bytes one way. Once any are lost, the connection is silent for ever, its end included."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._stalled:
                    lost.set()
                if not lost.is_set():
                    sink.sendall(data)
        if not lost.is_set() and not self._stalled:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
