"""`graticule serve`: run the server in the foreground."""

import gc
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graticule.settings import Settings


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; GRATICULE_HOST, else 127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; GRATICULE_PORT, else 8181")
    ] = None,
    channel: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the server.  Settings come from GRATICULE_… variables.

    On the very first start it shows the credential of the first admin, once.
    """
    # Not at the top: the other commands should not wait for the whole server to load.
    from graticule import logs  # noqa: PLC0415
    from graticule.cli.environment import load_settings  # noqa: PLC0415

    overrides = {"host": host, "port": port}
    settings = load_settings(
        **{name: value for name, value in overrides.items() if value is not None}
    )
    logs.configure(log_format=settings.log_format, level=settings.log_level)
    if channel is not None:
        _serve_here(settings, socket.socket(fileno=channel))
    elif settings.resolved_workers == 1:
        _serve_here(settings)
    else:
        _serve_in_workers(settings)


def _serve_in_workers(settings: "Settings") -> None:
    """Several processes on one port; each of them runs this command, but with a channel."""
    from graticule.workers.supervisor import Supervisor  # noqa: PLC0415

    supervisor = Supervisor(settings.host, settings.port, workers=settings.resolved_workers)
    command = [sys.executable, "-m", "graticule", "serve"]
    address = ["--host", settings.host, "--port", str(supervisor.port)]
    code = supervisor.run([*command, *address])
    if code:
        raise typer.Exit(code)


def _serve_here(settings: "Settings", channel: socket.socket | None = None) -> None:
    """Serve in this process: what comes through the channel of a supervisor, else the port."""
    import uvicorn  # noqa: PLC0415

    from graticule.app import create_app  # noqa: PLC0415
    from graticule.server import server_config  # noqa: PLC0415
    from graticule.wiring import open_services  # noqa: PLC0415
    from graticule.workers.server import HandedServer  # noqa: PLC0415

    services = open_services(settings)
    try:
        new = services.organisations.bootstrap()
        if new is not None:
            url = settings.public_url or f"http://{settings.host}:{settings.port}"
            typer.echo(_first_start(url, new.credential))
        app = create_app(services, settings)
        config = server_config(app, host=settings.host, port=settings.port)
        server = uvicorn.Server(config) if channel is None else HandedServer(config, channel)
        gc.freeze()  # what is loaded by now stays: the collector need not look at it again
        server.run()
    finally:
        services.close()


def _first_start(url: str, credential: str) -> str:
    return (
        "First start: the organisation `default` and its admin were made.\n"
        "Keep this credential; it is not shown again.\n\n"
        f"  export GRATICULE_URL={url}\n"
        f"  export GRATICULE_CREDENTIAL={credential}\n"
    )
