"""What a catalog's scans pass over and register by themselves: kept, so that re-scans honour it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine

from graticule.access.policy import Action, require
from graticule.db import scan_policies as scan_policies_db
from graticule.db.engine import read, transact
from graticule.discovery.ignoring import Ignored, checked_patterns
from graticule.discovery.proposal import Confidence
from graticule.domain.audit import EventType, of_catalog
from graticule.domain.catalog import OpenCatalog
from graticule.domain.scan import ScanPolicy
from graticule.domain.tenancy import Principal
from graticule.services.events import audit_trail


class ScanPolicies:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def get(self, principal: Principal, catalog: OpenCatalog) -> ScanPolicy:
        require(principal, Action.SCAN_CATALOG)
        return self.of(catalog)

    def of(self, catalog: OpenCatalog) -> ScanPolicy:
        """A catalog's policy, for whoever was allowed to scan it already."""
        with read(self._engine) as conn:
            return scan_policies_db.load(conn, catalog.catalog.id)

    def ignored(self, catalog: OpenCatalog) -> Ignored:
        """The patterns, as they apply to the keys of the catalog's bucket."""
        root = catalog.integration.location.key_prefix
        return Ignored(self.of(catalog).ignored, root)

    def put(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        *,
        ignored: Sequence[str],
        auto_approve: Confidence | None,
    ) -> ScanPolicy:
        """Replace a catalog's policy.

        Raises:
            InvalidRequest: a pattern that cannot be used, or too many.
        """
        require(principal, Action.SCAN_CATALOG)
        if auto_approve is not None:
            require(principal, Action.WRITE_CATALOG)
        patterns = checked_patterns(tuple(dict.fromkeys(ignored)))
        policy = ScanPolicy(patterns, auto_approve.value if auto_approve else None)
        self._save(principal, catalog, policy)
        return policy

    def ignore_also(
        self, principal: Principal, catalog: OpenCatalog, patterns: Sequence[str]
    ) -> Ignored:
        """Add patterns to those that are kept; answers all of them.

        Raises:
            InvalidRequest: a pattern that cannot be used, or too many.
        """
        require(principal, Action.SCAN_CATALOG)
        before = self.of(catalog)
        every = checked_patterns(tuple(dict.fromkeys((*before.ignored, *patterns))))
        if every != before.ignored:
            self._save(principal, catalog, replace(before, ignored=every))
        return self.ignored(catalog)

    def _save(self, principal: Principal, catalog: OpenCatalog, policy: ScanPolicy) -> None:
        def save(conn: Connection) -> None:
            scan_policies_db.save(conn, catalog.catalog.id, policy)
            audit_trail.record(
                conn,
                principal,
                EventType.SCAN_POLICY_CHANGED,
                of_catalog(catalog.catalog),
                now_ms=self._now_ms(),
                details={"ignored": policy.ignored, "auto_approve": policy.auto_approve},
            )

        transact(self._engine, save)
