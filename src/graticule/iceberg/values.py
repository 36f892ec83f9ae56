"""Values of primitive types in three forms: Python, binary (bounds, table specification
Appendix D) and JSON (partition values, defaults, filter literals).

In Python: dates are days and times are micro- (or nano-) seconds since the epoch as int, decimals
`Decimal`, UUIDs `uuid.UUID`, fixed and binary `bytes`; a bound of a geometry is a tuple of two to
four floats.  Integers keep dates beyond the year 9999 and compare fast.
"""

import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from operator import index
from typing import Any, Final, NoReturn
from uuid import UUID

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.calendar import (
    NANOS_PER_SECOND,
    date_text,
    days_of,
    ticks_of,
    time_text,
    without_offset,
)

MICROS_PER_SECOND: Final = 1_000_000
SECONDS_PER_DAY: Final = 86_400
GEO_ORDINATES: Final = (2, 3, 4)
DECIMAL_DIGITS_MAX: Final = 38

_DECIMAL: Final = re.compile(r"decimal\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)", re.ASCII)
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
"""A decimal number as clients spell it in a JSON text."""

_FIXED: Final = re.compile(r"fixed\s*\[\s*(\d+)\s*\]", re.ASCII)

_STRUCTS: Final = {
    "int": struct.Struct("<i"),
    "date": struct.Struct("<i"),
    "long": struct.Struct("<q"),
    "time": struct.Struct("<q"),
    "timestamp": struct.Struct("<q"),
    "timestamptz": struct.Struct("<q"),
    "timestamp_ns": struct.Struct("<q"),
    "timestamptz_ns": struct.Struct("<q"),
    "float": struct.Struct("<f"),
    "double": struct.Struct("<d"),
}
_UNITS_PER_SECOND: Final = {
    "time": MICROS_PER_SECOND,
    "timestamp": MICROS_PER_SECOND,
    "timestamptz": MICROS_PER_SECOND,
    "timestamp_ns": NANOS_PER_SECOND,
    "timestamptz_ns": NANOS_PER_SECOND,
}
INTEGER_TYPES: Final = frozenset({"int", "long"})
FLOATING_TYPES: Final = frozenset({"float", "double"})
TIMESTAMP_TYPES: Final = frozenset(_UNITS_PER_SECOND) - {"time"}


def kind_of(type_: str) -> str:
    """The name of a primitive type without its parameters: `decimal`, `fixed`, `geometry`."""
    return re.split(r"[(\[\s]", type_.strip(), maxsplit=1)[0].lower()


def units_per_day(type_: str) -> int:
    """Ticks of a timestamp type in a day."""
    return _UNITS_PER_SECOND[type_] * SECONDS_PER_DAY


# Binary single values.


