"""The checker of occurrences: each one has to be decided once, and to run once at a time.

It knows nothing of schedules: a test says which occurrences there have to be, and which runs it has seen.
"""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from history import Execution

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_SHOWN = 5


def microseconds(epoch_seconds: float) -> int:
    return round(epoch_seconds * 1_000_000)


@dataclass(frozen=True, order=True)
class Occurrence:
    """That a job is due. The time is in microseconds since 1970."""

    job_id: str
    time: int

    def __str__(self) -> str:
        return f"{self.job_id} at {(EPOCH + timedelta(microseconds=self.time)).isoformat(timespec='milliseconds')}"


@dataclass(frozen=True)
class SeenRun:
    """A run that a schedule made, as Rota shows it."""

    occurrence: Occurrence
    run_id: str
    state: str = "completed"

    @property
    def name(self) -> str:
        """As `Execution.run` and `RunWatch.creations` spell it."""
        return f"{self.occurrence.job_id}/{self.run_id}"


@dataclass
class Verdict:
    """What is wrong with a history, by kind; each kind is empty when all is well."""

    missed: list[str] = field(default_factory=list)
    """Occurrences without a run."""
    doubled: list[str] = field(default_factory=list)
    """Occurrences with two runs, runs that were created twice, attempts that started twice."""
    foreign: list[str] = field(default_factory=list)
    """Runs at a time when nothing was due, and executions that belong to no run."""
    overlapping: list[str] = field(default_factory=list)
    """Two attempts of one run at once, or two runs of a job that must not have that."""
    unrun: list[str] = field(default_factory=list)
    """Runs that are said to have completed and never ran, or have not ended at all."""

    def problems(self) -> list[str]:
        """A line for each kind that has something, with the first few of them."""
        lines = []
        for kind, found in vars(self).items():
            if found:
                more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
                lines.append(f"{len(found)} {kind}: {'; '.join(found[:MOST_SHOWN])}{more}")
        return lines

    def expect_nothing(self) -> None:
        problems = self.problems()
        assert not problems, "\n".join(problems)


def judge(
    expected: Mapping[str, Iterable[float]],
    window: tuple[float, float],
    runs: Iterable[SeenRun],
    executions: Sequence[Execution] | None = None,
    overlaps: Sequence[str] = (),
    creations: Mapping[str, int] | None = None,
    one_at_a_time: Collection[str] = (),
) -> Verdict:
    """Compares what should have happened with what did.

    `expected` has the occurrences of each job in epoch seconds. Only what is due within `window` (both ends
    belong to it), and only runs of these jobs, are judged; `runs` are all of theirs, at any time. `executions` and `overlaps` are what the tasks themselves
    have written (`Recorder.read`), `creations` what an outside witness has seen (`RunWatch.creations`). Runs of jobs in
    `one_at_a_time` must not overlap each other.
    """
    verdict = Verdict()
    first, last = microseconds(window[0]), microseconds(window[1])
    wanted = {
        Occurrence(job_id, time) for job_id, times in expected.items() for time in map(microseconds, times)
        if first <= time <= last
    }
    known = [run for run in runs if run.occurrence.job_id in expected]
    seen = [run for run in known if first <= run.occurrence.time <= last]
    _compare(verdict, wanted, seen)
    for name, times in (creations or {}).items():
        if times > 1 and name.split("/")[0] in expected:
            verdict.doubled.append(f"run {name} was created {times} times")
    if executions is not None:
        ours = [execution for execution in executions if execution.job_id in expected]
        strangers = {execution.run for execution in ours} - {run.name for run in known}
        verdict.foreign += [f"{name} ran and is no run" for name in sorted(strangers)]
        _compare_executions(verdict, seen, ours)
        _find_overlaps(verdict, ours, one_at_a_time)
    verdict.overlapping += [f"found its run's lock taken: {line}" for line in overlaps]
    return verdict


def _compare(verdict: Verdict, wanted: set[Occurrence], seen: Sequence[SeenRun]) -> None:
    runs: dict[Occurrence, list[SeenRun]] = defaultdict(list)
    for run in seen:
        runs[run.occurrence].append(run)
        if run.state not in ("completed", "failed", "cancelled"):
            verdict.unrun.append(f"{run.occurrence} is {run.state}")
    verdict.missed += [str(occurrence) for occurrence in sorted(wanted - runs.keys())]
    verdict.foreign += [str(occurrence) for occurrence in sorted(runs.keys() - wanted)]
    for occurrence, its in sorted(runs.items()):
        if len(its) > 1:
            verdict.doubled.append(f"{occurrence} has runs {', '.join(sorted(run.run_id for run in its))}")


def _compare_executions(verdict: Verdict, seen: Sequence[SeenRun], executions: Sequence[Execution]) -> None:
    ran = {execution.run for execution in executions}
    verdict.unrun += [
        f"{run.occurrence} never ran" for run in seen if run.state == "completed" and run.name not in ran
    ]
    for execution in executions:
        if execution.starts > 1:
            verdict.doubled.append(f"attempt {execution.attempt} of {execution.run} started {execution.starts} times")
    for (run, attempt), times in Counter((each.run, each.attempt) for each in executions).items():
        if times > 1:
            verdict.doubled.append(f"attempt {attempt} of {run} ran with {times} fences")


def _find_overlaps(verdict: Verdict, executions: Sequence[Execution], one_at_a_time: Collection[str]) -> None:
    by_run: dict[str, list[Execution]] = defaultdict(list)
    by_job: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        by_run[execution.run].append(execution)
        if execution.job_id in one_at_a_time:
            by_job[execution.job_id].append(execution)
    for kind, groups in (("attempts of run", by_run), ("runs of job", by_job)):
        for name, group in groups.items():
            for earlier, later in _overlapping(group):
                if kind == "attempts of run" or earlier.run != later.run:
                    what = f"{earlier.run}#{earlier.attempt} and {later.run}#{later.attempt}"
                    verdict.overlapping.append(f"{kind} {name}: {what}")


def _overlapping(group: Sequence[Execution]) -> list[tuple[Execution, Execution]]:
    """Pairs of which one starts before the other is over, each later one with whichever lasts longest."""
    pairs = []
    longest: Execution | None = None
    for execution in sorted(group, key=lambda each: each.start):
        if longest is not None and execution.start <= longest.last:
            pairs.append((longest, execution))
        if longest is None or execution.last > longest.last:
            longest = execution
    return pairs


def every(seconds: float, window: tuple[float, float]) -> list[float]:
    """All multiples of so many seconds within a window: what `* * * * * *` is with 1."""
    step, first, last = microseconds(seconds), microseconds(window[0]), microseconds(window[1])
    return [time / 1_000_000 for time in range(-(-first // step) * step, last + 1, step)]
