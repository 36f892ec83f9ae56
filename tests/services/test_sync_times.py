"""Schedules are due when they say, in UTC, and say so when they never are."""

from datetime import UTC, datetime

import pytest

from graticule.domain.errors import InvalidRequest
from graticule.services.syncing.sync_times import next_run_ms

NOW = datetime(2026, 11, 21, 23, 59, 30, tzinfo=UTC)  # a Saturday


def due(cron=None, interval_minutes=None):
    found = next_run_ms(
        interval_minutes=interval_minutes, cron=cron, now_ms=int(NOW.timestamp() * 1000)
    )
    return None if found is None else datetime.fromtimestamp(found / 1000, UTC)


@pytest.mark.parametrize(
    ("cron", "at"),
    [
        ("* * * * *", datetime(2026, 11, 22, tzinfo=UTC)),
        ("0 3 * * 1-5", datetime(2026, 11, 23, 3, tzinfo=UTC)),
        ("*/15 6 1 jan *", datetime(2027, 1, 1, 6, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_cron_expression_is_due_in_utc(cron, at):
    assert due(cron) == at


def test_an_interval_is_due_once_it_is_over_and_nothing_never():
    assert due(interval_minutes=90) == datetime(2026, 11, 22, 1, 29, 30, tzinfo=UTC)
    assert due() is None


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "* * * * * *", "61 * * * *", "@daily", "x y z a b", "0 0 30 2 *"]
)
def test_what_is_no_expression_or_never_comes_true_is_refused(cron):
    with pytest.raises(InvalidRequest, match="cron"):
        due(cron)


def test_two_schedules_are_refused():
    with pytest.raises(InvalidRequest, match="not both"):
        due("* * * * *", 5)
