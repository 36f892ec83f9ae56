"""Verifications run beside each other, are kept, and come back by themselves."""

import threading
from dataclasses import replace

import pytest

from graticule.db import verifications as verifications_db
from graticule.db.engine import read, write
from graticule.domain.catalog import BucketType, VerificationStatus
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InvalidRequest,
    NoSuchIntegration,
    NoSuchVerification,
    Overloaded,
    WrongState,
)
from graticule.domain.verification import (
    Check,
    CheckStatus,
    Neighbour,
    Trigger,
    Verification,
    VerificationState,
)
from graticule.services.integrations.integrations import NewIntegration
from graticule.services.integrations.verification_runs import (
    DOUBT_PAUSE_MS,
    PERIOD_S,
    VerificationRuns,
)
from graticule.services.integrations.verification_slots import (
    RUNNING_PER_ORGANISATION_MAX,
    WAITING_MAX,
)
from graticule.services.integrations.verifications import Verifications
from support.principals import ANA, BEN
from support.tenants import RING, ROLE, ZOE, verified

NEW = NewIntegration(name="Lake of Ana", path="s3://lake/raw", role_arn=ROLE, region="eu-central-1")
LISTED = Check("list", "The path can be listed", CheckStatus.PASS, 3, "listed")
TIMEOUT_S = 30


@pytest.fixture
def created(integrations):
    return integrations.create(ANA, NEW)


@pytest.fixture
def gate(verifier):
    """Holds every verification until it is opened; opened at the end in any case."""
    gate = threading.Event()
    verifier.meanwhile = lambda: gate.wait(TIMEOUT_S)
    yield gate
    gate.set()


def begin(verifications, integration):
    return verifications.verify(ANA, integration.id)[1]


def ended(verifications, integration, begun):
    verifications._runs.wait(begun, TIMEOUT_S)
    return verifications.get(ANA, integration.id, begun.id)


def test_a_verification_is_kept_and_forgets_what_was_cached(
    verifications, verifier, created, invalidated, clock
):
    assert verifications.last(ANA, created.id) is None

    found, verification = verifications.verify(ANA, created.name, wait_s=TIMEOUT_S)

    assert found == replace(
        created,
        bucket_type=BucketType.PRIVATE,
        version=2,
        verified_at_ms=clock(),
        verification_status=VerificationStatus.PASSED,
    )
    assert verification == verifications.last(BEN, created.id)
    assert verification == Verification(
        id=verification.id,
        integration_id=created.id,
        trigger=Trigger.MANUAL,
        requested_by=ANA.name,
        state=VerificationState.PASSED,
        checks=(LISTED,),
        waiting="",
        bucket_type=BucketType.PRIVATE,
        started_at_ms=clock(),
        ends_by_ms=verification.ends_by_ms,
        finished_at_ms=clock(),
    )
    assert verifier.seen == [created]
    assert invalidated == [created.id]


def test_a_verification_that_changes_nothing_keeps_the_version(verifications, lake):
    assert verified(verifications, lake.id).version == lake.version


def test_a_bucket_known_to_be_public_stays_so_when_it_cannot_be_reached(
    verifications, verifier, created
):
    verifier.bucket_type = BucketType.PUBLIC
    verified(verifications, created.id)
    verifier.bucket_type, verifier.status = BucketType.UNKNOWN, CheckStatus.FAIL

    found = verified(verifications, created.id)

    assert found.bucket_type is BucketType.PUBLIC
    assert found.verification_status is VerificationStatus.FAILED


def test_an_integration_deleted_while_it_is_verified_is_gone(
    integrations, verifications, verifier, created
):
    verifier.meanwhile = lambda: integrations.delete(ANA, created.id)

    with pytest.raises(NoSuchIntegration):
        verifications.verify(ANA, created.id, wait_s=TIMEOUT_S)


def test_what_was_found_of_something_else_meanwhile_is_not_believed(
    integrations, updates, verifications, verifier, created
):
    verifier.meanwhile = lambda: updates.update(ANA, created.id, {"read_only": True})

    with pytest.raises(WrongState, match="was changed while it was verified"):
        verifications.verify(ANA, created.id, wait_s=TIMEOUT_S)
    [kept] = verifications.history(ANA, created.id, limit=10).items
    assert kept.state is VerificationState.OUTDATED
    found = integrations.get(ANA, created.id)
    assert found.verification_status is VerificationStatus.UNVERIFIED


def test_whoever_does_not_wait_can_follow_and_a_second_one_joins(
    verifications, verifier, created, gate
):
    first, second = begin(verifications, created), begin(verifications, created)

    assert first.is_running
    assert second == first
    assert verifications.history(ANA, created.id, limit=10).items == [first]
    gate.set()
    done = ended(verifications, created, first)
    assert (done.state, done.checks) == (VerificationState.PASSED, (LISTED,))
    assert verifier.seen[0] == created


