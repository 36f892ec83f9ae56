import math
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.values import decode_value, encode_value, from_json_value, to_json_value

ID = UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The examples of the specification's Appendix D, and the corners around them.
BINARY = [
    ("boolean", False, b"\x00"),
    ("boolean", True, b"\x01"),
    ("int", 34, b"\x22\0\0\0"),
    ("long", -1, b"\xff" * 8),
    ("float", 1.0, struct.pack("<f", 1.0)),
    ("double", -2.5, struct.pack("<d", -2.5)),
    ("date", 17_486, struct.pack("<i", 17_486)),
    ("time", 81_068_123_456, struct.pack("<q", 81_068_123_456)),
    ("timestamptz_ns", 1, struct.pack("<q", 1)),
    ("string", "iceberg", b"iceberg"),
    ("uuid", ID, bytes.fromhex("f79c3e09677c4bbda4793f349cb785e7")),
    ("fixed[3]", b"\0\1\2", b"\0\1\2"),
    ("binary", b"", b""),
    ("decimal(9, 2)", Decimal("14.20"), b"\x05\x8c"),
    ("decimal(9,2)", Decimal("0.00"), b"\x00"),
    ("decimal(9, 2)", Decimal("-1.28"), b"\x80"),
    ("decimal(9, 2)", Decimal("1.28"), b"\x00\x80"),
    ("geometry", (1.0, -2.0), struct.pack("<2d", 1.0, -2.0)),
    ("geometry(EPSG:3857)", (1.0, 2.0, 3.0, 4.0), struct.pack("<4d", 1, 2, 3, 4)),
]

JSON = [
    ("boolean", True, True),
    ("int", 34, 34),
    ("double", 1, 1.0),
    ("double", math.inf, "Infinity"),
    ("float", -math.inf, "-Infinity"),
    ("decimal(9, 2)", Decimal("14.2"), "14.20"),
    ("decimal(38, 0)", Decimal(10**38 - 1), "9" * 38),
    ("date", 17_486, "2017-11-16"),
    ("date", -719_163, "0000-12-31"),
    ("date", 2_932_897, "+10000-01-01"),
    ("time", 81_068_123_456, "22:31:08.123456"),
    ("timestamp", 1_510_871_468_123_456, "2017-11-16T22:31:08.123456"),
    ("timestamptz", -1, "1969-12-31T23:59:59.999999+00:00"),
    ("timestamptz_ns", 1, "1970-01-01T00:00:00.000000001+00:00"),
    ("string", "iceberg", "iceberg"),
    ("uuid", ID, str(ID)),
    ("fixed[4]", b"\0\1\2\xff", "000102ff"),
    ("string", None, None),
]


@pytest.mark.parametrize(("type_", "value", "data"), BINARY)
def test_binary_single_values_are_those_of_the_specification(type_, value, data):
    assert encode_value(type_, value) == data
    assert decode_value(type_, data) == value


@pytest.mark.parametrize(
    ("type_", "data", "value"),
    [
        ("long", struct.pack("<i", -5), -5),
        ("double", struct.pack("<f", 1.5), 1.5),
        ("timestamp", struct.pack("<i", 1), 86_400_000_000),
    ],
)
def test_bounds_from_before_a_promotion_are_read_in_their_first_width(type_, data, value):
    assert decode_value(type_, data) == value


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("int", b"\0"),
        ("uuid", b"\0"),
        ("boolean", b""),
        ("string", b"\xff"),
        ("geometry", b"\0" * 8),
        ("struct", b"\0"),
        ("decimal(x)", b"\0"),
    ],
)
def test_bytes_of_another_type_are_refused(type_, data):
    with pytest.raises(InvalidRequest):
        decode_value(type_, data)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int", 2**31),
        ("int", "1"),
        ("decimal(9, 2)", Decimal("0.001")),
        ("decimal(9, 2)", Decimal("NaN")),
        ("binary", 3),
        ("geometry", (1.0,)),
        ("list", []),
    ],
)
def test_a_value_that_does_not_fit_is_refused(type_, value):
    with pytest.raises(InvalidRequest):
        encode_value(type_, value)


