"""Lets other machines inspect files of a scan: who they are, what there is to do, with what keys.

They show a token that is for one scan.  For each part they get a session that reads the folders of
its files and writes its answers; nothing that they get opens more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.access.policy import BY_ROLE, Action, require
from graticule.access.s3_urls import StoreAddress
from graticule.access.scan_tokens import LIFETIME_S, ScanPass, ScanTokens
from graticule.db import jobs as jobs_db
from graticule.db import members as members_db
from graticule.db import scan_parts as parts_db
from graticule.db.engine import read, write
from graticule.db.scan_parts import HandedPart, PartState
from graticule.discovery.inspection_codec import CODEC_VERSION
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import AccessLevel, OpenCatalog, StorageCredential
from graticule.domain.errors import NoSuchScan, Unauthenticated, WrongState
from graticule.domain.job import Job, JobKind
from graticule.domain.scan import ScanEngine
from graticule.domain.secret import Secret
from graticule.domain.tenancy import NOWHERE, Origin, Principal
from graticule.services.discovery.handed_parts import ANSWERS, grants_of, seal_of, staging_of
from graticule.services.events import audit_trail
from graticule.services.events.audit import Audit
from graticule.services.integrations.credentials import Credentials
from graticule.services.jobs.job_context import as_server, catalog_of
from graticule.storage.s3_requests import always_headers, encryption_headers, origin_of

TOKEN_LIFETIME_S: Final = LIFETIME_S


@dataclass(frozen=True, slots=True)
class Work:
    """`parts` are those that nobody has answered yet, once all of them are known."""

    scan_id: str
    state: Literal["preparing", "ready", "over"]
    parts: Sequence[str]


@dataclass(frozen=True, slots=True)
class PartWork:
    """One part, and what it takes to work on it.  Keys are relative to the bucket."""

    bucket: str
    origin: str
    path_prefix: str
    """What comes before a key in the path of a request."""
    region: str
    headers: Mapping[str, str]
    """To go with every request, and those with the answers only."""
    put_headers: Mapping[str, str]
    credential: StorageCredential
    pending_key: str
    answers_key: str
    seal: Secret
    codec_version: int


class ScanWork:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        credentials: Credentials,
        tokens: ScanTokens,
        audit: Audit,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._credentials = credentials
        self._tokens = tokens
        self._audit = audit
        self._now_ms = now_ms

    def issue_token(self, principal: Principal, catalog: OpenCatalog, scan_id: str) -> Secret:
        """A token for the machines that are to inspect the files of a scan.

        Raises:
            NoSuchScan: this catalog has none of that id.
            WrongState: it has ended, or the server inspects by itself.
        """
        require(principal, Action.SCAN_CATALOG)
        for_ = ScanPass(
            catalog.catalog.organisation_id, catalog.catalog.id, scan_id, principal.member_id
        )
        job = self._job(for_)
        if not _is_handed(job):
            raise WrongState(f"scan `{scan_id}` has nothing for other machines to inspect")
        now_ms = self._now_ms()
        subject = Subject(SubjectKind.SCAN, scan_id, job.parameters["prefix"], job.subject_id)
        with write(self._engine) as conn:
            audit_trail.record(conn, principal, EventType.SCAN_TOKEN_ISSUED, subject, now_ms=now_ms)
        return self._tokens.issue(for_, now_ms=now_ms)

    def what(self, token: str) -> Work:
        """What there is to do.

        Raises:
            Unauthenticated: the token is none, expired, or of somebody who may not scan any more.
        """
        for_ = self._admitted(token)
        job = self._job(for_)
        if not _is_handed(job):
            return Work(for_.scan_id, "over", ())
        if _phase(job) != "out":
            return Work(for_.scan_id, "preparing", ())
        with read(self._engine) as conn:
            parts = parts_db.of_scan(conn, for_.scan_id)
        out = tuple(part.name for part in parts if part.state is PartState.OUT)
        return Work(for_.scan_id, "ready", out)

    def part(self, token: str, name: str, *, asked_from: Origin = NOWHERE) -> PartWork:
        """What it takes to inspect the files of one part, for the machine that asks.

        Raises:
            Unauthenticated: as for `what`.
            WrongState: nobody waits for this part any more.
            StorageRefused, StorageUnavailable: from the token service of the storage.
        """
        for_ = self._admitted(token)
        job = self._job(for_)
        part = self._part(for_, name)
        is_out = _is_handed(job) and _phase(job) == "out"
        if not is_out or part is None or part.state is not PartState.OUT:
            raise WrongState(f"nobody waits for `{name}` of scan `{for_.scan_id}` any more")
        catalog = catalog_of(self._engine, self._keyring, job)
        integration = catalog.integration
        staging = staging_of(catalog.catalog, for_.scan_id)
        actor = as_server(for_.organisation_id, job.requested_by, member_id=for_.member_id)
        grants = grants_of(staging, part)
        credential = self._credentials.vend(actor, integration, grants)
        self._audit.note(
            replace(actor, origin=asked_from),
            EventType.SCAN_CREDENTIAL_VENDED,
            Subject(SubjectKind.SCAN, job.id, job.parameters["prefix"], job.subject_id),
            details={
                "part": name,
                "access_key_id": credential.access_key_id,
                "expires_at_ms": credential.expires_at_ms,
                "reads": tuple(g.location for g in grants if g.access is AccessLevel.READ),
                "writes": tuple(g.location for g in grants if g.access is AccessLevel.WRITE),
            },
        )
        address = StoreAddress(staging.bucket, integration.region, integration.endpoint)
        origin, path_prefix = origin_of(address, path_style=integration.path_style)
        return PartWork(
            bucket=staging.bucket,
            origin=origin,
            path_prefix=path_prefix,
            region=integration.region,
            headers=always_headers(requester_pays=integration.requester_pays),
            put_headers=encryption_headers(integration.kms_key_arn),
            credential=credential,
            pending_key=staging.join("pending", name).key,
            answers_key=staging.join("inspected", name, ANSWERS).key,
            seal=Secret(seal_of(self._keyring, for_.scan_id).hex()),
            codec_version=CODEC_VERSION,
        )

    def _admitted(self, token: str) -> ScanPass:
        """Whom the token is for, if that member may still scan."""
        for_ = self._tokens.read(token, now_ms=self._now_ms())
        with read(self._engine) as conn:
            found = members_db.load_by_id(conn, for_.member_id)
        if found is None or found[0].disabled_at_ms is not None:
            raise Unauthenticated("the member that this token is of is gone")
        member, _ = found
        may_scan = Action.SCAN_CATALOG in BY_ROLE[member.role]
        if member.organisation_id != for_.organisation_id or not may_scan:
            raise Unauthenticated("the member that this token is of may not scan any more")
        return for_

    def _job(self, for_: ScanPass) -> Job:
        with read(self._engine) as conn:
            job = jobs_db.find(conn, for_.organisation_id, for_.scan_id)
        if job is None or job.kind is not JobKind.SCAN or job.subject_id != for_.catalog_id:
            raise NoSuchScan(f"there is no scan `{for_.scan_id}`")
        return job

    def _part(self, for_: ScanPass, name: str) -> HandedPart | None:
        with read(self._engine) as conn:
            return parts_db.find(conn, for_.scan_id, name)


def _is_handed(job: Job) -> bool:
    is_wanted = job.state.is_active and job.parameters.get("engine") == ScanEngine.SPARK
    return is_wanted and _phase(job) != "back"


def _phase(job: Job) -> str | None:
    """How far the handoff is, as `handoffs` left it."""
    phase: str | None = ((job.checkpoint or {}).get("handoff") or {}).get("phase")
    return phase
