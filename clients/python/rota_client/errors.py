"""What a call that failed raises."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    """The path of the field in the request, such as `spec.exec.argv[0]`."""
    description: str
    """What is wrong, and what was expected."""


class RotaError(Exception):
    """A call that failed. `code` says how, the text says why, in the server's words.

    UNAVAILABLE and DEADLINE_EXCEEDED do not say whether a submit took effect: repeat it with the same
    idempotency key.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        violations: Sequence[FieldViolation] = (),
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.violations = tuple(violations)
        """The fields that are to blame, if any is."""
        self.retry_delay = retry_delay
        """How many seconds to wait at least before the call is made again; None where that is not known."""


class BadRequestError(RotaError):
    """A request that is wrong whatever the state of the cluster (INVALID_ARGUMENT): see `violations`."""


def rota_error(error: grpc.RpcError) -> RotaError:
    """The error that a failed call means, with the details that came with its status."""
    violations: list[FieldViolation] = []
    retry_delay: float | None = None
    for detail in _details(error):
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad):
            violations += [FieldViolation(entry.field, entry.description) for entry in bad.field_violations]
        elif detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
    kind = BadRequestError if error.code() == grpc.StatusCode.INVALID_ARGUMENT else RotaError
    return kind(error.code(), error.details() or "", violations, retry_delay)


def _details(error: grpc.RpcError) -> Iterable[Any]:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # a proxy has changed the status on the way, and the details are about another one
        return ()
    return list(status.details) if status else ()
