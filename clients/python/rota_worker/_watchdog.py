"""Kills the worker when tasks still run as its threads after the trust in its lease has ended.

A program of its own: neither a stopped worker nor one whose threads never let go of the interpreter can keep
it from doing so. Its arguments: the trust file, and how long after the end of trust it waits, nanoseconds.
"""
from __future__ import annotations

import os
import select
import signal
import sys

from .clock import BootTimer, boot_ns
from .trust import TrustFile

_LOOK_NS = 100_000_000


def main() -> None:
    trust_fd, grace_ns = int(sys.argv[1]), int(sys.argv[2])
    worker = os.getppid()
    trust = TrustFile(trust_fd, writable=False)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    timer = BootTimer()
    poll = select.poll()
    poll.register(timer.descriptor, select.POLLIN)
    poll.register(0, select.POLLIN)
    os.write(1, b"up\n")
    while True:
        now = boot_ns()
        end = trust.trusted_until + grace_ns
        if now >= end and trust.threads > 0:
            # While it is the parent its number belongs to nobody else.
            if os.getppid() == worker:
                os.kill(worker, signal.SIGKILL)
            return
        timer.set(end if end > now else now + _LOOK_NS)
        if any(descriptor == 0 for descriptor, _ in poll.poll()):
            return  # The worker has ended.
