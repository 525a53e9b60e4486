"""Entries that come due in the same moment: how many at once, and how long the workers are busy with them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.planned import Plan
from tidegate.facts.seen import Crontab, EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.lint.case import LintCase
from tidegate.model.lint.saying import concluded, entries, named
from tidegate.units import duration, plural

#: Fewer entries at once are no herd.
MANY = 5
#: Work that is done so soon delays nobody who plans in minutes.
SHORT_S = 30.0
#: Entries that come more often than this are a load and not a burst: TG203 judges them.
_BURST_INTERVAL_S = 60.0
_MOST_HERDS = 5
#: Minutes of the day that are looked at day by day; the fullest come first.
_MOST_MINUTES = 12
_DAY_MINUTES = 1440
_HOUR_MINUTES = 60
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

#: Which days a crontab names: days of the week, of the month, and months.
Days = tuple[frozenset[int], frozenset[int], frozenset[int]]


@dataclass(frozen=True, slots=True)
class Herd:
    """Entries that come due together; `when` says at what times, `times_a_day` how often a day so many may."""

    entries: tuple[EntrySeen, ...]
    when: str
    times_a_day: float
    crontab: bool


def herds(case: LintCase) -> Iterable[Finding]:
    """TG205: many entries come due in the same moment, and all but the first few wait."""
    judged = case.judged("TG205")
    # A scheduler of ours lets entries of one interval come due one after another.
    found = [*crontab_herds(judged), *([] if case.app.spreads else interval_herds(judged))]
    found.sort(key=lambda herd: -len(herd.entries))
    noticed = [_finding(case, herd) for herd in found[:_MOST_HERDS]]
    return concluded("TG205", case, noticed, f"No {MANY} entries come due in the same moment.")


def crontab_herds(judged: Sequence[EntrySeen]) -> Iterator[Herd]:
    """The fullest minute, where at least `MANY` crontabs share it on some day.

    Costs one step a minute of the day that a distinct crontab names, and a look at the days of the fullest minutes.
    """
    alike: dict[Crontab, list[EntrySeen]] = defaultdict(list)
    for entry in judged:
        if entry.crontab is not None and not entry.never:
            alike[entry.crontab].append(entry)
    minutes: dict[int, Counter[Days]] = defaultdict(Counter)
    for crontab, rows in alike.items():
        for minute in _minutes_utc(crontab):
            minutes[minute][_days(crontab)] += len(rows)
    most = {minute: days.total() for minute, days in minutes.items() if days.total() >= MANY}
    fullest = sorted(most, key=lambda minute: (-most[minute], minute))[:_MOST_MINUTES]
    days = {minute: _fullest_day(minutes[minute]) for minute in fullest}
    minute = max(fullest, key=lambda each: days[each][0], default=0)
    if not fullest or days[minute][0] < MANY:
        return
    day = days[minute][1]
    there = [crontab for crontab in alike if minute in _minutes_utc(crontab) and _names(_days(crontab), day)]
    zones = {crontab.timezone for crontab in there}
    offset_s = there[0].utc_offset_s if len(zones) == 1 else 0.0
    zone = next(iter(zones)) if len(zones) == 1 else "UTC"
    yield Herd(
        entries=tuple(entry for crontab in there for entry in alike[crontab]),
        when=f"at {_clock(minute, offset_s)} {zone}",
        times_a_day=float(len(most)),
        crontab=True,
    )


def _days(crontab: Crontab) -> Days:
    return crontab.days_of_week, crontab.days_of_month, crontab.months


def _minutes_utc(crontab: Crontab) -> set[int]:
    """Minutes of the day in UTC, outside summer time."""
    ahead = round(crontab.utc_offset_s / 60)
    return {(hour * 60 + minute - ahead) % _DAY_MINUTES for hour in crontab.hours for minute in crontab.minutes}


def _clock(minute: int, offset_s: float) -> str:
    there = (minute + round(offset_s / 60)) % _DAY_MINUTES
    return f"{there // 60:02d}:{there % 60:02d}"


def _fullest_day(patterns: Mapping[Days, int]) -> tuple[int, tuple[int, int, int]]:
    """How many come due on the fullest day, and that day as (month, day, weekday)."""
    counts: Counter[tuple[int, int, int]] = Counter()
    everyday = 0
    for pattern, number in patterns.items():
        if len(pattern[0]) == 7 and len(pattern[1]) == 31 and len(pattern[2]) == 12:
            everyday += number
        else:
            for day in _all_days(pattern):
                counts[day] += number
    if not counts:
        return everyday, (1, 1, 0)
    day = max(counts, key=lambda kind: (counts[kind], tuple(-part for part in kind)))
    return everyday + counts[day], day


def _all_days(pattern: Days) -> Iterator[tuple[int, int, int]]:
    weekdays, days, months = pattern
    return (
        (month, day, weekday)
        for month in months
        for day in days
        if day <= _MONTH_DAYS[month - 1]
        for weekday in weekdays
    )


def _names(pattern: Days, day: tuple[int, int, int]) -> bool:
    return day[0] in pattern[2] and day[1] in pattern[1] and day[2] in pattern[0]


def interval_herds(judged: Iterable[EntrySeen]) -> Iterator[Herd]:
    """Entries of equal intervals that keep step: beat starts them together, unless they were last sent at other times."""
    alike: dict[tuple[float, int], list[EntrySeen]] = defaultdict(list)
    for entry in judged:
        every = entry.interval_s
        if every is not None and every >= _BURST_INTERVAL_S and entry.mean_interval_s == every:
            phase = int(entry.last_run_at % every) if entry.last_run_at is not None else -1
            alike[every, phase].append(entry)
    for (every, _), rows in alike.items():
        if len(rows) >= MANY:
            yield Herd(
                tuple(rows), f"every {duration(every)}, in step since beat started", 86400.0 / every, crontab=False
            )


def _finding(case: LintCase, herd: Herd) -> Finding:
    busy_s = _busy_s(case, herd.entries)
    short = known(busy_s) and busy_s <= SHORT_S
    if known(busy_s):
        means = f"the workers are busy with them for {duration(busy_s)}, and the last one waits nearly as long"
    else:
        means = "all that find no free slot wait for the others"
    others = herd.times_a_day - 1
    often = f" So it is in up to {plural(others, 'more minute')} of the day." if herd.crontab and others >= 1 else ""
    return Finding(
        rule="TG205",
        level=Level.INFO if short else Level.WARNING,
        sentence=f"{entries(len(herd.entries))} come due in the same moment, {herd.when} ({named(herd.entries)}): "
        f"{means}.{often}",
        evidence={
            "entries": [entry.name for entry in herd.entries],
            "burst": len(herd.entries),
            "times_a_day": herd.times_a_day,
            **({"busy_s": busy_s} if known(busy_s) else {}),
        },
        remedy=_remedy(herd),
    )


def _busy_s(case: LintCase, rows: Iterable[EntrySeen]) -> Maybe[float]:
    """How long the workers need for one firing of each: of every queue, and of all of them together."""
    if not known(case.plan):
        return case.plan
    work: dict[str, float] = defaultdict(float)
    for entry in rows:
        planned = case.plans.get(entry.name)
        seconds = planned.work_s if planned is not None else Unknown("no run of it was measured")
        if not known(seconds):
            return seconds
        for queue in entry.queues[:1] if known(entry.queues) else ():
            work[queue] += seconds
    parts = [({queue}, seconds) for queue, seconds in work.items()] + [(set(work), sum(work.values()))]
    slots = [(_slots(case.plan, queues), seconds) for queues, seconds in parts]
    if any(not number for number, _ in slots):
        return Unknown("nobody consumes one of their queues")
    return max(seconds / number for number, seconds in slots)


def _slots(plan: Plan, queues: set[str]) -> float:
    pools = [pool for pool in plan.pools if queues & set(pool.queues)]
    return sum(pool.effective_slots if known(pool.effective_slots) else pool.slots for pool in pools)


def _remedy(herd: Herd) -> str:
    minutes = [len(entry.crontab.minutes) for entry in herd.entries if entry.crontab is not None]
    if not herd.crontab:
        return "Intervals without a common factor, as 61 and 67 for 60; or crontabs with minutes of their own."
    if minutes and min(minutes) == _HOUR_MINUTES:
        return 'Let those that can come every other minute, half of them at odd ones: crontab(minute="1-59/2").'
    step = max(1, _HOUR_MINUTES // len(herd.entries))
    spread = [f"{entry.name}: minute={place * step % _HOUR_MINUTES}" for place, entry in enumerate(herd.entries[:4])]
    more = ", …" if len(herd.entries) > len(spread) else ""
    return f"A minute of its own for each: {', '.join(spread)}{more}"
