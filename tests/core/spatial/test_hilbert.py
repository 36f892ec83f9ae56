import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graticule.spatial.hilbert import hilbert_index, hilbert_order


def test_the_curve_visits_every_cell_and_steps_to_neighbours():
    side = 1 << 5
    x, y = (axis.ravel().astype(np.uint32) for axis in np.meshgrid(range(side), range(side)))
    index = hilbert_index(x, y, order=5)
    assert sorted(index.tolist()) == list(range(side * side))
    path = np.argsort(index)
    steps = np.abs(np.diff(x[path].astype(int))) + np.abs(np.diff(y[path].astype(int)))
    assert (steps == 1).all()


def test_orders_beyond_sixteen_bits_keep_all_of_them():
    x, y = np.array([0, 2**20 - 1], np.uint32), np.array([0, 0], np.uint32)
    assert hilbert_index(x, y, order=20).tolist() == [0, 2**40 - 1]


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 20), st.just(4)),
        elements=st.floats(allow_nan=False) | st.just(np.inf) | st.just(1.7e308),
    )
)
def test_any_boxes_have_an_order_with_the_infinite_ones_last(boxes):
    order = hilbert_order(boxes)
    assert sorted(order.tolist()) == list(range(len(boxes)))
    finite = np.isfinite(boxes).all(axis=1)[order]
    assert not (np.diff(finite.astype(int)) > 0).any()


def test_the_infinite_ones_keep_their_order():
    boxes = np.full((4, 4), np.inf)
    boxes[2] = 0
    assert hilbert_order(boxes).tolist() == [2, 0, 1, 3]
