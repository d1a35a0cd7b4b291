"""Random expressions and instants: all of the syntax, and mostly close to where clocks change."""
from __future__ import annotations

import random
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from oracle import DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MACROS, MINUTE, MONTH, SECOND, Case, Field, offset_at

# Zones that do what others do not: half-hour shifts, negative daylight-saving time, two hours, skipped days, rules
# by the lunar calendar, transitions at midnight, offsets with seconds.
ODD_ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Juba", "Africa/Monrovia", "America/Adak",
    "America/Asuncion", "America/Caracas", "America/Danmarkshavn", "America/Godthab", "America/Havana",
    "America/New_York", "America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/Scoresbysund",
    "America/St_Johns", "Antarctica/Casey", "Antarctica/Macquarie", "Antarctica/Troll", "Antarctica/Vostok",
    "Asia/Amman", "Asia/Beirut", "Asia/Dhaka", "Asia/Gaza", "Asia/Hebron", "Asia/Kathmandu", "Asia/Kolkata",
    "Asia/Pyongyang", "Asia/Tehran", "Atlantic/Azores", "Australia/Adelaide", "Australia/Lord_Howe", "Europe/Berlin",
    "Europe/Dublin", "Europe/London", "Europe/Lisbon", "Europe/Moscow", "Europe/Volgograd", "Pacific/Apia",
    "Pacific/Auckland", "Pacific/Chatham", "Pacific/Easter", "Pacific/Fakaofo", "Pacific/Kiritimati",
    "Pacific/Kwajalein", "Pacific/Norfolk", "Pacific/Tongatapu", "UTC",
]
FIRST = int(datetime(1970, 1, 1, tzinfo=timezone.utc).timestamp())
LAST = int(datetime(2100, 1, 1, tzinfo=timezone.utc).timestamp())
# Ramadan, for which Morocco's clocks change twice, is longer.
STRIDE = 28 * 86_400


def zone_names(folder: Path) -> list[str]:
    """All zones of a folder, without copies and settings."""
    names = []
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if name.split("/")[0] in ("posix", "right", "localtime", "posixrules") or "." in name or not path.is_file():
            continue
        if path.read_bytes()[:4] == b"TZif":
            names.append(name)
    return sorted(names)


@lru_cache(maxsize=20_000)
def transitions(name: str, year: int) -> list[int]:
    """The instants of a year at which clocks change, as far as looking once in four weeks shows them."""
    zone = ZoneInfo(name)
    found = []
    start = int(datetime(year, 1, 1, tzinfo=timezone.utc).timestamp())
    before = offset_at(zone, start)
    for later in range(start + STRIDE, start + 366 * 86_400, STRIDE):
        after = offset_at(zone, later)
        if after != before:
            low, high = later - STRIDE, later
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(zone, middle) == before else (low, middle)
            found.append(high)
        before = after
    return found


class Questions:
    """A seeded source of cases."""

    def __init__(self, seed: int, zones: list[str]) -> None:
        self.random = random.Random(seed)
        self.zones = zones
        self.odd = [name for name in ODD_ZONES if name in zones]

    def case(self) -> Case:
        choose = self.random
        zone = choose.choice(self.odd if choose.random() < 0.7 else self.zones)
        return Case(
            cron=self.expression(), zone=zone, after=self.instant(zone), count=choose.choice([1, 1, 2, 3, 5]),
            gap=choose.choice([None, "run_after", "skip"]), overlap=choose.choice([None, "first", "second", "both"]))

    def instant(self, zone: str) -> int:
        choose = self.random
        changes: list[int] = []
        if choose.random() < 0.8:
            # Most zones that change their clocks in any year do so before or after, too.
            for _ in range(4):
                changes = changes or transitions(zone, choose.randrange(1970, 2100))
        if not changes:
            return choose.randrange(FIRST, LAST)
        reach = choose.choice([0, 1, 3_600, 3 * 3_600, 86_400, 3 * 86_400])
        return max(FIRST, choose.choice(changes) + choose.randint(-reach, reach))

    # Expressions

    def expression(self) -> str:
        choose = self.random
        if choose.random() < 0.02:
            return choose.choice(list(MACROS))
        words = [
            self.field(MINUTE, 0.15), self.field(HOUR, 0.35), self.field(DAY_OF_MONTH, 0.65), self.field(MONTH, 0.75),
            self.field(DAY_OF_WEEK, 0.7),
        ]
        if choose.random() < 0.4:
            words.insert(0, self.field(SECOND, 0.1))
        text = choose.choice([" ", "  ", "\t"]).join(words)
        return choose.choice([text, text.lower(), text.upper()])

    def field(self, field: Field, star: float) -> str:
        choose = self.random
        if choose.random() < star:
            return "?" if field in (DAY_OF_MONTH, DAY_OF_WEEK) and choose.random() < 0.4 else "*"
        count = choose.choice([1, 1, 1, 2, 3])
        return ",".join(self.item(field) for _ in range(count))

    def item(self, field: Field) -> str:
        choose = self.random
        kind = choose.random()
        if kind < 0.1:
            return f"*/{self.step(field)}"
        if kind < 0.2:
            return self.hashed(field)
        if kind < 0.4 and field is DAY_OF_MONTH:
            return choose.choice(["L", "LW", f"L-{choose.randint(0, 30)}", f"{choose.randint(1, 31)}W"])
        if kind < 0.4 and field is DAY_OF_WEEK:
            return self.value(field) + choose.choice(["L", f"#{choose.randint(1, 5)}"])
        if kind < 0.6:
            step = choose.choice(["", f"/{self.step(field)}"])
            return f"{self.value(field)}-{self.value(field)}{step}"
        if kind < 0.65:
            return f"{self.value(field)}/{self.step(field)}"
        if field is HOUR and kind < 0.9:
            # Where clocks change.
            return choose.choice(["0", "1", "2", "3", "23"])
        return self.value(field)

    def hashed(self, field: Field) -> str:
        low, high = field.low, 28 if field is DAY_OF_MONTH else field.high
        text = "H"
        if self.random.random() < 0.5:
            low, high = sorted((self.random.randint(low, high), self.random.randint(low, high)))
            text = f"H({low}-{high})"
        if self.random.random() < 0.5:
            text += f"/{self.random.randint(1, min(high - low + 1, field.high - field.low + 1))}"
        return text

    def step(self, field: Field) -> int:
        return self.random.randint(1, field.high - field.low + 1)

    def value(self, field: Field) -> str:
        if field.names and self.random.random() < 0.5:
            return self.random.choice(list(field.names))
        return str(self.random.randint(field.low, 7 if field is DAY_OF_WEEK else field.high))
