"""Processes whose wall clock is wrong, and whose timers are right."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# libfaketime moves the ends of all timers by what the wall clock is off, those by monotonic clocks too: behind by an
# hour, a server would sleep for an hour more, and lose its lease. These go before it.
TIMERS = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old) {
  return (int)syscall(SYS_timerfd_settime, fd, flags, value, old);
}

int timerfd_gettime(int fd, struct itimerspec *value) { return (int)syscall(SYS_timerfd_gettime, fd, value); }
"""


def fake_time(seconds: int, folder: Path) -> dict[str, str]:
    """The environment of a process whose wall clock is off by so much. Its monotonic clocks and timers are right."""
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    assert library, "there is no libfaketime: run scripts/bootstrap"
    compiler, timers = shutil.which("cc") or shutil.which("clang"), folder / "timers.so"
    assert compiler, "there is no C compiler: run scripts/bootstrap"
    argv = [compiler, "-shared", "-fPIC", "-o", str(timers), "-x", "c", "-"]
    done = subprocess.run(argv, input=TIMERS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {
        "LD_PRELOAD": f"{timers}:{library}", "FAKETIME": f"{seconds:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
