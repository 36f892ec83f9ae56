"""What members do with verifications: have them made, follow them, look back, try drafts.

Authorisation lives here; how they run, in `verification_runs`.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Engine

from graticule.access.policy import Action, require
from graticule.db import verifications as verifications_db
from graticule.db.engine import read
from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import NoSuchVerification, WrongState
from graticule.domain.tenancy import Principal
from graticule.domain.verification import (
    Report,
    Trigger,
    Verification,
    VerificationState,
)
from graticule.services.integrations.integration_updates import (
    IntegrationChanges,
    IntegrationUpdates,
)
from graticule.services.integrations.integrations import Integrations, NewIntegration
from graticule.services.integrations.verification_runs import VerificationRuns
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)


class Verifications:
    def __init__(
        self,
        engine: Engine,
        integrations: Integrations,
        updates: IntegrationUpdates,
        runs: VerificationRuns,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._integrations = integrations
        self._updates = updates
        self._runs = runs
        self._now_ms = now_ms

    def verify(
        self, principal: Principal, id_or_name: str, *, wait_s: float = 0, retry_s: float = 0
    ) -> tuple[StorageIntegration, Verification]:
        """Verify an integration, and wait for the end for `wait_s` at most.

        One that runs already is joined.  For `retry_s` at most, refusals are tried again that may
        only mean that IAM has not caught up.

        Raises:
            NoSuchIntegration: the organisation has none, or it was deleted meanwhile.
            Overloaded: too many are running.
            WrongState: it was changed meanwhile; the report would be about something else.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)
        found = self._integrations.get(principal, id_or_name)
        begun = self._runs.begin(found, Trigger.MANUAL, by=principal, retry_s=retry_s)
        self._runs.wait(begun, wait_s)
        # Looked at afterwards: it may have changed its type, or be gone.
        integration = self._integrations.get(principal, found.id)
        verification = self.get(principal, found.id, begun.id)
        if verification.state is VerificationState.OUTDATED:
            raise WrongState(f"`{found.name}` was changed while it was verified; verify it again")
        return integration, verification

    def verify_draft(self, principal: Principal, new: NewIntegration) -> Report:
        """Try what an integration would promise that does not exist.  Keeps nothing.

        Raises:
            AlreadyExists: another organisation has the role.
            InvalidRequest: a rule is broken; the message names the field.
            Overloaded: too many are running.
        """
        require(principal, Action.CREATE_INTEGRATIONS)
        return self._runs.try_out(self._integrations.checked(principal, new))

    def verify_changes(
        self, principal: Principal, id_or_name: str, changes: IntegrationChanges
    ) -> Report:
        """Try what an integration would promise after `changes`.  Keeps nothing, changes nothing.

        Raises:
            NoSuchIntegration: the organisation has none.
            AlreadyExists, InvalidRequest, Overloaded: as for `verify_draft`.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)
        return self._runs.try_out(self._updates.proposed(principal, id_or_name, changes))

    def history(
        self, principal: Principal, id_or_name: str, *, after: str | None = None, limit: int
    ) -> Page:
        """The verifications of an integration, newest first."""
        found = self._integrations.get(principal, id_or_name)
        with read(self._engine) as conn:
            rows = verifications_db.page(
                conn, found.id, after=after, limit=limit + 1, now_ms=self._now_ms()
            )
        return page(rows, limit, key=lambda verification: verification.id)

    def get(self, principal: Principal, id_or_name: str, verification_id: str) -> Verification:
        """One verification, also while it runs.

        Raises:
            NoSuchIntegration: the organisation has none.
            NoSuchVerification: the integration has none, or not any more.
        """
        found = self._integrations.get(principal, id_or_name)
        with read(self._engine) as conn:
            verification = verifications_db.find(
                conn, found.id, verification_id, now_ms=self._now_ms()
            )
        if verification is None:
            raise NoSuchVerification(f"`{found.name}` has no verification `{verification_id}`")
        return verification

    def last(self, principal: Principal, id_or_name: str) -> Verification | None:
        """The last verification, unless the integration was changed since."""
        found = self._integrations.get(principal, id_or_name)
        if found.verified_at_ms is None:
            return None
        with read(self._engine) as conn:
            return verifications_db.last_ended(conn, found.id, now_ms=self._now_ms())
