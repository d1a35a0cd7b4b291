"""What tasks themselves say about when they ran: the shared kernel clock shows real overlap."""
from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rota_client import exec_job, messages

# Forks nothing while it runs, so that hundreds fit on a small machine. The lock on the run's own file is
# held for as long as any process of the task lives; finding it held means two attempts at once.
RECORDER = r"""
folder=$1 limit=$2
run=$ROTA_JOB_ID/$ROTA_RUN_ID
note() {
  printf '%s %s %s %s %s %s %s\n' "$1" "$run" "$ROTA_ATTEMPT" "$ROTA_FENCING_TOKEN" "$ROTA_WORKER_ID" $$ \
    "${EPOCHREALTIME/[.,]/}" >>"$folder/history"
}
exec 9>>"$folder/locks/${run//\//.}"
flock --nonblock 9 || note overlap
note start
end=$((EPOCHSECONDS + limit))
while ((EPOCHSECONDS < end)) && [[ ! -e $folder/finish ]]; do
  read -r -t 0.5 <>"$folder/never"
  note beat
done
note end
"""


@dataclass
class Execution:
    """One attempt, by its own words. Times are microseconds of the wall clock."""

    run: str
    attempt: int
    fence: int
    agent: str
    pid: int
    start: int
    last: int
    starts: int = 1
    ended: bool = False

    @property
    def job_id(self) -> str:
        return self.run.split("/")[0]


class Recorder:
    """A folder that tasks write their history to."""

    def __init__(self, parent: Path, name: str) -> None:
        self.folder = parent / f"history-{name}"
        (self.folder / "locks").mkdir(parents=True)
        (self.folder / "history").touch()
        os.mkfifo(self.folder / "never")
        self.script = self.folder / "recorder.sh"
        self.script.write_text(RECORDER)

    def spec(self, seconds: int = 90, **options) -> messages.JobSpec:
        """A job that runs until `finish`, or for so many seconds."""
        return exec_job(["/bin/bash", str(self.script), str(self.folder), str(seconds)], **options)

    def finish(self) -> None:
        """Lets all tasks end by themselves."""
        (self.folder / "finish").touch()

    def read(self) -> tuple[list[Execution], list[str]]:
        """The executions in the order of their starts, and the lines that tell of an overlap."""
        found: dict[tuple[str, int, int], Execution] = {}
        overlaps = []
        for line in (self.folder / "history").read_text().splitlines():
            fields = line.split(" ")
            assert len(fields) == 7, f"a line of the history is torn: {line!r}"
            kind, run, attempt, fence, agent, pid, time = fields
            key = (run, int(attempt), int(fence))
            if kind == "overlap":
                overlaps.append(line)
            elif kind == "start" and key not in found:
                found[key] = Execution(*key, agent, int(pid), int(time), int(time))
            elif kind == "start":
                found[key].starts += 1
            else:
                found[key].last = max(found[key].last, int(time))
                found[key].ended = found[key].ended or kind == "end"
        return list(found.values()), overlaps

    def executions(self) -> list[Execution]:
        return self.read()[0]


def check(recorder: Recorder) -> None:
    """No two attempts of a run overlap, each starts once, fences rise with the attempts."""
    executions, overlaps = recorder.read()
    assert not overlaps, f"two attempts of one run at once: {overlaps[:5]}"
    by_run: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        assert execution.starts == 1, f"started {execution.starts} times: {execution}"
        by_run[execution.run].append(execution)
    for run, attempts in by_run.items():
        attempts.sort(key=lambda execution: execution.start)
        for earlier, later in zip(attempts, attempts[1:]):
            assert earlier.last < later.start, f"{run}: {earlier} overlaps {later}"
            assert earlier.attempt < later.attempt, f"{run}: {later} came after {earlier}"
            assert earlier.fence < later.fence, f"{run}: the fence of {later} is not above that of {earlier}"
