"""Whatever answers at the endpoint, verifying ends soon and says what to do about it."""

import resource
import threading
import time
from functools import partial

import pytest

from graticule.domain.catalog import AccessKeys, BucketType, StorageIntegration
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.verification import CheckStatus
from graticule.outbound.gate import ANYWHERE
from graticule.storage.guarded_session import DOCUMENT_BYTES_MAX
from graticule.storage.identity import ServerIdentity
from graticule.storage.verification import engine
from graticule.storage.verification.engine import Request
from support.hostile import (
    answers,
    drips,
    hostile,
    never_ends,
    resets,
    says_nothing,
    talks_something_else,
)

verify = partial(engine.verify, outbound=ANYWHERE)

PASS, FAIL, SKIP = CheckStatus.PASS, CheckStatus.FAIL, CheckStatus.SKIP
CHECKS_S_MAX = 30.0
SLACK_S = 10.0  # for a busy machine; without the bound these would take minutes, or for ever

KEYS = AccessKeys("AKIAEXAMPLE", Secret("secret"))
ACCESS_DENIED = (
    b"""<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>No</Message></Error>"""
)
HTML = b"<!doctype html><html><body>Sign in to the console</body></html>"


def integration_at(endpoint):
    return StorageIntegration(
        id="integration-1",
        organisation_id="organisation-1",
        name="hostile",
        location=Location("lake", "raw"),
        region="us-east-1",
        endpoint=endpoint,
        path_style=True,
        role_arn=None,
        access_keys=KEYS,
        external_id="organisation-1",
        bucket_type=BucketType.UNKNOWN,
        version=1,
        created_at_ms=0,
    )


def first_failure(endpoint, *, checks_s_max=CHECKS_S_MAX):
    """The check that stopped the others; and it took no longer than it may."""
    started = time.monotonic()
    report = verify(
        Request(integration_at(endpoint)), identity=ServerIdentity(), checks_s_max=checks_s_max
    )
    assert time.monotonic() - started < checks_s_max + SLACK_S
    assert not report.passed
    failure = next(check for check in report.checks if check.status is FAIL)
    assert failure.remedy
    assert report.checks[-1].id == "cleanup"
    return failure


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_store_that_redirects_is_not_followed(status):
    with hostile(answers(200, b"secret things")) as elsewhere:
        with hostile(answers(status, Location=elsewhere.endpoint)) as store:
            failure = first_failure(store.endpoint)

        assert elsewhere.visits == []
    assert failure.id == "network"
    assert "redirect" in failure.detail
    assert "redirects are never followed" in failure.remedy


@pytest.mark.parametrize(
    ("behaviour", "check", "detail", "remedy"),
    [
        (says_nothing, "network", "no complete answer", "Try again when the store answers"),
        (drips, "network", "no complete answer", "Try again when the store answers"),
        (resets, "network", "no usable answer", "does not speak S3"),
        (talks_something_else, "network", "no usable answer", "does not speak S3"),
        (answers(200, HTML, Content_Type="text/html"), "list", "listing", "not speak S3"),
        (answers(200, b"\x00\xff garbage"), "list", "listing", "not speak S3"),
        (answers(200, b"<a/>"), "list", "not what S3 says", "not speak S3"),
        (answers(503, b"busy"), "region", "503", "try again later"),
        (answers(403, ACCESS_DENIED), "identity", "AccessDenied", "access keys"),
    ],
    ids=["silent", "drips", "resets", "ssh", "html", "garbage", "other-xml", "busy", "denies"],
)
def test_an_answer_that_is_none_gives_a_report_with_the_remedy(behaviour, check, detail, remedy):
    with hostile(behaviour) as store:
        never_answers = behaviour in {says_nothing, drips}
        failure = first_failure(store.endpoint, checks_s_max=2.0 if never_answers else CHECKS_S_MAX)

    assert (failure.id, detail in failure.detail, remedy in failure.remedy) == (check, True, True)


def test_an_endless_answer_is_cut_before_it_fills_the_memory():
    def serve(visit):
        if visit.method == "HEAD":
            visit.answer(200)
        else:
            never_ends(visit)

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with hostile(serve) as store:
        failure = first_failure(store.endpoint)

    assert failure.id == "identity"
    assert f"exceeds {DOCUMENT_BYTES_MAX} bytes" in failure.detail
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) * 1024
    assert grown_bytes < 8 * DOCUMENT_BYTES_MAX


@pytest.mark.parametrize(
    ("date", "says"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "ahead of the store's"),
        ("Fri, 31 Dec 2100 23:59:59 GMT", "behind the store's"),
    ],
)
def test_a_wrong_clock_is_told_with_its_direction(date, says):
    with hostile(answers(403, ACCESS_DENIED, Date=date)) as store:
        failure = first_failure(store.endpoint)

    assert (failure.id, says in failure.detail, "NTP" in failure.remedy) == ("clock", True, True)


def test_a_store_without_a_clock_or_with_nonsense_for_one_is_not_blamed():
    with hostile(answers(403, ACCESS_DENIED, Date="yesterday")) as store:
        report = verify(Request(integration_at(store.endpoint)), identity=ServerIdentity())

    assert {check.id: check.status for check in report.checks}["clock"] is SKIP


def test_a_store_that_lies_about_regions_gets_no_say_in_the_remedy():
    lie = "<script>alert(1)</script>"
    with hostile(answers(200, b"<a/>", **{"x-amz-bucket-region": lie})) as store:
        report = verify(Request(integration_at(store.endpoint)), identity=ServerIdentity())

    region = next(check for check in report.checks if check.id == "region")
    assert (region.status, "names no usable region" in region.detail) == (SKIP, True)
    assert lie not in repr(report)


def test_nobody_at_the_endpoint_and_no_such_name_are_told_apart():
    refused = first_failure("http://127.0.0.1:9")
    unknown = first_failure("http://no-such-host.invalid")
    with hostile(answers(200)) as plain:
        untrusted = first_failure(plain.endpoint.replace("http:", "https:"))

    assert [failure.id for failure in (refused, unknown, untrusted)] == ["network"] * 3
    assert "could not connect" in refused.detail
    assert "could not find an address" in unknown.detail
    assert "could not agree on TLS" in untrusted.detail


def test_a_server_that_stops_waits_for_no_store():
    stopping = threading.Event()
    with hostile(says_nothing) as store:
        started = time.monotonic()
        stopper = threading.Timer(0.2, stopping.set)
        stopper.start()
        request = Request(integration_at(store.endpoint))
        report = verify(request, identity=ServerIdentity(), stopping=stopping)

    assert time.monotonic() - started < SLACK_S
    assert [check.id for check in report.checks if check.status is FAIL] == ["network"]
    assert report.checks[4].detail == "needs `network`"
    assert report.checks[-1].status is PASS
