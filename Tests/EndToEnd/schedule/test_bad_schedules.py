"""What is wrong about when a job runs: over REST, gRPC and the command line an error that names the field, for
expressions the character, and what was expected."""
from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import grpc
import pytest

from backfills import WAYS, Asked, backfills
from cluster import Cluster
from rota_client import BadRequestError, calendar, messages, misfire, noop_job, overlap, schedule
from surfaces import Refused

ZONE = "Europe/Berlin"


def moment(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Case:
    """A job that is refused. What a surface cannot express is None there."""

    what: str
    field: str
    """As REST names it; gRPC's path has `spec.` in front."""
    says: str
    """What the message begins with."""
    rest: dict[str, Any] | None = None
    grpc: messages.JobSpec | None = None
    cli: list[str] | None = None
    cli_says: str = ""
    """What the command line says, where that is not the field and the message: it knows a flag's name."""


def cron(what: str, text: str, says: str) -> list[Case]:
    """A bad expression as the first schedule, and as the second after one that is fine."""
    more = {"time_zone": ZONE}
    return [
        Case(
            what, "schedules[0].cron", says, {"schedules": [text]}, noop_job(schedules=[schedule(cron=text)]),
            [f"--cron={text}"],
        ),
        Case(
            f"{what}, in the second schedule", "schedules[1].cron", says,
            {"schedules": ["@daily", {"cron": text, **more}]},
            noop_job(schedules=[schedule(cron="@daily"), schedule(cron=text, time_zone=ZONE)]),
            ["--tz", ZONE, "--cron", "@daily", f"--cron={text}"],
        ),
    ]


EXPRESSIONS: list[tuple[str, str, str]] = [
    ("minute", "61 * * * *", "character 1: 61 is not a minute (0-59)"),
    ("second of six", "60 * * * * *", "character 1: 60 is not a second (0-59)"),
    ("hour", "0 24 * * *", "character 3: 24 is not an hour (0-23)"),
    ("day of month", "0 0 32 * *", "character 5: 32 is not a day of month (1-31)"),
    ("day nought", "0 0 0 * *", "character 5: 0 is not a day of month (1-31)"),
    ("month", "0 0 1 13 *", "character 7: 13 is not a month (1-12, or JAN-DEC)"),
    ("month by a wrong name", "0 0 1 JUX *", "character 7: 'J' cannot stand here in the field month"),
    ("weekday", "0 0 * * 8", "character 9: 8 is not a day of week (0-7, or SUN-SAT)"),
    ("weekday by a wrong name", "0 0 * * MOO", "character 9: 'M' cannot stand here in the field day of week"),
    ("in a list", "0,15,75 * * * *", "character 6: 75 is not a minute (0-59)"),
    ("end of a range", "0 9-25 * * *", "character 5: 25 is not an hour (0-23)"),
    ("half a range", "0 9- * * *", "character 5: the field hour ends too early; an hour (0-23) was expected"),
    ("half a list", "0, * * * *", "character 3: the field minute ends too early"),
    ("step of nothing", "*/0 * * * *", "character 3: 0 is not a step of the field minute (1-60)"),
    ("no step", "*/ * * * *", "character 3: the field minute ends too early"),
    ("step that is too long", "0 */25 * * *", "character 5: 25 is not a step of the field hour (1-24)"),
    ("negative", "-5 * * * *", "character 1: '-' cannot stand here in the field minute"),
    ("letters", "abc * * * *", "character 1: 'A' cannot stand here in the field minute"),
    ("a dot", "0 1.5 * * *", "character 4: '.' cannot stand here in the field hour"),
    ("many digits", "00000000 * * * *", "character 1: a number of so many digits is not a minute (0-59)"),
    ("? for a minute", "? * * * *", "character 1: '?' is only for the day of month and the day of week"),
    ("? with more", "0 0 ?,1 * *", "character 6: '?' stands alone in its field"),
    ("L for an hour", "0 L * * *", "character 3: 'L' cannot stand here in the field hour"),
    ("L alone for a weekday", "0 0 * * L", "character 9: say which day: 5L or FRIL is the last Friday"),
    ("L with too many days", "0 0 L-31 * *", "character 7: 31 is not a number of days before the last (0-30)"),
    ("W for a weekday", "0 0 * * 5W", "character 10: 'W' cannot stand here in the field day of week"),
    ("sixth week", "0 0 * * MON#6", "character 13: 6 is not the number of a week (1-5)"),
    ("# without number", "0 0 * * MON#", "character 13: the field day of week ends too early"),
    ("H that falls", "H(30-10) * * * *", "character 3: the range of H has to rise, up to 59"),
    ("H that is open", "H(0-10 * * * *", "character 7: the field minute ends too early; ')' was expected"),
    ("H with a step over its range", "H(0-9)/15 * * * *", "character 8: a step over 10 leaves this range"),
    ("non-ASCII", "0 0 * * mön", "character 9: 'M' cannot stand here in the field day of week"),
    ("other digits", "٣ * * * *", "character 1: this character cannot stand here in the field minute"),
    ("a line end", "0 0 * *\n* *", "character 8: this character cannot stand here in the field month"),
    ("four fields", "* * * *", "five fields (minute, hour, day of month, month, day of week), or six"),
    ("seven fields", "0 0 0 1 1 ? 2026", "character 13: a seventh field, as for years, is not accepted"),
    ("blank", "   ", "five fields (minute, hour, day of month, month, day of week), or six"),
    ("over 256 bytes", "0 0 * * " + ",".join(["1"] * 130), "has 267 bytes; at most 256 are allowed"),
    ("no such day", "0 0 30 2 *", "no day matches it: there is no such day in these months"),
    ("an unknown macro", "@fortnightly", "character 1: the macros are @annually, @daily, @hourly"),
    ("a macro with more", "@daily 5", "character 8: nothing may follow a macro"),
    ("@reboot", "@reboot", "character 1: @reboot means nothing in a cluster"),
    ("@every", "@every 5m", "character 1: @every is no cron expression; use every"),
    ("a zone in front", "TZ=UTC 0 0 * * *", "character 1: 'T' cannot stand here in the field second"),
]

SCHEDULES: list[Case] = [
    Case(
        "unknown zone", "schedules[0].time_zone", "is not a known time zone; did you mean Europe/Berlin?",
        {"schedules": [{"cron": "@daily", "time_zone": "Europe/Berln"}]},
        noop_job(schedules=[schedule(cron="@daily", time_zone="Europe/Berln")]),
        ["--cron", "@daily", "--tz", "Europe/Berln"],
    ),
    Case(
        "zone in wrong case", "schedules[0].time_zone", "is not a known time zone; did you mean Europe/Berlin?",
        {"schedules": [{"every": "5m", "time_zone": "europe/berlin"}]},
        noop_job(schedules=[schedule(every=300, time_zone="europe/berlin")]),
        ["--every", "5m", "--tz", "europe/berlin"],
    ),
    Case(
        "zone as a path", "schedules[0].time_zone", "is not a known time zone; an IANA name",
        {"schedules": [{"cron": "@daily", "time_zone": "../../etc/passwd"}]},
        noop_job(schedules=[schedule(cron="@daily", time_zone="../../etc/passwd")]),
        ["--cron", "@daily", "--tz", "../../etc/passwd"],
    ),
    Case(
        "unknown calendar", "schedules[0].calendars[1]", "an identifier has",
        {"schedules": [{"cron": "@daily", "calendars": ["a", "A B"]}]},
        noop_job(schedules=[schedule(cron="@daily", calendars=["a", "A B"])]),
        ["--cron", "@daily", "--calendar", "a", "--calendar", "A B"],
    ),
    Case(
        "calendar that is not there", "schedules[0].calendars[0]", "there is no calendar 'no-such' in namespace",
        {"schedules": [{"cron": "@daily", "calendars": ["no-such"]}]},
        noop_job(schedules=[schedule(cron="@daily", calendars=["no-such"])]),
        ["--cron", "@daily", "--calendar", "no-such"],
    ),
    Case(
        "calendar twice", "schedules[0].calendars[1]", "is given twice",
        {"schedules": [{"cron": "@daily", "calendars": ["a", "a"]}]},
        noop_job(schedules=[schedule(cron="@daily", calendars=["a", "a"])]),
        ["--cron", "@daily", "--calendar", "a", "--calendar", "a"],
    ),
    Case(
        "jitter of ages", "schedules[0].jitter", "",
        {"schedules": [{"cron": "@daily", "jitter": "25h"}]},
        noop_job(schedules=[schedule(cron="@daily", jitter=90_000)]),
        ["--cron", "@daily", "--jitter", "25h"],
    ),
    Case("negative jitter", "schedules[0].jitter", "", grpc=noop_job(schedules=[schedule(every=5, jitter=-1)])),
    Case(
        "interval of nothing", "schedules[1].every", "",
        {"schedules": ["@daily", {"every": "0s"}]},
        noop_job(schedules=[schedule(cron="@daily"), schedule(every=0)]),
        ["--cron", "@daily", "--every", "0s"],
    ),
    Case(
        "delay of ages", "schedules[0].fixed_delay", "",
        {"schedules": [{"fixed_delay": "100ms"}]},
        noop_job(schedules=[schedule(fixed_delay=0.1)]),
        ["--fixed-delay", "100ms"],
    ),
    Case(
        "end before the start", "schedules[0].end_time", "has to be later than start_time",
        {"schedules": [{"every": "5m", "start_time": "2031-01-01T00:00:00Z", "end_time": "2030-01-01T00:00:00Z"}]},
        noop_job(schedules=[schedule(every=300, start_time=moment(2031), end_time=moment(2030))]),
        ["--every", "5m", "--start", "2031-01-01T00:00:00Z", "--end", "2030-01-01T00:00:00Z"],
    ),
    Case(
        "year 9999", "schedules[0].start_time", "",
        {"schedules": [{"every": "5m", "start_time": "9999-01-01T00:00:00Z"}]},
        noop_job(schedules=[schedule(every=300, start_time=moment(9999))]),
        ["--every", "5m", "--start", "9999-01-01T00:00:00Z"],
        "--start: the year 9999 is outside 1970 to 2999, in UTC",
    ),
    Case(
        "time without offset", "schedules[0].end_time", "",
        {"schedules": [{"every": "5m", "end_time": "2030-01-01T00:00:00"}]},
        cli=["--every", "5m", "--end", "2030-01-01T00:00:00"], cli_says="--end",
    ),
    Case(
        "milliseconds as seconds", "schedules[0].at", "", {"schedules": [{"at": 1_760_000_000_000}]},
    ),
    Case(
        "no runs", "schedules[0].max_runs", "",
        {"schedules": [{"cron": "@daily", "max_runs": 0}]},
        # 0 is "not said" in gRPC.
        noop_job(schedules=[schedule(cron="@daily", max_runs=-1)]),
        ["--cron", "@daily", "--max-runs", "0"], cli_says="--max-runs has to be 1 or more",
    ),
    Case(
        "unknown gap policy", "schedules[0].dst_gap", "one of run_after, skip was expected",
        {"schedules": [{"cron": "@daily", "dst_gap": "maybe"}]},
        messages.JobSpec(noop={}, schedules=[messages.Schedule(cron="@daily", dst_gap=99)]),
        ["--cron", "@daily", "--dst-gap", "maybe"], cli_says="--dst-gap",
    ),
    Case(
        "unknown overlap of clocks", "schedules[0].dst_overlap", "one of first, second, both was expected",
        {"schedules": [{"cron": "@daily", "dst_overlap": "third"}]},
        messages.JobSpec(noop={}, schedules=[messages.Schedule(cron="@daily", dst_overlap=99)]),
        ["--cron", "@daily", "--dst-overlap", "third"], cli_says="--dst-overlap",
    ),
    Case(
        "unknown frequency", "schedules[0].frequency", "one of hourly, daily, weekly, monthly was expected",
        {"schedules": [{"frequency": "yearly"}]},
        messages.JobSpec(noop={}, schedules=[messages.Schedule(frequency=99)]),
        ["--frequency", "yearly"], cli_says="--frequency",
    ),
    Case(
        "two rules", "schedules[0].every", "only one of cron, every, fixed_delay, frequency, at may be given",
        {"schedules": [{"cron": "@daily", "every": "5m"}]},
    ),
    Case(
        "misspelt member", "schedules[0].timezone", "is not known; did you mean 'time_zone'?",
        {"schedules": [{"cron": "@daily", "timezone": ZONE}]},
    ),
    Case(
        "the same twice", "schedules[1]", "is given twice",
        {"schedules": ["@daily", "@daily"]},
        noop_job(schedules=[schedule(cron="@daily"), schedule(cron="@daily")]),
        ["--cron", "@daily", "--cron", "@daily"],
    ),
    Case(
        "33 of them", "schedules", "there are 33; at most 32 are allowed",
        {"schedules": [f"{minute} * * * *" for minute in range(33)]},
        noop_job(schedules=[schedule(cron=f"{minute} * * * *") for minute in range(33)]),
        [word for minute in range(33) for word in ("--cron", f"{minute} * * * *")],
    ),
]

POLICIES: list[Case] = [
    Case(
        "unknown misfire policy", "misfire", "one of skip, latest, all was expected",
        {"schedules": ["@daily"], "misfire": "sometimes"},
        cli=["--cron", "@daily", "--misfire", "sometimes"],
        cli_says="--misfire 'sometimes': skip, latest, all or all:NUMBER was expected",
    ),
    Case(
        "unknown misfire policy by number", "misfire.policy", "",
        {"schedules": ["@daily"], "misfire": {"policy": "sometimes"}},
        noop_job(schedules=[schedule(cron="@daily")], misfire=messages.MisfirePolicy(policy=99)),
    ),
    Case(
        "misfire limit", "misfire.limit", "",
        {"schedules": ["@daily"], "misfire": {"policy": "all", "limit": 10_001}},
        noop_job(schedules=[schedule(cron="@daily")], misfire=misfire("all", limit=10_001)),
        ["--cron", "@daily", "--misfire", "all:10001"],
    ),
    Case(
        "misfire age", "misfire.within", "",
        {"schedules": ["@daily"], "misfire": {"policy": "all", "within": "10ms"}},
        noop_job(schedules=[schedule(cron="@daily")], misfire=misfire("all", within=0.01)),
        ["--cron", "@daily", "--misfire-within", "10ms"],
    ),
    Case(
        "misfire grace", "misfire.grace", "",
        {"schedules": ["@daily"], "misfire": {"policy": "all", "grace": "9000h"}},
        noop_job(schedules=[schedule(cron="@daily")], misfire=misfire("all", grace=9_000 * 3_600)),
        ["--cron", "@daily", "--misfire-grace", "9000h"],
    ),
    Case(
        "unknown overlap policy", "overlap", "one of allow, forbid, queue, replace was expected",
        {"schedules": ["@daily"], "overlap": "kill"},
        cli=["--cron", "@daily", "--overlap", "kill"],
        cli_says="--overlap 'kill': one of allow, forbid, queue, replace was expected",
    ),
    Case(
        "unknown overlap policy by number", "overlap.policy", "",
        {"schedules": ["@daily"], "overlap": {"policy": "kill"}},
        noop_job(schedules=[schedule(cron="@daily")], overlap=messages.Overlap(policy=99)),
    ),
    Case(
        "queue without end", "overlap.limit", "",
        {"schedules": ["@daily"], "overlap": {"policy": "queue", "limit": 1_001}},
        noop_job(schedules=[schedule(cron="@daily")], overlap=overlap("queue", limit=1_001)),
        ["--cron", "@daily", "--overlap", "queue:1001"],
    ),
    Case(
        "limit without queue", "overlap.limit", "is for the policy queue alone",
        {"schedules": ["@daily"], "overlap": {"policy": "forbid", "limit": 2}},
        noop_job(schedules=[schedule(cron="@daily")], overlap=overlap("forbid", limit=2)),
        ["--cron", "@daily", "--overlap", "forbid:2"],
        cli_says="--overlap 'forbid:2': is for the policy queue alone",
    ),
    Case(
        "a schedule and a time", "execution_time", "is for a job that runs once, and this one has schedules",
        {"schedules": ["@daily"], "execution_time": "2099-01-01T00:00:00Z"},
        noop_job(schedules=[schedule(cron="@daily")], execution_time=moment(2099)),
        ["--cron", "@daily", "--at", "2099-01-01T00:00:00Z"], cli_says="--at is for a job that runs once",
    ),
]

CASES = [*(case for each in EXPRESSIONS for case in cron(*each)), *SCHEDULES, *POLICIES]


# Words are numbers there.
OTHERWISE_IN_GRPC = ["unknown gap policy", "unknown overlap of clocks", "unknown frequency", "limit without queue"]


def named(cases: list[Case]) -> dict[str, Case]:
    found = {case.what: case for case in cases}
    assert len(found) == len(cases)
    return found


REST = named([case for case in CASES if case.rest is not None])
GRPC = named([case for case in CASES if case.grpc is not None])
# A process each: of the expressions every third, of them every other in the second schedule.
CLI = named([
    case
    for index, case in enumerate(CASES)
    if case.cli is not None and (index >= 2 * len(EXPRESSIONS) or index % 12 in (0, 7))
])


@pytest.mark.parametrize("what", REST)
def test_rest(pair: Cluster, what: str):
    case, job = REST[what], f"bad-{uuid.uuid4().hex[:8]}"
    answer = pair.rest.post("/jobs", {"noop": True, "job_id": job, **(case.rest or {})})
    assert answer.status == 400, answer.text
    error = answer.json()["error"]
    assert error["field"] == case.field, answer.text
    assert error["message"].startswith(f"{case.field}: {case.says}"), answer.text
    assert pair.rest.get(f"/jobs/{job}").status == 404, "nothing is half-written"


@pytest.mark.parametrize("what", GRPC)
def test_grpc(pair: Cluster, what: str):
    case, job = GRPC[what], f"bad-{uuid.uuid4().hex[:8]}"
    with pytest.raises(BadRequestError) as refused:
        pair.client().submit(case.grpc, job_id=job)
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    [violation] = refused.value.violations
    assert violation.field == f"spec.{case.field}", refused.value
    assert refused.value.message.startswith(f"spec.{case.field}: ")
    assert case.says in refused.value.message or case.what in OTHERWISE_IN_GRPC, refused.value
    assert len(refused.value.message) > len(violation.field) + 10, "it says what was expected"
    assert pair.rest.get(f"/jobs/{job}").status == 404, "nothing is half-written"


@pytest.mark.parametrize("what", CLI)
def test_command_line(pair: Cluster, what: str):
    case = CLI[what]
    done = pair.rota("submit", "--noop", *(case.cli or []))
    assert done.returncode in (1, 2) if case.cli_says else done.returncode == 1, done
    expected = case.cli_says or f"{case.field}: {case.says}"
    assert expected in done.stderr, done.stderr
    assert done.stdout == ""


# Previews of expressions, which the command line computes by itself, and backfills


@pytest.mark.parametrize("what", ["hour", "sixth week", "no such day", "H that falls"])
def test_a_preview_points_at_the_same_character(pair: Cluster, what: str):
    text, says = next(each[1:] for each in EXPRESSIONS if each[0] == what)
    by_query = pair.rest.get("/schedules/preview", cron=text)
    assert (by_query.status, by_query.json()["error"]["field"]) == (400, "cron"), by_query.text
    assert says in by_query.json()["error"]["message"]
    by_body = pair.rest.post("/schedules/preview", {"schedules": ["@daily", text]})
    assert (by_body.status, by_body.json()["error"]["field"]) == (400, "schedules[1].cron"), by_body.text
    with pytest.raises(BadRequestError) as refused:
        pair.client().preview(messages.PreviewRequest(schedules=[schedule(cron="@daily"), schedule(cron=text)]))
    assert [each.field for each in refused.value.violations] == ["schedules[1].cron"] and says in refused.value.message
    told = pair.rota("next", text)
    assert told.returncode == 1 and told.stderr.startswith(f"rota: cron: {says}")


CALENDARS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no day", {"days": ["12-25", "christmas"]}, "days[1]", "a date such as 2026-12-25, a day of each year"),
    ("30 February", {"days": ["2026-02-30"]}, "days[0]", ""),
    ("backwards", {"ranges": [("2026-02-01", "2026-01-01")]}, "ranges[0].to", ""),
    ("no time", {"ranges": [("2026-01-01", "2026-02-01"), ("soon", "2026-01-01")]}, "ranges[1].from", "a time with an"),
    ("bad window", {"cron": ["* 1 * * *", "* 99 * * *"]}, "cron[1]", "character 3: 99 is not an hour (0-23)"),
    ("unknown zone", {"time_zone": "Europe/Berln"}, "time_zone", "is not a known time zone; did you mean Europe/Berlin?"),
]


