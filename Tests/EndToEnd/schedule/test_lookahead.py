"""Previews, forecasts and what a backfill would do, over REST, gRPC and the command line, against counts made here."""
from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest

from cluster import Cluster
from rota_client._generated.rota.v1 import schedules_pb2 as wire
from rota_client._generated.rota.v1 import types_pb2 as types

BERLIN = "Europe/Berlin"
BEFORE_SPRING = "2026-03-28T00:00:00Z"


def when(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def text_of(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def scheduled(preview: dict[str, Any]) -> list[str]:
    """The times of the occurrences that are not left out."""
    return [each["scheduled_time"] for each in preview["occurrences"] if not each.get("skipped")]


def daily_at_half_past_two(days: int) -> list[str]:
    """02:30 in Berlin from 2026-03-28 on; on the 29th clocks go from 02:00 to 03:00."""
    zone = ZoneInfo(BERLIN)
    moments = [datetime(2026, 3, 28, 2, 30, tzinfo=zone) + timedelta(days=day) for day in range(days)]
    gap = when("2026-03-29T01:00:00Z")
    return [text_of(gap if moment.date() == gap.date() else moment) for moment in moments]


# Previews


def test_next_of_an_expression_without_a_server(pair: Cluster):
    arguments = ("next", "0 30 2 * * ?", "--tz", BERLIN, "--count", "3", "--after", BEFORE_SPRING)
    nowhere = {"ROTA_SERVER": "127.0.0.1:1"}
    told = pair.rota(*arguments, "--output", "json", env=nowhere)
    assert told.returncode == 0, told.stderr
    preview = json.loads(told.stdout)
    assert scheduled(preview) == daily_at_half_past_two(3)
    assert preview["occurrences"][1]["local_time"] == "2026-03-29T03:00:00+02:00"
    assert "02:30" in preview["occurrences"][1]["note"]
    table = pair.rota(*arguments, env=nowhere).stdout.splitlines()
    assert table[0].split() == ["DAY", "LOCAL", "TIME", "OFFSET", "UTC", "NOTE"]
    assert table[2].split()[:5] == ["Sun", "2026-03-29", "03:00:00", "+02:00", "2026-03-29T01:00:00Z"]


@pytest.mark.parametrize("gap, wanted", [("run_after", 3), ("skip", 3)])
def test_a_skipped_time_is_shown(pair: Cluster, gap: str, wanted: int):
    told = pair.rota(
        "next", "30 2 * * *", "--tz", BERLIN, "--count", str(wanted), "--after", BEFORE_SPRING, "--dst-gap", gap,
        "--output", "json",
    )
    preview = json.loads(told.stdout)
    assert len(scheduled(preview)) == wanted
    skipped = [each for each in preview["occurrences"] if each.get("skipped")]
    assert len(skipped) == (1 if gap == "skip" else 0)
    assert all("due_time" not in each and each["note"] for each in skipped)


def test_all_ways_to_ask_say_the_same(pair: Cluster):
    query = {"cron": "30 2 * * *", "time_zone": BERLIN, "count": 5, "after": BEFORE_SPRING}
    by_query = pair.rest.get("/schedules/preview", **query)
    assert by_query.status == 200, by_query.text
    body = {
        "schedules": [{"cron": "30 2 * * *", "time_zone": BERLIN}], "count": 5, "after": BEFORE_SPRING,
    }
    assert pair.rest.post("/v1/schedules/preview", body).json() == by_query.json()
    request = wire.PreviewRequest(count=5)
    request.after.FromJsonString(BEFORE_SPRING)
    request.schedules.append(types.Schedule(cron="30 2 * * *", time_zone=BERLIN))
    answer = call(pair, "Schedules/Preview", request, wire.PreviewResponse)
    assert [each.scheduled_time.ToJsonString() for each in answer.occurrences] == scheduled(by_query.json())
    assert scheduled(by_query.json()) == daily_at_half_past_two(5)


def call(cluster: Cluster, method: str, request: Any, response: Any) -> Any:
    with grpc.insecure_channel(cluster.servers[0].grpc) as channel:
        stub = channel.unary_unary(
            f"/rota.v1.{method}", type(request).SerializeToString, response.FromString
        )
        return stub(request, timeout=20)


BAD_PREVIEWS: dict[str, tuple[dict[str, Any], str]] = {
    "minute": ({"schedules": ["61 * * * *"]}, "schedules[0].cron"),
    "second of two": ({"schedules": ["@daily", "* * * * * * *"]}, "schedules[1].cron"),
    "zone": ({"schedules": [{"cron": "@daily", "time_zone": "Europe/Berln"}]}, "schedules[0].time_zone"),
    "path as zone": ({"schedules": [{"cron": "@daily", "time_zone": "../etc/passwd"}]}, "schedules[0].time_zone"),
    "none": ({"schedules": []}, "schedules"),
    "too many": ({"schedules": ["@daily"] * 17}, "schedules"),
    "count": ({"schedules": ["@daily"], "count": 1001}, "count"),
    "negative count": ({"schedules": ["@daily"], "count": -1}, "count"),
    "unknown field": ({"schedules": ["@daily"], "cuont": 3}, "cuont"),
    "year 9999": ({"schedules": ["@daily"], "after": "9999-01-01T00:00:00Z"}, "after"),
    "no rule": ({"schedules": [{"time_zone": "UTC"}]}, "schedules[0].cron"),
    "31 February": ({"schedules": ["0 0 31 2 *"]}, "schedules[0].cron"),
}


@pytest.mark.parametrize("case", BAD_PREVIEWS)
def test_bad_previews_name_their_field(pair: Cluster, case: str):
    body, field = BAD_PREVIEWS[case]
    answer = pair.rest.post("/schedules/preview", body)
    assert answer.status == 400, answer.text
    assert answer.json()["error"]["field"] == field, answer.text


def test_the_command_line_points_at_the_character(pair: Cluster):
    told = pair.rota("next", "0 61 * * * *")
    assert told.returncode == 1
    assert told.stderr.startswith("rota: cron: character 3: ")
    both = pair.rota("next", "@daily", "--every", "5m")
    assert both.returncode == 2 and "only one of" in both.stderr


def test_next_of_a_job(pair: Cluster):
    job = pair.submit({"noop": {}, "schedules": [{"cron": "0 3 * * *", "time_zone": BERLIN, "max_runs": 2}]})
    preview = pair.rest.get(f"/jobs/{job}/next", count=5).json()
    assert len(scheduled(preview)) == 2
    assert preview["notes"] == ["schedule 0: 2 of at most 2 runs are left"]
    assert all(when(each["local_time"]).hour == 3 for each in preview["occurrences"])
    told = json.loads(pair.rota("next", "--job", job, "--count", "5", "--output", "json").stdout)
    assert told == preview
    shown = pair.rest.get(f"/jobs/{job}").json()["next_run_time"]
    assert shown == preview["occurrences"][0]["due_time"]
    assert pair.rest.get("/jobs/nobody/next").status == 404
    pair.rota("cancel", job)
    assert pair.rest.get(f"/jobs/{job}/next").json()["occurrences"] == []


# Forecasts


def test_a_forecast_counts_what_an_independent_count_says(pair: Cluster):
    """Far in the future, so that nothing fires meanwhile; minutes by brute force."""
    start = datetime.now(timezone.utc).replace(second=0, microsecond=0) + timedelta(days=40)
    namespace = f"forecast-{time.time_ns()}"
    crons = {"*/7 * * * *": lambda m: m.minute % 7 == 0, "5-20 */2 * * *": lambda m: 5 <= m.minute <= 20 and m.hour % 2 == 0}
    expected: Counter[datetime] = Counter()
    minutes = [start + timedelta(minutes=minute) for minute in range(300)]
    for copy in range(3):
        for cron, matches in crons.items():
            pair.submit({"noop": {}, "namespace": namespace, "schedules": [cron]})
            expected.update(minute for minute in minutes if matches(minute))
    # Every 10 and every 15 minutes: where both are due it runs once.
    pair.submit({"noop": {}, "namespace": namespace, "schedules": ["*/10 * * * *", "*/15 * * * *"]})
    expected.update(minute for minute in minutes if minute.minute % 10 == 0 or minute.minute % 15 == 0)
    once = start + timedelta(minutes=33, seconds=5)
    pair.submit({"noop": {}, "namespace": namespace, "execution_time": text_of(once)})
    expected[minutes[33]] += 1
    query = {"from": text_of(start), "to": text_of(start + timedelta(minutes=300)), "namespace": namespace}
    told = pair.rest.get("/forecast", **query).json()
    assert told["jobs"] == 8 and told["from"] == text_of(start) and "complete_until" not in told
    assert told["fires"] == [expected[minute] for minute in minutes]
    assert told["total"] == sum(expected.values())
    arguments = ("forecast", "--from", query["from"], "--to", query["to"], "--namespace", namespace)
    assert json.loads(pair.rota(*arguments, "--output", "json").stdout) == told
    chart = pair.rota(*arguments, "--busiest", "3").stdout.splitlines()
    busiest = max(expected.values())
    assert f"{told['total']} runs of 8 jobs" in chart[0]
    assert chart[2].split()[1] == str(busiest) and chart[2].split()[2] == "#" * 40


@pytest.mark.parametrize(
    "query, field",
    [
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-09T00:00:00Z"}, "to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"namespace": "A B"}, "namespace"),
        ({"form": "x"}, "form"),
    ],
)
def test_bad_forecasts_name_their_field(pair: Cluster, query: dict[str, str], field: str):
    answer = pair.rest.get("/forecast", **query)
    assert answer.status == 400 and answer.json()["error"]["field"] == field, answer.text


