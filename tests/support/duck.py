"""DuckDB with its signed extensions from PyPI, attached to a live catalog as `lake`."""

from importlib.util import find_spec
from pathlib import Path

import duckdb

from support.server import LiveCatalog

EXTENSIONS = ("avro", "httpfs", "aws", "spatial", "iceberg")
"""In this order: Iceberg needs the first three while it loads."""

CONFIG = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def attached(catalog: LiveCatalog, credential: str | None = None) -> duckdb.DuckDBPyConnection:
    """A database of its own that knows nothing but the catalog's address and an API key."""
    connection = duckdb.connect(config=CONFIG)
    for name in EXTENSIONS:
        connection.execute(f"load '{_binary(name)}'")
    url = f"{catalog.server.url}/catalog"
    client_id, secret = (credential or catalog.server.key.credential).split(":")
    connection.execute(
        f"create secret (type iceberg, client_id '{client_id}', client_secret '{secret}',"
        f" oauth2_server_uri '{url}/v1/oauth/tokens')"
    )
    attach(connection, catalog)
    return connection


def attach(connection: duckdb.DuckDBPyConnection, catalog: LiveCatalog) -> None:
    """Attach the catalog as `lake`, once more after it was detached."""
    url = f"{catalog.server.url}/catalog"
    connection.execute(f"attach '{catalog.name}' as lake (type iceberg, endpoint '{url}')")


def _binary(extension: str) -> Path:
    package = find_spec(f"duckdb_extension_{extension}")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.rglob("*.duckdb_extension"))