@pytest.mark.parametrize("what, spec, field, says", CALENDARS, ids=[case[0] for case in CALENDARS])
def test_calendars(pair: Cluster, what: str, spec: dict[str, Any], field: str, says: str):
    name = f"bad-{uuid.uuid4().hex[:8]}"
    body = {**spec, "ranges": [{"from": start, "to": end} for start, end in spec.get("ranges", ())]}
    answer = pair.rest.request("PUT", f"/calendars/{name}", body)
    assert (answer.status, answer.json()["error"]["field"]) == (400, field), answer.text
    assert answer.json()["error"]["message"].startswith(f"{field}: {says}")
    with pytest.raises(BadRequestError) as refused:
        pair.client().put_calendar(name, calendar(**spec))
    assert [each.field for each in refused.value.violations] == [f"spec.{field}"] and says in refused.value.message
    flags = [word for day in spec.get("days", ()) for word in ("--day", day)]
    flags += [word for start, end in spec.get("ranges", ()) for word in ("--range", f"{start}/{end}")]
    flags += [word for text in spec.get("cron", ()) for word in ("--cron", text)]
    flags += ["--tz", spec["time_zone"]] if "time_zone" in spec else []
    done = pair.rota("calendar", "put", name, *flags)
    assert done.returncode == 1 and f"{field}: {says}" in done.stderr, done.stderr
    assert pair.rest.get(f"/calendars/{name}").status == 404, "nothing is half-written"


