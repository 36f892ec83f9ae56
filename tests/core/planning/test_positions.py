import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graticule.planning.positions import common, distinct, firsts, united, without

COUNT = 400


def positions(**kwargs):
    """Few or many of the files, so that each way of finding them is taken."""
    sizes = st.sampled_from([3, COUNT])
    return sizes.flatmap(
        lambda most: st.lists(st.integers(0, COUNT - 1), max_size=most, **kwargs)
    ).map(lambda found: np.array(found, np.int64))


SETS = positions(unique=True).map(np.sort)


@given(st.lists(positions(), min_size=1, max_size=3))
def test_what_is_united_is_what_any_part_has(parts):
    found = united([part.astype(np.uint32) for part in parts], COUNT)
    assert found.tolist() == sorted({at for part in parts for at in part.tolist()})
    assert found.dtype == np.int64


@given(SETS, SETS)
def test_what_is_common_and_what_is_left_make_up_the_whole(one, other):
    both = set(one.tolist()) & set(other.tolist())
    assert common(one, other, COUNT).tolist() == sorted(both)
    assert without(one, other, COUNT).tolist() == sorted(set(one.tolist()) - both)


@given(positions())
def test_each_is_told_once(found):
    rising = np.sort(found)
    assert distinct(rising).tolist() == sorted(set(found.tolist()))
    assert rising[firsts(rising)].tolist() == distinct(rising).tolist()


def test_of_all_files_everything_is_common():
    every = np.arange(COUNT)
    assert common(every, np.array([7]), COUNT).tolist() == [7]
    assert without(every, np.zeros(0, np.int64), COUNT).tolist() == every.tolist()
