"""When a cron expression is due, by brute force: every local time of every day that matches is written out and
looked up in Python's zoneinfo. Slow, and shares nothing with Rota but the rules of docs/SCHEDULES.md."""
from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
MONTHS = {name.upper(): number for name, number in MONTHS.items()}
WEEKDAYS = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}
MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}
EPOCH_DAY = date(1970, 1, 1).toordinal()
DAY = 86_400
# Two offsets of one zone differ by 26 hours at most.
REACH = 27 * 3_600


# Expressions

@dataclass(frozen=True)
class Field:
    name: str
    low: int
    high: int
    names: dict[str, int]


SECOND = Field("second", 0, 59, {})
MINUTE = Field("minute", 0, 59, {})
HOUR = Field("hour", 0, 23, {})
DAY_OF_MONTH = Field("day_of_month", 1, 31, {})
MONTH = Field("month", 1, 12, MONTHS)
DAY_OF_WEEK = Field("day_of_week", 0, 6, WEEKDAYS)


def stable_hash(field: Field, job: str) -> int:
    """Where `H` comes from: FNV-1a of 64 bits, then a mixing of its bits."""
    value = 0xCBF29CE484222325
    for byte in f"{job}/{field.name}".encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD % 2**64
    return value ^ value >> 33


def plain_values(text: str, field: Field, job: str) -> set[int]:
    """The values of an item of a list that does not depend on the month."""
    body, _, step_text = text.partition("/")
    step = int(step_text or 1)

    def number(word: str) -> int:
        return field.names[word] if word in field.names else int(word)

    if body == "*":
        return set(range(field.low, field.high + 1, step))
    if body.startswith("H"):
        low, high = field.low, 28 if field is DAY_OF_MONTH else field.high
        if body != "H":
            low, high = (number(word) for word in body[2:-1].split("-"))
        if not step_text:
            return {low + stable_hash(field, job) % (high - low + 1)}
        return set(range(low + stable_hash(field, job) % step, high + 1, step))
    first, dash, last = body.partition("-")
    start = number(first)
    if not dash and not step_text:
        return {start % 7 if field is DAY_OF_WEEK else start}
    if not dash:
        return set(range(start % 7 if field is DAY_OF_WEEK else start, field.high + 1, step))
    end = number(last)
    if start > end and field is DAY_OF_WEEK:
        start %= 7
    # A range that falls goes on from the lowest value.
    if start > end:
        end += field.high - field.low + 1
    found = set(range(start, end + 1, step))
    size = field.high - field.low + 1
    return {(value - field.low) % size + field.low for value in found}


def values(text: str, field: Field, job: str) -> set[int]:
    return set().union(*(plain_values(item, field, job) for item in text.split(",")))


