"""A store that loses answers, stalls or lies: no false success, no false conflict."""

from contextlib import nullcontext

import pytest

from graticule.domain.errors import (
    AlreadyExists,
    StorageRefused,
    StorageUnavailable,
    WriteOutcomeUnknown,
)
from support.faults import Answers, LosesAnswer, LosesRequest, Stalls, faulty

pytestmark = pytest.mark.s3


@pytest.fixture
def proxy(seaweedfs):
    with faulty(seaweedfs.endpoint) as proxy:
        yield proxy


def test_a_write_whose_answer_is_lost_succeeds_once_its_bytes_are_seen(
    proxy, open_store, store, folder
):
    proxy.faults = [LosesAnswer()]

    open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")

    assert proxy.seen["PUT"] == 2
    assert store.get(f"{folder.prefix}m.json") == b"mine"


def test_a_lost_answer_never_hides_that_somebody_else_was_first(proxy, open_store, store, folder):
    store.put_if_absent(f"{folder.prefix}m.json", b"theirs")
    proxy.faults = [LosesAnswer()]

    with pytest.raises(AlreadyExists):
        open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")

    assert store.get(f"{folder.prefix}m.json") == b"theirs"


def test_a_write_that_is_never_answered_but_landed_succeeds(proxy, open_store, folder):
    proxy.faults = [LosesAnswer()] * 3

    open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")

    assert proxy.seen["PUT"] == 3


def test_a_write_that_is_never_answered_and_not_seen_has_an_unknown_outcome(
    proxy, open_store, folder
):
    proxy.faults = [LosesRequest()] * 3

    with pytest.raises(WriteOutcomeUnknown, match=r"m\.json"):
        open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")


def test_a_write_has_an_unknown_outcome_when_it_cannot_be_read_back(proxy, open_store, folder):
    proxy.faults = [*[LosesAnswer()] * 3, *[Answers(503, "GET")] * 3]

    with pytest.raises(WriteOutcomeUnknown):
        open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")


def test_a_name_of_its_own_is_written_once_however_often_it_is_sent(
    proxy, open_store, store, folder
):
    proxy.faults = [LosesAnswer()]

    open_store(endpoint=proxy.endpoint).put(f"{folder.prefix}m.json", b"mine")

    assert proxy.seen == {"PUT": 2}
    assert store.get(f"{folder.prefix}m.json") == b"mine"


@pytest.mark.parametrize("fault", [LosesAnswer, LosesRequest])
def test_a_name_of_its_own_that_is_never_answered_is_there_if_it_is_seen(
    proxy, open_store, folder, fault
):
    proxy.faults = [fault()] * 3

    outcome = pytest.raises(WriteOutcomeUnknown) if fault is LosesRequest else nullcontext()
    with outcome:
        open_store(endpoint=proxy.endpoint).put(f"{folder.prefix}m.json", b"mine")

    assert proxy.seen["PUT"] == 3


def test_a_stalled_write_ends_at_the_timeout_and_is_read_back(proxy, open_store, folder):
    proxy.faults = [Stalls()]

    open_store(endpoint=proxy.endpoint, read_timeout_s=0.5).put_if_absent(
        f"{folder.prefix}m.json", b"mine"
    )

    assert proxy.seen["PUT"] == 2


def test_a_conflict_with_an_upload_under_way_is_tried_again(proxy, open_store, store, folder):
    proxy.faults = [Answers(409, "PUT", body=_error("ConditionalRequestConflict"))]

    open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")

    assert store.get(f"{folder.prefix}m.json") == b"mine"


def test_a_conflict_that_nobody_can_see_is_an_unknown_outcome(proxy, open_store, folder):
    proxy.faults = [Answers(412, "PUT", body=_error("PreconditionFailed"))] * 3

    with pytest.raises(WriteOutcomeUnknown, match="cannot be read back"):
        open_store(endpoint=proxy.endpoint).put_if_absent(f"{folder.prefix}m.json", b"mine")


def test_a_busy_store_is_asked_again(proxy, open_store, store, folder):
    store.put_if_absent(f"{folder.prefix}key", b"x")
    proxy.faults = [Answers(503, body=_error("SlowDown"))] * 2

    assert open_store(endpoint=proxy.endpoint).get(f"{folder.prefix}key") == b"x"


