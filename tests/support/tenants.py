"""Organisations to act in, and integrations whose store is a fake: nothing here talks to S3."""

import threading
from collections.abc import Callable, Iterator
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
from graticule.services.catalog.catalogs import Catalogs
from graticule.services.integrations.integration_policies import IntegrationPolicies
from graticule.services.integrations.integration_updates import IntegrationUpdates
from graticule.services.integrations.integrations import Integrations, NewIntegration
from graticule.services.integrations.verification_runs import WAIT_S_MAX, VerificationRuns
from graticule.services.integrations.verifications import Verifications
from graticule.storage.verification.engine import Progress, Request
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
    requests: list[Request] = field(default_factory=list)

    def __call__(
        self,
        request: Request,
        /,
        *,
        progress: Progress = lambda _checks, _waiting: None,
        stopping: threading.Event | None = None,
    ) -> Report:
        self.requests.append(request)
        self.seen.append(request.integration)
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
def integrations(tenants: Engine, clock: Clock, invalidated: list[str]) -> Integrations:
    return Integrations(
        tenants,
        RING,
        now_ms=clock,
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
def updates(
    tenants: Engine,
    clock: Clock,
    integrations: Integrations,
    verifier: Verifier,
    invalidated: list[str],
) -> IntegrationUpdates:
    return IntegrationUpdates(
        tenants,
        RING,
        integrations,
        now_ms=clock,
        verify=lambda integration: verifier(Request(integration)),
        invalidate=invalidated.append,
    )


@pytest.fixture
def runs(
    tenants: Engine, clock: Clock, verifier: Verifier, invalidated: list[str]
) -> Iterator[VerificationRuns]:
    runs = VerificationRuns(
        tenants, RING, now_ms=clock, verify=verifier, invalidate=invalidated.append
    )
    yield runs
    runs.close()


@pytest.fixture
def verifications(
    tenants: Engine,
    integrations: Integrations,
    updates: IntegrationUpdates,
    runs: VerificationRuns,
    clock: Clock,
) -> Verifications:
    return Verifications(tenants, integrations, updates, runs, now_ms=clock)


@pytest.fixture
def lake(integrations: Integrations, verifications: Verifications) -> StorageIntegration:
    """A verified, private integration of Ana's."""
    new = NewIntegration(name="lake", path="s3://lake/raw", role_arn=ROLE, region="eu-central-1")
    return verified(verifications, integrations.create(ANA, new).id)


def verified(verifications: Verifications, id_or_name: str) -> StorageIntegration:
    """Have Ana verify an integration, to the end."""
    found, verification = verifications.verify(ANA, id_or_name, wait_s=WAIT_S_MAX)
    assert not verification.is_running
    return found
