"""The folder in which tasks say when they ran, and the program that does so."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIELDS = 8


def compile_witness(folder: Path) -> Path:
    """Builds `witness.c`: it has to start a thousand times beside everything else, so no interpreter will do."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        raise RuntimeError("there is no C compiler: run scripts/bootstrap")
    program = folder / "witness-task"
    argv = [compiler, "-O1", "-Wall", "-o", str(program), str(HERE / "witness.c")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr}")
    return program


class TaskFolder:
    """Where tasks write, and how far it has been read."""

    def __init__(self, parent: Path) -> None:
        self.path = parent / "witness"
        (self.path / "locks").mkdir(parents=True)
        self.file = self.path / "tasks"
        self.file.touch()
        self.program = compile_witness(parent)
        self._offset = 0

    def argv(self, millis: int, failures: int = 0, flags: str = "-") -> list[str]:
        """The command of a task that runs for so long, fails so often, and does what the flags say."""
        return [str(self.program), str(self.path), str(millis), str(failures), flags]

    def new_events(self) -> list[dict[str, Any]]:
        """What has been written since the last call, as events of the history."""
        with open(self.file, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return [parse_line(line) for line in data[:whole].decode().splitlines()]


def parse_line(line: str) -> dict[str, Any]:
    """One line of a task."""
    fields = line.split(" ")
    if len(fields) != FIELDS:
        raise ValueError(f"a task's line is torn: {line!r}")
    what, run, attempt, fence, agent, pid, at, extra = fields
    return {
        "t": int(at), "kind": "task", "what": what, "run": run, "attempt": int(attempt), "fence": int(fence),
        "agent": agent, "pid": int(pid), "extra": extra,
    }  # fmt: skip
