"""The checker of occurrences finds what is wrong in made-up histories: one that cannot fail proves nothing."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from history import Execution
from occurrences import Occurrence, SeenRun, Verdict, every, judge, microseconds

START = 1_800_000_000
WINDOW = (START, START + 9)
JOBS = ("tick", "tock")


@dataclass
class History:
    """Two jobs that are due every second, each occurrence decided once, each run 0.2 s long."""

    runs: list[SeenRun] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    creations: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for job_id in JOBS:
            for second in range(START - 2, START + 12):  # some outside of the window
                self.add(job_id, second)

    def add(self, job_id: str, time: float, run_id: str = "") -> SeenRun:
        run = SeenRun(Occurrence(job_id, microseconds(time)), run_id or f"r{time}")
        self.runs.append(run)
        self.creations[run.name] = 1
        begin = microseconds(time) + 10_000
        self.executions.append(Execution(run.name, 1, 7, "a1", 100, begin, begin + 200_000, ended=True))
        return run

    def find(self, job_id: str, time: float) -> tuple[int, int]:
        """Where its run is, and the run's execution."""
        run = next(n for n, each in enumerate(self.runs) if each.occurrence == Occurrence(job_id, microseconds(time)))
        name = self.runs[run].name
        return run, next(n for n, each in enumerate(self.executions) if each.run == name)

    def judge(self, one_at_a_time: tuple[str, ...] = ("tock",)) -> Verdict:
        expected = {job_id: every(1, (START - 2, START + 11)) for job_id in JOBS}
        return judge(expected, WINDOW, self.runs, self.executions, self.overlaps, self.creations, one_at_a_time)


def test_a_good_history_has_nothing_wrong() -> None:
    history = History()
    verdict = history.judge()
    assert verdict == Verdict() and not verdict.problems()
    verdict.expect_nothing()


def gap(history: History) -> None:
    run, execution = history.find("tick", START + 4)
    del history.runs[run], history.executions[execution]


def gap_at_the_edge(history: History) -> None:
    run, execution = history.find("tock", START + 9)
    del history.runs[run], history.executions[execution]


def two_runs_of_one_occurrence(history: History) -> None:
    history.add("tick", START + 4, run_id="another")


def run_made_again(history: History) -> None:
    history.creations[history.runs[history.find("tick", START + 4)[0]].name] = 2


def attempt_started_twice(history: History) -> None:
    history.executions[history.find("tick", START + 4)[1]].starts = 2


def attempt_with_two_fences(history: History) -> None:
    first = history.executions[history.find("tick", START + 4)[1]]
    history.executions.append(replace(first, fence=8, start=first.last + 1, last=first.last + 2))


def run_when_nothing_is_due(history: History) -> None:
    history.add("tick", START + 4.5)


def execution_without_a_run(history: History) -> None:
    del history.runs[history.find("tick", START + 11)[0]]


def two_attempts_at_once(history: History) -> None:
    first = history.executions[history.find("tick", START + 4)[1]]
    history.executions.append(replace(first, attempt=2, fence=8, agent="a2", start=first.last - 1, last=first.last + 9))


def lock_taken(history: History) -> None:
    history.overlaps.append("overlap tick/r1 2 8 a2 100 5")


def two_runs_at_once(history: History) -> None:
    """The run of one second goes on beyond the next two."""
    execution = history.executions[history.find("tock", START + 4)[1]]
    execution.last += 2_000_000


def run_that_never_ran(history: History) -> None:
    del history.executions[history.find("tick", START + 4)[1]]


def run_that_has_not_ended(history: History) -> None:
    run = history.find("tick", START + 4)[0]
    history.runs[run] = replace(history.runs[run], state="running")


@pytest.mark.parametrize(
    ("spoil", "kind", "count"),
    [
        (gap, "missed", 1),
        (gap_at_the_edge, "missed", 1),
        (two_runs_of_one_occurrence, "doubled", 1),
        (run_made_again, "doubled", 1),
        (attempt_started_twice, "doubled", 1),
        (attempt_with_two_fences, "doubled", 1),
        (run_when_nothing_is_due, "foreign", 1),
        (execution_without_a_run, "foreign", 1),
        (two_attempts_at_once, "overlapping", 1),
        (lock_taken, "overlapping", 1),
        (two_runs_at_once, "overlapping", 2),
        (run_that_never_ran, "unrun", 1),
        (run_that_has_not_ended, "unrun", 1),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(spoil: Callable[[History], None], kind: str, count: int) -> None:
    history = History()
    spoil(history)
    verdict = history.judge()
    found = {name: len(lines) for name, lines in vars(verdict).items() if lines}
    assert found == {kind: count}, verdict
    with pytest.raises(AssertionError, match=f"{count} {kind}: "):
        verdict.expect_nothing()


def test_what_may_be_is_no_fault() -> None:
    """Runs of a job that allows it overlap, a later attempt follows a lost one, jobs of others are not judged."""
    history = History()
    two_runs_at_once(history)
    lost = history.executions[history.find("tick", START + 4)[1]]
    lost.ended = False
    history.executions.append(replace(lost, attempt=2, fence=9, start=lost.last + 1, last=lost.last + 9, ended=True))
    history.add("other", START + 4.5)
    assert history.judge(one_at_a_time=()) == Verdict()


def test_multiples_within_a_window() -> None:
    assert every(1, (9.5, 12)) == [10, 11, 12]
    assert every(60, (61, 240)) == [120, 180, 240]
    assert every(0.5, (1, 2)) == [1, 1.5, 2]


def test_a_long_list_is_cut() -> None:
    history = History()
    history.runs.clear()
    history.executions.clear()
    [line] = history.judge().problems()
    assert line.startswith("20 missed: tick at 2027-01-15T08:00:00.000+00:00; ") and line.endswith(" and 15 more")
