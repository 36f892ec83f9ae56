"""What to type so that an engine finds a catalog: every text there is, for one catalog."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.services.engines.engine_text import (
    EngineText,
    StorePlace,
    engine_text,
    engines,
    releases,
)


def list_engine_texts(call: Call) -> Response:
    """No secret is in them: they read the credential from the engine's environment."""
    opened = call.services.catalogs.open(call.principal, call.name("catalog"))
    store = StorePlace(
        location=opened.catalog.location.uri,
        region=opened.integration.region,
        endpoint=opened.integration.endpoint,
        path_style=opened.integration.path_style,
    )
    url = call.cookies.url(call.base_url)
    texts = [
        _to_json(engine_text(name, url=url, catalog=opened.catalog.name, store=store, release=one))
        | {"release": one}
        for name in engines()
        for one in _releases(name)
    ]
    return json_response({"texts": texts})


def _releases(engine: str) -> Sequence[str | None]:
    return releases(engine) or [None]


def _to_json(text: EngineText) -> dict[str, Any]:
    return {
        "engine": text.engine,
        "title": text.title,
        "language": text.language,
        "text": text.text,
        "file": text.file,
        "install": text.install,
        "alias": text.alias,
        "notes": list(text.notes),
    }


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/catalogs/{catalog}/engines", list_engine_texts, Action.LIST_CATALOGS),
)
