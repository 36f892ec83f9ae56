from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.planning.partition_fields import Implied, implied, result_type

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def calendar_value(unit, instant):
    match unit:
        case "year":
            return instant.year - 1970
        case "month":
            return (instant.year - 1970) * 12 + instant.month - 1
        case "day":
            return (instant - EPOCH).days
    return (instant - EPOCH) // timedelta(hours=1)


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(["year", "month", "day", "hour"]),
    st.sampled_from(["date", "timestamp", "timestamptz", "timestamp_ns"]),
    st.booleans(),
)
def test_a_time_lies_within_its_partition(instant, unit, type_, rounded_up):
    value = calendar_value(unit, instant)
    if rounded_up and value < 0:
        value += 1  # what some writers did before 1970
    if type_ == "date":
        tick = (instant - EPOCH).days
    else:
        tick = (instant - EPOCH) // MICROSECOND * (1000 if type_.endswith("ns") else 1)
    says = implied(unit, type_, value)
    assert says.low is None or says.low <= tick
    assert says.high is None or says.high >= tick
    assert not says.is_constant


def test_limits_of_calendar_units_are_tight():
    start = (date(2020, 2, 1) - date(1970, 1, 1)).days
    assert implied("month", "date", 50 * 12 + 1) == Implied(start, start + 28)
    assert implied("year", "date", 1) == Implied(365, 729)
    assert implied("day", "timestamp", 1) == Implied(86_400_000_000, 2 * 86_400_000_000 - 1)
    assert implied("hour", "timestamptz", 2) == Implied(7_200_000_000, 10_800_000_000 - 1)


@given(st.integers(-1000, 1000), st.integers(1, 50))
def test_a_number_lies_within_its_truncation(number, width):
    says = implied(f"truncate[{width}]", "long", number - number % width)
    assert says.low <= number <= says.high
    unscaled = number - number % width
    says = implied(f"truncate[{width}]", "decimal(9, 2)", Decimal(unscaled).scaleb(-2))
    assert says.low <= Decimal(number).scaleb(-2) <= says.high


@given(st.text(max_size=8) | st.text("\ud7ff\U0010ffff", max_size=4), st.integers(1, 5))
def test_a_text_lies_within_its_truncation(text, width):
    says = implied(f"truncate[{width}]", "string", text[:width])
    assert says.low <= text
    assert says.high is None or text <= says.high


@given(st.binary(max_size=8) | st.lists(st.just(255), max_size=4).map(bytes), st.integers(1, 5))
def test_bytes_lie_within_their_truncation(data, width):
    says = implied(f"truncate[{width}]", "binary", data[:width])
    assert says.low <= data
    assert says.high is None or data <= says.high


@pytest.mark.parametrize(
    ("transform", "value", "expected"),
    [
        ("identity", 3, Implied(3, 3, is_constant=True)),
        ("identity", None, Implied(is_null=True)),
        ("bucket[4]", 3, Implied()),
        ("bucket[4]", None, Implied(is_null=True)),
        ("void", None, None),
        ("zorder[3]", 3, None),
    ],
)
def test_what_the_other_transforms_imply(transform, value, expected):
    assert implied(transform, "long", value) == expected


def test_a_decimal_of_38_digits_lies_within_its_truncation():
    value = Decimal("123456789012345678901234567890123456.70")
    says = implied("truncate[10]", "decimal(38, 2)", value)
    assert (says.low, says.high) == (value, Decimal("123456789012345678901234567890123456.79"))


@pytest.mark.parametrize("end", [2**31, 2**63])
def test_the_least_integers_may_come_out_of_a_truncation_among_the_largest(end):
    """-2**31 truncated to 5 is -2147483650, which is 2147483646 in 32 bits."""
    assert implied("truncate[5]", "long", end - 2) == Implied()
    assert implied("truncate[5]", "long", end - 5) == Implied(end - 5, end - 1)


def test_a_text_cut_by_bytes_or_surrogates_lies_within_its_truncation():
    says = implied("truncate[4]", "string", "\N{SNAKE}")
    assert says.low <= "\N{SNAKE}s" <= says.high
    assert implied("truncate[4]", "string", "abc").high == "abc"


@pytest.mark.parametrize(
    ("transform", "source", "expected"),
    [
        ("identity", "double", "double"),
        ("truncate[4]", "string", "string"),
        ("bucket[16]", "uuid", "int"),
        ("year", "date", "int"),
        ("month", "timestamp", "int"),
        ("day", "timestamp", "date"),
        ("hour", "timestamptz", "int"),
        ("void", "decimal(9, 2)", "decimal(9, 2)"),
        ("bucket[16]", None, "int"),
        ("identity", None, None),
    ],
)
def test_result_types(transform, source, expected):
    assert result_type(transform, source) == expected
