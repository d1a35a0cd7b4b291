"""The clocks: trust in a lease is measured with one that goes on while the machine is suspended."""
from __future__ import annotations

import ctypes
import os
import random
import time


def boot_ns() -> int:
    """CLOCK_BOOTTIME, nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ns() -> int:
    """The wall clock, nanoseconds since 1970: for records only."""
    return time.time_ns()


def jittered(seconds: float) -> float:
    """Varied by up to a fifth, so that many workers do not do the same at once."""
    return seconds * random.uniform(0.8, 1.2)


class _TimerSpec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


_TFD_TIMER_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)


class BootTimer:
    """A descriptor that becomes readable at a moment of the boot-time clock, after a suspend too."""

    def __init__(self) -> None:
        self.descriptor: int = _libc.timerfd_create(time.CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at_ns: int) -> None:
        """Sets the moment; a past one makes it readable at once."""
        at_ns = max(1, at_ns)
        spec = _TimerSpec(0, 0, at_ns // 1_000_000_000, at_ns % 1_000_000_000)
        if _libc.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        os.close(self.descriptor)
