"""Inspects the files of one part, as a scan of the server does, and writes what they said.

The same functions look into footers, in processes of their own, since pyarrow ends the process over
some.  Answers to a part are one object under one name: whoever does it twice writes the same.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from graticule.discovery.grouping import StoredObject
from graticule.discovery.handoff import (
    NOT_INSPECTED,
    REASON_CHARACTERS_MAX,
    Answer,
    answers_to_bytes,
    is_named,
    part_from_bytes,
)
from graticule.discovery.inspection_codec import CODEC_VERSION
from graticule.domain.errors import Unavailable
from graticule.scaleout.bucket import Bucket, NotRead
from graticule.scaleout.server import NotWanted, Server, ServerFailed
from graticule.storage.inspection_workers import InspectionWorkers

FETCHES_AT_ONCE: Final = 16


class Done(NamedTuple):
    """What came of a part: files that were inspected, those that cannot be, those left over."""

    part: str
    files: int
    unreadable: int
    left: int


def inspect_part(server: Server, name: str) -> Done:
    """Inspect the files of a part that nobody has done yet.

    Raises:
        ServerFailed, NotRead, Unavailable: it cannot be done here and now.
    """
    try:
        told = server.part(name)
    except NotWanted:
        return Done(name, 0, 0, 0)
    if told["codec_version"] != CODEC_VERSION:
        raise ServerFailed("the server is of another version than what was sent to this cluster")
    bucket = Bucket(told)
    asked = bucket.get(told["pending_key"])
    if not is_named(name, asked):
        raise NotRead(f"the list of files of `{name}` was changed")
    files = part_from_bytes(asked)
    with (
        InspectionWorkers(1) as workers,
        ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="inspect") as pool,
    ):
        answers = list(pool.map(lambda file: _answer(bucket, workers, file), files))
    _write(bucket, told, name, answers)
    return Done(
        name,
        sum(answer.inspection is not None for answer in answers),
        sum(answer.error is not None for answer in answers),
        sum(answer == NOT_INSPECTED for answer in answers),
    )


def _write(bucket: Bucket, told: Mapping[str, Any], name: str, answers: list[Answer]) -> None:
    seal = bytes.fromhex(told["seal"])
    bucket.put(told["answers_key"], answers_to_bytes(answers, part=name, seal=seal))


def _answer(bucket: Bucket, workers: InspectionWorkers, file: StoredObject) -> Answer:
    def read(offset: int, length: int) -> bytes:
        try:
            return bucket.read(file.key, offset, length, etag=file.etag)
        except NotRead as error:
            raise Unavailable(str(error)) from error

    try:
        [outcome] = workers.inspect_to_bytes([(read, file.size_bytes)])
    except Unavailable:
        return NOT_INSPECTED
    if isinstance(outcome, bytes):
        return Answer(outcome)
    return Answer(None, outcome.message[:REASON_CHARACTERS_MAX])