class Expression:
    """A cron expression, taken apart."""

    def __init__(self, text: str, job: str) -> None:
        text = MACROS.get(text.strip().lower(), text)
        words = text.upper().split()
        if len(words) == 5:
            words.insert(0, "0")
        second, minute, hour, self.day_text, month, self.weekday_text = words
        self.job = job
        self.seconds = sorted(values(second, SECOND, job))
        self.minutes = sorted(values(minute, MINUTE, job))
        self.hours = sorted(values(hour, HOUR, job))
        self.months = values(month, MONTH, job)
        self.goes_by_elapsed_time = hour == "*" or (hour.startswith("*/") and "," not in hour)
        self.days_of_month: dict[tuple[int, int], list[int]] = {}

    def days(self, year: int, month: int) -> list[int]:
        """The days of a month that match."""
        if month not in self.months:
            return []
        if (year, month) not in self.days_of_month:
            last = calendar.monthrange(year, month)[1]
            by_date = self._dates(year, month, last)
            by_weekday = self._weekdays(year, month, last)
            restricted = [text[0] not in "*?" for text in (self.day_text, self.weekday_text)]
            found = by_date | by_weekday if all(restricted) else by_date & by_weekday
            self.days_of_month[year, month] = sorted(found)
        return self.days_of_month[year, month]

    def _dates(self, year: int, month: int, last: int) -> set[int]:
        found: set[int] = set()
        for item in self.day_text.split(","):
            if item == "?":
                found |= set(range(1, 32))
            elif item == "LW":
                found.add(nearest_workday(year, month, last, last))
            elif item.startswith("L"):
                found.add(last - int(item[2:] or 0))
            elif item.endswith("W"):
                wanted = int(item[:-1])
                if wanted <= last:
                    found.add(nearest_workday(year, month, wanted, last))
            else:
                found |= plain_values(item, DAY_OF_MONTH, self.job)
        return {day for day in found if 1 <= day <= last}

    def _weekdays(self, year: int, month: int, last: int) -> set[int]:
        found: set[int] = set()
        for item in self.weekday_text.split(","):
            days = range(1, last + 1)
            if item == "?":
                found |= set(days)
                continue
            if "#" in item:
                name, _, nth = item.partition("#")
                days = range(7 * int(nth) - 6, min(7 * int(nth), last) + 1)
                wanted = {weekday_number(name)}
            elif item.endswith("L"):
                days = range(last - 6, last + 1)
                wanted = {weekday_number(item[:-1])}
            else:
                wanted = plain_values(item, DAY_OF_WEEK, self.job)
            first = sunday_first(year, month, 1)
            found |= {day for day in days if (first + day - 1) % 7 in wanted}
        return found

    def local_times(self, start: int, end: int) -> Iterator[tuple[int, datetime]]:
        """All local times that match from one up to another, as seconds and as they are; rising."""
        day = date.fromordinal(EPOCH_DAY + start // DAY).replace(day=1)
        while (day.toordinal() - EPOCH_DAY) * DAY < end:
            for number in self.days(day.year, day.month):
                midnight = (day.toordinal() + number - 1 - EPOCH_DAY) * DAY
                if midnight + DAY <= start:
                    continue
                for hour in self.hours:
                    if midnight + hour * 3_600 + 3_599 < start:
                        continue
                    for minute in self.minutes:
                        if midnight + hour * 3_600 + minute * 60 + 59 < start:
                            continue
                        for second in self.seconds:
                            local = midnight + hour * 3_600 + minute * 60 + second
                            if local >= end:
                                return
                            if local >= start:
                                yield local, datetime(day.year, day.month, number, hour, minute, second)
            day = (day + timedelta(days=31)).replace(day=1)


def weekday_number(name: str) -> int:
    return WEEKDAYS[name] if name in WEEKDAYS else int(name) % 7


def sunday_first(year: int, month: int, day: int) -> int:
    return (calendar.weekday(year, month, day) + 1) % 7


def nearest_workday(year: int, month: int, day: int, last: int) -> int:
    weekday = sunday_first(year, month, day)
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < last else day - 2
    return day


# Zones

def seconds(delta: timedelta | None) -> int:
    assert delta is not None
    return delta.days * DAY + delta.seconds


def offset_at(zone: ZoneInfo, utc: int) -> int:
    return seconds(datetime.fromtimestamp(utc, timezone.utc).astimezone(zone).utcoffset())


@lru_cache(maxsize=100_000)
def first_instant_after(zone: ZoneInfo, low: int, high: int) -> int:
    """The transition after one instant and not after another, between which there is one."""
    before = offset_at(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def instants(zone: ZoneInfo, local: int, time: datetime, gap: str, overlap: str) -> list[int]:
    """When a local time is due."""
    first = seconds(time.replace(tzinfo=zone).utcoffset())
    second = seconds(time.replace(tzinfo=zone, fold=1).utcoffset())
    if first == second:
        return [local - first]
    if first > second:
        return {"first": [local - first], "second": [local - second], "both": [local - first, local - second]}[overlap]
    # Clocks leave it out. PEP 495: without fold the offset is that from before the gap, with it that from after.
    return [first_instant_after(zone, local - second, local - first)] if gap == "run_after" else []


@lru_cache(maxsize=200_000)
def offsets_of_day(zone: ZoneInfo, day: int) -> frozenset[int]:
    """The offsets that a zone has on a day of UTC, the days before and after it included."""
    start = (day - 1) * DAY
    # No zone has ever changed its clocks twice within three hours.
    return frozenset(offset_at(zone, utc) for utc in range(start, start + 3 * DAY + 1, 3 * 3_600))


def offsets_around(zone: ZoneInfo, utc: int) -> frozenset[int]:
    """The offsets that a zone has within REACH of an instant, or a little further away."""
    return offsets_of_day(zone, (utc - REACH) // DAY) | offsets_of_day(zone, (utc + REACH) // DAY)


# Answers

@dataclass
class Case:
    cron: str
    zone: str
    after: int
    count: int
    gap: str | None
    overlap: str | None

    def schedule(self) -> dict[str, str]:
        members = {"cron": self.cron, "time_zone": self.zone, "dst_gap": self.gap, "dst_overlap": self.overlap}
        return {name: value for name, value in members.items() if value is not None}


def expected(case: Case, horizon: int, job: str = "default/oracle") -> list[int]:
    """The next occurrences after an instant and before another."""
    expression = Expression(case.cron, job)
    zone = ZoneInfo(case.zone)
    gap = case.gap or ("skip" if expression.goes_by_elapsed_time else "run_after")
    overlap = case.overlap or ("both" if expression.goes_by_elapsed_time else "first")
    found: set[int] = set()
    enough: int | None = None
    last: int | None = None
    start = case.after + min(offsets_around(zone, case.after))
    for local, time in expression.local_times(start, horizon + REACH):
        if enough is not None and local > enough:
            break
        for utc in instants(zone, local, time, gap, overlap):
            if utc <= case.after or utc in found or (last is not None and utc > last):
                continue
            found.add(utc)
            if len(found) >= case.count:
                last = sorted(found)[case.count - 1]
                # No later local time can be due earlier.
                enough = last + max(offsets_around(zone, last))
    return sorted(utc for utc in found if utc < horizon)[: case.count]
