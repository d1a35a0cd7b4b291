"""Keeps the worker's key in etcd alive: one lease, renewed by single requests in a thread of its own.

Trust in the lease is measured from the moment a request was *sent*, on the boot-time clock: whatever etcd
does, it cannot count the time to live from an earlier moment than that.
"""
from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import files, limits
from .clock import boot_ns, jittered
from .etcd import Etcd, EtcdError, KeyValue

log = logging.getLogger("rota_worker.lease")


def margin_ms(ttl_seconds: int) -> int:
    """How long before the end of the lease trust in it ends."""
    return max(limits.LEASE_MARGIN_MIN_MS, ttl_seconds * 1_000 // 6)


@dataclass(frozen=True)
class Held:
    """A lease with the worker's key on it."""

    lease: int
    create_revision: int
    trusted_until: int
    """On the boot-time clock, nanoseconds."""


@dataclass(frozen=True)
class SavedIncarnation:
    """What a restarted worker goes on with when it is still alive, in `incarnation.json`.

    `leader_epoch` is the highest that this incarnation has had a session with: a restarted worker has
    forgotten what was acknowledged, and has to go on refusing a deposed leader that does not know it either.
    """

    worker_id: str
    lease: int
    incarnation: int
    leader_epoch: int = 0

    @classmethod
    def load(cls, path: Path) -> SavedIncarnation | None:
        """None when there is none, or nothing sensible: a new incarnation is always possible."""
        try:
            saved = json.loads(path.read_text())
            return cls(
                saved["worker_id"], int(saved["lease"], 16), int(saved["incarnation"]), int(saved["leader_epoch"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        text = {
            "worker_id": self.worker_id,
            "lease": f"{self.lease:x}",
            "incarnation": str(self.incarnation),
            "leader_epoch": str(self.leader_epoch),
        }
        files.replace(path, json.dumps(text).encode())


class LeaseOwner(Protocol):
    """What the lease means to the rest of the worker; called from the lease's thread."""

    def incarnation_began(self, held: Held) -> None: ...

    def lease_trusted(self, until: int) -> None: ...

    def incarnation_ended(self, why: str) -> None:
        """Returns when everything of that incarnation is dead."""


class LeaseKeeper:
    """Registers, renews, and when all is lost starts over, until `stop`."""

    def __init__(
        self, etcd: Etcd, key: str, record: Callable[[], bytes], ttl_seconds: int, worker_id: str, saved: Path
    ) -> None:
        """`record` gives the value of the key; `etcd` belongs to the keeper's thread from now on."""
        self._etcd = etcd
        self._key = key
        self._record = record
        self._ttl = ttl_seconds
        self._worker_id = worker_id
        self._saved = saved
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._held: Held | None = None

    def start(self, owner: LeaseOwner, failed: Callable[[BaseException], None]) -> None:
        """`failed` hears of what should never happen: the worker has to end then."""

        def run() -> None:
            try:
                self._run(owner)
            except BaseException as error:
                failed(error)

        self._thread = threading.Thread(target=run, name="rota-lease", daemon=True)
        self._thread.start()

    def stop(self, revoke: bool) -> None:
        """Ends renewing; with `revoke`, gives the lease back. Only when nothing runs any more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if revoke and self._held is not None:
            try:
                self._etcd.revoke(self._held.lease)
                self._saved.unlink(missing_ok=True)
            except EtcdError as error:
                log.warning("the lease could not be given back; it will lapse: %s", error)
        self._etcd.close()

    # In the thread

    def _run(self, owner: LeaseOwner) -> None:
        held = self._resume()
        while not self._stopping.is_set():
            held = held or self._register()
            if held is None:
                return
            self._held = held
            owner.incarnation_began(held)
            why = self._keep(held, owner)
            if why is None:
                return
            log.error("the lease of worker %s is lost; its tasks are killed: %s", self._worker_id, why)
            self._held = None
            owner.incarnation_ended(why)
            self._saved.unlink(missing_ok=True)
            # The lease may still be there when only the key is gone; it must not linger.
            self._try_revoke(held.lease)
            held = None

    def _trust(self, sent: int, ttl_seconds: int) -> int:
        return sent + ttl_seconds * 1_000_000_000 - margin_ms(self._ttl) * 1_000_000

    def _try_revoke(self, lease: int) -> None:
        try:
            self._etcd.revoke(lease)
        except EtcdError as error:
            log.warning("lease %x could not be revoked; it will lapse: %s", lease, error)

    def _resume(self) -> Held | None:
        """Goes on with the incarnation of an earlier process if its lease and key are still there."""
        saved = SavedIncarnation.load(self._saved)
        if saved is None or saved.worker_id != self._worker_id:
            return None
        while not self._stopping.is_set():
            try:
                sent = boot_ns()
                ttl = self._etcd.keep_alive(saved.lease)
                found = self._etcd.get(self._key) if ttl > 0 else None
                if found is None or found.create_revision != saved.incarnation:
                    self._etcd.revoke(saved.lease)
                    return None
                if not self._etcd.replace(found, self._record()):
                    return None
                log.info("going on as incarnation %d", saved.incarnation)
                return Held(saved.lease, saved.incarnation, self._trust(sent, ttl))
            except EtcdError as error:
                if error.not_found:
                    return None
                log.warning("cannot ask etcd for the lease of the earlier process; trying again: %s", error)
                self._stopping.wait(jittered(self._ttl / 6))
        return None

    def _register(self) -> Held | None:
        while not self._stopping.is_set():
            try:
                if held := self._try_to_register():
                    return held
            except (EtcdError, OSError) as error:
                # Whatever it is, the disk included: a worker that gives up would need somebody to start it.
                log.warning("cannot register in etcd; trying again: %s", error)
            self._stopping.wait(jittered(1.0))
        return None

    def _try_to_register(self) -> Held | None:
        if other := self._etcd.get(self._key):
            self._complain(other)
            return None
        sent = boot_ns()
        lease, ttl = self._etcd.grant(self._ttl)
        try:
            found = self._etcd.create(self._key, self._record(), lease)
            if found.lease != lease:
                self._try_revoke(lease)
                self._complain(found)
                return None
            SavedIncarnation(self._worker_id, lease, found.create_revision).save(self._saved)
        except BaseException:
            # With its lease goes the key, should it have been written after all.
            self._try_revoke(lease)
            raise
        log.info("registered worker %s as incarnation %d", self._worker_id, found.create_revision)
        return Held(lease, found.create_revision, self._trust(sent, min(ttl, self._ttl)))

    def _complain(self, other: KeyValue) -> None:
        log.warning("worker id %s is held with lease %x; waiting for that to lapse", self._worker_id, other.lease)

    def _keep(self, held: Held, owner: LeaseOwner) -> str | None:
        """Renews until the lease is lost. How it was; None when the worker stops."""
        interval = max(0.2, self._ttl / 3)
        failures = renewals = 0
        wait = interval
        while not self._stopping.wait(wait):
            sent = boot_ns()
            try:
                ttl = self._etcd.keep_alive(held.lease)
                if ttl <= 0:
                    return "the lease has lapsed"
                owner.lease_trusted(self._trust(sent, ttl))
                failures = 0
                renewals += 1
                # Somebody may have deleted the key by hand: to the leader the worker is lost then.
                if renewals % 3 == 0:
                    found = self._etcd.get(self._key)
                    if found is None or found.create_revision != held.create_revision:
                        return "the worker's key is gone or replaced"
                wait = max(0.0, interval - (boot_ns() - sent) / 1e9)
            except EtcdError as error:
                if error.not_found:
                    return "the lease does not exist any more"
                failures += 1
                if failures == 1 or failures % 20 == 0:
                    log.warning("cannot renew the lease; trying again: %s", error)
                wait = jittered(max(0.05, self._ttl / 12))
        return None