A, B = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
BACKFILLS: list[tuple[str, Asked, str, str]] = [
    ("backwards", Asked(B, A), "to", "must not be before from"),
    ("the future", Asked(A, "2126-01-01T00:00:00Z"), "to", "must not be in the future"),
    ("before 1970", Asked("1960-01-01T00:00:00Z", A), "from", ""),
    ("nothing there", Asked("2026-01-01T00:00:01Z", "2026-01-01T00:00:59Z"), "from", "the job's schedules name no time"),
    ("too much", Asked("2000-01-01T00:00:00Z", A), "to", "the range has more than 100000 occurrences, up to"),
    (
        "too much, from the end", Asked("2000-01-01T00:00:00Z", A, order="newest_first"), "to",
        "the range has more than 100000 occurrences, back to 2025-10-23T13:21:00Z",
    ),
    ("too much, dry", Asked("2000-01-01T00:00:00Z", A, dry_run=True), "to", "the range has more than 100000"),
    ("parallelism", Asked(A, B, parallelism=101), "parallelism", "must be 1 to 100"),
    ("id", Asked(A, B, id="A B"), "backfill_id", "an identifier has"),
    ("name of a value", Asked(A, B, params={"a-b": "1"}), "params.a-b", "a name has letters, digits and '_'"),
]


