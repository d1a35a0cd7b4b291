"""The names of states, as REST, the command line and etcd spell them."""
from __future__ import annotations

from .messages import EndReason, JobStatus, RunState


def status_name(status: JobStatus) -> str:
    """`JOB_STATUS_COMPLETED` is "completed"."""
    return JobStatus.Name(status).removeprefix("JOB_STATUS_").lower()


def run_state_name(state: RunState) -> str:
    """`RUN_STATE_RETRYING` is "retrying"."""
    return RunState.Name(state).removeprefix("RUN_STATE_").lower()


def end_reason_name(reason: EndReason) -> str:
    """`END_REASON_AGENT_LOST` is "agent_lost"."""
    return EndReason.Name(reason).removeprefix("END_REASON_").lower()


def is_terminal(status: JobStatus) -> bool:
    """Whether nothing more will happen to a job by itself."""
    return status in (
        JobStatus.JOB_STATUS_COMPLETED,
        JobStatus.JOB_STATUS_FAILED,
        JobStatus.JOB_STATUS_CANCELLED,
    )
