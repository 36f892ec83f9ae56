"""A value that must not be printed, logged, or compared in variable time."""

import hmac
from typing import Final


class Secret:
    """Wraps a secret text.  `reveal()` is the only way to the value, so that uses can be found."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: Final = value

    def reveal(self) -> str:
        return self._value

    def matches(self, other: str) -> bool:
        """Constant-time comparison."""
        return hmac.compare_digest(self._value.encode(), other.encode())

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
