"""Changes whose answers are lost: sent again, they are done once, and a stale one of somebody else stays refused."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import grpc
import pytest

from cluster import Cluster, binaries
from losing_proxy import LosingProxy
from rest import Answer
from rota_client import Client, RotaError, calendar, messages
from surfaces import unique

HOURLY = "0 * * * *"


@pytest.fixture
def proxy(pair: Cluster) -> Iterator[LosingProxy]:
    with LosingProxy(pair.servers[0].grpc) as made:
        yield made


def rota(pair: Cluster, proxy: LosingProxy, *arguments: str) -> dict:
    argv = [str(binaries() / "rota"), *arguments, "--server", proxy.address, "-o", "json"]
    done = subprocess.run(argv, env=pair.env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hourly(pair: Cluster) -> dict:
    job = pair.submit({"job_id": unique("lost"), "noop": True, "schedules": [HOURLY]})
    return pair.rest.get(f"/jobs/{job}").json()


def spec(cron: str) -> messages.JobSpec:
    return messages.JobSpec(noop={}, schedules=[messages.Schedule(cron=cron)])


def code_of(error: pytest.ExceptionInfo[RotaError]) -> grpc.StatusCode:
    return error.value.code


# The command line sends again by itself


def test_an_update_from_the_command_line(pair: Cluster, proxy: LosingProxy):
    job = hourly(pair)
    proxy.lose["Update"] = 2
    told = rota(pair, proxy, "update", job["job_id"], "--cron", "30 * * * *")
    assert proxy.calls["Update"] == 3, "it was sent again until an answer came"
    assert told["generation"] == 2 and told["schedules"] == ["30 * * * *"]
    told = rota(pair, proxy, "update", job["job_id"], "--cron", "40 * * * *", "--if-match", told["etag"])
    assert told["generation"] == 3
    pair.client().cancel(job["job_id"])


def test_a_calendar_from_the_command_line(pair: Cluster, proxy: LosingProxy):
    name = unique("lost")
    proxy.lose["Put"] = 1
    etag = rota(pair, proxy, "calendar", "put", name, "--day", "12-25")["etag"]
    proxy.lose["Put"] = 1
    told = rota(pair, proxy, "calendar", "put", name, "--day", "12-26", "--if-match", etag)
    assert proxy.calls["Put"] == 4 and told["days"] == ["12-26"] and told["generation"] == 2
    pair.client().delete_calendar(name)


def test_a_backfill_from_the_command_line(pair: Cluster, proxy: LosingProxy):
    job = hourly(pair)["job_id"]
    proxy.lose["Create"] = 1
    told = rota(pair, proxy, "backfill", job, "--from", "2026-03-01T00:00:00Z", "--to", "2026-03-01T01:00:00Z")
    assert proxy.calls["Create"] == 2
    listing = pair.rest.get(f"/jobs/{job}/backfills").json()["backfills"]
    assert [entry["backfill_id"] for entry in listing] == [told["backfill_id"]]
    pair.client().cancel(job)


# A Python client sends again with the same key


def test_an_update_with_a_key(pair: Cluster, proxy: LosingProxy):
    job, key = hourly(pair), unique("key")
    with Client(proxy.address) as client:
        proxy.lose["Update"] = 1
        with pytest.raises(RotaError) as lost:
            client.update(job["job_id"], spec("10 * * * *"), if_match=job["etag"], idempotency_key=key)
        assert code_of(lost) == grpc.StatusCode.UNAVAILABLE
        # Somebody pauses it, and it may be due, before it is sent again, at another server.
        pair.client().pause(job["job_id"])
        for server in pair.servers:
            again = pair.client(server).update(
                job["job_id"], spec("10 * * * *"), if_match=job["etag"], idempotency_key=key
            )
            assert again.generation == 2 and again.etag != job["etag"]
        # Who wants the very same, but did not do it, is told that the job has changed.
        for other in ("", unique("key")):
            with pytest.raises(RotaError) as stale:
                client.update(job["job_id"], spec("10 * * * *"), if_match=job["etag"], idempotency_key=other)
            assert code_of(stale) == grpc.StatusCode.ABORTED
        with pytest.raises(RotaError) as misused:
            client.update(job["job_id"], spec("20 * * * *"), idempotency_key=key)
        assert code_of(misused) == grpc.StatusCode.ALREADY_EXISTS
        assert "idempotency_key: was used for another" in misused.value.message
        # A key stands for the last update only: after another one, its own is not what the job is.
        assert client.update(job["job_id"], spec("20 * * * *"), if_match=again.etag).generation == 3
        with pytest.raises(RotaError) as stale:
            client.update(job["job_id"], spec("10 * * * *"), if_match=job["etag"], idempotency_key=key)
        assert code_of(stale) == grpc.StatusCode.ABORTED
        with pytest.raises(RotaError) as long:
            client.update(job["job_id"], spec("20 * * * *"), idempotency_key="k" * 129)
        assert [each.field for each in long.value.violations] == ["idempotency_key"], long.value
    pair.client().cancel(job["job_id"])


def test_a_calendar_with_a_key(pair: Cluster, proxy: LosingProxy):
    name, key = unique("lost"), unique("key")
    etag = pair.client().put_calendar(name, calendar(days=["12-25"])).etag
    with Client(proxy.address) as client:
        proxy.lose["Put"] = 1
        with pytest.raises(RotaError) as lost:
            client.put_calendar(name, calendar(days=["sun"]), if_match=etag, idempotency_key=key)
        assert code_of(lost) == grpc.StatusCode.UNAVAILABLE
        again = client.put_calendar(name, calendar(days=["sun"]), if_match=etag, idempotency_key=key)
        assert again.generation == 2
        with pytest.raises(RotaError) as stale:
            client.put_calendar(name, calendar(days=["sun"]), if_match=etag)
        assert code_of(stale) == grpc.StatusCode.ABORTED
        with pytest.raises(RotaError) as misused:
            client.put_calendar(name, calendar(days=["sat"]), idempotency_key=key)
        assert code_of(misused) == grpc.StatusCode.ALREADY_EXISTS
        assert "idempotency_key: was used for another" in misused.value.message
    pair.client().delete_calendar(name)


def test_rest_takes_the_key_as_a_header(pair: Cluster):
    job, name, key = hourly(pair), unique("lost"), unique("key")
    path = f"/jobs/{job['job_id']}"

    def put(path: str, body: dict, etag: str, key: str) -> Answer:
        headers = {"if-match": f'"{etag}"'} | ({"idempotency-key": key} if key else {})
        return pair.servers[-1].rest.request("PUT", path, body, headers)

    changed = {"noop": True, "schedules": ["10 * * * *"]}
    first, second = put(path, changed, job["etag"], key), put(path, changed, job["etag"], key)
    assert (first.status, second.status) == (200, 200) and first.headers["etag"] == second.headers["etag"]
    assert put(path, changed, job["etag"], "").status == 412
    etag = pair.rest.request("PUT", f"/calendars/{name}", {"days": ["sat"]}).json()["etag"]
    for wanted, sent in ((200, key), (200, key), (412, "")):
        assert put(f"/calendars/{name}", {"days": ["sun"]}, etag, sent).status == wanted
    pair.client().cancel(job["job_id"])
    pair.client().delete_calendar(name)
