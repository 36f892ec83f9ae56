import numpy as np
import pyproj
import pytest

from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.crs import CRS84, Crs
from graticule.spatial.reprojection import windows_between


def test_a_window_that_is_a_point_finds_the_point_across_datums():
    """Going from one datum to another and back, PROJ is some tenths of a millimetre off."""
    there = pyproj.Transformer.from_crs("EPSG:27700", "EPSG:32633", always_xy=True)
    xy = np.random.default_rng(1).uniform((0, 0), (7e5, 1.2e6), (100, 2))
    for (x, y), (a, b) in zip(xy, np.column_stack(there.transform(*xy.T)), strict=True):
        found = windows_between([BoundingBox(a, b, a, b)], Crs("EPSG:32633"), Crs("EPSG:27700"))
        assert found is None or any(window.contains_point(x, y) for window in found)


@pytest.mark.parametrize("window", [(0, 0, 1e6, 0), (-1e5, -1e5, 1e5, 1e5)])
def test_a_window_with_a_pole_in_it_holds_all_longitudes(window):
    (found,) = windows_between([BoundingBox(*window)], Crs("EPSG:3413"), CRS84)
    assert found.contains(BoundingBox(-180, 90, 180, 90))


def test_world_maps_go_on_beyond_their_edge():
    found = windows_between([BoundingBox(-179.6, 2, -179.4, 3)], CRS84, Crs("EPSG:3857"))
    beyond, _ = pyproj.Transformer.from_crs(CRS84.identifier, "EPSG:3857").transform(179.5, 2.5)
    beyond += 2 * (20037508.342789244 - beyond)
    assert any(window.contains_point(beyond, 280_000) for window in found)