def encode_value(type_: str, value: object) -> bytes:
    """The binary single-value serialisation, as in the bounds of a manifest entry.

    Raises:
        InvalidRequest: the value is not of the type, or the type has no such form.
    """
    try:
        return _encode(type_, kind_of(type_), value)
    except (struct.error, TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise InvalidRequest(f"`{value!r}` is not a value of type `{type_}`") from error


def _encode(type_: str, kind: str, value: Any) -> bytes:
    if packer := _STRUCTS.get(kind):
        return packer.pack(value)
    match kind:
        case "boolean":
            return b"\x01" if index(value) else b"\x00"
        case "string":
            return _text(value).encode()
        case "uuid":
            return _uuid(value).bytes
        case "fixed" | "binary":
            return bytes(value) if not isinstance(value, int) else _refuse(value)
        case "decimal":
            unscaled = _unscaled(type_, Decimal(value))
            # One bit more than the magnitude for the sign; -2^k fits without it.
            bits = (unscaled if unscaled >= 0 else ~unscaled).bit_length() + 1
            return unscaled.to_bytes((bits + 7) // 8, "big", signed=True)
        case "geometry" | "geography":
            if len(value) not in GEO_ORDINATES:
                raise ValueError
            return struct.pack(f"<{len(value)}d", *value)
    raise InvalidRequest(f"type `{type_}` has no binary single value")


def decode_value(type_: str, data: bytes) -> Any:
    """The inverse of `encode_value`.

    Bounds written before a promotion keep their first width: an int under `long`, a float under
    `double`, a date under a timestamp.

    Raises:
        InvalidRequest: the bytes are not a value of the type.
    """
    try:
        return _decode(type_, kind_of(type_), bytes(data))
    except (struct.error, ValueError) as error:
        raise InvalidRequest(f"{len(data)} bytes are not a value of type `{type_}`") from error


def _decode(type_: str, kind: str, data: bytes) -> Any:
    if len(data) == 4:
        if kind == "long":
            return _STRUCTS["int"].unpack(data)[0]
        if kind == "double":
            return _STRUCTS["float"].unpack(data)[0]
        if kind in {"timestamp", "timestamp_ns"}:
            return _STRUCTS["date"].unpack(data)[0] * units_per_day(kind)
    if packer := _STRUCTS.get(kind):
        return packer.unpack(data)[0]
    match kind:
        case "boolean":
            if len(data) != 1:
                raise ValueError
            return data != b"\x00"
        case "string":
            return data.decode()
        case "uuid":
            return UUID(bytes=data)
        case "fixed" | "binary":
            return data
        case "decimal":
            return _decimal(int.from_bytes(data, "big", signed=True), _scale(type_)[1])
        case "geometry" | "geography":
            if len(data) % 8 or len(data) // 8 not in GEO_ORDINATES:
                raise ValueError
            return struct.unpack(f"<{len(data) // 8}d", data)
    raise InvalidRequest(f"type `{type_}` has no binary single value")


# JSON single values.


def to_json_value(type_: str, value: Any) -> Any:
    """The JSON single-value serialisation; None stays None.

    Raises:
        InvalidRequest: the value is not of the type, or the type has no such form.
    """
    if value is None:
        return None
    try:
        return _to_json(type_, kind_of(type_), value)
    except (TypeError, ValueError, AttributeError, OverflowError, ArithmeticError) as error:
        raise InvalidRequest(f"`{value!r}` is not a value of type `{type_}`") from error


def _to_json(type_: str, kind: str, value: Any) -> Any:
    match kind:
        case "boolean":
            return bool(index(value))
        case "int" | "long":
            return index(value)
        case "float" | "double":
            # Always with a point, since readers tell 1 from 1.0; JSON cannot say the rest.
            number = float(value) if not isinstance(value, str) else _refuse(value)
            if math.isfinite(number):
                return number
            return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
        case "string":
            return _text(value)
        case "uuid":
            return str(_uuid(value))
        case "fixed" | "binary":
            return bytes(value).hex() if not isinstance(value, int) else _refuse(value)
        case "decimal":
            return str(_decimal(_unscaled(type_, Decimal(value)), _scale(type_)[1]))
        case "date":
            return date_text(index(value))
        case "time":
            return time_text(index(value), MICROS_PER_SECOND)
        case "timestamp" | "timestamptz" | "timestamp_ns" | "timestamptz_ns":
            units = _UNITS_PER_SECOND[kind]
            days, ticks = divmod(index(value), units * SECONDS_PER_DAY)
            zone = "+00:00" if "tz" in kind else ""
            return f"{date_text(days)}T{time_text(ticks, units)}{zone}"
    raise InvalidRequest(f"type `{type_}` has no JSON single value")


def from_json_value(type_: str, value: Any) -> Any:
    """Bind a JSON literal to a type.

    Wider than `to_json_value`, because clients differ: dates and times may be integers (Java) or
    ISO texts (PyIceberg, which leaves the offset of `timestamptz` out), decimals and UUIDs texts,
    binary hex of either case, whole numbers may carry a point.

    Raises:
        InvalidRequest: the literal cannot be bound without changing it.
    """
    reader = _READERS.get(kind_of(type_))
    if value is not None and reader is not None:
        try:
            return reader(type_, value)
        except (TypeError, ValueError, OverflowError, ArithmeticError):
            pass
    raise InvalidRequest(f"`{value!r}` cannot be read as `{type_}`")


def _read_boolean(_: str, value: Any) -> bool:
    return value if isinstance(value, bool) else _refuse(value)


def _read_integer(_: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(value)
    if int(value) != value:
        _refuse(value)
    return int(value)


def _read_float(_: str, value: Any) -> float:
    if isinstance(value, str):
        # PyIceberg sends a number that was written in a filter text as a decimal: "2.7".
        if value in {"NaN", "Infinity", "-Infinity"} or NUMBER.fullmatch(value):
            return float(value)
        _refuse(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(value)
    number = float(value)
    # A huge integer that a double cannot hold would silently become another number.
    return number if number == value or math.isnan(number) else _refuse(value)


def _read_string(_: str, value: Any) -> str:
    return _text(value)


def _read_uuid(_: str, value: Any) -> UUID:
    return _uuid(value)


def _read_binary(type_: str, value: Any) -> bytes:
    data = bytes.fromhex(_text(value))
    fixed = _FIXED.fullmatch(type_.strip().lower())
    return data if fixed is None or int(fixed[1]) == len(data) else _refuse(value)


def _read_decimal(_: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _refuse(value)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        _refuse(value)
    return number if number.is_finite() else _refuse(value)


def _read_date(_: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return days_of(_text(value))


def _read_time(_: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return ticks_of(_text(value), MICROS_PER_SECOND)


def _read_timestamp(type_: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    kind = kind_of(type_)
    units = _UNITS_PER_SECOND[kind]
    day, separator, clock = _text(value).replace(" ", "T", 1).partition("T")
    if not separator:
        return _refuse(value)
    clock, offset_s = without_offset(clock)
    # A local time has no place on the time line: which instant was meant is not certain.
    if "tz" not in kind and offset_s:
        return _refuse(value)
    return days_of(day) * units * SECONDS_PER_DAY + ticks_of(clock, units) - offset_s * units


_READERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "boolean": _read_boolean,
    "int": _read_integer,
    "long": _read_integer,
    "float": _read_float,
    "double": _read_float,
    "string": _read_string,
    "uuid": _read_uuid,
    "fixed": _read_binary,
    "binary": _read_binary,
    "decimal": _read_decimal,
    "date": _read_date,
    "time": _read_time,
    "timestamp": _read_timestamp,
    "timestamptz": _read_timestamp,
    "timestamp_ns": _read_timestamp,
    "timestamptz_ns": _read_timestamp,
}


# Parts.


def _refuse(value: object) -> NoReturn:
    raise ValueError(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _refuse(value)


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    return UUID(bytes=bytes(value)) if isinstance(value, bytes | bytearray) else UUID(value)


def _scale(type_: str) -> tuple[int, int]:
    match = _DECIMAL.fullmatch(type_.strip().lower())
    return (int(match[1]), int(match[2])) if match else _refuse(type_)


def _unscaled(type_: str, value: Decimal) -> int:
    """The integer behind a decimal; refuses what would need rounding."""
    if not value.is_finite():
        _refuse(value)
    sign, digits, exponent = value.as_tuple()
    number = int("".join(map(str, digits)))
    shift = int(exponent) + _scale(type_)[1]
    if shift < 0 and number % 10**-shift:
        _refuse(value)
    number = number * int(10**shift) if shift >= 0 else number // int(10**-shift)
    return -number if sign else number


def _decimal(unscaled: int, scale: int) -> Decimal:
    # Built from digits, so that the context's precision cannot round it.
    digits = tuple(int(digit) for digit in str(abs(unscaled)))
    return Decimal((int(unscaled < 0), digits, -scale))