def test_a_store_that_stalls_holds_up_no_other_integration(
    integrations, verifications, verifier, created
):
    gate = threading.Event()
    verifier.meanwhile = lambda: (
        gate.wait(TIMEOUT_S) if verifier.seen[-1].id == created.id else None
    )
    stalled = begin(verifications, created)
    other = integrations.create(ANA, replace(NEW, name="other", path="s3://other"))

    assert verified(verifications, other.id).verification_status is VerificationStatus.PASSED

    assert verifications.get(ANA, created.id, stalled.id).is_running
    gate.set()


def test_one_organisation_does_not_get_all_the_room(integrations, verifications, verifier, gate):
    made = [
        integrations.create(ANA, replace(NEW, name=f"i {n}", path=f"s3://bucket{n}"))
        for n in range(RUNNING_PER_ORGANISATION_MAX + 1)
    ]
    for integration in made[:-1]:
        begin(verifications, integration)

    with pytest.raises(Overloaded, match="too many verifications"):
        begin(verifications, made[-1])

    zoes = integrations.create(
        ZOE, replace(NEW, name="zoes", path="s3://zoes", role_arn=ROLE + "z")
    )
    assert verifications.verify(ZOE, zoes.id)[1].is_running


def test_waiting_for_results_does_not_take_all_threads(verifications, runs, created, gate):
    waiting = [
        threading.Thread(
            target=verifications.verify, args=(ANA, created.id), kwargs={"wait_s": TIMEOUT_S}
        )
        for _ in range(WAITING_MAX)
    ]
    for thread in waiting:
        thread.start()
    while any(runs._slots._waiting._value for _ in "_"):
        pass

    assert verifications.verify(ANA, created.id, wait_s=TIMEOUT_S)[1].is_running

    gate.set()
    for thread in waiting:
        thread.join()


def test_one_whose_server_died_counts_as_interrupted_and_can_be_begun_anew(
    tenants, verifications, created, clock
):
    dead = Verification(
        id="0198-dead",
        integration_id=created.id,
        trigger=Trigger.MANUAL,
        requested_by=ANA.name,
        state=VerificationState.RUNNING,
        checks=(LISTED,),
        waiting="for IAM",
        bucket_type=BucketType.UNKNOWN,
        started_at_ms=clock(),
        ends_by_ms=clock() + 1000,
    )
    with write(tenants) as conn:
        verifications_db.create(conn, dead)
    assert begin(verifications, created) == dead

    clock.advance(s=1)

    assert verifications.get(ANA, created.id, dead.id) == replace(
        dead, state=VerificationState.INTERRUPTED, waiting=""
    )
    assert begin(verifications, created).id != dead.id


def test_the_history_is_bounded_paged_newest_first_and_goes_with_its_integration(
    tenants, integrations, verifications, created, monkeypatch
):
    monkeypatch.setattr(verifications_db, "KEPT_MAX", 3)
    for _ in range(5):
        verified(verifications, created.id)

    first = verifications.history(BEN, created.id, limit=2)
    second = verifications.history(BEN, created.id, after=first.next_after, limit=2)

    ids = [verification.id for verification in [*first.items, *second.items]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), second.next_after) == (3, None)
    with pytest.raises(NoSuchVerification):
        verifications.get(ANA, created.id, "0198")
    with pytest.raises(NoSuchIntegration):
        verifications.history(ZOE, created.id, limit=2)
    integrations.delete(ANA, created.id)
    with read(tenants) as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM verifications").scalar_one() == 0


def test_a_draft_is_tried_and_leaves_no_trace(tenants, integrations, verifications, verifier, lake):
    verifier.requests.clear()
    report = verifications.verify_draft(ANA, replace(NEW, path="s3://lake/maps"))

    assert report.checks == (LISTED,)
    [request] = verifier.requests
    assert request.integration.location.uri == "s3://lake/maps"
    assert request.surroundings.integrations == (Neighbour("lake", "s3://lake/raw"),)
    assert list(integrations.list(ANA, limit=10).items) == [lake]
    with pytest.raises(Forbidden):
        verifications.verify_draft(BEN, NEW)
    with pytest.raises(InvalidRequest):
        verifications.verify_draft(ANA, replace(NEW, region=None))
    with pytest.raises(AlreadyExists, match="cannot be used here"):
        verifications.verify_draft(ZOE, NEW)


