"""The machine's figures, which placement looks at."""
from __future__ import annotations

import os
from pathlib import Path

from .model import Health


class HealthSampler:
    """CPU is counted from one sample to the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy, self._total = self._cpu()

    @staticmethod
    def _cpu() -> tuple[int, int]:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)

    def sample(self) -> Health:
        busy, total = self._cpu()
        cpu = (busy - self._busy) / max(1, total - self._total)
        self._busy, self._total = busy, total
        memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        disk = os.statvfs(self._folder)
        return Health(
            cpu=min(1.0, max(0.0, cpu)),
            load1=os.getloadavg()[0],
            memory_total=_bytes(memory["MemTotal"]),
            memory_available=_bytes(memory["MemAvailable"]),
            disk_total=disk.f_blocks * disk.f_frsize,
            disk_available=disk.f_bavail * disk.f_frsize,
        )


def _bytes(kib: str) -> int:
    return int(kib.split()[0]) * 1024
