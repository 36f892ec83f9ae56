"""Organisations to act in, and integrations whose store is a fake: nothing here talks to S3."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.db import members as members_db
from graticule.db import organisations as organisations_db
from graticule.db.engine import write
from graticule.domain.catalog import BucketType, StorageIntegration
from graticule.domain.tenancy import Edition, Member, MemberKind, Organisation, Principal
from graticule.domain.verification import Check, CheckStatus, Report
from graticule.outbound.gate import Outbound
from graticule.outbound.policy import OutboundPolicy
from graticule.services.catalogs import Catalogs
from graticule.services.integration_policies import IntegrationPolicies
from graticule.services.integrations import Integrations, NewIntegration
from support.clock import Clock
from support.principals import ANA

RING = Keyring.from_keys([("k1", b"k" * 32)])
ROLE = "arn:aws:iam::123456789012:role/lake"
PRINCIPAL_ARN = "arn:aws:iam::999999999999:user/graticule"

PUBLIC = Outbound(
    OutboundPolicy(),
    resolve=lambda host, _port: ["10.0.0.1" if "internal" in host else "93.184.216.34"],
)

ZOE = replace(ANA, organisation_id="organisation-2", member_id="zoe", name="Zoe", key_id="gk_zoe")
"""The admin of another organisation."""


@dataclass
class Verifier:
    """Says what it is told to, and remembers what it was asked."""

    bucket_type: BucketType = BucketType.PRIVATE
    status: CheckStatus = CheckStatus.PASS
    meanwhile: Callable[[], None] = lambda: None
    seen: list[StorageIntegration] = field(default_factory=list)

    def __call__(self, integration: StorageIntegration) -> Report:
        self.seen.append(integration)
        self.meanwhile()
        check = Check("list", "The path can be listed", self.status, 3, "listed", "")
        return Report((check,), self.bucket_type)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tenants(database: Engine) -> Engine:
    """The database with the organisations of Ana and of Zoe."""
    with write(database) as conn:
        for number, principal in enumerate((ANA, ZOE)):
            organisation = Organisation(
                principal.organisation_id, f"org {number}", Edition.ENTERPRISE, 1
            )
            organisations_db.create(conn, organisation)
            members_db.create(conn, _member(principal))
    return database


def _member(principal: Principal) -> Member:
    return Member(
        principal.member_id,
        principal.organisation_id,
        MemberKind.USER,
        principal.name,
        principal.role,
        1,
    )


@pytest.fixture
def verifier() -> Verifier:
    return Verifier()


@pytest.fixture
def invalidated() -> list[str]:
    return []


@pytest.fixture
def integrations(
    tenants: Engine, clock: Clock, verifier: Verifier, invalidated: list[str]
) -> Integrations:
    return Integrations(
        tenants,
        RING,
        now_ms=clock,
        verify=verifier,
        invalidate=invalidated.append,
        outbound=PUBLIC,
    )


@pytest.fixture
def policies(integrations: Integrations, clock: Clock) -> IntegrationPolicies:
    return IntegrationPolicies(
        integrations,
        now_ms=clock,
        principal_arn=PRINCIPAL_ARN,
        find_arn=lambda _region, _endpoint: None,
        outbound=PUBLIC,
        role_tag="graticuleOrgID",
    )


@pytest.fixture
def catalogs(tenants: Engine, clock: Clock) -> Catalogs:
    return Catalogs(tenants, RING, now_ms=clock)


@pytest.fixture
def lake(integrations: Integrations) -> StorageIntegration:
    """A verified, private integration of Ana's."""
    new = NewIntegration(name="lake", path="s3://lake/raw", role_arn=ROLE, region="eu-central-1")
    return integrations.verify(ANA, integrations.create(ANA, new).id)[0]
