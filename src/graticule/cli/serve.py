"""`graticule serve`: run the server in the foreground."""

import gc
import os
import socket
import sys
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from graticule.settings import Settings
    from graticule.wiring import Services


COUNTED_TOGETHER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where the metrics library of every worker keeps what it counts; see `services.monitoring`."""

COLLECTED_OBJECTS: Final = 10_000
"""New objects, before the collector looks for those that only each other know."""


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; GRATICULE_HOST, else 127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; GRATICULE_PORT, else 8181")
    ] = None,
    insecure_no_auth: Annotated[
        bool,
        typer.Option(
            "--insecure-no-auth",
            help="Let in everybody from this machine as admin, without a credential; "
            "refused on any address but loopback",
        ),
    ] = False,
    channel: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the server.  Settings come from GRATICULE_… variables.

    On the very first start it shows the credential of the first admin, once.
    """
    # Not at the top: the other commands should not wait for the whole server to load.
    from graticule import logs  # noqa: PLC0415
    from graticule.cli.environment import load_settings  # noqa: PLC0415

    overrides = {"host": host, "port": port, "insecure_no_auth": insecure_no_auth or None}
    settings = load_settings(
        **{name: value for name, value in overrides.items() if value is not None}
    )
    logs.configure(log_format=settings.log_format, level=settings.log_level)
    if settings.insecure_no_auth and channel is None:
        typer.echo(_NO_AUTHENTICATION, err=True)
    if channel is not None:
        _serve_here(settings, socket.socket(fileno=channel))
    elif settings.resolved_workers == 1:
        _serve_here(settings)
    else:
        _serve_in_workers(settings)


def _serve_in_workers(settings: "Settings") -> None:
    """Several processes on one port; each of them runs this command, but with a channel."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    from graticule.workers.supervisor import Supervisor  # noqa: PLC0415

    with TemporaryDirectory(prefix="graticule-metrics-") as folder:
        os.environ[COUNTED_TOGETHER] = folder
        supervisor = Supervisor(
            settings.host,
            settings.port,
            workers=settings.resolved_workers,
            on_end=lambda pid: mark_process_dead(pid, folder),  # type: ignore[no-untyped-call]
        )
        command = [sys.executable, "-m", "graticule", "serve"]
        address = ["--host", settings.host, "--port", str(supervisor.port)]
        options = ["--insecure-no-auth"] if settings.insecure_no_auth else []
        code = supervisor.run([*command, *address, *options])
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
        _bootstrap(services, settings)
        app = create_app(services, settings)
        config = server_config(app, host=settings.host, port=settings.port)
        server = uvicorn.Server(config) if channel is None else HandedServer(config, channel)
        gc.freeze()  # what is loaded by now stays: the collector need not look at it again
        gc.set_threshold(COLLECTED_OBJECTS)  # little of what a request makes points in circles
        server.run()
    finally:
        services.close()


def _bootstrap(services: "Services", settings: "Settings") -> None:
    """Make the first organisation, and tell its admin how to get in: here, and never again."""
    from graticule.api.pages.link import link_url  # noqa: PLC0415
    from graticule.domain.secret import Secret  # noqa: PLC0415

    organisation, admin = settings.bootstrap_organisation, settings.bootstrap_admin
    if settings.bootstrap_password is not None:
        password = Secret(settings.bootstrap_password.get_secret_value())
        if services.organisations.bootstrap_with_password(
            name=organisation,
            admin=admin,
            password_hash=lambda: services.passwords.checked_hash(password, name=admin),
        ):
            typer.echo(f"First start: `{admin}` of `{organisation}` signs in with its password.\n")
        return
    new = services.organisations.bootstrap(name=organisation, admin=admin)
    if new is None:
        return
    url = settings.public_url or f"http://{settings.host}:{settings.port}"
    link = services.passwords.create_link_for(organisation, admin)
    typer.echo(
        f"First start: the organisation `{organisation}` and its admin `{admin}` were made.\n"
        "Keep this credential; it is not shown again.\n\n"
        f"  export GRATICULE_URL={url}\n"
        f"  export GRATICULE_CREDENTIAL={new.credential}\n\n"
        f"Within a day this link lets `{admin}` choose a password, once:\n\n"
        f"  {link_url(url, link.token)}\n"
    )


_NO_AUTHENTICATION: Final = """
  ************************************************************************
  *  NO AUTHENTICATION: every program and every user of this machine is  *
  *  admin of this server. Anything it may reach in your buckets, they   *
  *  may.                                                                *
  ************************************************************************
"""
