"""The end of trust in the lease, shared with every process that has to end with it."""
from __future__ import annotations

import mmap
import os
from pathlib import Path

_TRUST, _THREADS = 0, 1


class TrustFile:
    """Two native 64-bit words in a file that all have mapped.

    The first is the moment, on the boot-time clock in nanoseconds, after which nothing may run (0: now).
    The second says how many tasks run as threads of the worker itself. Both are aligned, so that a load or
    store is one instruction and cannot tear; a reader that sees the older value only ends trust sooner.
    The worker alone writes.
    """

    def __init__(self, descriptor: int, writable: bool) -> None:
        self.descriptor = descriptor
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._words = memoryview(mmap.mmap(descriptor, 16, access=access)).cast("Q")

    @classmethod
    def create(cls, path: Path) -> TrustFile:
        """For the worker; what was there from an earlier life ends all trust."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        os.ftruncate(descriptor, 16)
        file = cls(descriptor, writable=True)
        file.trusted_until = 0
        file.threads = 0
        return file

    @property
    def trusted_until(self) -> int:
        return self._words[_TRUST]

    @trusted_until.setter
    def trusted_until(self, value: int) -> None:
        self._words[_TRUST] = max(0, value)

    @property
    def threads(self) -> int:
        return self._words[_THREADS]

    @threads.setter
    def threads(self, value: int) -> None:
        self._words[_THREADS] = value
