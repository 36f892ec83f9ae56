"""The server's settings for commands that are a server: problems named as variables."""

from typing import Any

from pydantic import ValidationError

from graticule.cli.failures import CommandFailure, ExitCode
from graticule.settings import Settings


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; arguments of a command win.

    Raises:
        CommandFailure: a variable has a value it cannot have.  Never shows the value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise CommandFailure(
            "; ".join(
                f"GRATICULE_{'_'.join(map(str, detail['loc'])).upper()}: {detail['msg']}"
                if detail["loc"]
                else detail["msg"]
                for detail in error.errors()
            ),
            exit_code=ExitCode.USAGE,
        ) from None
