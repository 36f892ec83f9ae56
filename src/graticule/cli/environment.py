"""The server's settings, and its database, for commands that run where the server does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graticule.cli.failures import CommandFailure, ExitCode

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from graticule.settings import Settings
    from graticule.wiring import Services


def load_settings(**overrides: Any) -> "Settings":
    """Settings from the environment; arguments of a command win.

    Raises:
        CommandFailure: a variable has a value it cannot have.  Never shows the value.
    """
    # Not at the top: every command would wait for it.
    from pydantic import ValidationError  # noqa: PLC0415

    from graticule.settings import Settings  # noqa: PLC0415

    try:
        return Settings(**overrides)
    except ValidationError as error:
        # Only now: it brings half of the server with it.
        from graticule.api.management.bodies import own_words  # noqa: PLC0415

        raise CommandFailure(
            "; ".join(
                f"GRATICULE_{'_'.join(map(str, detail['loc'])).upper()}: {own_words(detail['msg'])}"
                if detail["loc"]
                else own_words(detail["msg"])
                for detail in error.errors()
            ),
            exit_code=ExitCode.USAGE,
        ) from None


@contextmanager
def opened_services() -> Iterator[tuple["Settings", "Services"]]:
    """The server's services over its database, without a server.

    Raises:
        Unavailable: the database needs an upgrade, or does not answer.
    """
    from graticule import logs  # noqa: PLC0415
    from graticule.wiring import open_services  # noqa: PLC0415

    settings = load_settings()
    logs.configure(log_format=settings.log_format, level="error")
    services = open_services(settings)
    try:
        yield settings, services
    finally:
        services.close()


@contextmanager
def opened_database() -> Iterator[tuple["Settings", "Engine"]]:
    """The server's database, whatever its schema, without a server."""
    from graticule import logs  # noqa: PLC0415
    from graticule.db.engine import create_engine  # noqa: PLC0415

    settings = load_settings()
    logs.configure(log_format=settings.log_format, level="warning")
    if not settings.database_url:
        settings.make_data_dir()
    engine = create_engine(settings.resolved_database_url)
    try:
        yield settings, engine
    finally:
        engine.dispose()
