"""Hosts: network namespaces behind a router, so that a cut is silence, one way or both, as on a real network.

The namespace of this process is the router. Each host is a namespace with one veth pair to it; a rule of the router that
drops what one host sends another is a one-way cut. Nothing has a name in the file system: when the processes are gone
so are the namespaces, the links and the rules, even after SIGKILL.

Where namespaces cannot be made, hosts are addresses of the loopback network, and nothing can be cut.
"""
from __future__ import annotations

import ctypes
import itertools
import os
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

CLONE_NEWNET = 0x40000000
RULE_PRIORITY = 100


@dataclass(frozen=True)
class Host:
    """A machine of the cluster."""

    name: str
    address: str
    prefix: tuple[str, ...] = ()
    """What goes before a command so that it runs there."""


@dataclass(frozen=True)
class Cut:
    """What `source` sends to `sink` is lost."""

    source: Host
    sink: Host


class Network(Protocol):
    """Where the cluster's hosts live."""

    can_cut: bool

    def host(self, name: str) -> Host:
        """A new host."""
        ...

    def cut(self, source: Host, sink: Host) -> None:
        """From now on what `source` sends to `sink` is lost, silently."""
        ...

    def heal(self, source: Host, sink: Host) -> None:
        """Ends a cut; harmless where there is none."""
        ...

    def heal_all(self) -> None:
        """Ends all cuts."""
        ...

    def close(self) -> None:
        """Removes the hosts."""
        ...


def make_network(loopback: bool = False) -> Network:
    """Namespaces where the machine allows, else loopback, which may be asked for."""
    if loopback:
        return Loopback()
    try:
        return Namespaces()
    except OSError as error:
        print(f"faults: no network namespaces ({error}): nothing can be cut", flush=True)
        return Loopback()


def can_unshare() -> bool:
    """Whether this process may make network namespaces; tried in a child, so that nothing changes here."""
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


@dataclass
class Namespaces:
    """One namespace for each host. Takes the calling thread, and what it starts, into a new namespace until `close`."""

    can_cut: bool = True
    _cuts: set[Cut] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not can_unshare():
            raise OSError("unshare --net is not permitted")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if self._libc.unshare(CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            os.close(self._outside)
            raise OSError(code, f"unshare: {os.strerror(code)}")
        self._holders: list[subprocess.Popen[bytes]] = []
        self._numbers = itertools.count(1)
        _ip("link set lo up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def host(self, name: str) -> Host:
        # It does nothing but keep the namespace, and ends with this process.
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._holders.append(holder)
        _wait_for_namespace(holder.pid)
        number = next(self._numbers)
        link, address, router = f"v{number}", f"10.99.{number}.2", f"10.99.{number}.1"
        enter = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        _ip(
            f"link add {link} type veth peer name eth0 netns {holder.pid}",
            f"addr add {router}/30 dev {link}",
            f"link set {link} up",
        )
        _ip(
            "link set lo up",
            f"addr add {address}/30 dev eth0",
            "link set eth0 up",
            f"route add default via {router}",
            prefix=enter,
        )
        return Host(name, address, enter)

    def cut(self, source: Host, sink: Host) -> None:
        made = Cut(source, sink)
        if made not in self._cuts:
            self._cuts.add(made)
            _ip(f"rule add priority {RULE_PRIORITY} from {source.address} to {sink.address} blackhole")

    def heal(self, source: Host, sink: Host) -> None:
        made = Cut(source, sink)
        if made in self._cuts:
            self._cuts.discard(made)
            _ip(f"rule del priority {RULE_PRIORITY} from {source.address} to {sink.address} blackhole")

    def heal_all(self) -> None:
        for made in list(self._cuts):
            self.heal(made.source, made.sink)

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()
        self._holders = []
        if self._outside >= 0:
            if self._libc.setns(self._outside, CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, f"setns: {os.strerror(code)}")
            os.close(self._outside)
            self._outside = -1


@dataclass
class Loopback:
    """Every host is an address of 127.0.0.0/8."""

    can_cut: bool = False

    def __post_init__(self) -> None:
        # Other tests may run on this machine at the same time.
        self._network = f"127.{random.randrange(10, 250)}.{random.randrange(0, 256)}"
        self._numbers = itertools.count(1)

    def host(self, name: str) -> Host:
        return Host(name, f"{self._network}.{next(self._numbers)}")

    def cut(self, source: Host, sink: Host) -> None:
        raise OSError("nothing can be cut on the loopback network: network namespaces need root")

    def heal(self, source: Host, sink: Host) -> None:
        pass

    def heal_all(self) -> None:
        pass

    def close(self) -> None:
        pass


def _ip(*commands: str, prefix: tuple[str, ...] = ()) -> None:
    """Runs commands of `ip`."""
    done = subprocess.run(
        [*prefix, "ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, timeout=20
    )
    if done.returncode != 0:
        raise OSError(f"ip: {done.stderr.strip()} (of: {'; '.join(commands)})")


def _wait_for_namespace(pid: int) -> None:
    """Until a holder is in a namespace of its own."""
    mine = os.readlink("/proc/thread-self/ns/net")
    for _ in range(2000):
        try:
            if os.readlink(f"/proc/{pid}/ns/net") != mine:
                return
        except OSError:
            break
        time.sleep(0.005)
    raise OSError("a holder of a namespace did not start")
