"""`graticule integration`: connect buckets."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from graticule.cli import integration_objects
from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import (
    Format,
    Output,
    Yes,
    confirm,
    note,
    print_json,
    print_list,
    print_one,
    wants_json,
)

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

app = typer.Typer(
    help="Storage integrations: buckets and who may reach them.", no_args_is_help=True
)

SECRET_VARIABLE: Final = "GRATICULE_SECRET_ACCESS_KEY"

Name = Annotated[str, typer.Argument(help="Name or id", metavar="INTEGRATION")]
_COLUMNS: Final = (
    "name",
    "path",
    "bucket_type",
    "region",
    "endpoint",
    "verification_status",
    "id",
)
_CHECK_COLUMNS: Final = ("status", "title", "detail", "remedy")
_VERIFICATION_COLUMNS: Final = ("started_at", "state", "trigger", "requested_by", "id")


@app.command("list")
def list_integrations(output: Output = None) -> None:
    """List the storage integrations."""
    with connect() as api:
        print_list(api.list("/integrations"), _COLUMNS, output)


@app.command("show")
def show(name: Name, output: Output = None) -> None:
    """Show an integration and its last verification."""
    with connect() as api:
        found = api.get(_path(name))
    _print_verified(found, output)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice")],
    *,
    path: Annotated[str, typer.Option(help="s3://bucket or s3://bucket/folder")],
    role_arn: Annotated[str | None, typer.Option(help="IAM role to assume")] = None,
    access_key_id: Annotated[
        str | None,
        typer.Option(help=f"Instead of a role; its secret from {SECRET_VARIABLE} or the prompt"),
    ] = None,
    region: Annotated[str | None, typer.Option(help="The bucket's region")] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of an S3-compatible store")] = None,
    path_style: Annotated[
        bool | None, typer.Option(help="Bucket in the path; default for other stores than AWS")
    ] = None,
    kms_key_arn: Annotated[
        str | None, typer.Option(help="KMS key that encrypts what is written")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Never write anything there")
    ] = False,
    requester_pays: Annotated[
        bool, typer.Option("--requester-pays", help="We agree to be charged for requests")
    ] = False,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Instead of a role or keys: a public bucket")
    ] = False,
    allow_static_credentials: Annotated[
        bool,
        typer.Option(
            "--allow-static-credentials",
            help="Hand the access keys themselves to clients where the store has no sessions",
        ),
    ] = False,
    verify_first: Annotated[
        bool, typer.Option("--verify", help="Verify it first, and connect it only if it passes")
    ] = False,
    output: Output = None,
) -> None:
    """Connect a bucket.  `integration policy --path` has the texts for its role beforehand."""
    secret = _secret_access_key() if access_key_id is not None else None
    body = {
        "name": name,
        "path": path,
        "role_arn": role_arn,
        "access_key_id": access_key_id,
        "secret_access_key": secret,
        "region": region,
        "endpoint": endpoint,
        "path_style": path_style,
        "kms_key_arn": kms_key_arn,
        "read_only": read_only,
        "requester_pays": requester_pays,
        "anonymous": anonymous,
        "allow_static_credentials": allow_static_credentials,
    }
    with connect() as api:
        if verify_first:
            _require_passed(api, body, output)
        created = api.post("/integrations", body)
    print_one(created, output)
    note(f"Next: graticule integration verify '{name}'")


@app.command("update")
def update(
    name: Name,
    *,
    new_name: Annotated[str | None, typer.Option("--name", help="Another name")] = None,
    path: Annotated[str | None, typer.Option(help="Another path, while no catalog uses it")] = None,
    role_arn: Annotated[
        str | None, typer.Option(help="Another role; takes the place of access keys, too")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The bucket's region")] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of the store; `none` for AWS")] = None,
    path_style: Annotated[bool | None, typer.Option(help="Bucket in the path")] = None,
    kms_key_arn: Annotated[
        str | None, typer.Option(help="KMS key that encrypts what is written; `none` for none")
    ] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only/--read-write", help="Whether anything is written")
    ] = None,
    requester_pays: Annotated[
        bool | None, typer.Option(help="Whether we agree to be charged for requests")
    ] = None,
    allow_static_credentials: Annotated[
        bool | None, typer.Option(help="Whether the access keys may be handed to clients")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Only if it is still at this version, as `show` has it")
    ] = None,
    output: Output = None,
) -> None:
    """Change what is said of an integration.  Its keys: see `rotate-keys`."""
    said = {
        "name": new_name,
        "path": path,
        "role_arn": role_arn,
        "region": region,
        "endpoint": endpoint,
        "path_style": path_style,
        "kms_key_arn": kms_key_arn,
        "read_only": read_only,
        "requester_pays": requester_pays,
        "allow_static_credentials": allow_static_credentials,
    }
    changes: dict[str, Any] = {field: value for field, value in said.items() if value is not None}
    if not changes:
        raise CommandFailure("say what is to change", exit_code=ExitCode.USAGE)
    for field in ("endpoint", "kms_key_arn"):
        if changes.get(field) == "none":
            changes[field] = None
    if version is not None:
        changes["version"] = version
    with connect() as api:
        updated = api.patch(_path(name), changes, with_nulls=True)
    print_one(updated, output)
    if updated["verified_at"] is None:
        note(f"Next: graticule integration verify '{updated['name']}'")


@app.command("rotate-keys")
def rotate_keys(
    name: Name,
    *,
    access_key_id: Annotated[
        str, typer.Option(help=f"The new id; its secret from {SECRET_VARIABLE} or the prompt")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Take them without trying whether they work")
    ] = False,
    output: Output = None,
) -> None:
    """Replace the access keys.  The old ones are dropped once the new ones have worked."""
    from graticule.cli.client import VERIFY_TIMEOUT_S  # noqa: PLC0415

    secret = _secret_access_key()
    body = {"access_key_id": access_key_id, "secret_access_key": secret, "force": force}
    with connect() as api:
        rotated = api.post(f"{_path(name)}/rotate", body, timeout_s=VERIFY_TIMEOUT_S)
    print_one(rotated, output)
    note("Now delete the old keys where they came from.")


app.command("browse")(integration_objects.browse)
app.command("download")(integration_objects.download)
app.command("link")(integration_objects.link)


@app.command("policy")
def policy(
    name: Annotated[str | None, typer.Argument(help="Name or id", metavar="INTEGRATION")] = None,
    path: Annotated[
        str | None, typer.Option(help="Before there is one: s3://bucket/folder")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="read or write; default: what the integration does")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="json, terraform or cli")] = "json",
    *,
    region: Annotated[str | None, typer.Option(help="With --path: the bucket's region")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="With --path: URL of an S3-compatible store")
    ] = None,
    kms_key_arn: Annotated[
        str | None, typer.Option(help="With --path: the key that encrypts the objects")
    ] = None,
    requester_pays: Annotated[
        bool, typer.Option("--requester-pays", help="With --path: whoever reads is charged")
    ] = False,
    identity: Annotated[
        str, typer.Option(help="With --path: role, or user for access keys")
    ] = "role",
    identity_name: Annotated[
        str | None, typer.Option(help="With --path: what the role or user will be called")
    ] = None,
) -> None:
    """Print what to attach in AWS: policies as JSON, a Terraform file, or commands to paste."""
    if (name is None) == (path is None):
        raise CommandFailure("name an integration, or give a --path", exit_code=ExitCode.USAGE)
    params: dict[str, str | None] = {"mode": mode, "format": form}
    if name is None:
        params |= {
            "path": path,
            "region": region,
            "endpoint": endpoint,
            "kms_key_arn": kms_key_arn,
            "requester_pays": "true" if requester_pays else None,
            "identity": identity,
            "name": identity_name,
        }
    where = "/policies" if name is None else f"{_path(name)}/policies"
    with connect() as api:
        if form == "json":
            print_json(api.get(where, params))
        else:
            typer.echo(api.get_text(where, params), nl=False)


@app.command("verify")
def verify(
    name: Name,
    wait: Annotated[
        bool, typer.Option("--wait", help="Try again for three minutes while IAM catches up")
    ] = False,
    output: Output = None,
) -> None:
    """Check that the integration works and is closed to others.  Exits with 3 if not."""
    from graticule.cli import verification  # noqa: PLC0415

    with connect() as api:
        found = verification.verify(api, name, patiently=wait)
    _print_verified(found, output)
    if not found["verification"]["passed"]:
        raise CommandFailure(
            f"`{found['name']}` is not usable yet", exit_code=ExitCode.CHECK_FAILED
        )


@app.command("verifications")
def verifications(name: Name, output: Output = None) -> None:
    """List the verifications of an integration, newest first."""
    with connect() as api:
        print_list(api.list(f"{_path(name)}/verifications"), _VERIFICATION_COLUMNS, output)


@app.command("delete")
def delete(name: Name, yes: Yes = False) -> None:
    """Forget an integration.  Its files stay where they are."""
    confirm(f"Delete the storage integration {name}? Its files stay.", yes=yes)
    with connect() as api:
        api.delete(_path(name))
    note(f"Deleted {name}.")


def _require_passed(api: "ManagementApi", body: dict[str, Any], output: Format | None) -> None:
    """Raises CommandFailure, with the report printed, unless the draft does what it should."""
    from graticule.cli.client import VERIFY_TIMEOUT_S  # noqa: PLC0415

    tried = api.post("/integrations/verify", body, timeout_s=VERIFY_TIMEOUT_S)
    if tried["verification"]["passed"]:
        return
    if wants_json(output):
        print_json(tried)
    else:
        print_list(tried["verification"]["checks"], _CHECK_COLUMNS, Format.TABLE)
    raise CommandFailure(
        f"`{body['name']}` was not connected: it would not work", exit_code=ExitCode.CHECK_FAILED
    )


def _print_verified(found: dict[str, Any], output: Format | None) -> None:
    if wants_json(output):
        print_json(found)
        return
    report = found["verification"]
    print_one({key: value for key, value in found.items() if key != "verification"}, output)
    if report is None:
        note("Not verified yet.")
        return
    typer.echo()
    print_list(report["checks"], _CHECK_COLUMNS, Format.TABLE)


def _secret_access_key() -> str:
    """From the environment, a pipe or a prompt; never from an argument, which `ps` would show."""
    from_environment = os.environ.get(SECRET_VARIABLE)
    if from_environment:
        return from_environment
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    secret: str = typer.prompt("Secret access key", hide_input=True, err=True)
    return secret


def _path(name: str) -> str:
    return f"/integrations/{segment(name)}"
