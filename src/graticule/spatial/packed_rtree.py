"""A static R-tree over boxes: Hilbert-sorted leaves, levels of bounds, nothing but flat arrays.

Every node has the same number of children, so no pointers are stored: the children of node i are
i * node_size onwards.  The caller keeps infinite boxes out (their centres have no order) and adds a
box that crosses the antimeridian as two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.hilbert import hilbert_order

NODE_SIZE: Final = 16

Floats = npt.NDArray[np.float64]
Boxes32 = npt.NDArray[np.float32]
Ids = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class PackedRTree:
    """`levels[0]` are the boxes in Hilbert order, `ids` where they came in; the root is last.

    Each level is an array of 4 rows: xmin, ymin, xmax, ymax, each side contiguous.  Sides are
    float32 rounded outward, 20 bytes a box with its id: a search may return a neighbour half a
    metre off, never miss.  The caller that needs more compares with its own numbers.
    """

    node_size: int
    ids: Ids
    levels: tuple[Boxes32, ...]

    @classmethod
    def build(cls, boxes: Floats, node_size: int = NODE_SIZE) -> "PackedRTree":
        """Build from rows of xmin, ymin, xmax, ymax.

        Raises:
            ValueError: a box that is not finite.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all():
            raise ValueError("an R-tree holds finite boxes only")
        order = hilbert_order(boxes)
        level = _rounded_outward(boxes[order])
        levels = [level]
        while level.shape[1] > node_size:
            starts = np.arange(0, level.shape[1], node_size)
            level = np.concatenate(
                [
                    np.minimum.reduceat(level[:2], starts, axis=1),
                    np.maximum.reduceat(level[2:], starts, axis=1),
                ]
            )
            levels.append(level)
        return cls(node_size, order.astype(np.uint32), tuple(levels))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        return int(self.ids.nbytes + sum(level.nbytes for level in self.levels))

    def search(self, window: BoundingBox) -> Ids:
        """The places in the input of the boxes that may share a point with the window, sorted."""
        if not len(self.ids):
            return self.ids
        xmin, ymin, xmax, ymax = _window32(window)
        places = np.arange(self.levels[-1].shape[1])
        children = np.arange(self.node_size)
        for depth in range(len(self.levels) - 1, -1, -1):
            level = self.levels[depth]
            # Side by side, so that most nodes are gone before the last side is looked at.
            places = places[level[0].take(places) <= xmax]
            places = places[level[2].take(places) >= xmin]
            places = places[level[1].take(places) <= ymax]
            places = places[level[3].take(places) >= ymin]
            if depth and len(places):
                places = (places[:, None] * self.node_size + children).ravel()
                # Only the last node of a level may have fewer children.
                below = self.levels[depth - 1].shape[1]
                if places[-1] >= below:
                    places = places[places < below]
        return np.sort(self.ids[places])

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Flat arrays for storing: `node_size`, `ids` and all levels in one, leaves first."""
        sides = np.concatenate([level.ravel() for level in self.levels])
        return {"node_size": np.array([self.node_size], np.uint32), "ids": self.ids, "sides": sides}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> "PackedRTree":
        """The inverse of `to_arrays`; the arrays are used in place, so they may be mapped files.

        Raises:
            ValueError: arrays that do not belong together.
        """
        node_size = int(np.asarray(arrays["node_size"])[0])
        ids = np.asarray(arrays["ids"], dtype=np.uint32)
        sides = np.asarray(arrays["sides"], dtype=np.float32)
        if node_size < 2:
            raise ValueError("an R-tree has at least two children a node")
        levels = []
        start, width = 0, len(ids)
        while True:
            levels.append(sides[start : start + 4 * width].reshape(4, width))
            start += 4 * width
            if width <= node_size:
                break
            width = -(-width // node_size)
        if start != len(sides):
            raise ValueError("the levels of the R-tree do not fit its ids")
        return cls(node_size, ids, tuple(levels))


def _rounded_outward(boxes: Floats) -> Boxes32:
    """Transpose to four rows of float32 that contain the boxes."""
    sides = np.empty((4, len(boxes)), np.float32)
    with np.errstate(over="ignore"):  # beyond float32 comes infinity, which `nextafter` repairs
        for side, towards in enumerate((-np.inf, -np.inf, np.inf, np.inf)):
            wide = boxes[:, side]
            narrow = wide.astype(np.float32)
            inward = narrow > wide if towards < 0 else narrow < wide
            narrow[inward] = np.nextafter(narrow[inward], np.float32(towards))
            sides[side] = narrow
    return sides


def _window32(window: BoundingBox) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """The window in float32, rounded outward, so that no comparison has to widen an array."""
    rounded = _rounded_outward(
        np.array([[window.xmin, window.ymin, window.xmax, window.ymax]], np.float64)
    )[:, 0]
    return (rounded[0], rounded[1], rounded[2], rounded[3])
