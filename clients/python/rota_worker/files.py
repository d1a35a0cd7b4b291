"""The worker's folder: one worker at a time, and nothing in it that a crash leaves half-written."""
from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path

from . import limits
from .model import AttemptKey, AttemptRef


def replace(path: Path, data: bytes) -> None:
    """Writes a file so that it is there as a whole or not at all.

    Without fsync: it has to survive the worker's death, not the machine's, with which its lease ends too.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)


class DataFolder:
    """`lock`, `trust`, `incarnation.json`, `journal/` and `attempts/`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.attempts = self.path / "attempts"
        self.journal = self.path / "journal"
        for folder in (self.path, self.attempts, self.journal):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.incarnation = self.path / "incarnation.json"
        self.trust = self.path / "trust"

    def lock(self, seconds: float = limits.LOCK_SECONDS) -> int:
        """Takes the folder for this process and those that inherit the descriptor.

        The processes of tasks do inherit it: while one of an earlier worker is alive, the lock is taken.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise RuntimeError(
                        f"{self.path} is in use by another worker, or by a process of one: "
                        "give each worker its own data_dir"
                    ) from None
                time.sleep(0.05)

    def attempt(self, key: AttemptKey | AttemptRef) -> Path:
        """The folder of an attempt. Ids have no slashes and do not begin with a dot."""
        return self.attempts / key.namespace / key.job_id / key.run_id / str(key.attempt)

    def journal_file(self, key: AttemptKey) -> Path:
        return self.journal / hashlib.sha256("/".join(map(str, key)).encode()).hexdigest()

    def sweep(self, needed: set[Path], keep_seconds: float, keep_folders: int) -> int:
        """Removes folders of ended attempts that are old or too many; how many it removed."""
        found: list[tuple[float, Path]] = []
        for folder in self.attempts.glob("*/*/*/*"):
            if folder not in needed:
                try:
                    found.append((folder.stat().st_mtime, folder))
                except FileNotFoundError:
                    continue
        found.sort(reverse=True)
        oldest = time.time() - keep_seconds
        removed = 0
        for index, (changed, folder) in enumerate(found):
            if index >= keep_folders or changed < oldest:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
                for parent in list(folder.parents)[:3]:
                    try:
                        parent.rmdir()
                    except OSError:
                        break
        return removed
