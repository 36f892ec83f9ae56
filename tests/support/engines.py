"""The one rule about programs that may be missing: skip, saying how to get them; in CI, fail."""

import os

import pytest

REQUIRE_ALL = "GRATICULE_REQUIRE_ALL"


def require(condition: object, reason: str) -> None:
    """Skip the test for `reason` unless `condition` holds; fail it where everything must be there.

    `reason` says what is missing and how to get it.
    """
    if condition:
        return
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason} ({REQUIRE_ALL}=1)", pytrace=False)
    pytest.skip(reason)
