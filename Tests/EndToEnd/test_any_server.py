"""Every call of the public services at a server that does not lead, and lists of everything page by page."""
from __future__ import annotations

import uuid
from collections.abc import Callable

import grpc
import pytest

from cluster import Cluster, Server
from rota_client import Client, RotaError, calendar, messages, noop_job, schedule, shell_job


def follower_of(cluster: Cluster) -> Server:
    leader = cluster.leader()
    return next(server for server in cluster.servers if server is not leader)


def yearly(client: Client) -> str:
    """A job that is due once a year."""
    return client.submit(noop_job(schedules=[schedule(cron="0 0 1 1 *")])).job_id


def hourly_instead_of_yearly(client: Client) -> str:
    return client.update(yearly(client), noop_job(schedules=[schedule(every=3600)])).job_id


def put_group(client: Client) -> str:
    return client.put_group(f"g-{uuid.uuid4().hex[:12]}", 2).name


def put_calendar(client: Client) -> str:
    return client.put_calendar(f"c-{uuid.uuid4().hex[:12]}", calendar(days=["12-25"])).name


def put_queue(client: Client) -> str:
    return client.put_queue(f"q-{uuid.uuid4().hex[:12]}", messages.QueueSpec(max_running=3)).name


def put_quota(client: Client) -> str:
    return client.put_quota(f"n-{uuid.uuid4().hex[:12]}", messages.QuotaSpec(max_jobs=7)).namespace


def start_backfill(client: Client) -> messages.Backfill:
    """Of the last two occurrences of a yearly job, one after the other; the first goes on for a minute."""
    job = client.submit(shell_job("sleep 60", schedules=[schedule(cron="0 0 1 1 *")])).job_id
    request = messages.CreateBackfillRequest(job_id=job)
    request.to.GetCurrentTime()
    getattr(request, "from").FromSeconds(request.to.seconds - 2 * 365 * 86_400)
    return client.backfill(request)