@pytest.fixture(scope="module")
def minutely(pair: Cluster) -> str:
    job = pair.submit({"noop": True, "schedules": ["* * * * *"]})
    pair.client().pause(job)
    return job


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what, asked, field, says", BACKFILLS, ids=[case[0] for case in BACKFILLS])
def test_backfills(pair: Cluster, minutely: str, way: str, what: str, asked: Asked, field: str, says: str):
    with pytest.raises(Refused) as refused:
        backfills(way, pair).start(minutely, asked)
    assert refused.value.code in ("invalid_argument", "exit 1", "exit 2"), refused.value
    assert f"{field}: {says}" in refused.value.message
    assert pair.rest.get(f"/jobs/{minutely}/backfills").json()["backfills"] == [], "nothing is half-written"


def test_words_of_backfills(pair: Cluster, minutely: str):
    bad = {"order": "random", "from": "yesterday", "parallelism": "two", "dry_run": "yes", "form": A}
    for name, value in bad.items():
        answer = pair.rest.post(f"/jobs/{minutely}/backfills", {"from": A, "to": B, name: value})
        assert (answer.status, answer.json()["error"]["field"]) == (400, name), answer.text
    for flags in (["--order", "random"], ["--parallelism", "two"], ["--from", "yesterday"]):
        done = pair.rota("backfill", minutely, "--from", A, "--to", B, *flags)
        assert done.returncode == 2 and flags[0] in done.stderr, done.stderr
    assert pair.rota("backfill", minutely, "--from", A).returncode == 2
    request = messages.CreateBackfillRequest(job_id=minutely)
    with pytest.raises(BadRequestError) as refused:
        pair.client().backfill(request)
    assert [each.field for each in refused.value.violations] == ["from"]
