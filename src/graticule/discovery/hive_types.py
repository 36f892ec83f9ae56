"""Types and values of Hive partition columns, which are only text in a key."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Final

from graticule.iceberg.values import from_json_value

_WHOLE_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_TWO_DIGITS: Final = re.compile(r"\d\d")
_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_INT_MAX: Final = 2**31


def infer_type(values: Iterable[str | None]) -> str:
    """`int`, `long`, `date` or `string`: the narrowest that holds every value.

    Numbers with leading zeros stay text, since `007` is a code, except where all values have two
    digits, which are months, days and hours.
    """
    texts = {value for value in values if value is not None}
    if not texts:
        return "string"
    if all(_TWO_DIGITS.fullmatch(text) for text in texts):
        return "int"
    if all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
        fits = all(-_INT_MAX <= int(text) < _INT_MAX for text in texts)
        return "int" if fits else "long"
    if all(_is_date(text) for text in texts):
        return "date"
    return "string"


def _is_date(text: str) -> bool:
    if not _ISO_DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def parse_value(type_: str, text: str | None) -> object:
    """The partition value in the forms of `iceberg.values`; None stays None.

    Raises:
        ValueError: the text is no value of the type.
    """
    if text is None or type_ == "string":
        return text
    if type_ in {"int", "long"}:
        return int(text)
    if type_ == "boolean" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return from_json_value(type_, text)
