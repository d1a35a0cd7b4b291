"""An agent that is written here from docs/AGENT_PROTOCOL.md alone, without the worker library."""
from __future__ import annotations

import base64
import http.client
import json
import queue
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import messages, task_job
from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_client._generated.rota.v1 import agent_session_pb2_grpc as services
from rota_client.messages import EndReason, JobStatus

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(servers=2, agents=0) as cluster:
        yield cluster


class HandmadeAgent:
    """Registers, and holds one session with a server. Its lease is long, so that it needs no renewal."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.key = base64.b64encode(f"/rota/agents/{name}".encode()).decode()
        self.lease = self.etcd("/v3/lease/grant", {"TTL": "60"})["ID"]
        record = {"worker_id": name, "host": "here", "slots": 4, "version": "hand-1"}
        record |= {"started_at": "2025-06-01T12:00:00Z", "kinds": ["task"], "tasks": [f"by-{name}"]}
        value = base64.b64encode(json.dumps(record).encode()).decode()
        answer = self.etcd(
            "/v3/kv/txn",
            {
                "compare": [{"key": self.key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [{"request_put": {"key": self.key, "value": value, "lease": self.lease}}],
            },
        )
        assert answer["succeeded"]
        self.incarnation = int(answer["header"]["revision"])
        self.outgoing: queue.SimpleQueue[pb.AgentMessage | None] = queue.SimpleQueue()
        self.channel = grpc.insecure_channel(cluster.leader().grpc)
        self.incoming: Any = None

    def etcd(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.cluster.etcd.address, timeout=5)
        connection.request("POST", path, json.dumps(body))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def connect(self, *attempts: pb.AttemptRef, incarnation: int | None = None) -> HandmadeAgent:
        stub = services.AgentSessionStub(self.channel)
        hello = pb.Hello(worker_id=self.name, incarnation=incarnation or self.incarnation, attempts=attempts)
        self.say(pb.AgentMessage(hello=hello))
        self.incoming = stub.Connect(iter(self.outgoing.get, None), timeout=60)
        return self

    def say(self, message: pb.AgentMessage) -> None:
        self.outgoing.put(message)

    def hear(self, kind: str) -> Any:
        message = next(self.incoming)
        assert message.WhichOneof("message") == kind, message
        return getattr(message, kind)

    def task(self, **options: Any) -> messages.JobSpec:
        return task_job(f"by-{self.name}", {"n": 1}, **options)

    def at(self, server: str) -> HandmadeAgent:
        """The same agent, to be connected to another server."""
        self.disconnect()
        self.channel.close()
        self.channel = grpc.insecure_channel(server)
        return self

    def disconnect(self) -> None:
        self.outgoing.put(None)
        self.incoming.cancel()
        self.outgoing = queue.SimpleQueue()

    def close(self) -> None:
        self.disconnect()
        self.channel.close()
        self.etcd("/v3/lease/revoke", {"ID": self.lease})


@pytest.fixture
def agent(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[HandmadeAgent]:
    agent = HandmadeAgent(cluster, f"hand-{abs(hash(request.node.name)) % 10_000}")
    yield agent
    agent.close()


def ended(ref: pb.AttemptRef, sequence: int, code: int = 0, tail: bytes = b"") -> pb.AgentMessage:
    message = pb.AgentMessage()
    message.status.sequence = sequence
    update = message.status.updates.add(end_reason="END_REASON_EXITED", exit_code=code, output_tail=tail)
    update.attempt.CopyFrom(ref)
    update.start_time.seconds, update.end_time.seconds = NOW, NOW + 1
    return message


def test_a_run_from_assignment_to_acknowledgement(cluster: Cluster, agent: HandmadeAgent) -> None:
    agent.connect()
    welcome = agent.hear("welcome")
    assert welcome.server_id == cluster.leader().name and welcome.leader_epoch > 0
    job = cluster.client().submit(agent.task())
    (assignment,) = agent.hear("assign").assignments
    assert json.loads(assignment.spec.task.payload) == {"n": 1}
    ref = assignment.attempt
    assert (ref.job_id, ref.attempt, ref.fence, ref.incarnation) == (job.job_id, 1, 1, agent.incarnation)
    agent.say(ended(ref, 1, tail=b"by hand"))
    assert agent.hear("ack").sequence == 1
    # Acknowledged means durable.
    done = cluster.client().job(job.job_id)
    assert done.status == JobStatus.JOB_STATUS_COMPLETED and done.runs[0].output_tail == b"by hand"
    # Said twice, it is acknowledged and changes nothing.
    agent.say(ended(ref, 2, code=9))
    assert agent.hear("ack").sequence == 2
    assert cluster.client().job(job.job_id).revision == done.revision


def test_what_the_hello_lacks_is_assigned_again_and_what_it_has_wrongly_is_to_be_forgotten(
    cluster: Cluster, agent: HandmadeAgent
) -> None:
    agent.connect().hear("welcome")
    job = cluster.client().submit(agent.task())
    ref = agent.hear("assign").assignments[0].attempt
    agent.disconnect()
    agent.connect().hear("welcome")
    assert agent.hear("assign").assignments[0].attempt == ref
    agent.disconnect()
    wrong = pb.AttemptRef()
    wrong.CopyFrom(ref)
    wrong.run_id = "20200101t000000.000z"
    agent.connect(ref, wrong).hear("welcome")
    stop = agent.hear("stop")
    assert stop.forget and list(stop.attempts) == [wrong]
    agent.say(ended(ref, 1))
    assert agent.hear("ack").sequence == 1
    assert cluster.wait_job(job.job_id).status == JobStatus.JOB_STATUS_COMPLETED


def test_cancel_is_a_stop_that_waits_for_the_end(cluster: Cluster, agent: HandmadeAgent) -> None:
    agent.connect().hear("welcome")
    job = cluster.client().submit(agent.task())
    ref = agent.hear("assign").assignments[0].attempt
    cluster.client().cancel(job.job_id, reason="enough")
    stop = agent.hear("stop")
    assert not stop.forget and list(stop.attempts) == [ref] and stop.reason == "enough"
    message = ended(ref, 1)
    message.status.updates[0].end_reason = EndReason.END_REASON_CANCELLED
    agent.say(message)
    agent.hear("ack")
    assert cluster.client().job(job.job_id).status == JobStatus.JOB_STATUS_CANCELLED


def test_checkpoint_of_the_current_attempt_is_saved_and_a_stale_one_is_refused(
    cluster: Cluster, agent: HandmadeAgent
) -> None:
    agent.connect().hear("welcome")
    job = cluster.client().submit(agent.task(max_retries=1, backoff=[0.1]))
    first = agent.hear("assign").assignments[0].attempt
    agent.say(pb.AgentMessage(checkpoint=pb.Checkpoint(attempt=first, sequence=1, data=b"half")))
    ack = agent.hear("checkpoint_ack")
    assert (ack.attempt, ack.sequence, ack.error) == (first, 1, "")
    assert cluster.client().run(job.job_id).checkpoint_bytes == 4
    agent.say(ended(first, 1, code=1))
    agent.hear("ack")
    assignment = agent.hear("assign").assignments[0]
    assert (assignment.attempt.attempt, assignment.retry_count, assignment.checkpoint) == (2, 1, b"half")
    agent.say(pb.AgentMessage(checkpoint=pb.Checkpoint(attempt=first, sequence=2, data=b"stale")))
    # It is refused, and the agent is told to end what still saves checkpoints.
    answers = {message.WhichOneof("message"): message for message in (next(agent.incoming), next(agent.incoming))}
    ack, stop = answers["checkpoint_ack"].checkpoint_ack, answers["stop"].stop
    assert (ack.attempt, ack.sequence) == (first, 2) and ack.error
    assert stop.forget and list(stop.attempts) == [first]
    assert cluster.client().run(job.job_id).checkpoint_bytes == 4
    agent.say(ended(assignment.attempt, 2))
    agent.hear("ack")


def test_errors(cluster: Cluster, agent: HandmadeAgent) -> None:
    def refused(expected: grpc.StatusCode, text: str) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            while True:
                next(agent.incoming)
        assert caught.value.code() == expected, caught.value
        assert text in caught.value.details()
        agent.disconnect()

    agent.connect(incarnation=agent.incarnation - 1)
    refused(grpc.StatusCode.UNAVAILABLE, "does not hold that lease")
    agent.connect().hear("welcome")
    agent.say(pb.AgentMessage(status=pb.Status(sequence=2, updates=[ended(pb.AttemptRef(), 2).status.updates[0]])))
    refused(grpc.StatusCode.UNAVAILABLE, "out of order")
    agent.connect().hear("welcome")
    agent.say(pb.AgentMessage(hello=pb.Hello(worker_id=agent.name)))
    refused(grpc.StatusCode.INVALID_ARGUMENT, "Hello")
    follower = next(server for server in cluster.servers if server is not cluster.leader())
    with grpc.insecure_channel(follower.grpc) as channel:
        agent.channel, mine = channel, agent.channel
        agent.connect()
        with pytest.raises(grpc.RpcError) as caught:
            next(agent.incoming)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert dict(caught.value.trailing_metadata())["rota-leader"] == cluster.leader().grpc
        agent.disconnect()
        agent.channel = mine
    agent.connect().hear("welcome")


def test_deleted_key_moves_the_work_without_delay(cluster: Cluster, agent: HandmadeAgent) -> None:
    agent.connect().hear("welcome")
    job = cluster.client().submit(agent.task())
    agent.hear("assign")
    agent.etcd("/v3/kv/deleterange", {"key": agent.key})
    began = time.monotonic()
    run = wait_until(
        lambda: (r := cluster.client().run(job.job_id)).attempts[0].HasField("end_time") and r, 10, "it is lost"
    )
    assert run.attempts[0].end_reason == EndReason.END_REASON_AGENT_LOST
    assert time.monotonic() - began < 5
    cluster.client().cancel(job.job_id)
