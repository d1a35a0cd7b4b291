"""All messages of Rota's public services under one roof.

They are generated from `proto/`: run `clients/python/generate` once after a checkout.
"""
try:
    from ._generated.rota.v1.agents_pb2 import ListAgentsRequest, ListAgentsResponse
    from ._generated.rota.v1.events_pb2 import Change, Removed, WatchRequest, WatchResponse
    from ._generated.rota.v1.jobs_pb2 import (
        CancelJobRequest,
        GetJobRequest,
        ListJobsRequest,
        ListJobsResponse,
        SubmitBatchRequest,
        SubmitBatchResponse,
        SubmitRefusal,
        SubmitRequest,
        SubmitResponse,
        SubmitResult,
        SubmitStreamResponse,
        WatchJobRequest,
    )
    from ._generated.rota.v1.runs_pb2 import (
        Execution,
        GetRunRequest,
        ListExecutionsResponse,
        ListRunsRequest,
        ListRunsResponse,
        LogChunk,
        LogsRequest,
        LogStream,
    )
    from ._generated.rota.v1.types_pb2 import (
        Agent,
        AgentLossPolicy,
        Attempt,
        Backoff,
        Constraint,
        ConstraintOperator,
        EndReason,
        Job,
        JobSpec,
        JobStatus,
        Run,
        RunState,
    )
except ModuleNotFoundError as error:
    if error.name and "_generated" in error.name:
        raise ModuleNotFoundError(
            "rota_client's stubs have not been generated: run clients/python/generate (needs grpcio-tools)",
            name=error.name,
        ) from None
    raise

__all__ = [
    "Agent",
    "AgentLossPolicy",
    "Attempt",
    "Backoff",
    "CancelJobRequest",
    "Change",
    "Constraint",
    "ConstraintOperator",
    "EndReason",
    "Execution",
    "GetJobRequest",
    "GetRunRequest",
    "Job",
    "JobSpec",
    "JobStatus",
    "ListAgentsRequest",
    "ListAgentsResponse",
    "ListExecutionsResponse",
    "ListJobsRequest",
    "ListJobsResponse",
    "ListRunsRequest",
    "ListRunsResponse",
    "LogChunk",
    "LogStream",
    "LogsRequest",
    "Removed",
    "Run",
    "RunState",
    "SubmitBatchRequest",
    "SubmitBatchResponse",
    "SubmitRefusal",
    "SubmitRequest",
    "SubmitResponse",
    "SubmitResult",
    "SubmitStreamResponse",
    "WatchJobRequest",
    "WatchRequest",
    "WatchResponse",
]