CALLS: dict[str, Callable[[Client, str], object]] = {
    "Jobs.Submit": lambda client, job: client.submit(noop_job()).job_id,
    "Jobs.SubmitBatch": lambda client, job: client.submit_batch([messages.SubmitRequest(spec=noop_job())])[0].job_id,
    "Jobs.SubmitStream": lambda client, job: client.submit_stream([messages.SubmitRequest(spec=noop_job())]).created,
    "Jobs.Get": lambda client, job: client.job(job).job_id == job,
    "Jobs.List": lambda client, job: next(client.jobs()).job_id,
    "Jobs.Cancel": lambda client, job: client.cancel(client.submit(shell_job("sleep 60")).job_id).cancel_requested_at,
    "Jobs.Watch": lambda client, job: next(client.watch(job)).job_id == job,
    "Jobs.Pause": lambda client, job: client.pause(yearly(client), note="n").pause_note == "n",
    "Jobs.Resume": lambda client, job: client.resume(yearly(client)).etag,
    "Jobs.Trigger": lambda client, job: client.trigger(yearly(client), params={"a": "1"}).params["a"] == "1",
    "Jobs.SkipNext": lambda client, job: client.skip_next(yearly(client)).skipped_count == 1,
    "Jobs.Update": lambda client, job: client.update(
        yearly(client), noop_job(schedules=[schedule(every=3600)])
    ).generation == 2,
    "Jobs.ListVersions": lambda client, job: [entry.generation for entry in client.versions(job)] == [1],
    "Jobs.GetVersion": lambda client, job: client.version(job, 1).spec.shell.script == "echo told",
    "Jobs.Revert": lambda client, job: client.revert(hourly_instead_of_yearly(client), 1).generation == 3,
    "Jobs.Delete": lambda client, job: client.delete(yearly(client)).delete_requested_at,
    "Calendars.Put": lambda client, job: put_calendar(client),
    "Calendars.Get": lambda client, job: client.calendar(put_calendar(client)).spec.days == ["12-25"],
    "Calendars.List": lambda client, job: put_calendar(client) in {entry.name for entry in client.calendars()},
    "Groups.Put": lambda client, job: put_group(client),
    "Groups.Get": lambda client, job: client.group(put_group(client)).spec.limit == 2,
    "Groups.List": lambda client, job: put_group(client) in {entry.name for entry in client.groups()},
    "Groups.Delete": lambda client, job: client.delete_group(put_group(client)) is None,
    "Calendars.Delete": lambda client, job: client.delete_calendar(put_calendar(client)) is None,
    "Queues.Put": lambda client, job: put_queue(client),
    "Queues.Get": lambda client, job: client.queue(put_queue(client)).spec.max_running == 3,
    "Queues.List": lambda client, job: put_queue(client) in {entry.name for entry in client.queues()},
    "Queues.Delete": lambda client, job: client.delete_queue(put_queue(client)) is None,
    "Queues.Pause": lambda client, job: client.pause_queue(put_queue(client), note="why").pause_note == "why",
    "Queues.Resume": lambda client, job: client.resume_queue(put_queue(client)).generation == 1,
    "Quotas.Put": lambda client, job: put_quota(client),
    "Quotas.Get": lambda client, job: client.quota(put_quota(client)).spec.max_jobs == 7,
    "Quotas.List": lambda client, job: put_quota(client) in {entry.namespace for entry in client.quotas()},
    "Quotas.Delete": lambda client, job: client.delete_quota(put_quota(client)) is None,
    "Schedules.Preview": lambda client, job: len(
        client.preview(messages.PreviewRequest(job_id=yearly(client), count=3)).occurrences
    ) == 3,
    "Schedules.Forecast": lambda client, job: yearly(client) and client.forecast(messages.ForecastRequest()).jobs >= 1,
    "Backfills.Create": lambda client, job: start_backfill(client).backfill_id,
    "Backfills.Get": lambda client, job: (made := start_backfill(client))
    and client.get_backfill(made.job_id, made.backfill_id).occurrences == 2,
    "Backfills.List": lambda client, job: (made := start_backfill(client))
    and [entry.backfill_id for entry in client.backfills(made.job_id)] == [made.backfill_id],
    "Backfills.Cancel": lambda client, job: (made := start_backfill(client))
    and client.cancel_backfill(made.job_id, made.backfill_id).state == messages.BackfillState.BACKFILL_STATE_CANCELLED,
    "Alerts.List": lambda client, job: list(client.alerts(job_id=job)) == [],
    "Cluster.Get": lambda client, job: len(client.cluster().servers) == 2,
    "Runs.Get": lambda client, job: client.run(job).job_id == job,
    "Runs.List": lambda client, job: next(client.runs(job_id=job)).job_id == job,
    "Runs.ListExecutions": lambda client, job: next(client.executions(job_id=job)).execution_id.startswith(job),
    "Runs.Retry": lambda client, job: client.retry(job, client.run(job).run_id).retry_of,
    "Runs.Explain": lambda client, job: client.explain(job).by_leader,
    "Runs.Logs": lambda client, job: b"".join(chunk.data for chunk in client.logs(job)) == b"told\n",
    "Agents.List": lambda client, job: {agent.worker_id for agent in client.agents() if agent.connected} == {"a1", "a2"},
    "Agents.Drain": lambda client, job: client.drain_agent("a2").draining and client.undrain_agent("a2"),
    "Agents.Undrain": lambda client, job: client.undrain_agent("a2") is False,
    "Events.Watch": lambda client, job: any(
        change.job.job_id == job for step in client.events(job_id=job) for change in step.changes
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_every_call_at_every_server(pair: Cluster, call: str, role: str):
    job = pair.run_job(shell_job("echo told")).job_id
    server = pair.leader() if role == "leader" else follower_of(pair)
    assert CALLS[call](pair.client(server), job)


def test_the_calls_are_all_that_the_contract_has():
    """A method that is added to `proto/` needs its line above."""
    files = (
        messages.Job,
        messages.SubmitRequest,
        messages.LogChunk,
        messages.ListAgentsRequest,
        messages.Change,
        messages.Calendar,
        messages.Queue,
        messages.Quota,
        messages.ClusterInfo,
        messages.Alert,
    )
    services = {
        f"{service.name}.{method.name}"
        for message in files
        for service in message.DESCRIPTOR.file.services_by_name.values()
        for method in service.methods
    }
    assert services == set(CALLS)


@pytest.mark.parametrize("method", ["/rota.v1.Agents/List", "/rota.v1.Runs/Logs"])
def test_a_forwarded_call_is_not_forwarded_again(pair: Cluster, method: str):
    """It is answered with what this server knows, or refused: two servers that both take the other for the leader
    must not play ball."""
    job = pair.run_job(shell_job("echo told")).job_id
    channel = grpc.insecure_channel(follower_of(pair).grpc)
    forwarded = [("rota-forwarded", "1")]
    if method.endswith("Logs"):
        call = channel.unary_stream(method, messages.LogsRequest.SerializeToString, messages.LogChunk.FromString)
        with pytest.raises(grpc.RpcError) as refused:
            list(call(messages.LogsRequest(job_id=job), metadata=forwarded, timeout=20))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    else:
        call = channel.unary_unary(
            method, messages.ListAgentsRequest.SerializeToString, messages.ListAgentsResponse.FromString
        )
        answer = call(messages.ListAgentsRequest(), metadata=forwarded, timeout=20)
        assert [agent.worker_id for agent in answer.agents] == ["a1", "a2"]
        assert not any(agent.connected for agent in answer.agents), "a follower has no sessions"
    channel.close()


# Pages


def test_agents_come_page_by_page_at_every_server_and_over_rest(pair: Cluster):
    for server in pair.servers:
        assert [agent.worker_id for agent in pair.client(server).agents(page_size=1)] == ["a1", "a2"]
        first = server.rest.get("/v1/agents", page_size=1).json()
        assert [agent["worker_id"] for agent in first["agents"]] == ["a1"]
        second = server.rest.get("/v1/agents", page_size=1, page_token=first["next_page_token"]).json()
        assert [agent["worker_id"] for agent in second["agents"]] == ["a2"]
        assert "next_page_token" not in second
        assert all(agent["connected"] for agent in first["agents"] + second["agents"])


def test_executions_are_those_of_rest(pair: Cluster):
    spec = shell_job("exit 1", max_retries=2, backoff=[0.1])
    job = pair.run_job(spec, 30).job_id
    told = list(pair.client(follower_of(pair)).executions(job_id=job, page_size=1))
    rest = pair.rest.get("/job/executions", job_id=job).json()["executions"]
    assert [execution.execution_id for execution in told] == [execution["execution_id"] for execution in rest]
    assert len(told) == 3
    names = [messages.RunState.Name(execution.state).removeprefix("RUN_STATE_").lower() for execution in told]
    assert names == [execution["state"] for execution in rest] == ["failed"] * 3
    worker = told[0].attempt.worker_id
    filtered = list(pair.client().executions(job_id=job, worker_id=worker))
    assert filtered == [execution for execution in told if execution.attempt.worker_id == worker]


@pytest.mark.parametrize("token", ["../x", "7/default/job", "\u202e", "A", "a" * 200])
def test_forged_page_tokens_name_their_field(pair: Cluster, token: str):
    stub = pair.client()
    for method, request in [
        (stub._agents.List, messages.ListAgentsRequest(page_token=token)),
        (stub._runs.List, messages.ListRunsRequest(page_token=token)),
        (stub._runs.ListExecutions, messages.ListRunsRequest(page_token=token)),
        (stub._jobs.List, messages.ListJobsRequest(page_token=token + "/x")),
    ]:
        with pytest.raises(RotaError) as refused:
            stub._call(method, request)
        assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.message.startswith("page_token:")
    answer = pair.rest.get("/agents", page_token=token)
    assert answer.status == 400 and answer.json()["error"]["field"] == "page_token"
