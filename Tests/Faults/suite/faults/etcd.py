"""Faults of etcd: members killed or moved, no majority, no space, slow or failing disks."""
from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from ..cluster import NotPossible
from ..members import EtcdMember
from .registry import Surroundings, fault

DETACH_SECONDS = 10


@fault(9, hold=(5, 8))
def kill_etcd_member(around: Surroundings) -> Iterator[None]:
    """kill -9 a member of etcd, half of the time the one that leads"""
    leader = around.cluster.etcd_leader()
    if leader and around.random.random() < 0.5:
        around.reserve(leader)
        member: EtcdMember = leader
    else:
        member = around.choose(around.cluster.etcd)
    _keep_majority(around)
    member.kill()
    yield
    around.bring_back(member)


@fault(9, hold=(4, 6))
def move_etcd_leader(around: Surroundings) -> Iterator[None]:
    """etcd's leadership moves, several times"""
    for _ in range(3):
        leader = around.cluster.etcd_leader()
        others = [member for member in around.cluster.etcd if member.is_up and member is not leader]
        if leader is None or not others:
            raise NotPossible("etcd has no leader or nobody to give it to")
        target = around.random.choice(others)
        number = int(target.gateway("/v3/maintenance/status", {})["header"]["member_id"])
        try:
            around.cluster.etcdctl("move-leader", f"{number:x}")
        except OSError as error:
            # It has moved by itself meanwhile, or another fault is at work: the next one tries again.
            around.told["refused"] = str(error)
        time.sleep(1)
    yield


@fault(10, hold=(8, 20), bound=45)
def no_quorum(around: Surroundings) -> Iterator[None]:
    """two of the three members of etcd are killed"""
    yield from _without_majority(around)


@fault(10, hold=(60, 60), bound=45)
def no_quorum_for_a_minute(around: Surroundings) -> Iterator[None]:
    """two of the three members of etcd are gone for a minute"""
    yield from _without_majority(around)


def _without_majority(around: Surroundings) -> Iterator[None]:
    members = [around.choose(around.cluster.etcd) for _ in range(2)]
    for member in members:
        member.kill()
    yield
    for member in members:
        around.bring_back(member)


@fault(15, hold=(8, 12), bound=45)
def slow_disk(around: Surroundings) -> Iterator[None]:
    """fsync takes 2 s at all members of etcd"""
    yield from _with_strace(around, around.cluster.etcd, "delay_exit=2000000")


@fault(15, hold=(5, 8), bound=45)
def failing_disk(around: Surroundings) -> Iterator[None]:
    """fsync fails at one member of etcd, which stops"""
    member = around.choose(around.cluster.etcd)
    _keep_majority(around)
    yield from _with_strace(around, [member], "error=EIO")


def _with_strace(around: Surroundings, members: list[EtcdMember], what: str) -> Iterator[None]:
    tracers: list[subprocess.Popen[bytes]] = []
    traced = [member for member in members if member.is_up]
    for member in traced:
        argv = ["setpriv", "--pdeathsig", "INT", "strace", "-f", "-q", "-o", "/dev/null", "-e"]
        argv += [f"inject=fdatasync,fsync:{what}", "-e", "trace=fdatasync,fsync", "-p", str(member.pid)]
        tracers.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    time.sleep(0.5)
    try:
        # One whose member has died of the fault has ended with it.
        if any(tracer.poll() is not None and member.running for tracer, member in zip(tracers, traced)):
            raise NotPossible("strace cannot trace etcd here")
        yield
    finally:
        for tracer in tracers:
            tracer.terminate()
        for tracer in tracers:
            try:
                tracer.wait(DETACH_SECONDS)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.wait()
    for member in members:
        around.bring_back(member)


def _keep_majority(around: Surroundings) -> None:
    """For faults that are to leave etcd a majority, when others have taken a member already."""
    taken = [member for member in around.cluster.etcd if member.name in around.cluster.reserved]
    if len(taken) > 1:
        raise NotPossible("etcd would have no majority")