@pytest.mark.parametrize(("type_", "value", "document"), JSON)
def test_json_single_values_are_those_of_the_specification(type_, value, document):
    written = to_json_value(type_, value)
    assert written == document
    assert type(written) is type(document)
    if value is not None:
        assert from_json_value(type_, document) == value


@pytest.mark.parametrize(
    ("type_", "literal", "value"),
    [
        ("date", 17_486, 17_486),
        ("timestamptz", "2017-11-16T22:31:08", 1_510_871_468_000_000),
        ("timestamptz", "2017-11-16T22:31:08Z", 1_510_871_468_000_000),
        ("timestamptz", "2017-11-16T23:31:08+01:00", 1_510_871_468_000_000),
        ("timestamptz", "2017-11-16 20:31:08-0200", 1_510_871_468_000_000),
        ("timestamp", "2017-11-16T22:31:08+00:00", 1_510_871_468_000_000),
        ("timestamp_ns", "1970-01-01T00:00:00.1", 100_000_000),
        ("timestamp", 5, 5),
        ("time", "00:01", 60_000_000),
        ("long", 3.0, 3),
        ("double", 7, 7.0),
        ("decimal(9, 2)", 1.2, Decimal("1.2")),
        ("decimal(9, 2)", "1.20", Decimal("1.20")),
        ("uuid", str(ID).upper(), ID),
        ("binary", "0A0b", b"\x0a\x0b"),
    ],
)
def test_the_literals_of_all_clients_are_bound(type_, literal, value):
    bound = from_json_value(type_, literal)
    assert bound == value
    assert type(bound) is type(value)


@pytest.mark.parametrize(
    ("type_", "literal"),
    [
        ("int", 3.5),
        ("int", True),
        ("int", "3"),
        ("double", 2**53 + 1),
        ("double", 10**400),
        ("double", "1,5"),
        ("boolean", 1),
        ("string", 1),
        ("date", "2020-02-30"),
        ("date", "2020-01-01T00:00:00"),
        ("date", True),
        ("timestamp", "2020-01-01"),
        ("timestamp", "2020-01-01T24:00:00"),
        ("timestamp", "2020-01-01T00:00:00+01:00"),
        ("timestamp", "2020-01-01T00:00:00.0000001"),
        ("decimal(9, 2)", "one"),
        ("decimal(9, 2)", "Infinity"),
        ("uuid", "f79c"),
        ("fixed[2]", "00"),
        ("binary", "0"),
        ("geometry", "POINT (1 2)"),
        ("int", None),
        ("int", []),
    ],
)
def test_a_literal_that_would_have_to_change_is_refused(type_, literal):
    with pytest.raises(InvalidRequest):
        from_json_value(type_, literal)


TYPED = st.one_of(
    st.tuples(st.just("int"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("long"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("double"), st.floats(allow_nan=False)),
    st.tuples(st.just("float"), st.floats(allow_nan=False, width=32)),
    st.tuples(st.just("string"), st.text()),
    st.tuples(st.just("binary"), st.binary()),
    st.tuples(st.just("uuid"), st.uuids()),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("date"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("time"), st.integers(0, 86_400_000_000 - 1)),
    st.tuples(st.just("timestamp"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("timestamptz"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("timestamp_ns"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("decimal(38, 10)"), st.integers(1 - 10**38, 10**38 - 1)),
)


@given(TYPED)
def test_both_forms_give_the_value_back(typed):
    type_, value = typed
    if type_.startswith("decimal"):
        value = Decimal(value).scaleb(-10) if abs(value) < 10**28 else Decimal(f"{value}E-10")
    assert decode_value(type_, encode_value(type_, value)) == value
    assert from_json_value(type_, to_json_value(type_, value)) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamps_are_written_as_python_writes_them(instant):
    micros = (instant - EPOCH) // timedelta(microseconds=1)
    assert to_json_value("timestamptz", micros) == instant.isoformat(timespec="microseconds")


@given(st.dates())
def test_dates_are_written_as_python_writes_them(day):
    assert to_json_value("date", (day - date(1970, 1, 1)).days) == day.isoformat()
