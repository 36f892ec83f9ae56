"""Documents are written quickly, exactly, and never with what is no number."""

import json
import math

import pytest

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import json_text

WITHOUT_SNAPSHOTS = {"format-version": 3, "current-snapshot-id": None, "properties": {"a": "é"}}


@pytest.mark.parametrize(
    "value",
    [
        WITHOUT_SNAPSHOTS,
        {**WITHOUT_SNAPSHOTS, "comment": "null and void"},
        {"nested": {"nothing": None}},
        [None, 2**64, 0.1],
        None,
    ],
)
def test_what_is_written_is_what_there_was(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert json_text.write(value) == text.encode()


def test_a_table_without_snapshots_is_written_by_the_quick_encoder(monkeypatch):
    monkeypatch.setattr(json, "dumps", pytest.fail)
    assert json_text.read(json_text.write(WITHOUT_SNAPSHOTS)) == WITHOUT_SNAPSHOTS


@pytest.mark.parametrize("no_number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_beside_what_is_nothing(no_number):
    for value in (no_number, {"a": None, "b": no_number}, {"a": None, "b": [{"c": no_number}]}):
        with pytest.raises(InvalidRequest, match="cannot be written"):
            json_text.write(value)
