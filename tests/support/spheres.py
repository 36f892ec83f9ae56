"""Great circles by brute force: points along arcs, as many as it takes to see where they go."""

import numpy as np


def arc(start, end, points=201):
    """Longitudes and latitudes along the shorter way on a sphere, both ends included."""
    lon, lat = np.radians([start[0], end[0]]), np.radians([start[1], end[1]])
    ends = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    angle = np.arctan2(np.linalg.norm(np.cross(*ends)), ends[0] @ ends[1])
    along = np.linspace(0, 1, points)[:, None]
    if angle < 1e-7:
        found = ends[0] + along * (ends[1] - ends[0])
    else:
        found = np.sin((1 - along) * angle) * ends[0] + np.sin(along * angle) * ends[1]
    x, y, z = found.T
    return np.degrees(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))]))


def is_within(box, positions, slack=1e-9):
    """Whether each lies in one of the rectangles, wherever its turn begins."""
    found = np.zeros(len(positions), bool)
    for one in box.boxes:
        up = (positions[:, 1] >= one.ymin - slack) & (positions[:, 1] <= one.ymax + slack)
        for turn in (-360, 0, 360):
            x = positions[:, 0] + turn
            found |= up & (x >= one.xmin - slack) & (x <= one.xmax + slack)
    # At a pole a longitude is anything.
    return found | (np.abs(positions[:, 1]) > 90 - 1e-7)