def test_a_store_that_stays_busy_is_unavailable(proxy, open_store, folder):
    proxy.faults = [Answers(503, body=_error("SlowDown"))] * 3

    with pytest.raises(StorageUnavailable, match="503 SlowDown"):
        open_store(endpoint=proxy.endpoint).get(f"{folder.prefix}key")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_nobody_at_its_target_hears_of_it(
    proxy, seaweedfs, open_store, store, folder, status
):
    store.put_if_absent(f"{folder.prefix}key", b"secret")
    with faulty(seaweedfs.endpoint) as target:
        where = f"{target.endpoint}/{folder.bucket}/{folder.key}/key"
        proxy.faults = [Answers(status, "GET", (("Location", where),))] * 5

        with pytest.raises((StorageRefused, StorageUnavailable)):
            open_store(endpoint=proxy.endpoint).get(f"{folder.prefix}key")

        assert target.seen.total() == 0


def test_a_redirect_in_s3s_own_words_is_refused_too(proxy, seaweedfs, open_store, folder):
    with faulty(seaweedfs.endpoint) as target:
        body = _error("PermanentRedirect", f"<Endpoint>{target.endpoint}</Endpoint>")
        headers = (("x-amz-bucket-region", "eu-central-1"),)
        proxy.faults = [Answers(301, "GET", headers, body)] * 5

        with pytest.raises(StorageRefused, match="the bucket is in region `eu-central-1`"):
            open_store(endpoint=proxy.endpoint).get(f"{folder.prefix}key")

        assert target.seen.total() == 0
        assert proxy.seen.total() == 1


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"not xml", b"<ListBucketResult></ListBucketResult>", b""]
)
def test_an_endpoint_that_is_no_store_is_refused_or_empty(proxy, open_store, folder, body):
    proxy.faults = [Answers(200, "GET", body=body)] * 3

    try:
        pages = list(open_store(endpoint=proxy.endpoint).list(folder))
    except (StorageRefused, StorageUnavailable):
        pages = [[]]

    assert pages == [[]]


def test_a_long_or_dirty_answer_is_cut_and_cleaned(proxy, open_store, folder):
    body = b"<Error><Code>Evil</Code><Message>\x1b[31m" + b"x" * 5000 + b"</Message></Error>"
    proxy.faults = [Answers(403, "GET", body=body.replace(b"\x1b", b"&#10;"))]

    with pytest.raises(StorageRefused) as refused:
        open_store(endpoint=proxy.endpoint).get(f"{folder.prefix}key")

    assert len(refused.value.message) < 600
    assert "\n" not in refused.value.message


def test_with_requester_pays_every_request_says_so_and_is_signed_with_it(proxy, open_store, folder):
    _every_kind_of_request(proxy, open_store(endpoint=proxy.endpoint, requester_pays=True), folder)

    assert [headers["x-amz-request-payer"] for headers in proxy.headers] == ["requester"] * 5
    assert all("x-amz-request-payer" in headers["authorization"] for headers in proxy.headers)


def test_what_is_written_is_encrypted_with_the_key_of_the_integration(proxy, open_store, folder):
    key = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"

    _every_kind_of_request(proxy, open_store(endpoint=proxy.endpoint, kms_key_arn=key), folder)

    encrypted = [h["x-amz-server-side-encryption-aws-kms-key-id"] for h in proxy.headers]
    assert encrypted == [None, None, None, key, None]
    assert proxy.headers[3]["x-amz-server-side-encryption"] == "aws:kms"


def _every_kind_of_request(proxy, store, folder):
    uri = f"{folder.prefix}key"
    proxy.faults = [
        Answers(200),
        Answers(200, "HEAD"),
        Answers(200, body=b"<ListBucketResult/>"),
        Answers(200, "PUT"),
        Answers(200, "POST", body=b"<DeleteResult/>"),
    ]
    store.get(uri)
    store.exists(uri)
    list(store.list(folder))
    store.put_if_absent(uri, b"")
    store.delete([uri])


def _error(code: str, inner: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>No</Message>{inner}</Error>".encode()
