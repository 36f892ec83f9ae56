"""Which deletes go with which data file: the rules, and that looking up says what trying says."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from graticule.planning.delete_files import FILE_PATH_ID, DeleteFiles
from graticule.planning.files import EQUALITY_DELETES, POSITION_DELETES, DataFileEntry

DATA_FILE = DataFileEntry("s3://b/a.parquet", 1, 1, 0, ("x",), sequence_number=5)


def positions(age=5, *, partition=("x",), spec_id=0, of=None, lower=None, upper=None):
    return DataFileEntry(
        *("s3://b/p", 1, 1, spec_id, partition),
        content=POSITION_DELETES,
        sequence_number=age,
        referenced_data_file=of,
        lower_bounds={} if lower is None else {FILE_PATH_ID: lower},
        upper_bounds={} if upper is None else {FILE_PATH_ID: upper},
    )


def vector(age=5, *, of=DATA_FILE.path, partition=("x",)):
    return replace(positions(age, of=of, partition=partition), file_format="puffin")


def equality(age=6, *, partition=("x",), spec_id=0):
    return replace(positions(age, partition=partition, spec_id=spec_id), content=EQUALITY_DELETES)


def applying(*deletes, entry=DATA_FILE, unpartitioned=()):
    return DeleteFiles(deletes, unpartitioned_specs=unpartitioned).of(entry)


def test_a_position_delete_applies_to_its_own_commit_and_what_is_older():
    assert applying(positions(4), positions(5), positions(6)) == [1, 2]


def test_an_equality_delete_applies_only_to_what_is_older():
    assert applying(equality(4), equality(5), equality(6)) == [2]


def test_deletes_apply_within_their_partition_of_their_spec():
    assert applying(positions(partition=("y",)), positions(spec_id=1), positions()) == [2]
    assert applying(equality(partition=("y",)), equality(spec_id=1), equality()) == [2]


def test_an_equality_delete_without_partitions_applies_everywhere():
    assert applying(equality(spec_id=3, partition=())) == [0]
    void = equality(spec_id=3, partition=(None,))
    assert applying(void) == []
    assert applying(void, unpartitioned={3}) == [0]
    assert applying(positions(spec_id=3, partition=())) == []


def test_a_delete_that_names_a_data_file_applies_to_no_other():
    assert applying(positions(of="s3://b/other"), positions(of=DATA_FILE.path)) == [1]


def test_a_delete_applies_between_the_paths_that_it_says_also_if_they_are_cut_short():
    path = DATA_FILE.path.encode()
    assert applying(positions(lower=path, upper=path)) == [0]
    assert applying(positions(lower=path[:6], upper=path[:6])) == [0]
    assert applying(positions(lower=path[:6], upper=path[:6] + b"b")) == [0]
    assert applying(positions(lower=path + b"x", upper=path + b"y")) == []
    assert applying(positions(lower=b"s3://a", upper=b"s3://b/Z")) == []
    assert applying(positions(lower=b"s3://b/b")) == []


def test_a_deletion_vector_stands_for_the_position_deletes_before_it():
    assert applying(positions(), positions(of=DATA_FILE.path), vector(), equality()) == [2, 3]


def test_a_vector_that_is_not_the_files_own_replaces_nothing():
    for other in (vector(4), vector(of="s3://b/other"), vector(partition=("y",))):
        assert applying(positions(), other) == [0]


def test_what_has_no_number_is_older_than_everything():
    unnumbered = replace(DATA_FILE, sequence_number=None)
    assert applying(equality(1), positions(0), entry=unnumbered) == [0, 1]
    assert applying(replace(positions(), sequence_number=None)) == []


def test_partitions_of_numbers_are_told_apart_as_their_writers_did():
    """NaN is no other partition than NaN, and rows of -0.0 are not in the partition of 0.0."""
    for value in (math.nan, -0.0, 0.0, 1.5):
        entry = replace(DATA_FILE, partition=(value,))
        deletes = [
            kind(partition=(other,))
            for other in (float("nan"), -0.0, 0.0, 1.5)
            for kind in (positions, equality, vector)
        ]
        ours = 3 * [str(other) for other in (math.nan, -0.0, 0.0, 1.5)].index(str(value))
        assert applying(*deletes, entry=entry) == [ours + 1, ours + 2]
        assert applying(deletes[ours], entry=entry) == [0]


PARTITIONS = st.sampled_from([(), ("x",), ("y",), (None,)])
PATHS = st.sampled_from(["s3://b/a", "s3://b/b", "s3://b/bb"])
AGES = st.integers(0, 3)


@st.composite
def entries(draw):
    return DataFileEntry(
        *(draw(PATHS), 1, 1, draw(st.integers(0, 1)), draw(PARTITIONS)),
        sequence_number=draw(AGES),
    )


@st.composite
def delete_entries(draw):
    bound = st.none() | PATHS.map(lambda path: path.encode()[: draw(st.integers(6, 9))])
    delete = positions(
        draw(AGES),
        partition=draw(PARTITIONS),
        spec_id=draw(st.integers(0, 1)),
        of=draw(st.none() | PATHS),
        lower=draw(bound),
        upper=draw(bound),
    )
    kind = draw(st.sampled_from(["positions", "vector", "equality"]))
    if kind == "vector":
        return replace(delete, file_format="puffin", referenced_data_file=draw(PATHS))
    return replace(delete, content=EQUALITY_DELETES) if kind == "equality" else delete


def said_by_the_specification(delete, entry, *, has_vector):
    age, theirs = entry.sequence_number, delete.sequence_number
    same = (delete.spec_id, delete.partition) == (entry.spec_id, entry.partition)
    if delete.content == EQUALITY_DELETES:
        return theirs > age and (same or not delete.partition)
    if theirs < age or not same:
        return False
    if delete.file_format == "puffin":
        return delete.referenced_data_file == entry.path
    if has_vector:
        return False
    if delete.referenced_data_file is not None:
        return delete.referenced_data_file == entry.path
    path = entry.path.encode()
    lower = delete.lower_bounds.get(FILE_PATH_ID, b"")
    upper = delete.upper_bounds.get(FILE_PATH_ID)
    return path >= lower and (upper is None or path[: len(upper)] <= upper)


@given(entry=entries(), deletes=st.lists(delete_entries(), max_size=8))
def test_looking_up_says_what_the_specification_says_of_each(entry, deletes):
    has_vector = any(
        delete.file_format == "puffin"
        and said_by_the_specification(delete, entry, has_vector=False)
        for delete in deletes
        if delete.content != EQUALITY_DELETES
    )
    expected = [
        at
        for at, delete in enumerate(deletes)
        if said_by_the_specification(delete, entry, has_vector=has_vector)
    ]
    assert DeleteFiles(deletes).of(entry) == expected
