"""Follows a verification of a storage integration and tells what it finds, as it finds it."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from graticule.cli.connection import segment
from graticule.cli.output import note

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

Json = dict[str, Any]

RUNNING: Final = "running"
RETRY_S: Final = 180
"""New trust takes a minute or two to spread through IAM."""
POLL_S: Final = 1.0
WAIT_S: Final = 1
"""That the server waits with its first answer: most stores are done by then."""

_MARKS: Final = {"pass": "passed ", "fail": "FAILED ", "skip": "skipped"}


def verify(api: "ManagementApi", name: str, *, patiently: bool) -> Json:
    """Have an integration verified and follow that to the end; the integration with the report.

    With `patiently` refusals are tried again that may only mean that IAM has not caught up.
    Ctrl-C leaves it running.
    """
    path = f"/integrations/{segment(name)}"
    retry_s = RETRY_S if patiently else 0
    begun = api.post(f"{path}/verify?wait_s={WAIT_S}&retry_s={retry_s}", {})["verification"]
    of_this = f"{path}/verifications/{begun['id']}"
    try:
        for line in told(begun, lambda: api.get(of_this), sleep=time.sleep):
            note(line)
    except KeyboardInterrupt:
        note(f"Still running. Look at it with: graticule integration show '{name}'")
        raise
    return {**api.get(path), "verification": api.get(of_this)}


def told(
    verification: Json, reload: Callable[[], Json], *, sleep: Callable[[float], None]
) -> Iterator[str]:
    """A line for each check that is done, and for what is waited for, until the end.

    Nothing of one that has ended already: its report says it all.
    """
    shown, waiting = 0, None
    while verification["state"] == RUNNING:
        for check in verification["checks"][shown:]:
            yield f"{_MARKS[check['status']]}  {check['title']}"
        shown = max(shown, len(verification["checks"]))
        if verification["waiting"] != waiting:
            waiting = verification["waiting"]
            if waiting:
                yield f"waiting  {waiting}"
        sleep(POLL_S)
        verification = reload()
