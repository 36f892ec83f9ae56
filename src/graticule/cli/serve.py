"""`graticule serve`: run the server in the foreground."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from starlette.applications import Starlette


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; GRATICULE_HOST, else 127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; GRATICULE_PORT, else 8181")
    ] = None,
) -> None:
    """Run the server.  Settings come from GRATICULE_… variables.

    On the very first start it shows the credential of the first admin, once.
    """
    # Not at the top: the other commands should not wait for the whole server to load.
    import uvicorn  # noqa: PLC0415

    from graticule import logs  # noqa: PLC0415
    from graticule.app import create_app  # noqa: PLC0415
    from graticule.cli.environment import load_settings  # noqa: PLC0415
    from graticule.server import serve_in_processes, server_config  # noqa: PLC0415
    from graticule.wiring import open_services  # noqa: PLC0415

    overrides = {"host": host, "port": port}
    settings = load_settings(
        **{name: value for name, value in overrides.items() if value is not None}
    )
    logs.configure(log_format=settings.log_format, level=settings.log_level)
    services = open_services(settings)
    try:
        new = services.organisations.bootstrap()
        url = settings.public_url or f"http://{settings.host}:{settings.port}"
        if new is not None:
            typer.echo(_first_start(url, new.credential))
        if settings.workers == 1:
            app = create_app(services, settings)
            uvicorn.Server(server_config(app, host=settings.host, port=settings.port)).run()
            return
    finally:
        services.close()
    serve_in_processes(
        "graticule.cli.serve:worker_app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
    )


def worker_app() -> "Starlette":
    """The application of one process of several; settings come from the environment again."""
    from graticule import logs  # noqa: PLC0415
    from graticule.app import create_app  # noqa: PLC0415
    from graticule.cli.environment import load_settings  # noqa: PLC0415
    from graticule.wiring import open_services  # noqa: PLC0415

    settings = load_settings()
    logs.configure(log_format=settings.log_format, level=settings.log_level)
    return create_app(open_services(settings), settings)


def _first_start(url: str, credential: str) -> str:
    return (
        "First start: the organisation `default` and its admin were made.\n"
        "Keep this credential; it is not shown again.\n\n"
        f"  export GRATICULE_URL={url}\n"
        f"  export GRATICULE_CREDENTIAL={credential}\n"
    )
