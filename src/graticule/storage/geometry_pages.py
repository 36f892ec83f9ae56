"""Geometries straight from the pages of a column, where they are laid out alike: points, and lines
or polygons of as many vertices each.  No Arrow array is made of them on the way.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from graticule.storage.geometry_values import GeometryValues
from graticule.storage.hybrid_runs import Malformed, which
from graticule.storage.parquet_pages import Encoding, Page, UnusualPages, values_of_one_length

Bools = npt.NDArray[np.bool_]


def add_pages(values: GeometryValues, pages: Iterable[Page]) -> None:
    """Add all WKB of a row group.

    Raises:
        UnusualPages: they have to be read some other way, and `values` to be thrown away.
    """
    dictionary: Page | None = None
    used = np.zeros(0, np.bool_)
    for page in pages:
        values.nulls += page.nulls
        match page.encoding:
            case Encoding.PLAIN:
                _add(values, page)
            case Encoding.DICTIONARY if dictionary is None:
                dictionary, used = page, np.zeros(page.count, np.bool_)
            case Encoding.INDICES if dictionary is not None:
                used |= _used(page, dictionary)
            case _:
                raise UnusualPages("no dictionary before its indices, or several")
    if dictionary is not None:
        _add(values, dictionary, used)
    is_mixed = len(values.types) > 1 or len(values.srids) > 1
    # How many values of a dictionary are empty says nothing of rows; and what NaN makes of a point
    # GEOS, which reads mixtures elsewhere, sees in its own way.
    if values.empties and (dictionary is not None or is_mixed):
        raise UnusualPages("values that are empty")


def _add(values: GeometryValues, page: Page, used: Bools | None = None) -> None:
    rows = values_of_one_length(page)
    if rows is not None and used is not None and not used.all():
        rows = rows[used]
    if rows is None or not values.add_alike(rows):
        raise UnusualPages("values that are not laid out alike")


def _used(page: Page, dictionary: Page) -> Bools:
    """Which values of the dictionary a page has."""
    if not page.count:
        return np.zeros(dictionary.count, np.bool_)
    try:
        return which(page.data[1:], int(page.data[0]), page.count, dictionary.count)
    except (Malformed, IndexError) as error:
        raise UnusualPages(str(error)) from error
