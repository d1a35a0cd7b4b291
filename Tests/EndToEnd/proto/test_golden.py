"""Google's protobuf makes the bytes that Tests/ProtoTests/GoldenTests.swift reads and writes.

    .venv-test/bin/python Tests/EndToEnd/proto/test_golden.py    prints them
"""
from __future__ import annotations

import importlib
import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

CHECKOUT = Path(__file__).resolve().parents[3]


def stubs() -> tuple:
    """The modules of jobs.proto and agent_session.proto, generated into a folder that is forgotten."""
    folder = tempfile.mkdtemp(prefix="rota-stubs-")
    protos = [str(path) for path in sorted((CHECKOUT / "proto").glob("rota/**/*.proto"))]
    well_known = str(Path(protoc.__file__).parent / "_proto")
    assert protoc.main(["protoc", f"-I{CHECKOUT / 'proto'}", f"-I{well_known}", f"--python_out={folder}", *protos]) == 0
    sys.path.insert(0, folder)
    return tuple(importlib.import_module(f"rota.v1.{name}_pb2") for name in ("jobs", "agent_session"))


def samples() -> dict[str, str]:
    jobs, session = stubs()
    submit = jobs.SubmitRequest(namespace="team-a", job_id="nightly", idempotency_key="k1")
    spec = submit.spec
    spec.user_id = "zoë"
    spec.exec.argv.extend(["/bin/echo", "", "a\0b"])
    spec.env.update({"A": "1", "B": "2"})
    spec.working_directory = "/srv"
    spec.timeout.FromMilliseconds(1_500)
    spec.kill_grace.FromMilliseconds(0)
    spec.max_retries = 3
    spec.backoff.list.add().FromSeconds(60)
    spec.backoff.list.add().FromMilliseconds(250)
    spec.backoff.jitter = 0.5
    spec.priority = 99
    spec.constraints.add(label="zone", operator=3, values=["eu", "us"])
    spec.execution_time.FromMicroseconds(-1)
    spec.on_agent_loss = 2

    status = session.AgentMessage()
    status.status.sequence = 2**64 - 1
    status.status.draining = True
    status.status.health.cpu = 0.25
    status.status.health.memory_total_bytes = 2**40
    update = status.status.updates.add()
    update.attempt.namespace = "default"
    update.attempt.job_id = "j"
    update.attempt.run_id = "r"
    update.attempt.attempt = 2
    update.attempt.fence = 7
    update.attempt.incarnation = 12_345
    update.start_time.FromMicroseconds(1_700_000_000_000_001)
    update.end_time.FromMicroseconds(1_700_000_001_000_002)
    update.end_reason = 1
    update.signal = 9
    update.error = "killed"
    update.output_tail = b"\xff\x00tail"
    update.usage.user_cpu_microseconds = 5
    update.progress.fraction = 0.5
    update.progress.message = "half"
    update.progress.at.FromMicroseconds(1_700_000_000_500_000)

    task = jobs.SubmitRequest(namespace="n", job_id="j")
    task.spec.task.name = "resize"
    task.spec.task.payload = '{"width":320}'
    task.spec.priority = 50

    checkpoint = session.AgentMessage()
    checkpoint.checkpoint.attempt.CopyFrom(update.attempt)
    checkpoint.checkpoint.sequence = 3
    checkpoint.checkpoint.data = b"\x00half\xff"

    answer = session.ServerMessage()
    answer.checkpoint_ack.attempt.CopyFrom(update.attempt)
    answer.checkpoint_ack.sequence = 3
    answer.checkpoint_ack.error = "stale"
    messages = {"submit": submit, "status": status, "task": task, "checkpoint": checkpoint, "answer": answer}
    return {name: message.SerializeToString(deterministic=True).hex() for name, message in messages.items()}


def test_the_bytes_are_those_of_the_swift_test():
    golden = (CHECKOUT / "Tests" / "ProtoTests" / "GoldenTests.swift").read_text()
    joined = re.sub(r'"\s*\+ "', "", golden)
    for name, text in samples().items():
        assert f'"{text}"' in joined, name


if __name__ == "__main__":
    print("\n".join(samples().values()))
