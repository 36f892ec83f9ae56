"""What management requests say: bodies checked by pydantic, list parameters, page tokens.

The models never leave `api`; services get domain values and plain arguments.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from graticule.api.endpoint import Call
from graticule.domain.errors import InvalidPageToken, InvalidRequest

Json = dict[str, Any]

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN_WORDS: Final = "Value error, "
"""What pydantic puts in front of messages that are ours."""
_SHOULD_BE: Final = "Input should be "


class Body(BaseModel):
    """A request body.  A field that is not there is an error: a typing slip must not pass."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


B = TypeVar("B", bound=Body)


def body_of(call: Call, model: type[B]) -> B:
    """The body as a model.

    Raises:
        InvalidRequest: names every field that is wrong, never its value, which may be a secret.
    """
    return parse_body(call.json(), model)


def parse_body(document: Json, model: type[B]) -> B:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_sentence(detail) for detail in error.errors())) from None


def _sentence(detail: ErrorDetails) -> str:
    field = ".".join(str(part) for part in detail["loc"]) or "body"
    match detail["type"]:
        case "missing":
            return f"`{field}` is missing"
        case "extra_forbidden":
            return f"`{field}` is not a field of this request"
        case _:
            message = detail["msg"]
            if message.startswith(_OWN_WORDS):
                return f"`{field}` {own_words(message)}"
            if message.startswith(_SHOULD_BE):
                return f"`{field}` should be {message.removeprefix(_SHOULD_BE)}"
            return f"`{field}`: {message}"


def own_words(message: str) -> str:
    """A message of pydantic's, or of our own without what pydantic puts in front of it."""
    return message.removeprefix(_OWN_WORDS)


@dataclass(frozen=True, slots=True)
class PageRequest:
    after: str | None
    limit: int


def page_of(call: Call, *, with_token: bool = True) -> PageRequest:
    """`?limit=` and `?after=` of a list; without the token where that is not an id.

    Raises:
        InvalidRequest: a limit that is no number from 1 to `LIMIT_MAX`.
        InvalidPageToken: not a token that `next` could have held.
    """
    limit = call.query.get("limit", str(LIMIT_DEFAULT))
    if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit[:9]) <= LIMIT_MAX:
        raise InvalidRequest(f"`limit` must be a number from 1 to {LIMIT_MAX}, not `{limit}`")
    after = (call.query.get("after") or None) if with_token else None
    if after is not None and not _ID.fullmatch(after):
        raise InvalidPageToken("`after` must be what `next` of the page before said")
    return PageRequest(after, int(limit))
