"""The messages of `rota/v1/agent_session.proto`, to and from the model."""
from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_client._generated.rota.v1 import types_pb2 as types

from .model import (
    Assignment,
    AttemptRef,
    CheckpointMessage,
    End,
    EndReason,
    Health,
    Status,
    Update,
    Usage,
    Wish,
)


def timestamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // 1_000_000_000, nanos=ns % 1_000_000_000)


def nanoseconds(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos


def _milliseconds(duration: Duration) -> int:
    return duration.seconds * 1_000 + duration.nanos // 1_000_000


def ref_to_wire(ref: AttemptRef) -> pb.AttemptRef:
    return pb.AttemptRef(
        namespace=ref.namespace,
        job_id=ref.job_id,
        run_id=ref.run_id,
        attempt=ref.attempt,
        fence=ref.fence,
        incarnation=ref.incarnation,
    )


def ref_from_wire(ref: pb.AttemptRef) -> AttemptRef:
    return AttemptRef(ref.namespace, ref.job_id, ref.run_id, ref.attempt, ref.fence, ref.incarnation)


def _optional_nanoseconds(context: pb.RunContext, field: str) -> int | None:
    return nanoseconds(getattr(context, field)) if context.HasField(field) else None


def _trigger_name(trigger: int) -> str:
    """As in `rota.v1.RunTrigger`, in lower case; a leader that says nothing knows schedules only."""
    if trigger == types.RunTrigger.RUN_TRIGGER_UNSPECIFIED:
        return "schedule"
    known = types.RunTrigger.values()
    return types.RunTrigger.Name(trigger).removeprefix("RUN_TRIGGER_").lower() if trigger in known else str(trigger)


def assignment_from_wire(message: pb.Assignment) -> Assignment:
    spec, context = message.spec, message.context
    return Assignment(
        ref=ref_from_wire(message.attempt),
        kind=spec.WhichOneof("kind") or "",
        name=spec.task.name,
        payload=spec.task.payload,
        scheduled_ns=nanoseconds(message.scheduled_time),
        retry_count=message.retry_count,
        timeout_ms=_milliseconds(spec.timeout) if spec.HasField("timeout") else None,
        kill_grace_ms=_milliseconds(spec.kill_grace) if spec.HasField("kill_grace") else None,
        checkpoint=message.checkpoint,
        user_id=spec.user_id,
        working_directory=spec.working_directory,
        env=tuple(sorted(spec.env.items())),
        trigger=_trigger_name(context.trigger),
        params=tuple(sorted(context.params.items())),
        previous_scheduled_ns=_optional_nanoseconds(context, "previous_scheduled_time"),
        next_scheduled_ns=_optional_nanoseconds(context, "next_scheduled_time"),
        last_success_ns=_optional_nanoseconds(context, "last_success_time"),
    )


def health_to_wire(health: Health) -> types.AgentHealth:
    return types.AgentHealth(
        cpu=health.cpu,
        load1=health.load1,
        memory_total_bytes=health.memory_total,
        memory_available_bytes=health.memory_available,
        disk_total_bytes=health.disk_total,
        disk_available_bytes=health.disk_available,
    )


def update_to_wire(update: Update) -> pb.AttemptUpdate:
    end = update.end
    message = pb.AttemptUpdate(
        attempt=ref_to_wire(update.ref), end_reason=f"END_REASON_{end.reason.name}" if end is not None else None
    )
    if update.started_ns is not None:
        message.start_time.CopyFrom(timestamp(update.started_ns))
    if update.progress is not None:
        message.progress.fraction = update.progress.fraction
        message.progress.message = update.progress.message
        message.progress.at.CopyFrom(timestamp(update.progress.at_ns))
    if end is not None:
        message.end_time.CopyFrom(timestamp(end.ended_ns))
        message.exit_code, message.signal = end.exit_code, end.signal
        message.error, message.output_tail = end.error, end.output_tail
        if end.usage is not None:
            message.usage.user_cpu_microseconds = end.usage.user_us
            message.usage.system_cpu_microseconds = end.usage.system_us
            message.usage.max_rss_kib = end.usage.max_rss_kib
        message.no_retry = end.wish.no_retry
        if end.wish.retry_after_ms is not None:
            message.retry_after.FromMilliseconds(end.wish.retry_after_ms)
    return message


def update_from_wire(message: pb.AttemptUpdate) -> Update:
    """For the journal; progress is not kept."""
    end = None
    if message.HasField("end_time"):
        usage = message.usage
        end = End(
            ended_ns=nanoseconds(message.end_time),
            reason=EndReason(message.end_reason),
            exit_code=message.exit_code,
            signal=message.signal,
            error=message.error,
            output_tail=message.output_tail,
            usage=Usage(usage.user_cpu_microseconds, usage.system_cpu_microseconds, usage.max_rss_kib)
            if message.HasField("usage")
            else None,
            wish=Wish(
                message.no_retry, _milliseconds(message.retry_after) if message.HasField("retry_after") else None
            ),
        )
    started = nanoseconds(message.start_time) if message.HasField("start_time") else None
    return Update(ref_from_wire(message.attempt), started, end)


def hello(
    worker_id: str, incarnation: int, version: str, attempts: list[AttemptRef], health: Health, draining: bool
) -> pb.AgentMessage:
    return pb.AgentMessage(
        hello=pb.Hello(
            worker_id=worker_id,
            incarnation=incarnation,
            version=version,
            attempts=[ref_to_wire(ref) for ref in attempts],
            health=health_to_wire(health),
            draining=draining,
        )
    )


def message_to_wire(message: Status | CheckpointMessage) -> pb.AgentMessage:
    if isinstance(message, CheckpointMessage):
        attempt = ref_to_wire(message.ref)
        return pb.AgentMessage(
            checkpoint=pb.Checkpoint(attempt=attempt, sequence=message.sequence, data=message.data)
        )
    status = pb.Status(
        sequence=message.sequence,
        updates=[update_to_wire(update) for update in message.updates],
        draining=message.draining,
    )
    if message.health is not None:
        status.health.CopyFrom(health_to_wire(message.health))
    return pb.AgentMessage(status=status)


