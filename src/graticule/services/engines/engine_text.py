"""What to type or paste so that an engine finds a catalog: one text for each engine.

The texts are data, in `engine_texts/`; here their places are filled, quoted as each text's language
wants it.  A text is all that an engine needs: tests run it, and nothing else.  Talks to nobody.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from graticule.domain.errors import InvalidRequest

CREDENTIAL_VARIABLE: Final = "GRATICULE_CREDENTIAL"
"""Where a text looks for `client id:client secret`, unless it is asked to show the secret."""

_PLACE: Final = re.compile("«(\\w+)»")
_OPTIONAL: Final = frozenset({"endpoint", "path_style", "redacted"})
"""Lines with these are left out where there is nothing to put."""
_FOLDER: Final = resources.files("graticule.services.engines") / "engine_texts"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a catalog's files are, for engines that do not take it from the catalog.

    `endpoint` None means AWS, and lines that would name an endpoint are left out.
    """

    location: str
    region: str
    endpoint: str | None = None
    path_style: bool = False


@dataclass(frozen=True, slots=True)
class EngineText:
    """How one engine connects to one catalog."""

    engine: str
    title: str
    language: str
    text: str
    file: str | None
    """Where the engine looks for the text; None: wherever you type."""
    install: str | None
    """How to get the engine and what it needs besides, as a shell command."""
    notes: Sequence[str]
    alias: str
    """What the catalog is called in the engine."""
    runs_with: str | None
    """The program that `check` is run with; None: it cannot be tried from anywhere."""
    modules: Sequence[str]
    """Of Python, that have to be there."""
    check: str | None
    """What to put behind the text so that it lists the catalog's namespaces."""


def engines() -> list[str]:
    """The names of all engines that there is a text for."""
    names = (entry.name for entry in _FOLDER.iterdir() if re.match(r"[a-z-]+\.toml$", entry.name))
    return sorted(name.removesuffix(".toml") for name in names)


def title_of(engine: str) -> str:
    title: str = _document(engine)["title"]
    return title


def releases(engine: str) -> list[str]:
    """The releases of an engine that have texts of their own, the usual one first."""
    return list(_releases(_document(engine)))


def engine_text(
    engine: str,
    *,
    url: str,
    catalog: str,
    store: StorePlace,
    alias: str | None = None,
    release: str | None = None,
    credential: str | None = None,
) -> EngineText:
    """The text for `catalog` of the server at `url`.

    `credential` (`client id:client secret`) stands in the text itself; without it the text reads
    the variable `GRATICULE_CREDENTIAL`.

    Raises:
        InvalidRequest: there is no such engine or release, or `alias` needs quotes somewhere.
    """
    if alias is not None and alias != alias_of(alias):
        raise InvalidRequest(f"`{alias}` is not a name that every engine takes without quotes")
    document = _document(engine)
    quote = _QUOTES[document["language"]]
    name = alias or alias_of(catalog)
    endpoint = f"{url.rstrip('/')}/catalog"
    literal = {
        "uri": endpoint,
        "token_uri": f"{endpoint}/v1/oauth/tokens",
        "warehouse": catalog,
        "location": store.location,
        "region": store.region,
    }
    if store.endpoint is not None:
        literal |= {"endpoint": store.endpoint, "path_style": str(store.path_style).lower()}
    places = {
        **{key: quote(value) for key, value in literal.items()},
        **{f"{key}_sql": _python(_sql(value))[1:-1] for key, value in literal.items()},
        **(document["environment"] if credential is None else _shown(credential, quote)),
        **{key: str(value) for key, value in _release(engine, document, release).items()},
        "alias": name,
        "alias_lower": name.lower(),
        "location_raw": store.location,
    }
    absent = _OPTIONAL - places.keys()

    def filled(text: str) -> str:
        lines = text.splitlines(keepends=True)
        kept = "".join(line for line in lines if absent.isdisjoint(_PLACE.findall(line)))
        return _PLACE.sub(lambda place: places[place[1]], kept)

    check = document.get("check")
    return EngineText(
        engine=engine,
        title=document["title"],
        language=document["language"],
        text=filled(document["text"]),
        file=filled(document["file"]) if "file" in document else None,
        install=filled(document["install"]) if "install" in document else None,
        notes=tuple(filled(note) for note in document.get("notes", ())),
        alias=name,
        runs_with=document.get("runs_with"),
        modules=tuple(document.get("modules", ())),
        check=filled(check) if check is not None else None,
    )


def alias_of(catalog: str) -> str:
    """A name that every engine takes without quotes: other characters become underscores."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", catalog)
    return name if re.match(r"[A-Za-z]", name) else f"c_{name}"


def _document(engine: str) -> dict[str, Any]:
    if engine not in engines():
        raise InvalidRequest(f"no text for `{engine}`; there are {', '.join(engines())}")
    return _read(engine)


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text("utf-8"))


def _releases(document: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    shared = document.get("releases")
    return _read("_releases")[shared] if shared is not None else {}


def _release(engine: str, document: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    known = _releases(document)
    if wanted is None:
        return next(iter(known.values()), {})
    if wanted not in known:
        there = f"there are {', '.join(known)}" if known else "one text serves all"
        raise InvalidRequest(f"no text for release `{wanted}` of `{engine}`; {there}")
    return known[wanted]


def _shown(credential: str, quote: Callable[[str], str]) -> dict[str, str]:
    client_id, _, client_secret = credential.partition(":")
    values = {"credential": credential, "client_id": client_id, "client_secret": client_secret}
    return {name: quote(value) for name, value in values.items()}


# How each language writes a value.


def _python(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _sql(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _property(value: str) -> str:
    """A value in a Java properties file, which is read as Latin-1 or as UTF-8."""
    escaped = value.replace("\\", "\\\\")
    return "".join(c if " " <= c <= "~" else _utf16_escape(c) for c in escaped)


def _utf16_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


_QUOTES: Final[Mapping[str, Callable[[str], str]]] = {
    "python": _python,
    "javascript": json.dumps,
    "sql": _sql,
    "shell": shlex.quote,
    "properties": _property,
}
