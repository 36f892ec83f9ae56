"""Exit codes, and a failure as one red line with its remedy.  No tracebacks: the log has those."""

from enum import IntEnum

from rich.console import Console
from rich.markup import escape

from graticule.domain import errors


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    CHECK_FAILED = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    CONFLICT = 6
    UNREACHABLE = 7


class CommandFailure(Exception):
    """What a command could not do, and what the caller can do about it."""

    def __init__(
        self, message: str, *, remedy: str | None = None, exit_code: ExitCode = ExitCode.FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code


_BY_STATUS = {
    400: ExitCode.USAGE,
    401: ExitCode.NOT_ALLOWED,
    403: ExitCode.NOT_ALLOWED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    429: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
}


def exit_code_of_status(status: int) -> ExitCode:
    return _BY_STATUS.get(status, ExitCode.FAILED)


def exit_code_of(error: Exception) -> ExitCode:
    match error:
        case CommandFailure():
            return error.exit_code
        case errors.Unavailable() | errors.StorageUnavailable():
            return ExitCode.UNREACHABLE
        case errors.NotFound():
            return ExitCode.NOT_FOUND
        case errors.InvalidRequest():
            return ExitCode.USAGE
        case errors.AlreadyExists():
            return ExitCode.CONFLICT
        case _:
            return ExitCode.FAILED


def show_failure(error: Exception) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    console.print(f"[bold red]Error:[/] {escape(message)}")
    remedy = getattr(error, "remedy", None)
    if remedy:
        console.print(escape(remedy))
