"""A fresh folder of the shared store for every test."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from graticule.demo.seaweedfs import SeaweedFS
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.storage.s3 import ObjectStore


@pytest.fixture
def folder() -> Location:
    """Where this test, and no other, keeps its objects."""
    return Location("lake", f"tests/{uuid.uuid4()}")


@pytest.fixture
def open_store(seaweedfs: SeaweedFS, folder: Location) -> Callable[..., ObjectStore]:
    """Opens the test's folder as the administrator, or as told."""

    def build(
        *, endpoint: str | None = None, root: Location = folder, **options: Any
    ) -> ObjectStore:
        return ObjectStore(
            root,
            region=seaweedfs.region,
            endpoint=endpoint or seaweedfs.endpoint,
            path_style=True,
            credentials=lambda: seaweedfs.admin_keys,
            outbound=ANYWHERE,
            **options,
        )

    return build


@pytest.fixture
def store(open_store: Callable[..., ObjectStore]) -> ObjectStore:
    return open_store()
