"""Faults of etcd's space: a member's quota is used up, and nobody but the servers does anything about it."""
from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterator

from processes import wait_until

from ..members import EtcdMember
from .registry import Surroundings, fault

MIB = 1 << 20
# What a member may still take when the fault begins.
SPACE_LEFT = 12 * MIB
VALUE_BYTES = MIB
PUTS = 60
# Nothing that has ended within the last minute is removed to make space.
HEALED_SECONDS, REMOVED_SECONDS = 90, 150
# Jobs of which nothing can be compacted away.
PADDING_BYTES = 100_000
UNFINISHED_JOBS = 8
FILLING_SECONDS = 90
BOARD = "/rota-faults/filling"


@fault(11, hold=(6, 10), bound=90)
def no_space(around: Surroundings) -> Iterator[None]:
    """old revisions use up a member's quota: submissions are refused, results are kept, and the cluster heals itself"""
    member = _little_space(around)
    value = base64.b64encode(b"x" * VALUE_BYTES).decode()
    key = base64.b64encode(BOARD.encode()).decode()
    for number in range(PUTS):
        try:
            member.gateway("/v3/kv/put", {"key": key, "value": value})
        except OSError as error:
            if "database space exceeded" in str(error):
                around.told["refused after"] = number
                break
            # Something else is wrong with etcd, too.
    else:
        raise AssertionError(f"etcd has taken {PUTS} MiB, and never said that it has no space")
    yield
    _expect_healed(around, HEALED_SECONDS)


@fault(11, hold=(6, 10), bound=90)
def no_space_for_jobs(around: Surroundings) -> Iterator[None]:
    """jobs that have ended use up a member's quota: the oldest of them go, and what waits stays"""
    _little_space(around)
    command = shlex.join(around.cluster.tasks.argv(20))
    body = {"exec": ["/bin/sh", "-c", f"exec {command}", "x" * PADDING_BYTES]}
    unfinished: list[str] = []
    deadline = time.monotonic() + FILLING_SECONDS
    # Not faster than they end: what has not ended is never removed, and would have to wait for an operator.
    while not (full := _alarms(around)) and time.monotonic() < deadline:
        unfinished = [job for job in unfinished if not _has_ended(around, job)]
        for _ in range(UNFINISHED_JOBS - len(unfinished)):
            if job := around.workload.submit_once("one_off", body):
                unfinished.append(job)
    assert full, f"jobs were submitted for {FILLING_SECONDS} s, and etcd never said that it has no space"
    yield
    _expect_healed(around, REMOVED_SECONDS)


def _has_ended(around: Surroundings, job: str) -> bool:
    try:
        answer = around.cluster.servers[0].rest(4).get(f"/jobs/{job}")
    except OSError:
        return False
    return bool(answer.status == 404 or answer.json().get("status") == "completed")


def _little_space(around: Surroundings) -> EtcdMember:
    """A member that is started again with a quota of little more than what it holds. The whole cluster takes no writes when
    one has no space."""
    cluster = around.cluster
    for each in cluster.etcd:
        around.reserve(each)
    member: EtcdMember = around.random.choice(cluster.etcd)
    quota = int(member.gateway("/v3/maintenance/status", {})["dbSize"]) + SPACE_LEFT
    member.stop(10)
    member.set_quota(quota)
    member.start()
    wait_until(lambda: member.gateway("/v3/kv/range", {"key": "AA=="}), 20, f"{member.name} answers")
    # Ours may have been a watch of that member, and compaction is to come.
    assert cluster.watch.catch_up(), "etcd's watch does not catch up"
    around.told |= {"member": member.name, "quota": quota}
    return member


def _alarms(around: Surroundings) -> str:
    return around.cluster.etcdctl("alarm", "list").strip()


def _expect_healed(around: Surroundings, seconds: float) -> None:
    """Nobody else takes alarms back."""
    begun = time.monotonic()
    wait_until(lambda: not _alarms(around), seconds, "the cluster has healed etcd", every=0.3)
    around.told["healed after"] = round(time.monotonic() - begun, 1)
