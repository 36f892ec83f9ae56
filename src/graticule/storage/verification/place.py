"""Checks of the place itself: its path, what else lies there, the way to it, its clock."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import NameResolutionError

from graticule.domain.location import Location, parse_integration_path
from graticule.storage.aws_errors import region_of, status_of
from graticule.storage.verification.probe import AccessProbe
from graticule.storage.verification.remedies import (
    CLOCK_REMEDY,
    NOT_S3_REMEDY,
    UNREACHABLE_REMEDY,
)
from graticule.storage.verification.step import Failed, Passed, Skipped, Step

CLOCK_SKEW_S_MAX: Final = 120
"""AWS refuses signatures at 15 minutes; a clock this wrong gets there."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def _path(probe: AccessProbe) -> Passed:
    location = parse_integration_path(probe.integration.location.uri)
    return Passed(f"`{location.prefix}` follows the rules for paths")


def _overlap(probe: AccessProbe) -> Passed:
    location = probe.integration.location
    for other in probe.surroundings.integrations:
        theirs = Location.stored(other.location)
        if not location.overlaps(theirs):
            how = "is in the bucket"
        else:
            how = "lies inside the path" if location.is_within(theirs) else "contains the path"
        raise Failed(
            f"`{location}` {how} of storage integration `{other.name}`, `{theirs}`",
            f"Use `{other.name}`: there is one integration per bucket, and catalogs can use "
            "folders of it.",
        )
    outside = [
        catalog
        for catalog in probe.surroundings.catalogs
        if not Location.stored(catalog.location).is_within(location)
    ]
    if outside:
        names = ", ".join(f"`{catalog.name}` at `{catalog.location}`" for catalog in outside[:5])
        raise Failed(
            f"{len(outside)} catalogs of this integration lie outside of `{location}`: {names}",
            "Choose a path that holds them, or delete those catalogs first.",
        )
    return Passed("no other storage integration of the organisation is in the way")


def _network(probe: AccessProbe) -> Passed:
    client = probe.client(None)
    at = client.meta.endpoint_url
    started = time.perf_counter()
    try:
        headers, status, error = _greet(client, probe.integration.location.bucket)
    except BotoCoreError as failure:
        raise _unreachable(at, failure) from failure
    except ResponseParserError as failure:
        raise Failed(f"what answers at `{at}` does not speak S3", NOT_S3_REMEDY) from failure
    except RecursionError as failure:
        raise Failed(f"`{at}` redirects in a circle", _redirected()) from failure
    ms = round((time.perf_counter() - started) * 1000)
    if status in _REDIRECTS and (error is None or region_of(error) is None):
        raise Failed(f"`{at}` answers with a redirect ({status})", _redirected())
    probe.skew_s = _skew_s(headers.get("date"))
    return Passed(f"`{at}` answers in {ms} ms")


def _redirected() -> str:
    return (
        "Name the address where the redirect ends as the endpoint: redirects are never followed, "
        "because they would lead the server's credentials elsewhere."
    )


def _greet(client: Any, bucket: str) -> tuple[dict[str, str], int, ClientError | None]:
    """Any answer at all will do: who nobody is, is none of the store's business."""
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        metadata: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
        return metadata.get("HTTPHeaders", {}), status_of(error), error
    return answer["ResponseMetadata"]["HTTPHeaders"], 200, None


def _unreachable(at: str, failure: BotoCoreError) -> Failed:
    match failure:
        case EndpointConnectionError() if isinstance(
            failure.kwargs.get("error"), NameResolutionError
        ):
            return Failed(
                f"the server could not find an address for `{at}`",
                "Check the spelling of the endpoint, and that the name service of the machine that "
                "Graticule runs on knows it. For a store that does not put the bucket into the "
                "host name, turn path style on.",
            )
        case EndpointConnectionError():
            return Failed(
                f"the server could not connect to `{at}`: refused or no way there",
                UNREACHABLE_REMEDY,
            )
        case SSLError():
            return Failed(
                f"the server could not agree on TLS with `{at}`: {_short(failure)}",
                "The store's certificate must be valid for this host name and of an authority that "
                "the server trusts (`AWS_CA_BUNDLE` adds one); a port without TLS needs `http://`.",
            )
        case ProxyConnectionError():
            return Failed(
                f"the server's proxy could not connect to `{at}`",
                "Check `HTTPS_PROXY` and `NO_PROXY` of the server.",
            )
        case ConnectTimeoutError() | ReadTimeoutError():
            return Failed(f"`{at}` did not answer in time", UNREACHABLE_REMEDY)
        case _:
            return Failed(f"`{at}` gave no usable answer: {_short(failure)}", NOT_S3_REMEDY)


def _short(failure: Exception) -> str:
    text = "".join(character if character.isprintable() else " " for character in str(failure))
    return text[:200]


def _skew_s(date: str | None) -> float | None:
    if not date:
        return None
    with suppress(ValueError, TypeError, OverflowError):
        theirs = parsedate_to_datetime(date)
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        return (datetime.now(UTC) - theirs).total_seconds()
    return None


def _clock(probe: AccessProbe) -> Passed:
    skew_s = probe.skew_s
    if skew_s is None:
        raise Skipped("the store does not tell its time")
    if abs(skew_s) > CLOCK_SKEW_S_MAX:
        way = "ahead of" if skew_s > 0 else "behind"
        raise Failed(
            f"the server's clock is {_minutes(abs(skew_s))} {way} the store's", CLOCK_REMEDY
        )
    return Passed(f"the server's clock and the store's differ by {abs(skew_s):.0f} s")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


STEPS: Final = (
    Step(
        "path",
        "The path follows the rules",
        (),
        _path,
        "Use `s3://bucket/folder` without periods; letters, digits and `_ = - /`.",
    ),
    Step("overlap", "The path is nobody else's", ("path",), _overlap),
    Step(
        "network",
        "The server reaches the store",
        ("path",),
        _network,
        "Use an endpoint that this server may connect to, or ask its operator to open this one.",
    ),
    Step("clock", "The clocks agree", ("network",), _clock),
)
