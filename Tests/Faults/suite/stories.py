"""A story: clusters, rounds on them, and what is kept of those that fail."""
from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from random import Random

from . import FAULTS as FOLDER
from .checkers import Violation
from .cluster import Cluster, Settings
from .faults import FAULTS
from .history import HistoryWriter
from .report import describe
from .rounds import Outcome, Rounds
from .workload import Load

RESULTS = FOLDER / "results"
# Checkers read the whole history of a cluster after each round: it must not grow for ever.
ROUNDS_PER_CLUSTER = 10
# These last too long to be drawn at random, or are part of another.
SINGLE_ONLY = {"crowd", "mass_loss", "no_quorum_for_a_minute", "no_space_for_jobs", "wrong_clock"}
# After these servers keep little history, which other rounds need.
LAST_OF_CLUSTER = {"no_space", "no_space_for_jobs"}


@dataclass(frozen=True)
class Planned:
    """A round that is to come."""

    names: Sequence[str]
    """The faults."""
    sidecars: bool = False
    """Whether servers reach etcd through proxies, also where no fault of it needs them."""
    seed: str = ""
    """What it has instead of a seed by its place in the plan."""

    @property
    def needs_sidecars(self) -> bool:
        """Whether the cluster has to have proxies."""
        return self.sidecars or any(FAULTS[name].needs_sidecars for name in self.names)


# With its place in the plan, which is part of its seed.
Numbered = tuple[int, Planned]


class Story:
    """Runs rounds, builds a new cluster when one has failed or has seen enough, and keeps what failed."""

    def __init__(self, settings: Settings, load: Load, seed: str, keep: bool = False) -> None:
        """With `keep` the histories of rounds that went well are kept, too."""
        self.keep = keep
        self.settings, self.load, self.seed = settings, load, seed
        self.outcomes: list[Outcome] = []
        self.kept: list[Path] = []

    def run(self, rounds: Iterable[Planned], minutes: float) -> list[Outcome]:
        """Rounds until they or the time are over."""
        deadline = time.monotonic() + minutes * 60
        plan = enumerate(rounds, 1)
        upcoming = next(plan, None)
        while upcoming is not None and time.monotonic() < deadline:
            upcoming = self._one_cluster(upcoming, plan, deadline)
        return self.outcomes

    def _one_cluster(self, upcoming: Numbered, plan: Iterator[Numbered], deadline: float) -> Numbered | None:
        """Rounds on a cluster of their own; the one to go on with, on another cluster."""
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"running-{os.getpid()}.jsonl"
        settings = replace(self.settings, sidecars=upcoming[1].needs_sidecars)
        history = HistoryWriter(file)
        try:
            cluster = Cluster(history, settings)
        except BaseException:
            file.unlink()
            raise
        failed: list[Violation] = []
        try:
            history.add(
                "begin", seed=self.seed, wall=time.time_ns() // 1000, agent_ttl=settings.agent_ttl,
                server_ttl=settings.server_ttl,
            )  # fmt: skip
            cluster.start()
            rounds = Rounds(cluster, self.load)
            left: Numbered | None = upcoming
            while left is not None and not failed and rounds.number < ROUNDS_PER_CLUSTER:
                number, planned = left
                if planned.needs_sidecars != settings.sidecars or time.monotonic() >= deadline:
                    break
                outcome = rounds.run([FAULTS[name] for name in planned.names], planned.seed or f"{self.seed}-{number}")
                self.outcomes.append(outcome)
                _say(outcome)
                failed += outcome.violations
                left = next(plan, None)
                if LAST_OF_CLUSTER & set(planned.names):
                    break
            return left
        except BaseException:
            failed.append(Violation("driver", "wrong", "the driver did not come to the end of the round"))
            raise
        finally:
            killed = cluster.close()
            history.close()
            if killed:
                print(f"faults: what was left had to be killed: {killed}", flush=True)
            if failed or self.keep:
                self._keep(cluster, file, failed)
            shutil.rmtree(cluster.folder, ignore_errors=True)
            file.unlink()

    def _keep(self, cluster: Cluster, file: Path, violations: Sequence[Violation]) -> None:
        """The history, what is wrong with it, and the logs of all processes."""
        target = RESULTS / f"{datetime.now():%Y%m%d-%H%M%S}-{self.seed}"
        target.mkdir(parents=True)
        shutil.copy(file, target / "history.jsonl")
        (target / "violations.txt").write_text("".join(f"{violation}\n" for violation in violations))
        for log in cluster.folder.glob("*.log"):
            if not log.name.startswith("watch-"):
                shutil.copy(log, target)
        self.kept.append(target)
        print(f"faults: kept in {target}", flush=True)


def _say(outcome: Outcome) -> None:
    """A line for a round that went well, more for one that did not."""
    names = " + ".join(outcome.faults) or "nothing"
    recovered = "not recovered" if outcome.recovery is None else f"recovered after {outcome.recovery:.1f} s"
    verdict = f"{len(outcome.violations)} VIOLATIONS" if outcome.violations else "fine"
    skipped = f" (left out {outcome.skipped})" if outcome.skipped else ""
    print(f"{datetime.now():%H:%M:%S} {outcome.seed}: {names}{skipped}: {recovered}, {verdict}", flush=True)
    if outcome.violations:
        print(describe(outcome.violations), flush=True)


def plan(seed: str) -> Iterator[Planned]:
    """All single faults, then pairs of different rows and random combinations in turn, for ever."""
    random = Random(seed)
    # Those with proxies last, since each change of clusters takes time.
    for fault in sorted(FAULTS.values(), key=lambda each: each.needs_sidecars):
        yield Planned([fault.name])
    drawn = [fault for fault in FAULTS.values() if fault.name not in SINGLE_ONLY]
    pairs = [[one.name, two.name] for one in drawn for two in drawn if one.row < two.row]
    random.shuffle(pairs)
    for number in count():
        # Every third cluster has proxies.
        sidecars = number // ROUNDS_PER_CLUSTER % 3 == 2
        fitting = [fault for fault in drawn if sidecars or not fault.needs_sidecars]
        names = {fault.name for fault in fitting}
        pair = next((pair for pair in pairs if set(pair) <= names), None)
        if number % 2 == 0 and pair is not None:
            pairs.remove(pair)
            yield Planned(pair, sidecars)
        else:
            combined = random.sample(fitting, random.randrange(1, 4))
            yield Planned([fault.name for fault in combined], sidecars)


def summary(outcomes: Sequence[Outcome]) -> str:
    """For programs: one JSON object."""
    return json.dumps(
        {
            "rounds": len(outcomes),
            "lost": sum(v.kind == "lost" for outcome in outcomes for v in outcome.violations),
            "doubled": sum(v.kind == "doubled" for outcome in outcomes for v in outcome.violations),
            "other": sum(v.kind == "wrong" for outcome in outcomes for v in outcome.violations),
        }
    )
