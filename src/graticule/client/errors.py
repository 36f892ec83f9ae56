"""What goes wrong on the client's side."""

from importlib import import_module
from typing import Any

from graticule.domain.errors import CatalogError


class ClientError(CatalogError):
    """The server refused, could not be reached, or cannot do what was asked for.

    `status` is that of the server's answer, None when there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def needed(module: str, package: str) -> Any:
    """A module of a package that not everybody has.

    Raises:
        ClientError: it is not installed; says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ClientError(
            f"this needs {package}, which is not installed: pip install 'graticule[client]'"
        ) from error
