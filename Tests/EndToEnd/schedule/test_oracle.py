"""100,000 random expressions, zones and instants: Rota's arithmetic against brute force over Python's zoneinfo.

Both read the same files. A failure shows the case, which `schedule-probe` answers by itself.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from oracle import Case, expected  # noqa: E402  (needs the path)
from questions import ODD_ZONES, Questions, zone_names  # noqa: E402

CHECKOUT = Path(__file__).resolve().parents[3]
PROBE = Path(os.environ.get("ROTA_BIN", CHECKOUT / ".build" / "release")) / "schedule-probe"
FOLDER = Path(os.environ.get("ROTA_TZDATA", "/usr/share/zoneinfo"))

pytestmark = pytest.mark.alone

CHUNKS = 20
CASES = 5_000
PIECES = 4
# How far brute force looks; what is due later is compared as "not before".
YEARS = 9
HORIZON = YEARS * 366 * 86_400


def use_zones(folder: Path) -> None:
    zoneinfo.reset_tzpath(to=[folder])
    zoneinfo.ZoneInfo.clear_cache()


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(os.cpu_count(), initializer=use_zones, initargs=(FOLDER,)) as pool:
        yield pool


@pytest.fixture(scope="module")
def zones() -> list[str]:
    names = zone_names(FOLDER)
    assert len(names) > 300, f"{FOLDER} has no tz database"
    assert len(set(ODD_ZONES) - set(names)) < 5, "zones are missing that make this test worth its while"
    return names


def probe(zones: list[str], questions: list[dict[str, object]]) -> list[object]:
    """What Rota's arithmetic says."""
    text = "".join(json.dumps(question) + "\n" for question in questions)
    answer = subprocess.run([PROBE, FOLDER, *zones], input=text, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


def check(seed: int, count: int, zones: list[str]) -> tuple[int, list[str]]:
    """How many occurrences were compared, and what differs."""
    source = Questions(seed, zones)
    cases = [source.case() for _ in range(count)]
    answers = probe(
        zones, [{"schedule": case.schedule(), "after": case.after, "count": case.count} for case in cases])
    compared = 0
    failures: list[str] = []
    back: list[tuple[Case, list[int]]] = []
    for case, answer in zip(cases, answers):
        wanted = expected(case, case.after + HORIZON)
        if isinstance(answer, list):
            near = [time for time in answer if time < case.after + HORIZON]
            back.append((case, answer))
        else:
            # Days that no month has are refused.
            near = [] if isinstance(answer, dict) and "no day matches" in answer["error"] else [-1]
        compared += len(wanted)
        if near != wanted or (len(wanted) < case.count and isinstance(answer, list) and len(answer) < len(wanted)):
            failures.append(f"{case}: {answer}, and brute force has {wanted}")
    # The same from behind.
    questions = [
        {"schedule": case.schedule(), "after": times[-1], "count": len(times), "last": True}
        for case, times in back if times]
    for (case, times), reverse in zip([pair for pair in back if pair[1]], probe(zones, questions)):
        if reverse != times[::-1]:
            failures.append(f"{case}: backwards from {times[-1]}: {reverse}, and forwards {times}")
    return compared, failures


@pytest.mark.alone
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_next_fires_equal_brute_force(chunk: int, pool: ProcessPoolExecutor, zones: list[str]) -> None:
    pieces = [
        pool.submit(check, seed=chunk * PIECES + piece, count=CASES // PIECES, zones=zones) for piece in range(PIECES)]
    results = [piece.result() for piece in pieces]
    failures = [failure for _, found in results for failure in found]
    assert not failures, f"{len(failures)} cases differ:\n" + "\n".join(failures[:10])
    # Most expressions are due within the horizon, so that this compares something.
    assert sum(compared for compared, _ in results) > CASES
