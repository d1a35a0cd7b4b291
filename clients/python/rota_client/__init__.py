"""A client for Rota, the distributed job scheduler.

    from rota_client import Client, exec_job

    with Client("127.0.0.1:7070") as rota:
        job = rota.submit(exec_job(["echo", "hi"]))
        job = rota.wait(job.job_id)
        print(status_name(job.status))

Messages are those of `proto/rota/v1`; `rota_client.messages` holds them all.
"""
from . import messages
from .client import Client
from .credentials import tls_credentials
from .errors import BadRequestError, FieldViolation, RotaError
from .specs import (
    affinity,
    alert,
    calendar,
    concurrency,
    constraint,
    exec_job,
    failures,
    http_job,
    misfire,
    noop_job,
    overlap,
    placement,
    resources,
    schedule,
    shell_job,
    task_job,
)
from .states import end_reason_name, is_terminal, run_state_name, status_name

__all__ = [
    "BadRequestError",
    "Client",
    "FieldViolation",
    "RotaError",
    "affinity",
    "alert",
    "calendar",
    "concurrency",
    "constraint",
    "end_reason_name",
    "exec_job",
    "failures",
    "http_job",
    "is_terminal",
    "messages",
    "misfire",
    "noop_job",
    "overlap",
    "placement",
    "resources",
    "run_state_name",
    "schedule",
    "shell_job",
    "status_name",
    "task_job",
    "tls_credentials",
]
