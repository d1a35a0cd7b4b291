"""Faults of clocks."""
from __future__ import annotations

from collections.abc import Iterator

from faketime import fake_time

from .registry import Surroundings, fault

HOUR = 3600


@fault(14, hold=(20, 25), bound=45)
def wrong_clock(around: Surroundings) -> Iterator[None]:
    """a server's wall clock is an hour off"""
    server = around.choose(around.cluster.servers)
    seconds = around.random.choice([-HOUR, HOUR])
    around.told["seconds"] = seconds
    server.stop(15)
    server.env = {**server.usual_env, **fake_time(seconds, around.cluster.folder)}
    server.start()
    yield
    server.stop(15)
    server.env = server.usual_env
    server.start()
