"""`graticule login`, `logout`, `whoami`: as whom the command line acts."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from graticule.cli.connection import DEFAULT_URL, connect
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, note, print_one

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

Url = Annotated[
    str | None, typer.Argument(help="The server; GRATICULE_URL, else the one signed in to last")
]


def login(
    url: Url = None,
    with_credential: Annotated[
        bool,
        typer.Option(
            "--with-credential", help="Read `client id:client secret` from stdin, ask no browser"
        ),
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open a browser here")] = True,
) -> None:
    """Sign in through a browser, on this machine or any other.

    What is kept is an API key of yours that ends after 30 days, or with `graticule logout`.
    """
    from graticule.cli import saved_sign_in  # noqa: PLC0415
    from graticule.cli.client import ManagementApi, environment_url  # noqa: PLC0415

    latest = saved_sign_in.load()
    server = (url or environment_url() or (latest.url if latest else DEFAULT_URL)).rstrip("/")
    if with_credential:
        credential = sys.stdin.readline().strip()
    else:
        with ManagementApi(server) as api:
            credential = _by_device(api, opens_browser=browser and sys.stderr.isatty())
    with ManagementApi(server, credential=credential) as api:
        name = api.get("/me")["name"]
    file = saved_sign_in.save(saved_sign_in.SavedSignIn(server, credential))
    note(f"Signed in to {server} as {name}. The credential is in {file}.")


def _by_device(
    api: "ManagementApi", *, opens_browser: bool, pause: Callable[[float], None] = time.sleep
) -> str:
    """Have somebody approve this command line in a browser; gives its credential."""
    import platform  # noqa: PLC0415
    import webbrowser  # noqa: PLC0415

    started = api.start_device(f"command line on {platform.node() or 'a computer'}")
    note(
        f"Open {started['verification_uri_complete']}\nand check that it shows the code "
        f"{started['user_code']}"
    )
    if opens_browser:
        webbrowser.open(started["verification_uri_complete"])
    ends_at_s = time.monotonic() + started["expires_in"]
    interval_s = started["interval"]
    while time.monotonic() < ends_at_s:
        pause(interval_s)
        token, wants_more_time = api.poll_device(started["device_code"])
        if token is not None:
            return token.replace(".", ":", 1)
        interval_s += 5 if wants_more_time else 0
    raise CommandFailure("nobody approved it in time", exit_code=ExitCode.NOT_ALLOWED)


def logout(url: Url = None) -> None:
    """End the API key that `graticule login` made, and forget it."""
    from graticule.cli import saved_sign_in  # noqa: PLC0415
    from graticule.cli.client import ManagementApi  # noqa: PLC0415

    saved = saved_sign_in.load(url.rstrip("/") if url else None)
    if saved is None:
        raise CommandFailure("not signed in", exit_code=ExitCode.NOT_FOUND)
    client_id = saved.credential.partition(":")[0]
    try:
        with ManagementApi(saved.url, credential=saved.credential) as api:
            api.delete(f"/keys/{client_id}")
    except CommandFailure as failure:
        if failure.exit_code is ExitCode.UNREACHABLE:
            raise
        note(f"The server did not end the key: {failure.message}")
    saved_sign_in.remove(saved.url)
    note(f"Signed out of {saved.url}.")


def whoami(output: Output = None) -> None:
    """Show who the current credential belongs to, and what it may do."""
    with connect() as api:
        print_one(api.get("/me"), output)
