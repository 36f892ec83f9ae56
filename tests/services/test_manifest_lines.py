"""Where an entry was told to be still leads to it, however often its manifest was written anew."""

import pytest

from graticule.services.syncing.snapshot_writing import line_of
from graticule.storage.manifest_writer import manifest_path


@pytest.mark.parametrize(
    "name", ["0199-m0.avro", "0199-m17.avro", "some-engines-manifest.avro", "without a suffix"]
)
def test_the_line_of_a_manifest_stays_while_its_entries_move(name):
    line = line_of(name)
    for times in range(3):
        for number in (0, 12):
            moved = manifest_path("", token=f"01aa-{times}.of.{line_of(name)}", number=number)
            assert line_of(moved.lstrip("/")) == line
        name = moved.lstrip("/")


def test_manifests_of_one_snapshot_are_of_different_lines():
    assert line_of("0199-m1.avro") != line_of("0199-m11.avro")
    assert line_of("01aa-1.of.0199-m1-m0.avro") == line_of("0199-m1.avro")
