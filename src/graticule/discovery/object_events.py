"""What stores say of objects that changed: S3 notifications, EventBridge, SNS, SeaweedFS.  Pure.

Events are hints: they come late, twice, in any order and from anybody who knows the address, so
nothing but the name of an object is taken from them.
Sources: S3's notification content structure, EventBridge's S3 events, SeaweedFS' webhook messages.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from graticule.domain.errors import InvalidRequest

SEQUENCER_CHARACTERS_MAX: Final = 64
KEY_CHARACTERS_MAX: Final = 1024
_SEAWEEDFS_ROOT: Final = "/buckets/"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """An object that changed.  `sequencer` orders the events of one key; not every store has it."""

    bucket: str
    key: str
    sequencer: str = ""


def object_events(body: Mapping[str, Any]) -> list[ObjectEvent]:
    """The objects that a message is about; none for a test message.

    Raises:
        InvalidRequest: it is none of the messages that are known.
    """
    if body.get("Type") == "Notification" and isinstance(body.get("Message"), str):
        try:
            inner = json.loads(body["Message"])
        except ValueError as error:
            raise InvalidRequest("the SNS message does not hold JSON") from error
        if not isinstance(inner, dict) or "Type" in inner:
            raise InvalidRequest("the SNS message does not hold an S3 event")
        body = inner
    try:
        return [event for event in _events(body) if event.key and not event.key.endswith("/")]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest("the event is not as S3, EventBridge or SeaweedFS send it") from error


def _events(body: Mapping[str, Any]) -> Iterator[ObjectEvent]:
    if "Records" in body:
        for record in body["Records"]:
            found = record["s3"]
            # As in a form: a space comes as `+`, and `/` as itself or as `%2F`.
            key = unquote_plus(found["object"]["key"])
            yield _event(found["bucket"]["name"], key, found["object"].get("sequencer"))
    elif body.get("Event") == "s3:TestEvent":
        return
    elif "detail" in body:
        found = body["detail"]
        yield _event(
            found["bucket"]["name"], found["object"]["key"], found["object"].get("sequencer")
        )
    elif "event_type" in body:
        yield from _seaweedfs(body)
    else:
        raise KeyError("Records")


def _seaweedfs(body: Mapping[str, Any]) -> Iterator[ObjectEvent]:
    """The path in the filer; a rename is about two objects."""
    paths = [body["key"]]
    message = body.get("message_data") or {}
    parent = message.get("new_parent_path")
    name = (message.get("new_entry") or {}).get("name")
    if parent and name:
        paths.append(f"{parent.rstrip('/')}/{name}")
    for path in dict.fromkeys(paths):
        if path.startswith(_SEAWEEDFS_ROOT):
            bucket, _, key = path.removeprefix(_SEAWEEDFS_ROOT).partition("/")
            yield _event(bucket, key, None)


def _event(bucket: str, key: str, sequencer: object) -> ObjectEvent:
    if not isinstance(bucket, str) or not isinstance(key, str) or "\0" in key:
        raise TypeError("a name that is none")
    if len(key) > KEY_CHARACTERS_MAX:
        raise TypeError("a key that is too long")
    text = sequencer if isinstance(sequencer, str) else ""
    is_hexadecimal = text.isalnum() and len(text) <= SEQUENCER_CHARACTERS_MAX
    return ObjectEvent(bucket, key, text if is_hexadecimal else "")
