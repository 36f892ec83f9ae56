"""Log set-up: one event a line, what happened in the past tense, the rest as fields.

Secrets are taken out of every event, whoever logs it: our own code, uvicorn or a library.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from graticule.domain.secret import Secret

HIDDEN: Final = "***"

_SECRET_NAME: Final = re.compile(
    r"(?i)secret|password|passwd|session.?token|access.?token|authorization|credential$|"
    r"x-amz-(?:security-token|signature|credential)|private.?key|api.?key$"
)
_SECRET_VALUE: Final = re.compile(
    r"\bg(?:s|ses|link|dev)_[A-Za-z0-9_-]{43}"  # of an API key, session, link or device
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"  # a JWT
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS access key ids
    # However a library prints them: headers, queries, XML and JSON of the token service.
    r"|(?i:x-amz-(?:signature|security-token|credential)|secret_?access_?key|session_?token"
    r"|signature|ciphertextblob|plaintext)"
    r"(?:'|\\?\")?(?:\s*[:=]|>)\s*b?(?:'|\\?\")?[^\s'\"&<,]+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password in a URL
)
_SECRET_MARKS: Final = (
    *("gs_", "gses_", "glink_", "gdev_", "eyj", "akia", "asia", "://"),
    *("x-amz-", "secret", "session", "signature", "ciphertextblob", "plaintext"),
)
"""In lower case, one of them is in everything that the pattern finds: each alternative of it has
one here.  To look for them takes a twentieth of the time.
"""
_NESTING_MAX: Final = 6

_QUIET: Final = ("botocore", "boto3", "urllib3", "s3transfer", "alembic", "httpx2", "httpcore2")
"""Below warning these log requests with their headers, or what only their authors need."""


def configure(
    *, log_format: Literal["console", "json"], level: str, stream: TextIO | None = None
) -> None:
    """Send our events and those of the standard library through one chain to `stream` (stderr)."""
    output = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if log_format == "json":
        # The traceback is made text first, so that it is searched for secrets too.
        last = [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]
    else:
        last = [
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=output.isatty()),
        ]
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        _Formatter(
            _as_json if log_format == "json" else _as_text,
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_colours,
                *last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Requests are logged once, by our own middleware and without query strings.
    logging.getLogger("uvicorn.access").disabled = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers made at import time follow this set-up
    )


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Writes events that come with their `fields` at once, all others through the processors.

    There is such an event for every request, and the processors took longer than the request.  Its
    fields are texts and numbers that are not named like secrets, so only their look is checked.
    """

    def __init__(self, render: Callable[[EventDict], str], **options: Any) -> None:
        super().__init__(**options)
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        fields: EventDict | None = getattr(record, "fields", None)
        if fields is None:
            return super().format(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        return self._render(
            {
                **{
                    name: _without_secrets(value) if isinstance(value, str) else value
                    for name, value in fields.items()
                },
                "event": record.msg,
                "level": record.levelname.lower(),
                "logger": record.name,
                "timestamp": at.replace("+00:00", "Z"),
            }
        )


def _as_json(event: EventDict) -> str:
    return json.dumps(event)


def _as_text(event: EventDict) -> str:
    head = [event.pop(name) for name in ("timestamp", "level", "event", "logger")]
    fields = " ".join(f"{name}={_on_one_line(value)}" for name, value in event.items())
    return "{} [{:9}] {:30} [{}] {}".format(*head, fields)


def _on_one_line(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)


@contextmanager
def request_id_bound(request_id: str) -> Iterator[None]:
    """Every event inside the block carries the request's id."""
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        yield


def _without_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn says everything twice, once for terminals
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide what is named like a secret, and what looks like one wherever it stands."""
    return {name: _redacted(name, value, depth=0) for name, value in event.items()}


def _redacted(name: str, value: Any, *, depth: int) -> Any:
    if isinstance(value, Secret) or (value and _SECRET_NAME.search(name)):
        return HIDDEN
    if isinstance(value, str):
        return _without_secrets(value)
    if depth >= _NESTING_MAX:
        return HIDDEN if isinstance(value, Mapping | list | tuple) else value
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item, depth=depth + 1) for item in value]
    if isinstance(value, int | float | bool | None):
        return value
    return _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    lowered = text.lower()
    for mark in _SECRET_MARKS:
        if mark in lowered:
            return _SECRET_VALUE.sub(HIDDEN, text)
    return text
