import numpy as np
import pytest

from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, exact
from graticule.spatial.extent import Extent

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("x", "y", "box"),
    [
        ([], [], EMPTY),
        ([NAN], [1.0], EMPTY),
        ([1.0, NAN], [NAN, 2.0], exact(BoundingBox(1, 2, 1, 2))),
        ([3.0, 1.0], [2.0, 4.0], exact(BoundingBox(1, 2, 3, 4))),
        ([INF, 1.0], [0.0, 0.0], UNKNOWN),
        ([INF], [NAN], EMPTY),
        ([-INF, NAN], [1.0, 2.0], UNKNOWN),
    ],
)
def test_the_box_is_of_the_numbers_that_there_are(x, y, box):
    whole, halves = Extent(), Extent()
    assert whole.add(np.array(x), np.array(y)) == bool(np.isnan([*x, *y]).any())
    for at in range(len(x)):
        halves.add(np.array(x[at : at + 1]), np.array(y[at : at + 1]))
    assert whole.file_box() == halves.file_box() == box


def test_bounds_of_nothing_add_nothing():
    extent = Extent()
    extent.add_bounds(INF, INF, -INF, -INF)
    assert extent.file_box() == EMPTY
    extent.add_bounds(1.0, 2.0, 3.0, 4.0)
    extent.add_bounds(INF, INF, -INF, -INF)
    assert extent.file_box() == exact(BoundingBox(1, 2, 3, 4))