def test_changes_are_tried_before_they_are_made(
    integrations, verifications, verifier, catalogs, lake
):
    made = catalogs.create(ANA, name="maps", integration="lake").catalog
    verifier.requests.clear()

    verifications.verify_changes(ANA, "lake", {"read_only": True, "name": "the lake"})

    [request] = verifier.requests
    assert (request.integration.id, request.integration.read_only) == (lake.id, True)
    assert request.surroundings.catalogs == (Neighbour("maps", made.location.uri),)
    assert integrations.get(ANA, "lake") == lake
    with pytest.raises(Forbidden):
        verifications.verify_changes(BEN, "lake", {"read_only": True})


def run_due(runs):
    runs.run_due(threading.Event())


def test_what_was_verified_is_verified_again_about_a_period_later(
    verifications, runs, verifier, lake, clock
):
    verifier.seen.clear()
    clock.advance(s=0.85 * PERIOD_S)
    run_due(runs)
    assert verifications.history(ANA, lake.id, limit=10).items[0].trigger is Trigger.MANUAL

    clock.advance(s=0.3 * PERIOD_S)
    run_due(runs)

    scheduled = verifications.history(ANA, lake.id, limit=10).items[0]
    assert (scheduled.trigger, scheduled.requested_by) == (Trigger.SCHEDULED, None)
    assert ended(verifications, lake, scheduled).state is VerificationState.PASSED


def test_of_several_servers_one_verifies_what_is_due(
    tenants, verifications, runs, verifier, lake, clock, gate
):
    other = VerificationRuns(
        tenants, RING, now_ms=clock, verify=verifier, invalidate=lambda _: None
    )
    clock.advance(s=2 * PERIOD_S)

    run_due(runs)
    run_due(other)

    assert len(verifications.history(ANA, lake.id, limit=10).items) == 2
    gate.set()
    other.close()


def test_without_a_period_nothing_is_verified_by_itself(
    tenants, integrations, updates, verifier, created, clock
):
    quiet = VerificationRuns(
        tenants, RING, now_ms=clock, verify=verifier, invalidate=lambda _: None, period_s=0
    )
    verified(Verifications(tenants, integrations, updates, quiet, now_ms=clock), created.id)
    clock.advance(s=10 * PERIOD_S)

    run_due(quiet)
    quiet.close()

    assert len(verifier.seen) == 1


def test_a_change_is_verified_soon_and_the_status_says_stale_until_then(
    integrations, updates, verifications, runs, lake
):
    changed = updates.update(ANA, "lake", {"requester_pays": True})
    assert changed.verification_status is VerificationStatus.STALE
    assert verifications.last(ANA, "lake") is None

    run_due(runs)

    begun = verifications.history(ANA, "lake", limit=1).items[0]
    assert begun.trigger is Trigger.CHANGED
    ended(verifications, lake, begun)
    assert integrations.get(ANA, "lake").verification_status is VerificationStatus.PASSED


def test_a_refusal_in_the_course_of_business_has_the_integration_verified_once(
    verifications, runs, lake, clock
):
    runs.doubt(lake)
    run_due(runs)
    begun = verifications.history(ANA, lake.id, limit=1).items[0]
    ended(verifications, lake, begun)

    runs.doubt(lake)
    run_due(runs)
    assert begun.trigger is Trigger.REFUSED
    newest = verifications.history(ANA, lake.id, limit=1).items[0]
    assert newest.trigger is not Trigger.REFUSED or newest.id == begun.id

    clock.advance(s=DOUBT_PAUSE_MS / 1000)
    runs.doubt(lake)
    run_due(runs)
    assert verifications.history(ANA, lake.id, limit=1).items[0].trigger is Trigger.REFUSED


def test_progress_is_seen_while_it_waits_for_iam(verifications, runs, verifier, created):
    seen = []

    def verify(request, *, progress, stopping):
        progress([LISTED], "trying again in 5 s")
        running = verifications.history(ANA, request.integration.id, limit=1).items[0]
        seen.append((running.state, running.checks, running.waiting))
        return type(verifier)()(request)

    runs._verify = verify
    verified(verifications, created.id)

    assert seen == [(VerificationState.RUNNING, (LISTED,), "trying again in 5 s")]


def test_what_was_cut_off_because_the_server_stops_says_nothing_about_the_store(
    integrations, verifications, runs, verifier, lake
):
    def verify(request, *, progress, stopping):
        stopping.wait(TIMEOUT_S)
        return replace(
            type(verifier)()(request), checks=(replace(LISTED, status=CheckStatus.FAIL),)
        )

    runs._verify = verify
    begun = begin(verifications, lake)

    runs.close()

    ended = verifications.get(ANA, lake.id, begun.id)
    assert ended.state is VerificationState.INTERRUPTED
    assert integrations.get(ANA, lake.id) == lake
