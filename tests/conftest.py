"""Fixtures that every room may use.  Each engine is described in `support/`."""

from support.buckets import connect_folder
from support.database import (
    database,
    empty_database_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_database,
    sqlite_database,
)
from support.division import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from support.engine_page import pytest_runtest_makereport, pytest_sessionfinish
from support.lake import raw
from support.logs import logs_restored, quiet_logs
from support.ministack import ministack
from support.postgres import postgres
from support.seaweedfs import seaweedfs
from support.server import catalog, http, server

__all__ = [
    "catalog",
    "connect_folder",
    "database",
    "empty_database_url",
    "http",
    "logs_restored",
    "migrated_postgres",
    "migrated_sqlite",
    "ministack",
    "postgres",
    "postgres_database",
    "pytest_collection_modifyitems",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_xdist_make_scheduler",
    "quiet_logs",
    "raw",
    "seaweedfs",
    "server",
    "sqlite_database",
]
