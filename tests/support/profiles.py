"""How hard the tests that make up their own input try: `GRATICULE_TEST_PROFILE`.

`default` takes the same inputs in every run, and few; `ci` takes more, new ones each time.
"""

import os
from typing import Final

from hypothesis import HealthCheck, settings

PROFILE: Final = os.environ.get("GRATICULE_TEST_PROFILE", "default")


def effort(*, default: int, ci: int, steps: int = 50) -> settings:
    """Settings for tests that talk to a live server: no deadline, and `steps` for machines."""
    if PROFILE not in {"default", "ci"}:
        raise ValueError(f"GRATICULE_TEST_PROFILE must be `default` or `ci`, not `{PROFILE}`")
    return settings(
        max_examples=ci if PROFILE == "ci" else default,
        derandomize=PROFILE == "default",
        deadline=None,
        database=None,
        stateful_step_count=steps,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
