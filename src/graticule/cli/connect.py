"""`graticule connect`: what to type so that an engine finds a catalog, and whether it does."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from graticule.cli.connection import connect as connect_to_server
from graticule.cli.connection import segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Json, Output, note, print_json, print_list, wants_json
from graticule.services.engines.engine_text import (
    EngineText,
    StorePlace,
    engine_text,
    engines,
    releases,
    title_of,
)

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

_COLUMNS: Final = ("engine", "title", "releases")


def connect(
    engine: Annotated[
        str | None, typer.Argument(help="Which engine; without it, all are listed")
    ] = None,
    catalog: Annotated[str | None, typer.Argument(help="Name or id of the catalog")] = None,
    *,
    alias: Annotated[
        str | None, typer.Option("--as", help="What to call the catalog in the engine")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Of the engine, where texts differ, such as 3.5 of Spark")
    ] = None,
    with_secret: Annotated[
        bool,
        typer.Option(
            "--with-secret",
            help="Write the credential into the text instead of reading GRATICULE_CREDENTIAL",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Try it: list the catalog's namespaces with the engine")
    ] = False,
    python: Annotated[
        str | None, typer.Option(help="With --check: the Python that the engine is installed in")
    ] = None,
    output: Output = None,
) -> None:
    """Print what connects an engine to a catalog: the whole of it, and no secret."""
    if engine is None:
        print_list(_listed(), _COLUMNS, output)
        return
    if engine not in engines():
        raise CommandFailure(
            f"there is no text for `{engine}`",
            remedy=f"Say one of: {', '.join(engines())}.",
            exit_code=ExitCode.USAGE,
        )
    if catalog is None:
        raise CommandFailure(
            "which catalog?",
            remedy=f"Write `graticule connect {engine} CATALOG`; "
            "`graticule catalog list` shows their names.",
            exit_code=ExitCode.USAGE,
        )
    with connect_to_server() as api:
        found = api.get(f"/catalogs/{segment(catalog)}")
        name, store = found["name"], _store_of(api, found)
        if with_secret and api.credential is None:
            raise _no_credential()
        text = engine_text(
            engine,
            url=api.url,
            catalog=name,
            store=store,
            alias=alias,
            release=release,
            credential=api.credential if with_secret else None,
        )
        credential = api.credential
    if check:
        from graticule.cli.connect_check import try_text  # noqa: PLC0415

        if credential is None:
            raise _no_credential()
        for line in try_text(text, credential=credential, python=python):
            typer.echo(line)
        note(f"{text.title} reaches `{name}`.")
        return
    _print(text, output)


def _listed() -> list[dict[str, object]]:
    return [
        {"engine": name, "title": title_of(name), "releases": releases(name)} for name in engines()
    ]


def _store_of(api: "ManagementApi", catalog: Json) -> StorePlace:
    integration = api.get(f"/integrations/{segment(catalog['integration_id'])}")
    return StorePlace(
        location=catalog["location"],
        region=integration["region"],
        endpoint=integration["endpoint"],
        path_style=integration["path_style"],
    )


def _print(text: EngineText, output: Output) -> None:
    if output is not None and wants_json(output):
        print_json(
            {
                "engine": text.engine,
                "title": text.title,
                "language": text.language,
                "file": text.file,
                "install": text.install,
                "alias": text.alias,
                "text": text.text,
                "notes": list(text.notes),
            }
        )
        return
    if text.file is not None:
        note(f"Goes into {text.file}.")
    if text.install is not None:
        note(f"Needs: {text.install}")
    for remark in text.notes:
        note(remark)
    typer.echo(text.text, nl=False)


def _no_credential() -> CommandFailure:
    return CommandFailure(
        "engines need an API key, and none is at hand",
        remedy="Make one with `graticule token create`, and set GRATICULE_CREDENTIAL to it.",
        exit_code=ExitCode.NOT_ALLOWED,
    )
