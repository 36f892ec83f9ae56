import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.spatial.bounding_box import EVERYWHERE, BoundingBox
from graticule.spatial.packed_rtree import PackedRTree

RNG_SEEDS = st.integers(0, 2**32 - 1)


def random_boxes(seed, count, scale):
    random = np.random.default_rng(seed)
    low = random.normal(0, scale, (count, 2))
    return np.hstack([low, low + random.exponential(scale / 20, (count, 2))])


def scan(boxes, window):
    return np.flatnonzero(
        (boxes[:, 0] <= window.xmax)
        & (boxes[:, 2] >= window.xmin)
        & (boxes[:, 1] <= window.ymax)
        & (boxes[:, 3] >= window.ymin)
    )


@settings(max_examples=200)
@given(
    RNG_SEEDS,
    st.integers(0, 700),
    st.sampled_from([2, 3, 16]),
    st.sampled_from([1e-9, 1.0, 100.0, 6e6, 1e300]),
    st.data(),
)
def test_a_search_finds_what_a_scan_finds(seed, count, node_size, scale, data):
    boxes = random_boxes(seed, count, scale)
    tree = PackedRTree.build(boxes, node_size)
    sides = st.floats(-3 * scale, 3 * scale)
    (x0, x1), (y0, y1) = (sorted((data.draw(sides), data.draw(sides))) for _ in range(2))
    window = BoundingBox(x0, y0, x1, y1)
    found = tree.search(window)
    # Rounding outward may add neighbours, and nothing else.
    assert (np.diff(found.astype(np.int64)) > 0).all()
    assert set(scan(boxes, window)) <= set(found.tolist())
    step = max(abs(side) for side in (x0, y0, x1, y1)) * 3e-7 + float(np.finfo(np.float32).tiny)
    grown = BoundingBox(x0 - step, y0 - step, x1 + step, y1 + step)
    assert scale == 1e300 or set(found.tolist()) <= set(scan(boxes, grown))


@given(RNG_SEEDS, st.integers(0, 300), st.sampled_from([2, 16]))
def test_a_tree_survives_storing(seed, count, node_size):
    tree = PackedRTree.build(random_boxes(seed, count, 10), node_size)
    again = PackedRTree.from_arrays(tree.to_arrays())
    assert again.search(EVERYWHERE).tolist() == list(range(count))
    assert [level.tolist() for level in again.levels] == [level.tolist() for level in tree.levels]


def test_a_window_that_only_touches_finds():
    tree = PackedRTree.build(np.array([[0.1, 0.1, 0.3, 0.3]]))
    assert tree.search(BoundingBox(0.3, 0.3, 9, 9)).tolist() == [0]
    assert tree.search(BoundingBox(-math.inf, -math.inf, 0.1, math.inf)).tolist() == [0]
    assert tree.search(BoundingBox(0.31, 0.3, 9, 9)).tolist() == []


def test_infinite_boxes_are_the_business_of_the_caller():
    with pytest.raises(ValueError, match="finite"):
        PackedRTree.build(np.array([[0, 0, np.inf, 1]]))


def test_arrays_that_do_not_fit_are_refused():
    arrays = PackedRTree.build(random_boxes(0, 100, 10)).to_arrays()
    for broken in (
        {**arrays, "sides": arrays["sides"][:-4]},
        {**arrays, "ids": arrays["ids"][:-20]},
        {**arrays, "node_size": np.array([0])},
    ):
        with pytest.raises(ValueError, match=r"R-tree|reshape"):
            PackedRTree.from_arrays(broken)


def test_a_box_takes_at_most_forty_bytes():
    boxes = random_boxes(1, 20_000, 50)
    assert PackedRTree.build(boxes).size_bytes / len(boxes) < 22
