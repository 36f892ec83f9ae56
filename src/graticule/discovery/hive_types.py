"""Types and values of Hive partition columns, which are only text in a key."""

import re
from datetime import date
from typing import Final

from graticule.iceberg.values import from_json_value

_WHOLE_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_TWO_DIGITS: Final = re.compile(r"\d\d")
_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_INT_MAX: Final = 2**31


class TypeGuess:
    """`int`, `long`, `date` or `string`: the narrowest that holds every value.

    Numbers with leading zeros stay text, since `007` is a code, except where all values have two
    digits, which are months, days and hours.
    """

    def __init__(self) -> None:
        self._last: str | None = None
        self._two_digits = self._whole = self._fits_int = self._dates = True

    def add(self, text: str | None) -> None:
        if text is None or text == self._last:  # files come folder by folder
            return
        self._last = text
        self._two_digits = self._two_digits and bool(_TWO_DIGITS.fullmatch(text))
        self._whole = self._whole and bool(_WHOLE_NUMBER.fullmatch(text))
        if self._whole:
            self._fits_int = self._fits_int and -_INT_MAX <= int(text) < _INT_MAX
        self._dates = self._dates and _is_date(text)

    @property
    def type(self) -> str:
        if self._last is None:
            return "string"
        if self._two_digits:
            return "int"
        if self._whole:
            return "int" if self._fits_int else "long"
        return "date" if self._dates else "string"


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
