"""Inspections that came from elsewhere: what files say is taken, whatever else is refused."""

import json
import zlib
from dataclasses import replace

import pytest

from graticule.discovery import inspection_checking
from graticule.discovery.inspection_checking import checked
from graticule.discovery.inspection_codec import CODEC_VERSION, pieces_of, to_bytes
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges
from support.zoo.every import EVERY

FILES = {
    f"{layout.id}/{name}": data
    for layout in EVERY
    for name, data in layout.build("s3://lake/x").items()
    if data[:4] == b"PAR1" == data[-4:]
}


def readable():
    for name, data in FILES.items():
        try:
            yield name, data, inspect(Ranges(data), len(data))
        except Exception:  # noqa: BLE001 - what cannot be read says nothing
            continue


def test_what_the_files_of_the_zoo_say_is_taken():
    taken = {name: checked(to_bytes(found), len(data)) == found for name, data, found in readable()}
    assert len(taken) > 100
    assert set(taken.values()) == {True}


@pytest.fixture
def document():
    """What a file with a geometry says, as JSON: what its table's files share, and its own."""
    found = next(found for *_, found in readable() if found.geometry)
    return [json.loads(zlib.decompress(piece)) for piece in pieces_of(to_bytes(found))]


def packed(document):
    shape, own = (zlib.compress(json.dumps(piece).encode()) for piece in document)
    return bytes([CODEC_VERSION]) + len(shape).to_bytes(4, "little") + shape + own


def change(at, value):
    def changed(document):
        *path, last = at
        inner = document
        for step in path:
            inner = inner[step] if isinstance(inner, list) else inner[step or next(iter(inner))]
        inner[last if isinstance(inner, list) else last or next(iter(inner))] = value
        return document

    return changed


SHAPE, OWN = 0, 1
FIELDS, IDS = (SHAPE, 0), (SHAPE, 3)
ROWS, GROUPS, OFFSETS, METRICS = (OWN, 0), (OWN, 1), (OWN, 2), (OWN, 3)
GEOMETRY, PRIMARY, NOTES = (OWN, 4), (OWN, 5), (OWN, 7)


@pytest.mark.parametrize(
    "lie",
    [
        change([*ROWS], "many"),
        change([*ROWS], -1),
        change([*ROWS], 10**6),
        change([*GROUPS, 0, 0], 10**12),
        change([*GROUPS], []),
        change([*OFFSETS], [-4]),
        change([*FIELDS, 0], {"name": "id"}),
        change([*FIELDS, 0, "required"], True),
        change([*FIELDS, 0, "type"], {"type": "struct", "fields": [{"name": "x"}]}),
        change([*FIELDS, 0, "type"], {"type": "table"}),
        change([*METRICS, "", 4], "text"),
        change([*METRICS, "", 2], -3),
        change([*GEOMETRY, "", 4], ["nowhere"]),
        change([*GEOMETRY, "", 5], []),
        change([*GEOMETRY, "", 6], "a guess"),
        change([*PRIMARY], "another"),
        change([*NOTES], ["\ud800"]),
        change([*IDS], {"id": -1}),
        lambda document: [document[SHAPE][:-1], document[OWN]],
        lambda document: [document[SHAPE], document[OWN][:-1]],
        lambda document: [{}, document[OWN]],
        lambda document: [document[SHAPE], {}],
    ],
)
def test_what_no_file_says_is_refused(document, lie):
    with pytest.raises(ValueError, match=r"\w"):
        checked(packed(lie(document)), 10**6)


@pytest.mark.parametrize(("piece", "limit"), [(SHAPE, "SHAPE"), (OWN, "DOCUMENT")])
def test_bytes_that_unpack_to_more_than_a_footer_are_refused(document, monkeypatch, piece, limit):
    document[piece] += [" " * 10**6]
    bytes_max = len(json.dumps(document[piece])) - 1
    monkeypatch.setattr(inspection_checking, f"{limit}_BYTES_MAX", bytes_max)
    with pytest.raises(ValueError, match=f"longer than {bytes_max} bytes"):
        checked(packed(document), 10**6)


def test_a_type_that_is_nested_without_end_is_refused(document):
    deep = "int"
    for _ in range(200):
        deep = {"type": "list", "element": deep, "element-required": False}
    with pytest.raises(ValueError, match="deep"):
        checked(packed(change([*FIELDS, 0, "type"], deep)(document)), 10**6)


def test_damaged_bytes_and_those_of_another_version_are_refused(document):
    data = packed(document)
    for damaged in (b"", b"\x00" + data[1:], data[:-4], data + b"x", data[:1] + b"nonsense"):
        with pytest.raises(ValueError, match="inspection"):
            checked(damaged, 10**6)
    found = next(found for *_, found in readable())
    with pytest.raises(ValueError, match="two columns"):
        checked(to_bytes(replace(found, fields=found.fields * 2)), 10**9)
