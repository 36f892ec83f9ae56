"""What is handed to other machines: which files in which parts, and which folders these open."""

import pytest

from graticule.discovery.grouping import StoredObject
from graticule.discovery.handoff import (
    NOT_INSPECTED,
    Answer,
    answers_from_bytes,
    answers_to_bytes,
    is_named,
    part_from_bytes,
    part_name,
    part_to_bytes,
    parts_of,
)


def cut(*keys, base="", own=(), places_max=3, files_max=4):
    """Each part as its keys, and its places."""
    files = [StoredObject(key, 1) for key in sorted(keys)]
    made = parts_of(
        files,
        base=base,
        own=own,
        fits=lambda places: len(places) <= places_max,
        files_max=files_max,
    )
    return [([file.key for file in part.files], list(part.places)) for part in made]


def test_a_part_opens_the_innermost_folders_that_its_files_lie_in():
    assert cut("a/x/1", "a/x/2", "a/y/z/3") == [(["a/x/1", "a/x/2", "a/y/z/3"], ["a/x/", "a/y/z/"])]


def test_too_many_folders_are_opened_by_one_around_them():
    keys = [f"a/year={year}/x" for year in range(2000, 2004)]
    assert cut(*keys) == [(keys, ["a/"])]


def test_a_folder_within_another_is_not_named_twice():
    assert cut("a/1", "a/b/2") == [(["a/1", "a/b/2"], ["a/"])]


def test_parts_end_where_there_are_enough_files_or_folders():
    keys = ["a/1", "a/2", "a/3", "a/4", "a/5"]
    assert cut(*keys) == [(keys[:4], ["a/"]), (keys[4:], ["a/"])]
    tops = ["a/1", "b/1", "c/1", "d/1"]
    assert cut(*tops) == [(tops[:3], ["a/", "b/", "c/"]), (tops[3:], ["d/"])]


def test_the_whole_bucket_is_never_opened():
    assert cut("1.parquet", "a/2", "3.parquet") == [(["a/2"], ["a/"])]


def test_nothing_that_a_catalog_keeps_is_opened():
    own = ("lake/catalog-1/",)
    assert cut("lake/1", "lake/a/2", base="lake/", own=own) == [(["lake/a/2"], ["lake/a/"])]
    keys = [f"lake/a/{n}/x" for n in range(4)]
    assert cut(*keys, base="lake/", own=own) == [(keys, ["lake/a/"])]
    assert cut(*keys, base="lake/", own=("lake/a/0/c/",)) == [
        (keys[1:], ["lake/a/1/", "lake/a/2/", "lake/a/3/"])
    ]


def test_nothing_above_what_is_scanned_is_opened():
    keys = [f"lake/a/{n}/x" for n in range(4)]
    assert cut(*keys, base="lake/a/") == [(keys, ["lake/a/"])]


def test_a_part_comes_back_as_it_was_and_under_no_other_name():
    files = [StoredObject("a/\N{SNOWMAN}", 5, "e"), StoredObject("a/2", 0, "")]
    data = part_to_bytes(files)
    assert part_from_bytes(data) == files
    name = part_name(7, data)
    assert name.startswith("part-000007-")
    assert [is_named(name, data), is_named(name, data + b"x"), is_named("part-7", data)] == [
        True,
        False,
        False,
    ]


ANSWERS = [Answer(b"abc"), Answer(None, "cut short"), NOT_INSPECTED, Answer(b"de")]
SEALED = answers_to_bytes(ANSWERS, part="p", seal=b"key")


def test_answers_come_back_as_they_were():
    assert answers_from_bytes(SEALED, part="p", files=4, seal=b"key") == ANSWERS


@pytest.mark.parametrize(
    ("data", "more", "reason"),
    [
        (SEALED, {"part": "q"}, "whoever was let"),
        (SEALED, {"seal": b"other"}, "whoever was let"),
        (SEALED[:-1], {}, "whoever was let"),
        (SEALED[:32], {}, "whoever was let"),
        (b"", {}, "whoever was let"),
        (SEALED, {"files": 5}, "4 answers for 5 files"),
        (answers_to_bytes([Answer(None, "")], part="p", seal=b"key"), {"files": 1}, "reason"),
        (answers_to_bytes([Answer(b"", None)], part="p", seal=b"key"), {"files": 1}, "none"),
        (answers_to_bytes([Answer(b"a", "b")], part="p", seal=b"key"), {"files": 1}, "none"),
        (answers_to_bytes([Answer(None, "\ud800")], part="p", seal=b"key"), {"files": 1}, "surr"),
    ],
)
def test_answers_that_are_not_whole_and_ours_are_refused(data, more, reason):
    with pytest.raises(ValueError, match=reason):
        answers_from_bytes(data, **{"part": "p", "files": 4, "seal": b"key", **more})
