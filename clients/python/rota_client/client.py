"""The client itself: a thin, typed layer over the generated stubs."""
from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message

from . import messages as m
from ._generated.rota.v1 import (
    agents_pb2_grpc,
    alerts_pb2_grpc,
    cluster_pb2_grpc,
    events_pb2_grpc,
    jobs_pb2_grpc,
    queues_pb2_grpc,
    quotas_pb2_grpc,
    runs_pb2_grpc,
    schedules_pb2_grpc,
)
from .errors import RotaError, rota_error
from .states import is_terminal

DEFAULT_TIMEOUT_SECONDS = 30.0
"""How long a call other than a stream may take."""

RESUME_PAUSE_SECONDS = (0.1, 2.0)
"""The first and the longest wait before a watch that was cut off goes on."""

RESUME_PATIENCE_SECONDS = 60.0
"""How long a watch that was cut off may find no server."""


_CHANNEL_OPTIONS = [
    # A server that has fallen silent without closing its connections is given up within 10 seconds,
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 4_500),
    ("grpc.http2.ping_timeout_ms", 4_500),
    ("grpc.http2.max_pings_without_data", 0),
    # and one that accepts a connection and says nothing on it, within 3.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
]


class Client:
    """Talks to any server of a cluster. Safe to use from several threads."""

    def __init__(
        self,
        server: str = "127.0.0.1:7070",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
        user_id: str = "",
    ) -> None:
        """`server` is host:port of a server's gRPC, or `ipv4:host:port,host:port` for several, of which one is
        used while it can be reached. Nothing is sent before the first call.

        `credentials` turns TLS on, see `tls_credentials`.

        `user_id` is who asks, for what is recorded of it; where clients show certificates, those say it instead.
        """
        self._timeout = timeout
        self._metadata = (("rota-user-id", user_id),) if user_id else ()
        if credentials is None:
            self._channel = grpc.insecure_channel(server, options=_CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(server, credentials, options=_CHANNEL_OPTIONS)
        self._jobs = jobs_pb2_grpc.JobsStub(self._channel)
        self._runs = runs_pb2_grpc.RunsStub(self._channel)
        self._agents = agents_pb2_grpc.AgentsStub(self._channel)
        self._events = events_pb2_grpc.EventsStub(self._channel)
        self._calendars = schedules_pb2_grpc.CalendarsStub(self._channel)
        self._queues = queues_pb2_grpc.QueuesStub(self._channel)
        self._groups = jobs_pb2_grpc.GroupsStub(self._channel)
        self._schedules = schedules_pb2_grpc.SchedulesStub(self._channel)
        self._backfills = schedules_pb2_grpc.BackfillsStub(self._channel)
        self._alerts = alerts_pb2_grpc.AlertsStub(self._channel)
        self._quotas = quotas_pb2_grpc.QuotasStub(self._channel)
        self._cluster = cluster_pb2_grpc.ClusterStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls and closes the connection."""
        self._channel.close()

    # Jobs

    def submit(
        self,
        spec: m.JobSpec,
        *,
        job_id: str = "",
        namespace: str = "",
        idempotency_key: str = "",
        delay: float | None = None,
    ) -> m.Job:
        """Stores a job; once this returns, it is durable. `delay` is how many seconds later it runs."""
        request = m.SubmitRequest(
            spec=spec, job_id=job_id, namespace=namespace, idempotency_key=idempotency_key
        )
        if delay is not None:
            request.delay.FromTimedelta(timedelta(seconds=delay))
        return self.submit_request(request).job

    def submit_request(self, request: m.SubmitRequest) -> m.SubmitResponse:
        """As `submit`, and says whether the job is new."""
        return self._call(self._jobs.Submit, request)

    def submit_batch(self, requests: Iterable[m.SubmitRequest]) -> list[m.SubmitResult]:
        """Stores up to 1,000 jobs, each by itself; the results are in the order of the requests."""
        response = self._call(self._jobs.SubmitBatch, m.SubmitBatchRequest(requests=requests))
        return list(response.results)

    def submit_stream(
        self, requests: Iterable[m.SubmitRequest], *, timeout: float | None = None
    ) -> m.SubmitStreamResponse:
        """Stores any number of jobs, each by itself, taking them from `requests` no faster than they are written.

        Once it returns, all that were accepted are durable. When it raises, some may have been stored: with job
        ids or idempotency keys it is safe to send all again.
        """
        try:
            return self._jobs.SubmitStream(iter(requests), timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise rota_error(error) from error

    def job(self, job_id: str, *, namespace: str = "") -> m.Job:
        """A job with its runs."""
        return self._call(self._jobs.Get, m.GetJobRequest(job_id=job_id, namespace=namespace))

    def jobs(
        self,
        *,
        namespace: str = "",
        status: m.JobStatus = m.JobStatus.JOB_STATUS_UNSPECIFIED,
        user_id: str = "",
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
    ) -> Iterator[m.Job]:
        """All jobs that match, newest first, without their runs; pages are fetched as needed."""
        request = m.ListJobsRequest(
            namespace=namespace, status=status, user_id=user_id, labels=labels or {}, page_size=page_size
        )
        while True:
            response = self._call(self._jobs.List, request)
            yield from response.jobs
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def cancel(self, job_id: str, *, namespace: str = "", reason: str = "") -> m.Job:
        """Asks for a job to be cancelled; what runs is killed."""
        return self._call(
            self._jobs.Cancel, m.CancelJobRequest(job_id=job_id, namespace=namespace, reason=reason)
        )

    def pause(self, job_id: str, *, namespace: str = "", note: str = "") -> m.Job:
        """Keeps a job from being due; runs that exist go on. Pausing again changes the note."""
        return self._call(
            self._jobs.Pause, m.PauseJobRequest(job_id=job_id, namespace=namespace, note=note)
        )

    def resume(self, job_id: str, *, namespace: str = "") -> m.Job:
        """Ends a pause: the job's misfire policy decides about what was missed."""
        return self._call(self._jobs.Resume, m.ResumeJobRequest(job_id=job_id, namespace=namespace))

    def trigger(
        self,
        job_id: str,
        *,
        namespace: str = "",
        params: Mapping[str, str] | None = None,
        idempotency_key: str = "",
    ) -> m.Run:
        """Creates a run now, whatever the schedules say; `params` are used instead of the job's own."""
        request = m.TriggerJobRequest(
            job_id=job_id, namespace=namespace, params=params or {}, idempotency_key=idempotency_key
        )
        return self._call(self._jobs.Trigger, request)

    def retry(
        self, job_id: str, run_id: str = "", *, namespace: str = "", idempotency_key: str = ""
    ) -> m.Run:
        """Runs a run again that has ended, without `run_id` the newest that failed: as a new run with the same scheduled
        time and parameters.
        """
        request = m.RetryRunRequest(
            job_id=job_id, run_id=run_id, namespace=namespace, idempotency_key=idempotency_key
        )
        return self._call(self._runs.Retry, request)

    def skip_next(self, job_id: str, *, namespace: str = "", scheduled_time: datetime | None = None) -> m.Job:
        """Leaves out the next occurrence. With `scheduled_time`, which has to know its time zone, that one, and
        nothing when it is not the next any more.
        """
        request = m.SkipNextRequest(job_id=job_id, namespace=namespace)
        if scheduled_time is not None:
            if scheduled_time.tzinfo is None:
                raise ValueError("scheduled_time has no time zone; say for example tzinfo=timezone.utc")
            request.scheduled_time.FromDatetime(scheduled_time)
        return self._call(self._jobs.SkipNext, request)

    def update(
        self,
        job_id: str,
        spec: m.JobSpec,
        *,
        namespace: str = "",
        if_match: str = "",
        idempotency_key: str = "",
        updated_by: str = "",
    ) -> m.Job:
        """Replaces the specification. With `if_match`, the `etag` of a job that was read, it raises ABORTED when
        the job has changed since.

        With an `idempotency_key` it may be sent again after UNAVAILABLE or DEADLINE_EXCEEDED: where it had been done,
        the answer is the job as it is. `updated_by` says who asks, where no certificate does.
        """
        request = m.UpdateJobRequest(
            job_id=job_id,
            namespace=namespace,
            spec=spec,
            if_match=if_match,
            idempotency_key=idempotency_key,
            updated_by=updated_by,
        )
        return self._call(self._jobs.Update, request)

    def versions(self, job_id: str, *, namespace: str = "") -> list[m.JobVersion]:
        """What the job is and the up to 10 versions before, the present one first, without their specifications."""
        request = m.ListVersionsRequest(job_id=job_id, namespace=namespace)
        return list(self._call(self._jobs.ListVersions, request).versions)

    def version(self, job_id: str, generation: int, *, namespace: str = "") -> m.JobVersion:
        """One version of a job, with its specification."""
        return self._call(
            self._jobs.GetVersion,
            m.GetVersionRequest(job_id=job_id, generation=generation, namespace=namespace),
        )

    def revert(
        self,
        job_id: str,
        generation: int,
        *,
        namespace: str = "",
        if_match: str = "",
        idempotency_key: str = "",
        updated_by: str = "",
    ) -> m.Job:
        """Gives the job the specification of one of its versions again: an update like any, with a new generation."""
        request = m.RevertJobRequest(
            job_id=job_id,
            namespace=namespace,
            generation=generation,
            if_match=if_match,
            idempotency_key=idempotency_key,
            updated_by=updated_by,
        )
        return self._call(self._jobs.Revert, request)

    def delete(self, job_id: str, *, namespace: str = "", if_match: str = "") -> m.Job:
        """Asks for a job to be removed with its runs; what runs is killed first."""
        return self._call(
            self._jobs.Delete, m.DeleteJobRequest(job_id=job_id, namespace=namespace, if_match=if_match)
        )

    def watch(self, job_id: str, *, namespace: str = "", timeout: float | None = None) -> Iterator[m.Job]:
        """The job as it stands, then after each change, until it has ended."""
        return self._stream(
            self._jobs.Watch, m.WatchJobRequest(job_id=job_id, namespace=namespace), timeout
        )

    def wait(self, job_id: str, *, namespace: str = "", timeout: float | None = None) -> m.Job:
        """The job once it has ended."""
        last = m.Job()
        for last in self.watch(job_id, namespace=namespace, timeout=timeout):
            if is_terminal(last.status):
                break
        return last

    # Runs

    def run(self, job_id: str, run_id: str = "", *, namespace: str = "") -> m.Run:
        """A run; the job's newest without `run_id`."""
        return self._call(
            self._runs.Get, m.GetRunRequest(job_id=job_id, run_id=run_id, namespace=namespace)
        )

    def runs(
        self,
        *,
        namespace: str = "",
        job_id: str = "",
        worker_id: str = "",
        state: m.RunState = m.RunState.RUN_STATE_UNSPECIFIED,
        status: m.JobStatus = m.JobStatus.JOB_STATUS_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[m.Run]:
        """All runs that match, newest first; pages are fetched as needed."""
        request = m.ListRunsRequest(
            namespace=namespace,
            job_id=job_id,
            worker_id=worker_id,
            state=state,
            status=status,
            page_size=page_size,
        )
        while True:
            response = self._call(self._runs.List, request)
            yield from response.runs
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def executions(
        self,
        *,
        namespace: str = "",
        job_id: str = "",
        worker_id: str = "",
        state: m.RunState = m.RunState.RUN_STATE_UNSPECIFIED,
        status: m.JobStatus = m.JobStatus.JOB_STATUS_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[m.Execution]:
        """The attempts of all runs that match, newest first; with `worker_id`, only that agent's."""
        request = m.ListRunsRequest(
            namespace=namespace,
            job_id=job_id,
            worker_id=worker_id,
            state=state,
            status=status,
            page_size=page_size,
        )
        while True:
            response = self._call(self._runs.ListExecutions, request)
            yield from response.executions
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def explain(self, job_id: str, run_id: str = "", *, namespace: str = "") -> m.Explanation:
        """Why a job or a run is not further than it is: each reason that holds it back now, in the order of what to fix
        first. Without `run_id`, the job with those of its runs that have not ended.
        """
        return self._call(
            self._runs.Explain, m.ExplainRequest(job_id=job_id, run_id=run_id, namespace=namespace)
        )

    def logs(
        self,
        job_id: str,
        run_id: str = "",
        *,
        namespace: str = "",
        attempt: int = 0,
        stream: m.LogStream = m.LogStream.LOG_STREAM_UNSPECIFIED,
        follow: bool = False,
        tail_bytes: int = 0,
        timeout: float | None = None,
    ) -> Iterator[m.LogChunk]:
        """What an attempt wrote; with `follow`, what it goes on to write until the run has ended."""
        request = m.LogsRequest(
            namespace=namespace,
            job_id=job_id,
            run_id=run_id,
            attempt=attempt,
            stream=stream,
            follow=follow,
            tail_bytes=tail_bytes,
        )
        return self._stream(self._runs.Logs, request, timeout)

    # Alerts

    def alerts(self, *, namespace: str = "", job_id: str = "", page_size: int = 0) -> Iterator[m.Alert]:
        """What was to be told of jobs, of all or of one; pages are fetched as needed."""
        request = m.ListAlertsRequest(namespace=namespace, job_id=job_id, page_size=page_size)
        while True:
            response = self._call(self._alerts.List, request)
            yield from response.alerts
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    # Calendars

    def put_calendar(
        self,
        name: str,
        spec: m.CalendarSpec,
        *,
        namespace: str = "",
        if_match: str = "",
        idempotency_key: str = "",
    ) -> m.Calendar:
        """Creates or replaces a calendar: the jobs that name it go by it at once. `if_match` and `idempotency_key` are
        as those of `update`.
        """
        request = m.PutCalendarRequest(
            name=name, namespace=namespace, spec=spec, if_match=if_match, idempotency_key=idempotency_key
        )
        return self._call(self._calendars.Put, request)

    def calendar(self, name: str, *, namespace: str = "") -> m.Calendar:
        """One calendar."""
        return self._call(self._calendars.Get, m.GetCalendarRequest(name=name, namespace=namespace))

    def calendars(self, *, namespace: str = "", page_size: int = 0) -> Iterator[m.Calendar]:
        """All calendars by namespace and name; pages are fetched as needed."""
        request = m.ListCalendarsRequest(namespace=namespace, page_size=page_size)
        while True:
            response = self._call(self._calendars.List, request)
            yield from response.calendars
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def delete_calendar(self, name: str, *, namespace: str = "", if_match: str = "") -> None:
        """Deletes a calendar that no job names."""
        request = m.DeleteCalendarRequest(name=name, namespace=namespace, if_match=if_match)
        self._call(self._calendars.Delete, request)

    # Queues

    def put_queue(
        self, name: str, spec: m.QueueSpec, *, if_match: str = "", idempotency_key: str = ""
    ) -> m.Queue:
        """Creates or replaces what a queue is set to. `if_match` and `idempotency_key` are as those of `update`."""
        request = m.PutQueueRequest(name=name, spec=spec, if_match=if_match, idempotency_key=idempotency_key)
        return self._call(self._queues.Put, request)

    def queue(self, name: str) -> m.Queue:
        """One queue, whether somebody has put it or not."""
        return self._call(self._queues.Get, m.GetQueueRequest(name=name))

    def queues(self, *, page_size: int = 0) -> Iterator[m.Queue]:
        """The queues that somebody has put or that are in use, by name; pages are fetched as needed."""
        request = m.ListQueuesRequest(page_size=page_size)
        while True:
            response = self._call(self._queues.List, request)
            yield from response.queues
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def delete_queue(self, name: str, *, if_match: str = "") -> None:
        """Takes a queue back to the defaults; runs that wait in it stay."""
        self._call(self._queues.Delete, m.DeleteQueueRequest(name=name, if_match=if_match))

    def pause_queue(self, name: str, *, note: str = "") -> m.Queue:
        """From now on no run of the queue is given to an agent; those that have one go on."""
        return self._call(self._queues.Pause, m.PauseQueueRequest(name=name, note=note))

    def resume_queue(self, name: str) -> m.Queue:
        """Ends a queue's pause."""
        return self._call(self._queues.Resume, m.ResumeQueueRequest(name=name))

    # Quotas

    def put_quota(
        self, namespace: str, spec: m.QuotaSpec, *, if_match: str = "", idempotency_key: str = ""
    ) -> m.Quota:
        """Sets what a namespace may use, in place of what was said before. `if_match` and `idempotency_key` are as those
        of `update`.
        """
        request = m.PutQuotaRequest(
            namespace=namespace, spec=spec, if_match=if_match, idempotency_key=idempotency_key
        )
        return self._call(self._quotas.Put, request)

    def quota(self, namespace: str) -> m.Quota:
        """What a namespace may use, and what it uses."""
        return self._call(self._quotas.Get, m.GetQuotaRequest(namespace=namespace))

    def quotas(self, *, page_size: int = 0) -> Iterator[m.Quota]:
        """All quotas by namespace; pages are fetched as needed."""
        request = m.ListQuotasRequest(page_size=page_size)
        while True:
            response = self._call(self._quotas.List, request)
            yield from response.quotas
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def delete_quota(self, namespace: str, *, if_match: str = "") -> None:
        """Deletes the quota of a namespace: nothing bounds it any more."""
        self._call(self._quotas.Delete, m.DeleteQuotaRequest(namespace=namespace, if_match=if_match))

    # Concurrency groups

    def put_group(
        self,
        name: str,
        limit: int,
        *,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        namespace: str = "",
        if_match: str = "",
        idempotency_key: str = "",
    ) -> m.Group:
        """Sets the limit of a group, which goes before those of all jobs."""
        spec = m.GroupSpec(limit=limit, description=description, labels=labels or {})
        request = m.PutGroupRequest(
            name=name, namespace=namespace, spec=spec, if_match=if_match, idempotency_key=idempotency_key
        )
        return self._call(self._groups.Put, request)

    def group(self, name: str, *, namespace: str = "") -> m.Group:
        """The object of one group."""
        return self._call(self._groups.Get, m.GetGroupRequest(name=name, namespace=namespace))

    def groups(self, *, namespace: str = "", page_size: int = 0) -> Iterator[m.Group]:
        """The objects of all groups by namespace and name; pages are fetched as needed."""
        request = m.ListGroupsRequest(namespace=namespace, page_size=page_size)
        while True:
            response = self._call(self._groups.List, request)
            yield from response.groups
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def delete_group(self, name: str, *, namespace: str = "", if_match: str = "") -> None:
        """Deletes the object of a group: the limits that jobs say count from then on."""
        self._call(self._groups.Delete, m.DeleteGroupRequest(name=name, namespace=namespace, if_match=if_match))

    # Looking ahead, and back

    def preview(self, request: m.PreviewRequest) -> m.PreviewResponse:
        """The next occurrences of a job, or of schedules that no job has (yet)."""
        return self._call(self._schedules.Preview, request)

    def forecast(self, request: m.ForecastRequest) -> m.ForecastResponse:
        """How many runs the schedules of all jobs will create in each minute of a range."""
        return self._call(self._schedules.Forecast, request)

    def backfill(self, request: m.CreateBackfillRequest) -> m.Backfill:
        """Starts a backfill, or, with `dry_run`, says what it would do."""
        return self._call(self._backfills.Create, request)

    def get_backfill(self, job_id: str, backfill_id: str, *, namespace: str = "") -> m.Backfill:
        """One backfill."""
        request = m.GetBackfillRequest(job_id=job_id, backfill_id=backfill_id, namespace=namespace)
        return self._call(self._backfills.Get, request)

    def backfills(self, job_id: str, *, namespace: str = "") -> list[m.Backfill]:
        """The backfills of a job."""
        request = m.ListBackfillsRequest(job_id=job_id, namespace=namespace)
        return list(self._call(self._backfills.List, request).backfills)

    def cancel_backfill(self, job_id: str, backfill_id: str, *, namespace: str = "") -> m.Backfill:
        """Has a backfill create no further runs; those that exist go on."""
        request = m.GetBackfillRequest(job_id=job_id, backfill_id=backfill_id, namespace=namespace)
        return self._call(self._backfills.Cancel, request)

    # The cluster

    def cluster(self) -> m.ClusterInfo:
        """Its servers with their segments, and etcd's members."""
        return self._call(self._cluster.Get, m.GetClusterRequest())

    def agents(self, *, page_size: int = 0) -> list[m.Agent]:
        """All agents that hold a lease, by their ids."""
        request = m.ListAgentsRequest(page_size=page_size)
        agents: list[m.Agent] = []
        while True:
            response = self._call(self._agents.List, request)
            agents += response.agents
            if not response.next_page_token:
                return agents
            request.page_token = response.next_page_token

    def drain_agent(self, worker_id: str, *, timeout: float | None = None, note: str = "") -> m.Agent:
        """Gives an agent no new work. What it runs may finish, or, with `timeout`, go on for so many seconds before it is
        stopped and given to other agents. It holds until `undrain_agent`, also when the agent is restarted.
        """
        request = m.DrainAgentRequest(worker_id=worker_id, note=note)
        if timeout is not None:
            request.timeout.FromTimedelta(timedelta(seconds=timeout))
        return self._call(self._agents.Drain, request)

    def undrain_agent(self, worker_id: str) -> bool:
        """Gives an agent work again. Returns whether it was drained."""
        return self._call(self._agents.Undrain, m.UndrainAgentRequest(worker_id=worker_id)).was_drained

    # Events

    def events(
        self,
        start_revision: int = 0,
        *,
        namespace: str = "",
        job_id: str = "",
        jobs: bool = False,
        runs: bool = False,
        patience: float = RESUME_PATIENCE_SECONDS,
    ) -> Iterator[m.WatchResponse]:
        """What changes, without a gap and without an end; both kinds when neither is asked for.

        Each step has `changes`, which may be none, and the `revision` up to which everything has been seen:
        keep that, and go on from it after a restart. With `start_revision` 0, everything as it stands comes
        first, in steps of revision 0; cut off meanwhile, it begins again.

        When the server is lost, the watch goes on at the next one that answers, from the revision that it has
        reached, and raises UNAVAILABLE only after `patience` seconds without one. It raises OUT_OF_RANGE when
        the revision is too long ago: list, and watch from there.
        """
        request = m.WatchRequest(
            namespace=namespace, job_id=job_id, jobs=jobs, runs=runs, start_revision=start_revision
        )
        shortest, longest = RESUME_PAUSE_SECONDS
        pause, lost_at = shortest, None
        while True:
            try:
                for step in self._stream(self._events.Watch, request, None):
                    yield step
                    request.start_revision = max(request.start_revision, step.revision)
                    pause, lost_at = shortest, None
            except RotaError as error:
                lost_at = lost_at or time.monotonic()
                if error.code != grpc.StatusCode.UNAVAILABLE or time.monotonic() >= lost_at + patience:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, longest)

    # Calls

    def _call(self, method: Callable[..., Any], request: Message) -> Any:
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise rota_error(error) from error

    @staticmethod
    def _stream(method: Callable[..., Any], request: Message, timeout: float | None) -> Iterator[Any]:
        call = method(request, timeout=timeout)
        try:
            yield from call
        except grpc.RpcError as error:
            raise rota_error(error) from error
        finally:
            call.cancel()
