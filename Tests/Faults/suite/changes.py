"""What becomes of everything in etcd: `etcdctl watch` from revision 1, which shares no code with Rota."""
from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from processes import Child

from .history import HistoryWriter
from .members import etcdctl

# `sync` moves with every read, and idempotency records are only looked at by servers.
LEFT_OUT = ("/rota/sync/", "/rota/idempotency/")
MARK = "/rota-faults/mark"


class ChangeWatch:
    """Follows all of Rota's keys into the history."""

    def __init__(self, urls: list[str], folder: Path, env: dict[str, str], history: HistoryWriter) -> None:
        self.urls, self.folder, self.env, self.history = urls, folder, env, history
        self.revision = 0
        """All changes up to here are in the history."""
        self._child: Child | None = None
        self._offset = 0
        self._number = 0
        self._marks = 0

    def start(self) -> None:
        """Starts, or goes on where it was."""
        self._number += 1
        self._offset = 0
        options = ["--prefix", f"--rev={self.revision + 1}", "-w", "json"]
        argv = ["etcdctl", f"--endpoints={','.join(self.urls)}", "--keepalive-time=2s", "--keepalive-timeout=2s"]
        self._child = Child(f"watch-{self._number}", [*argv, "watch", "/rota", *options], self.folder, self.env)
        self._child.start()

    def pump(self) -> None:
        """Takes what has come into the history. To be called by the main thread now and then."""
        assert self._child is not None
        ended = not self._child.running
        events, revision = [], self.revision
        for message in self._new_messages():
            if message.get("Canceled"):
                ended = True
            for event in message.get("Events") or []:
                made = _event(event)
                revision = max(revision, made["revision"])
                # The same revision twice: the watch has begun again within a transaction.
                if made["revision"] > self.revision and not made["key"].startswith(LEFT_OUT):
                    events.append(made)
        self.history.extend(events)
        self.revision = revision
        if ended:
            self._child.kill()
            self.start()

    def catch_up(self, seconds: float = 30) -> bool:
        """Writes a mark, and waits until it has come; False when it does not."""
        self._marks += 1
        deadline = time.monotonic() + seconds
        wanted = 0
        while time.monotonic() < deadline:
            try:
                if not wanted:
                    answer = json.loads(etcdctl(self.env, self.urls, "put", MARK, str(self._marks), "-w", "json"))
                    wanted = answer["header"]["revision"]
            except (OSError, ValueError, KeyError):
                pass  # etcd is not back yet
            self.pump()
            if wanted and self.revision >= wanted:
                return True
            time.sleep(0.1)
        return False

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()

    def _new_messages(self) -> list[dict[str, Any]]:
        assert self._child is not None
        if not self._child.log.exists():
            return []
        with open(self._child.log, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        messages = []
        for line in data[:whole].splitlines():
            # What it has to complain about comes on the same stream.
            if line.startswith(b"{") and b'"Header"' in line:
                messages.append(json.loads(line))
        return messages


def _event(event: dict[str, Any]) -> dict[str, Any]:
    pair = event["kv"]
    value = base64.b64decode(pair.get("value", "")).decode(errors="replace")
    try:
        document = json.loads(value) if value else {}
    except ValueError:
        document = {}
    return {
        "t": time.monotonic_ns(),
        "kind": "change",
        "revision": pair["mod_revision"],
        "key": base64.b64decode(pair["key"]).decode(),
        "type": "delete" if event.get("type", 0) == 1 else "put",
        "created": pair.get("create_revision", 0),
        "lease": pair.get("lease", 0),
        "value": document if isinstance(document, dict) else {},
    }
