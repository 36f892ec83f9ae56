"""What `graticule login` keeps: one credential per server, in a file for its owner only."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from platformdirs import user_config_path

from graticule.cli.failures import CommandFailure

FILE: Final = "credentials.json"


@dataclass(frozen=True, slots=True)
class SavedSignIn:
    url: str
    credential: str
    """`client id:client secret`.  Secret!"""


def default_file() -> Path:
    """In the platform's folder for settings, such as `~/.config/graticule`."""
    return user_config_path("graticule", appauthor=False) / FILE


def load(url: str | None = None, *, file: Path | None = None) -> SavedSignIn | None:
    """The sign-in at a server, or the latest one; None if there is none."""
    document = _read(file or default_file())
    wanted = url or document.get("current")
    credential = document.get("servers", {}).get(wanted)
    return SavedSignIn(wanted, credential) if wanted and credential else None


def save(sign_in: SavedSignIn, *, file: Path | None = None) -> Path:
    """Keep a sign-in, which becomes the latest.  Whole or not at all."""
    target = file or default_file()
    servers = _read(target).get("servers", {}) | {sign_in.url: sign_in.credential}
    _write(target, {"current": sign_in.url, "servers": servers})
    return target


def remove(url: str, *, file: Path | None = None) -> None:
    target = file or default_file()
    document = _read(target)
    servers = {at: one for at, one in document.get("servers", {}).items() if at != url}
    current = document.get("current")
    _write(
        target,
        {"current": next(iter(servers), None) if current == url else current, "servers": servers},
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CommandFailure(
            f"`{file}` is damaged", remedy="Remove it, and run `graticule login` again."
        ) from error
    return document if isinstance(document, dict) else {}


def _write(file: Path, document: dict[str, Any]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=2)
    draft.replace(file)
