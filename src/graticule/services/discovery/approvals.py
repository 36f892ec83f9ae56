"""Makes tables of the proposals that were approved, each in a commit of its own.

Files are registered where they lie; an Iceberg table that lies there already by its metadata file.
One that cannot be registered does not keep the others from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from graticule.access.delegation import NO_DELEGATION
from graticule.discovery.approval import Approved, Wish, approve
from graticule.discovery.proposal import ExistingProposal
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import CatalogError
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.services.catalog.namespaces import Namespaces
from graticule.services.catalog.table_handover import TableHandover
from graticule.services.discovery.bucket_survey import Survey
from graticule.services.discovery.registration import Registration

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one proposal; `error` says why it is not a table."""

    proposal: str
    identifier: TableIdentifier
    files: int
    rows: int
    error: str | None = None


class Approvals:
    def __init__(
        self, namespaces: Namespaces, registration: Registration, handover: TableHandover
    ) -> None:
        self._namespaces = namespaces
        self._registration = registration
        self._handover = handover

    def register(
        self, principal: Principal, catalog: OpenCatalog, survey: Survey, wish: Wish
    ) -> Sequence[Registered]:
        """Register what is wanted; namespaces are made when they are not there.

        Raises:
            InvalidRequest: a name that was not proposed, or the same name for two tables.
            InvalidName: a new name is no legal name.
        """
        approved = approve(survey.proposals, wish)
        for namespace in dict.fromkeys(each.identifier.namespace for each in approved):
            self._namespaces.ensure(principal, catalog, namespace)
        return [self._register(principal, catalog, survey, each) for each in approved]

    def _register(
        self, principal: Principal, catalog: OpenCatalog, survey: Survey, approved: Approved
    ) -> Registered:
        proposal, identifier = approved.proposal, approved.identifier
        name = str(proposal.qualified_name)
        try:
            if isinstance(proposal, ExistingProposal):
                self._handover.register(
                    principal,
                    catalog,
                    identifier,
                    proposal.metadata_location,
                    overwrite=False,
                    delegate=NO_DELEGATION,
                )
                files = proposal.file_count or 0
            else:
                self._registration.register(principal, catalog, survey, proposal, identifier)
                files = proposal.file_count
        except CatalogError as error:
            log.warning("proposal not registered", table=str(identifier), reason=error.message)
            return Registered(name, identifier, 0, 0, error.message)
        return Registered(name, identifier, files, proposal.rows or 0)
