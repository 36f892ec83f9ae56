"""A catalog's queue of events over HTTP: named, shown with what to permit, refused, taken away."""

from support.lake import RawFolder
from support.patience import until

ARN = "arn:aws:sqs:us-east-1:000000000000:lake-events"
KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_a_queue_says_what_to_permit_and_why_it_cannot_be_read(raw: RawFolder):
    settings = f"/api/v1/catalogs/{raw.catalog.id}/sync-settings"
    endpoint = raw.server.store.endpoint
    assert raw.http.get(settings).json()["queue"] is None
    assert raw.http.get(f"{settings}/queue").status_code == 404
    put = raw.http.put(f"{settings}/queue", json={"queue": ARN})
    assert put.status_code == 200, put.text
    told = put.json()
    assert (told["url"], told["arn"]) == (f"{endpoint}/000000000000/lake-events", ARN)
    assert [statement["Resource"] for statement in told["role_statements"]] == [ARN]
    assert (told["kms_key_arn"], told["key_statements"]) == (None, None)
    [sends, *_] = told["queue_policy"]["Statement"]
    assert sends["Condition"]["ArnEquals"] == {"aws:SourceArn": "arn:aws:s3:::lake"}

    def queue_once_read():
        queue = raw.http.get(settings).json()["queue"]
        return queue if queue["state"] != "new" else None

    shown = until(queue_once_read)
    assert shown["state"] == "failing"  # the test's store has no queues
    assert "lake-events" in shown["error"]
    assert raw.http.delete(f"{settings}/queue").status_code == 204
    assert raw.http.get(settings).json()["queue"] is None


def test_the_key_of_a_queue_is_kept_and_its_policies_told(raw: RawFolder):
    path = f"/api/v1/catalogs/{raw.catalog.id}/sync-settings/queue"
    put = raw.http.put(path, json={"queue": ARN, "kms_key_arn": KEY})
    assert put.status_code == 200, put.text
    again = raw.http.put(path, json={"queue": ARN}).json()
    for told in (put.json(), again, raw.http.get(path).json()):
        assert told["kms_key_arn"] == KEY
        assert [each["Resource"] for each in told["role_statements"]] == [ARN, KEY]
        assert [each["Sid"] for each in told["key_statements"]] == ["StoreEncryptsEvents"]
    for key in (KEY.replace("us-east-1", "eu-west-1"), KEY.replace("key/", "alias/"), "1234abcd"):
        refused = raw.http.put(path, json={"queue": ARN, "kms_key_arn": key})
        assert refused.status_code == 400, refused.text
        assert "`kms_key_arn`" in refused.text
    assert raw.http.get(path).json()["kms_key_arn"] == KEY
    raw.http.delete(path)


def test_a_queue_of_anybody_else_is_refused(raw: RawFolder):
    path = f"/api/v1/catalogs/{raw.catalog.id}/sync-settings/queue"
    for queue in (
        "http://169.254.169.254/000000000000/q",
        "https://sqs.us-east-1.amazonaws.com/000000000000/q",
        ARN.replace("us-east-1", "eu-west-1"),
    ):
        refused = raw.http.put(path, json={"queue": queue})
        assert refused.status_code == 400, refused.text
        assert "queue" in refused.text
    assert raw.http.get(path).status_code == 404
