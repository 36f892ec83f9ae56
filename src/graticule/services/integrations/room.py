"""What is built in this room: buckets that were connected, and the credentials for them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.domain.catalog import StorageIntegration
from graticule.domain.verification import Report
from graticule.outbound.gate import Outbound
from graticule.services.events.audit import Audit
from graticule.services.integrations.browsing import Browsing
from graticule.services.integrations.credentials import Credentials
from graticule.services.integrations.integration_policies import IntegrationPolicies
from graticule.services.integrations.integration_updates import IntegrationUpdates
from graticule.services.integrations.integrations import Integrations
from graticule.services.integrations.verification_runs import VerificationRuns
from graticule.services.integrations.verifications import Verifications
from graticule.storage.identity import ServerIdentity
from graticule.storage.verification.engine import Request, verify


@dataclass(frozen=True, kw_only=True)
class IntegrationsRoom:
    integrations: Integrations
    integration_policies: IntegrationPolicies
    integration_updates: IntegrationUpdates
    browsing: Browsing
    credentials: Credentials
    verifications: Verifications
    verification_runs: VerificationRuns


def open_integrations(
    engine: Engine,
    keyring: Keyring,
    audit: Audit,
    *,
    now_ms: Callable[[], int],
    outbound: Outbound,
    identity: ServerIdentity,
    on_change: Callable[[], None],
    credential_lifetime_s: int,
    verification_period_s: int,
    principal_arn: str | None,
    role_tag: str,
) -> IntegrationsRoom:
    """`on_change` is called when an integration is another one than before, or gone."""
    credentials = Credentials(
        identity=identity, now_ms=now_ms, duration_s=credential_lifetime_s, outbound=outbound
    )

    def forget(integration_id: str) -> None:
        credentials.invalidate(integration_id)
        on_change()

    def verify_as_server(integration: StorageIntegration) -> Report:
        return verify(Request(integration), identity=identity, outbound=outbound)

    integrations = Integrations(
        engine, keyring, now_ms=now_ms, invalidate=forget, outbound=outbound
    )
    updates = IntegrationUpdates(
        engine,
        keyring,
        integrations,
        now_ms=now_ms,
        verify=verify_as_server,
        invalidate=forget,
    )
    runs = VerificationRuns(
        engine,
        keyring,
        now_ms=now_ms,
        verify=partial(verify, identity=identity, outbound=outbound),
        invalidate=forget,
        period_s=verification_period_s,
    )
    credentials.when_refused(runs.doubt)
    return IntegrationsRoom(
        integrations=integrations,
        integration_policies=IntegrationPolicies(
            integrations,
            now_ms=now_ms,
            principal_arn=principal_arn,
            find_arn=identity.arn,
            outbound=outbound,
            role_tag=role_tag,
        ),
        integration_updates=updates,
        browsing=Browsing(engine, integrations, credentials, audit, now_ms=now_ms),
        credentials=credentials,
        verifications=Verifications(engine, integrations, updates, runs, now_ms=now_ms),
        verification_runs=runs,
    )
