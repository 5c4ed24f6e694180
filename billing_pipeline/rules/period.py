"""The month as the unit of billing: half-open in time, cut in the provider's time zone.

A month of another zone than UTC starts and ends at that zone's midnight, so it may last 743 or 745 hours; durations are
always differences of instants and need no correction for it.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import total_ordering
from typing import Self
from zoneinfo import ZoneInfo

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)
_RANGE = re.compile(r"(?P<first>[^.]+)\.\.(?P<last>[^.]+)")


class MalformedMonth(ValueError):
    """The text is not a month such as ``2026-10``."""


@total_ordering
@dataclass(frozen=True)
class Month:
    """A calendar month; its text form ``2026-10`` is the partition key everywhere.

    Raises:
        MalformedMonth: the year or month lies outside 1970-01 to 2999-12.
    """

    year: int
    number: int

    def __post_init__(self) -> None:
        if not (1970 <= self.year <= 2999 and 1 <= self.number <= 12):
            message = f"month {self.year}-{self.number} does not exist here; months run from 1970-01 to 2999-12"
            raise MalformedMonth(message)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2026-10``; nothing else is taken for a month.

        Raises:
            MalformedMonth: the text has another form.
        """
        if not _MONTH.fullmatch(text):
            message = f"{text!r} is not a month; write it as 2026-10"
            raise MalformedMonth(message)
        return cls(int(text[:4]), int(text[5:]))

    @classmethod
    def of(cls, day: date) -> Self:
        """The month in which a day, or an instant where it is told, lies."""
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    def __lt__(self, other: "Month") -> bool:
        return (self.year, self.number) < (other.year, other.number)

    @property
    def next(self) -> "Month":
        """The month after this one."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def previous(self) -> "Month":
        """The month before this one."""
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    def back(self, months: int) -> "Month":
        """The month so many months before this one; after it if negative."""
        count = 12 * self.year + self.number - 1 - months
        return Month(count // 12, count % 12 + 1)

    @property
    def first_day(self) -> date:
        """The first calendar day."""
        return date(self.year, self.number, 1)

    @property
    def last_day(self) -> date:
        """The last calendar day, as printed (the period itself is half-open)."""
        return self.next.first_day - timedelta(days=1)

    def period(self, zone: ZoneInfo) -> "Period":
        """The instants at which this month starts and ends in ``zone``."""
        return Period(self, midnight(self.first_day, zone), midnight(self.next.first_day, zone), zone)


def parse_months(text: str) -> list[Month]:
    """Read ``2026-10`` or ``2026-08..2026-10`` as the months it names, in order.

    Raises:
        MalformedMonth: a month is malformed, or the range runs backwards.
    """
    match = _RANGE.fullmatch(text)
    first, last = (match["first"], match["last"]) if match else (text, text)
    months = [Month.parse(first)]
    end = Month.parse(last)
    if end < months[0]:
        message = f"the range {text} runs backwards; write the older month first"
        raise MalformedMonth(message)
    while months[-1] < end:
        months.append(months[-1].next)
    return months


@dataclass(frozen=True)
class Period:
    """A billed month, or the beginning of one, as instants: ``[start, end)``, both UTC."""

    month: Month
    start: datetime
    end: datetime
    #: Where the month is cut: days of this period are days of this zone.
    zone: ZoneInfo

    @property
    def start_us(self) -> int:
        """Microseconds since the epoch at which the period starts."""
        return microseconds(self.start)

    @property
    def end_us(self) -> int:
        """Microseconds since the epoch at which the period ends (exclusive)."""
        return microseconds(self.end)

    @property
    def day_starts_us(self) -> list[int]:
        """Microseconds since the epoch at which each of its days starts, and last its end."""
        days = (self.month.first_day + timedelta(days=number) for number in range(self.month.last_day.day))
        starts = (microseconds(midnight(day, self.zone)) for day in days)
        return [*(start for start in starts if start < self.end_us), self.end_us]

    def until(self, day: date) -> "Period":
        """The part of it before a day, for a day inside; else all of it."""
        inside = self.month.first_day < day <= self.month.last_day
        return replace(self, end=midnight(day, self.zone)) if inside else self


def microseconds(instant: datetime) -> int:
    """Whole microseconds from the epoch to an instant, exactly (no float on the way)."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins in a zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
