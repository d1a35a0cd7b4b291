"""Jobs.SubmitStream: any number of jobs on one call, each by itself, with back-pressure."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from cluster import Cluster, Server
from processes import wait_until
from rota_client import Client, RotaError, exec_job, messages, noop_job

# Generous, since a debug build may run it. What 10,000 jobs and their runs take in the warm copy is part of it.
RSS_GROWTH_MIB = 256
# While nothing but the flood comes.
RSS_GROWTH_BY_FLOOD_MIB = 64


def rss_mib(server: Server) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


class RSS(threading.Thread):
    """Samples a server's memory until it is stopped."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.highest, self.going = server, rss_mib(server), True
        self.start()

    def run(self) -> None:
        while self.going:
            self.highest = max(self.highest, rss_mib(self.server))
            time.sleep(0.1)

    def stop(self) -> float:
        self.going = False
        self.join()
        return self.highest


@contextmanager
def rapid_resets(server: Server) -> Iterator[dict]:
    """A flood from another process; afterwards the dictionary says what it did."""
    program = Path(__file__).with_name("rapid_reset.py")
    host, port = server.grpc.rsplit(":", 1)
    process = subprocess.Popen(
        [sys.executable, str(program), host, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    done: dict = {}
    try:
        yield done
        output, _ = process.communicate(input="end\n", timeout=30)
        done.update(json.loads(output))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.alone
@pytest.mark.timeout(420)
def test_10000_jobs_on_one_stream_beside_a_flood_of_rapid_resets():
    """All are acknowledged and there, and the server's memory stays flat."""
    with Cluster(servers=1, agents=2, slots=32) as cluster:
        server, client = cluster.servers[0], cluster.client()
        with rapid_resets(server) as flood:
            time.sleep(3)  # until buffers and pools have their size
            before = rss_mib(server)
            quiet = RSS(server)
            time.sleep(5)
            grown = quiet.stop() - before
            assert grown < RSS_GROWTH_BY_FLOOD_MIB, f"{grown:.0f} MiB by resets alone"
            memory = RSS(server)
            answer = client.submit_stream(
                (messages.SubmitRequest(job_id=f"flooded-{n}", spec=noop_job()) for n in range(10_000)), timeout=300
            )
            grown = memory.stop() - before
        assert (answer.accepted, answer.created, answer.refused) == (10_000, 10_000, 0)
        assert grown < RSS_GROWTH_MIB, f"{grown:.0f} MiB"
        assert flood["resets"] > 5_000, flood
        assert flood["connections"] > 1, "the abuser was never cut off"
        stored = {job.job_id for job in client.jobs(page_size=1000)}
        assert stored == {f"flooded-{n}" for n in range(10_000)}


def test_each_is_by_itself_and_refusals_have_their_index(pair: Cluster):
    client = pair.client(pair.servers[1])
    requests = [
        messages.SubmitRequest(namespace="streamed", job_id="one", spec=noop_job()),
        messages.SubmitRequest(namespace="streamed", job_id="Not Valid", spec=noop_job()),
        messages.SubmitRequest(namespace="streamed", job_id="two", spec=noop_job(), idempotency_key="k"),
        messages.SubmitRequest(namespace="streamed", job_id="one", spec=exec_job(["true"])),
        messages.SubmitRequest(namespace="streamed"),
    ]
    # One after the other, so that which "one" comes first is certain.
    answer = client.submit_stream(slowly(requests, 0.2))
    assert (answer.accepted, answer.created, answer.refused) == (2, 2, 3)
    assert [(refusal.index, refusal.code) for refusal in answer.refusals] == [(1, 3), (3, 6), (4, 3)]
    assert [refusal.job_id for refusal in answer.refusals] == ["Not Valid", "one", ""]
    assert "job_id" in answer.refusals[0].message and "spec" in answer.refusals[2].message
    again = client.submit_stream(iter(requests[2:3]))
    assert (again.accepted, again.created) == (1, 0)


def slowly(requests: list[messages.SubmitRequest], pause: float) -> Iterator[messages.SubmitRequest]:
    for request in requests:
        yield request
        time.sleep(pause)


def test_bytes_that_are_no_message_are_a_refusal(pair: Cluster):
    channel = grpc.insecure_channel(pair.servers[0].grpc)
    call = channel.stream_unary(
        "/rota.v1.Jobs/SubmitStream", response_deserializer=messages.SubmitStreamResponse.FromString
    )
    good = messages.SubmitRequest(namespace="torn", job_id="whole", spec=noop_job()).SerializeToString()
    answer = call(iter([b"\xff\xff", good]), timeout=30)
    assert (answer.accepted, answer.refused) == (1, 1)
    assert (answer.refusals[0].index, answer.refusals[0].code) == (0, 3)
    channel.close()


def test_an_empty_stream_has_an_empty_answer(pair: Cluster):
    answer = pair.client().submit_stream(iter([]))
    assert (answer.accepted, answer.created, answer.refused) == (0, 0, 0)


def test_the_caller_is_held_back_while_etcd_stands_still():
    """What is in flight is bounded: with etcd stopped, the client cannot go on pushing."""
    with Cluster(servers=1, agents=1) as cluster:
        server, client = cluster.servers[0], cluster.client()
        taken, wanted = 0, 4_000

        def requests() -> Iterator[messages.SubmitRequest]:
            nonlocal taken
            for n in range(4_000):
                if n >= wanted:
                    return
                taken += 1
                yield messages.SubmitRequest(job_id=f"held-{n}", spec=noop_job(env={"FILLER": "x" * 20_000}))

        def submit() -> None:
            try:
                client.submit_stream(requests(), timeout=120)
            except RotaError as error:
                failures.append(error)

        failures: list[RotaError] = []
        before = rss_mib(server)
        cluster.etcd.send(signal.SIGSTOP)
        try:
            memory = RSS(server)
            submitter = threading.Thread(target=submit)
            submitter.start()
            time.sleep(3)
            first = taken
            # 80 MB are wanted; what the server takes, what HTTP/2 and the sockets hold, is a fraction of it.
            assert first < 1_000, f"{first} of 4,000 were taken while nothing was written"
            assert memory.stop() - before < RSS_GROWTH_BY_FLOOD_MIB
        finally:
            wanted = 0
            cluster.etcd.send(signal.SIGCONT)
        submitter.join(120)
        assert not submitter.is_alive()
        # Writes that waited too long end the call, clearly; sending all again is safe.
        assert all(error.code == grpc.StatusCode.UNAVAILABLE for error in failures), failures
        if failures:
            assert "of the stream" in failures[0].message


def test_etcd_gone_ends_the_call_and_all_can_be_sent_again():
    with Cluster(servers=1, agents=1) as cluster:
        client = cluster.client()
        requests = [
            messages.SubmitRequest(job_id=f"again-{n}", spec=noop_job(), idempotency_key=f"again-{n}")
            for n in range(400)
        ]
        cluster.etcd.kill()
        with pytest.raises(RotaError) as failed:
            client.submit_stream(iter(requests), timeout=60)
        assert failed.value.code == grpc.StatusCode.UNAVAILABLE
        assert "request " in failed.value.message and "of the stream" in failed.value.message
        cluster.start()

        def sent() -> messages.SubmitStreamResponse | None:
            try:
                return client.submit_stream(iter(requests), timeout=60)
            except RotaError as error:
                assert error.code == grpc.StatusCode.UNAVAILABLE, error
                return None

        answer = wait_until(sent, 60, "the stream is taken")
        assert (answer.accepted, answer.refused) == (400, 0)
        assert len(list(client.jobs(page_size=1000))) == 400
