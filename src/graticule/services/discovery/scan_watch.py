"""Who watches a long look at a bucket: shown how far it is, and able to end it.

`job_run.JobRun` is one; `NOBODY` is for a look that is part of a request.
"""

from typing import Any, Final, Protocol

from sqlalchemy import Connection

Json = dict[str, Any]


class Watch(Protocol):
    """Each of these raises when the look is not to go on."""

    def progress(self, progress: Json) -> None:
        """Show how far it is.  Cheap."""

    def checkpoint(self, checkpoint: Json, *, conn: Connection | None = None) -> None:
        """Keep where it is, with the caller's transaction if there is one."""


class _Nobody:
    def progress(self, progress: Json) -> None:
        pass

    def checkpoint(self, checkpoint: Json, *, conn: Connection | None = None) -> None:
        pass


NOBODY: Final[Watch] = _Nobody()
