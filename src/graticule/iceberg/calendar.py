"""Dates and times of day as the texts of ISO 8601, and as numbers since the epoch.

Years of more than four digits have a sign; a text that is none is a ValueError.
"""

import re
from datetime import date
from typing import Final

NANOS_PER_SECOND: Final = 1_000_000_000

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
"""After which the calendar repeats; `date` knows the years 1 to 9999."""
_DATE: Final = re.compile(r"([+-]?\d{4,9})-(\d\d)-(\d\d)", re.ASCII)
_TIME: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?", re.ASCII)
_OFFSET: Final = re.compile(r"(.*?)(Z|[+-]\d\d(?::?\d\d)?)", re.ASCII | re.IGNORECASE)


def days_of(text: str) -> int:
    """The days from the epoch to a date.

    Raises:
        ValueError: no date.
    """
    match = _DATE.fullmatch(text)
    if not match:
        raise ValueError(text)
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    cycles, year = divmod(year - 1, _CYCLE_YEARS)
    return date(year + 1, month, day).toordinal() - _EPOCH_ORDINAL + cycles * _CYCLE_DAYS


def date_text(days: int) -> str:
    """The date so many days after the epoch."""
    cycles, ordinal = divmod(days + _EPOCH_ORDINAL - 1, _CYCLE_DAYS)
    day = date.fromordinal(ordinal + 1)
    year = day.year + cycles * _CYCLE_YEARS
    text = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    return f"{text}-{day.month:02d}-{day.day:02d}"


def ticks_of(clock: str, units_per_second: int) -> int:
    """The units from midnight to a time of day.

    Raises:
        ValueError: no time, or one between two units.
    """
    match = _TIME.fullmatch(clock)
    if not match:
        raise ValueError(clock)
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(clock)
    nanos = int((match[4] or "").ljust(9, "0") or 0)
    ticks, lost = divmod(nanos, NANOS_PER_SECOND // units_per_second)
    if lost:
        raise ValueError(clock)
    return ((hours * 60 + minutes) * 60 + seconds) * units_per_second + ticks


def time_text(ticks: int, units_per_second: int) -> str:
    """The time of day so many units after midnight."""
    seconds, fraction = divmod(ticks, units_per_second)
    digits = len(str(units_per_second)) - 1
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{fraction:0{digits}d}"


def without_offset(clock: str) -> tuple[str, int]:
    """A time of day without its distance from UTC, and that in seconds; none is 0."""
    zoned = _OFFSET.fullmatch(clock)
    return (clock, 0) if zoned is None else (zoned[1], _offset_s(zoned[2]))


def _offset_s(text: str) -> int:
    if text in {"Z", "z"}:
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if text[0] == "-" else seconds
