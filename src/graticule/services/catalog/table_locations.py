"""Where a table may live: the rules that hold before anything is written or vended.

A location that a client asks for is honoured only below its catalog's own root, and everything
a table's properties point at must lie below the table's location, since that is all that a
vended credential opens.
"""

from collections.abc import Mapping
from typing import Final

from graticule.domain.catalog import OWN_FOLDER, OpenCatalog
from graticule.domain.errors import InvalidLocation
from graticule.domain.location import Location

PATH_PROPERTIES: Final = (
    "write.data.path",
    "write.metadata.path",
    "write.object-storage.path",
    "write.folder-storage.path",
)


def generate(catalog: OpenCatalog, table_id: str) -> Location:
    """A location of its own for a new table: ids only, no names, so no two can ever meet."""
    return catalog.catalog.location.join(table_id)


def check_requested(catalog: OpenCatalog, uri: str) -> Location:
    """Check a location that a client asks for.

    Raises:
        InvalidLocation: unsafe, or not below the catalog's root.
    """
    location = Location.parse(uri)
    root = catalog.catalog.location
    if location.is_within(root.join(OWN_FOLDER)):
        raise InvalidLocation(
            f"location `{uri}` is the server's own; leave it out to have one made"
        )
    if location == root or not location.is_within(root):
        raise InvalidLocation(
            f"location `{uri}` is not below `{root.prefix}`, where the tables of catalog "
            f"`{catalog.catalog.name}` live; leave it out to have one made"
        )
    return location


def check_in_storage(catalog: OpenCatalog, uri: str) -> Location:
    """Check where something lies that is to be read: a metadata file to adopt, or data to look for.

    Raises:
        InvalidLocation: outside of the catalog's storage.
    """
    root = catalog.integration.location
    location = Location.parse(uri)
    if not location.is_within(root):
        raise InvalidLocation(
            f"`{uri}` does not lie below `{root.prefix}`, "
            f"the storage of catalog `{catalog.catalog.name}`"
        )
    return location


def check_described(catalog: OpenCatalog, file: Location, uri: str, *, what: str) -> Location:
    """Check where the table or view (`what`) says it lives that the metadata `file` describes.

    Raises:
        InvalidLocation: not below the integration, or the file lies outside of it.
    """
    root = catalog.integration.location
    location = Location.parse(uri)
    if not location.is_within(root) or location == root:
        raise InvalidLocation(
            f"the {what} described by `{file}` lives at `{location}`, "
            f"which is not below `{root.prefix}`"
        )
    if not file.is_within(location):
        raise InvalidLocation(
            f"`{file}` does not lie below the location `{location}` of the {what} it describes"
        )
    return location


def check_path_properties(properties: Mapping[str, str], location: Location) -> None:
    """Check what table properties say about where files go.

    Raises:
        InvalidLocation: a path outside of the table's location.
    """
    for name in PATH_PROPERTIES:
        value = properties.get(name)
        if value is not None and not Location.parse(value).is_within(location):
            raise InvalidLocation(
                f"`{name}` = `{value}` lies outside of the table's location `{location}`"
            )


def metadata_folder(properties: Mapping[str, str], location: Location) -> Location:
    """Where a table's metadata files go."""
    configured = properties.get("write.metadata.path")
    return Location.parse(configured) if configured else location.join("metadata")