# What a backfill would do


def test_a_dry_run_counts_and_names(pair: Cluster):
    job = pair.submit({"noop": {}, "schedules": ["*/20 * * * *"]})
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T02:00:00Z", "dry_run": True, "order": "newest_first"}
    answer = pair.rest.post(f"/jobs/{job}/backfills", body)
    assert answer.status == 200, answer.text
    told = answer.json()
    assert (told["occurrences"], told["existing"], told["created"]) == (7, 0, 0)
    assert told["preview"][0] == "2026-01-01T02:00:00Z" and told["preview"][-1] == "2026-01-01T00:00:00Z"
    assert pair.rest.get(f"/jobs/{job}/backfills").json()["backfills"] == []
    shown = pair.rota(
        "backfill", job, "--from", body["from"], "--to", body["to"], "--dry-run"
    ).stdout.splitlines()
    assert shown[0].startswith("7 occurrences, 0 have run") and len(shown) == 8
    pair.rota("cancel", job)


BAD_BACKFILLS: dict[str, tuple[dict[str, Any], str]] = {
    "no from": ({"to": "2026-01-01T00:00:00Z"}, "from"),
    "backwards": ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
    "future": ({"from": "2026-01-02T00:00:00Z", "to": "2126-01-01T00:00:00Z"}, "to"),
    "too many": ({"from": "1971-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
    "parallelism": ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "parallelism": 101}, "parallelism"),
    "order": ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "order": "random"}, "order"),
    "id": ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "backfill_id": "A/B"}, "backfill_id"),
    "param": ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "params": {"a-b": "x"}}, "params.a-b"),
    "nothing": ({"from": "2026-01-01T00:00:01Z", "to": "2026-01-01T00:00:59Z"}, "from"),
}


@pytest.mark.parametrize("case", BAD_BACKFILLS)
def test_bad_backfills_name_their_field(pair: Cluster, case: str):
    job = pair.submit({"noop": {}, "schedules": ["* * * * *"]})
    body, field = BAD_BACKFILLS[case]
    answer = pair.rest.post(f"/jobs/{job}/backfills", body)
    pair.rota("cancel", job)
    assert answer.status == 400, answer.text
    assert answer.json()["error"]["field"] == field, answer.text


def test_a_backfill_needs_a_schedule_with_times_of_its_own(pair: Cluster):
    job = pair.submit({"noop": {}, "schedules": [{"fixed_delay": "1h"}]})
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    answer = pair.rest.post(f"/jobs/{job}/backfills", body)
    assert answer.status == 409 and "no schedule that names times" in answer.text
    pair.rota("cancel", job)
    assert pair.rest.post("/jobs/nobody/backfills", body).status == 404
    assert pair.rest.get(f"/jobs/{job}/backfills/b-1").status == 404
