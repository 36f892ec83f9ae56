"""What is built in this room: scans of buckets, and what becomes of what they find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.access.scan_tokens import ScanTokens
from graticule.services.catalog.room import CatalogRoom
from graticule.services.discovery.approvals import Approvals
from graticule.services.discovery.bucket_survey import BucketSurveys
from graticule.services.discovery.conversions import Conversions
from graticule.services.discovery.discovery import Discovery
from graticule.services.discovery.handoffs import Handoffs
from graticule.services.discovery.registration import Registration
from graticule.services.discovery.scan_policies import ScanPolicies
from graticule.services.discovery.scan_work import ScanWork
from graticule.services.events.audit import Audit
from graticule.services.integrations.credentials import Credentials
from graticule.storage.inspection_workers import InspectionWorkers

SCAN_TOKEN_PURPOSE: Final = "tokens of scans"


@dataclass(frozen=True, kw_only=True)
class DiscoveryRoom:
    discovery: Discovery
    handoffs: Handoffs
    scan_policies: ScanPolicies
    scan_work: ScanWork
    conversions: Conversions


def open_discovery(
    engine: Engine,
    keyring: Keyring,
    catalog: CatalogRoom,
    credentials: Credentials,
    workers: InspectionWorkers,
    *,
    audit: Audit,
    now_ms: Callable[[], int],
    wake: Callable[[], None],
    patience_s: float,
) -> DiscoveryRoom:
    """`wake` has jobs looked for; `patience_s` is how long a scan waits for a cluster."""
    registration = Registration(
        engine, credentials, catalog.pending_snapshots, workers, now_ms=now_ms
    )
    policies = ScanPolicies(engine, now_ms=now_ms)
    handoffs = Handoffs(engine, keyring, credentials, now_ms=now_ms, patience_s=patience_s)
    return DiscoveryRoom(
        discovery=Discovery(
            engine,
            keyring,
            credentials,
            approvals=Approvals(catalog.namespaces, registration, catalog.table_handover),
            policies=policies,
            surveys=BucketSurveys(engine, workers, now_ms=now_ms),
            handoffs=handoffs,
            now_ms=now_ms,
            wake=wake,
        ),
        handoffs=handoffs,
        scan_policies=policies,
        scan_work=ScanWork(
            engine,
            keyring,
            credentials,
            ScanTokens(keyring.derive(SCAN_TOKEN_PURPOSE)),
            audit,
            now_ms=now_ms,
        ),
        conversions=Conversions(
            engine,
            keyring,
            credentials,
            catalog.namespaces,
            registration=registration,
            workers=workers,
            now_ms=now_ms,
            wake=wake,
        ),
    )
