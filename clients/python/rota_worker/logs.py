"""What tasks write: a bounded log per stream, and pieces of it for who asks.

A log is at most two files, `<stream>.<offset of its first byte>`, so that offsets count from the attempt's
first output however much was removed. Each takes up to half of the bound.
"""
from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from . import limits

STREAMS = ("stdout", "stderr")


class LogWriter:
    """Appends; when the newest file is full begins another, and removes what is too old. For one thread."""

    def __init__(self, folder: Path, stream: str, max_bytes: int) -> None:
        self._folder = folder
        self._stream = stream
        self._half = max(1, max_bytes // 2)
        self._base = 0
        self.written = 0
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        while data:
            room = self._base + self._half - self.written
            if self._file is None or room <= 0:
                self._next()
                continue
            self._file.write(data[:room])
            self.written += min(room, len(data))
            data = data[room:]

    def _next(self) -> None:
        if self._file is not None:
            self._file.close()
            previous = self._base
            self._base = self.written
            for base, path in _parts(self._folder, self._stream):
                if base < previous:
                    path.unlink()
        self._file = open(self._folder / f"{self._stream}.{self._base}", "wb", buffering=0)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _parts(folder: Path, stream: str) -> list[tuple[int, Path]]:
    """The files of a log with their offsets, the oldest first."""
    return sorted((int(path.name.rpartition(".")[2]), path) for path in folder.glob(f"{stream}.[0-9]*"))


def read(folder: Path, stream: str, offset: int, limit: int) -> tuple[int, bytes, int]:
    """A piece of a log: where it begins, its bytes, and where the log ends at present.

    A negative offset counts from the present end. What was removed is skipped.
    """
    limit = min(limit, limits.LOG_REPLY_BYTES)
    parts = _parts(folder, stream)
    try:
        end = parts[-1][0] + parts[-1][1].stat().st_size if parts else 0
        offset = max(0, end + offset) if offset < 0 else offset
        for index, (base, path) in enumerate(parts):
            next_base = parts[index + 1][0] if index + 1 < len(parts) else end
            if offset < next_base:
                start = max(offset, base)
                with open(path, "rb") as file:
                    file.seek(start - base)
                    return start, file.read(min(limit, next_base - start)), end
    except FileNotFoundError:
        # Removed meanwhile: who asks again gets what is there now.
        return max(0, offset), b"", end if parts else 0
    return offset, b"", end


def tail(folder: Path) -> bytes:
    """The last bytes of stdout, then of stderr: half for each when both are long."""
    limit = limits.OUTPUT_TAIL_BYTES
    out = read(folder, "stdout", -limit, limit)[1]
    err = read(folder, "stderr", -limit, limit)[1]
    err = err[-max(limit // 2, limit - len(out)) :]
    out = out[len(out) - min(len(out), limit - len(err)) :]
    return out + err
