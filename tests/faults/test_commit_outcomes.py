"""What a commit's answer promises when the world breaks in the middle of it.

200: it landed.  4xx: nothing did, so clients delete what they wrote.  5xx: nobody may conclude.
"""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import get_ident
from uuid import uuid4

import boto3
import pytest

from graticule.db.engine import write
from graticule.domain.errors import Unavailable
from graticule.domain.identifiers import TableIdentifier
from graticule.services.catalog import commits, shared_writes
from graticule.services.catalog.table_changes import TableChange
from support.faults import Answers, LosesAnswer, LosesRequest, faulty
from support.patience import until
from support.server import LiveCatalog

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}
REFUSED = Answers(
    403,
    "PUT",
    (("Content-Type", "application/xml"),),
    b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
)


class Killed(BaseException):
    """The process ends here: nothing that would clean up runs."""


class Table:
    """A table of one test, and everything of it that can be seen from outside."""

    def __init__(self, server, http, catalog):
        self.http, self.catalog = http, catalog
        namespace = f"{catalog.base}/namespaces/ns"
        http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
        made = http.post(f"{namespace}/tables", json={"name": "t", "schema": SCHEMA})
        assert made.status_code == 200, made.text
        self.url = f"{namespace}/tables/t"
        self.location = made.json()["metadata"]["location"]
        keys = server.store.admin_keys
        self.s3 = boto3.client(
            "s3",
            endpoint_url=server.store.endpoint,
            region_name=server.store.region,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key.reveal(),
        )

    def commit(self, value="1", headers=None):
        updates = [{"action": "set-properties", "updates": {"a": value}}]
        return self.http.post(
            self.url, json={"requirements": [], "updates": updates}, headers=headers
        )

    def load(self):
        return self.http.get(self.url).json()

    def files(self):
        prefix = self.location.removeprefix("s3://lake/") + "/"
        listed = self.s3.list_objects_v2(Bucket="lake", Prefix=prefix)
        return sorted(f"s3://lake/{row['Key']}" for row in listed.get("Contents", []))


def error_of(answer):
    return answer.status_code, answer.json()["error"]["type"]


@pytest.fixture
def proxy(server):
    with faulty(server.store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def table(server, http, proxy):
    """Its store is reached through the proxy, and clients' credentials are not asked for."""
    integration, catalog = f"faulty {uuid4().hex}", f"catalog {uuid4().hex}"
    made = http.post(
        "/api/v1/integrations",
        json={
            "name": integration,
            "path": f"s3://lake/faults-{uuid4().hex}",
            "role_arn": server.store.role_arn,
            "endpoint": proxy.endpoint,
            "region": server.store.region,
            "path_style": True,
        },
    )
    assert made.status_code == 201, made.text
    made = http.post("/api/v1/catalogs", json={"name": catalog, "integration": integration})
    assert made.status_code == 201, made.text
    return Table(server, http, LiveCatalog(server, catalog, made.json()["id"]))


def test_a_metadata_file_whose_write_was_not_answered_is_used_once_it_is_seen(table, proxy):
    proxy.faults = [LosesAnswer()]
    answer = table.commit()
    assert answer.status_code == 200, answer.text
    assert table.load()["metadata-location"] == answer.json()["metadata-location"]
    assert len(table.files()) == 2


def test_a_metadata_file_that_was_never_written_fails_the_commit_and_moves_nothing(table, proxy):
    before = table.load()
    proxy.faults = [LosesRequest()] * 3
    answer = table.commit()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    proxy.faults = []
    assert table.load() == before
    assert table.commit().status_code == 200


def test_a_store_that_refuses_the_metadata_file_fails_the_commit_and_leaves_nothing(table, proxy):
    before, files = table.load(), table.files()
    proxy.faults = [REFUSED]
    assert error_of(table.commit()) == (403, "ForbiddenException")
    assert (table.load(), table.files()) == (before, files)


def test_a_create_whose_metadata_file_was_not_answered_makes_one_table(table, proxy):
    proxy.faults = [LosesAnswer()]
    made = table.http.post(
        f"{table.catalog.base}/namespaces/ns/tables", json={"name": "u", "schema": SCHEMA}
    )
    assert made.status_code == 200, made.text
    assert table.http.head(table.url.replace("/t", "/u")).status_code in {204, 404}
    loaded = table.http.get(f"{table.catalog.base}/namespaces/ns/tables/u")
    assert loaded.json()["metadata"] == made.json()["metadata"]


@contextmanager
def losing_the_answer_to_the_swap(server, monkeypatch, *, lands):
    """The database commits, or does not, and the connection breaks before it says which.

    Armed by the write of the metadata file, which comes right before the swap, for that thread:
    others of the server write to the database too.
    """
    armed = []
    write_file = server.services.commits._files.write
    dialect = server.services.engine.dialect
    do_commit, do_rollback = dialect.do_commit, dialect.do_rollback

    def write_and_arm(*args):
        write_file(*args)
        armed.append(get_ident())

    def commit(connection):
        if get_ident() not in armed:
            return do_commit(connection)
        armed.clear()
        (do_commit if lands else do_rollback)(connection)
        raise sqlite3.OperationalError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(server.services.commits._files, "write", write_and_arm)
        patch.setattr(dialect, "do_commit", commit)
        yield


def test_a_swap_whose_answer_was_lost_is_a_success_once_the_pointer_is_seen(
    server, table, monkeypatch
):
    with losing_the_answer_to_the_swap(server, monkeypatch, lands=True):
        answer = table.commit()
    assert answer.status_code == 200, answer.text
    assert table.load()["metadata-location"] == answer.json()["metadata-location"]
    assert table.load()["metadata"]["properties"]["a"] == "1"


def test_a_swap_of_which_nothing_is_known_is_unknown_and_keeps_its_metadata_file(
    server, table, monkeypatch
):
    """The old pointer proves nothing: the commit may still be under way."""
    before, files = table.load(), table.files()
    with losing_the_answer_to_the_swap(server, monkeypatch, lands=False):
        answer = table.commit()
    assert error_of(answer) == (500, "CommitStateUnknownException")
    assert table.load() == before
    assert len(table.files()) == len(files) + 1


def test_a_database_that_is_gone_after_the_swap_leaves_the_outcome_unknown(
    server, table, monkeypatch
):
    @contextmanager
    def gone(_engine):
        raise Unavailable("the database does not answer")
        yield

    resolve = server.services.commits._resolve_unknown

    def without_database(*args):
        with monkeypatch.context() as patch:
            patch.setattr(commits, "read", gone)
            resolve(*args)

    with losing_the_answer_to_the_swap(server, monkeypatch, lands=True):
        monkeypatch.setattr(server.services.commits, "_resolve_unknown", without_database)
        answer = table.commit()
    assert error_of(answer) == (500, "CommitStateUnknownException")
    assert table.load()["metadata"]["properties"]["a"] == "1"


@pytest.mark.parametrize("lands", [True, False])
def test_a_key_tells_what_became_of_a_commit_that_nobody_could_tell(
    server, table, monkeypatch, lands
):
    """The same request again lands it, or finds that it did: never twice, never neither."""
    headers = {"Idempotency-Key": str(uuid4())}

    def no_look(*args):
        raise args[-1]

    with losing_the_answer_to_the_swap(server, monkeypatch, lands=lands):
        monkeypatch.setattr(server.services.commits, "_resolve_unknown", no_look)
        assert table.commit(headers=headers).status_code == 500
    again = table.commit(headers=headers)
    assert again.status_code == 200, again.text
    assert again.json()["metadata"]["properties"]["a"] == "1"
    assert len(again.json()["metadata"]["metadata-log"]) == 1


@pytest.mark.parametrize(("lands", "status"), [(True, 200), (False, 500)])
def test_commits_that_share_a_transaction_whose_answer_was_lost_are_told_what_is_seen_of_each(
    server, table, monkeypatch, lands, status
):
    tables = f"{table.catalog.base}/namespaces/ns/tables"
    urls = [f"{tables}/{name}" for name in "tuv"]
    for name in "uv":
        table.http.post(tables, json={"name": name, "schema": SCHEMA})
    updates = [{"action": "set-properties", "updates": {"a": "1"}}]
    with (
        losing_the_answer_to_the_swap(server, monkeypatch, lands=lands),
        ThreadPoolExecutor(3) as pool,
    ):
        with write(server.services.engine):
            sent = [
                pool.submit(table.http.post, url, json={"requirements": [], "updates": updates})
                for url in urls
            ]
            until(lambda: server.services.commits._writes.waiting() == 3)
        answers = [future.result() for future in sent]
    assert [answer.status_code for answer in answers] == [status] * 3
    found = [table.http.get(url).json()["metadata"]["properties"].get("a") for url in urls]
    assert found == ["1" if lands else None] * 3


def test_a_process_killed_between_metadata_file_and_swap_changes_nothing_that_can_be_seen(
    server, table, monkeypatch
):
    before = table.load()

    @contextmanager
    def killed(_engine):
        raise Killed
        yield

    services = server.services
    principal = services.authentication.of_bearer(
        table.http.headers["Authorization"].removeprefix("Bearer ")
    )
    catalog = services.catalogs.open(principal, table.catalog.id)
    change = TableChange(
        identifier=TableIdentifier.of(["ns"], "t"),
        requirements=[],
        updates=[{"action": "set-properties", "updates": {"a": "1"}}],
    )
    with monkeypatch.context() as patch:
        patch.setattr(shared_writes, "write", killed)
        with pytest.raises(Killed):
            services.commits.commit(principal, catalog, [change])

    assert len(table.files()) == 2  # an orphan: nobody was left to delete it
    assert table.load() == before
    committed = table.commit().json()
    assert committed["metadata"]["metadata-log"][0]["metadata-file"] == before["metadata-location"]


def test_a_transaction_that_loses_one_of_its_swaps_moves_no_pointer(server, table, monkeypatch):
    """Another server commits to one of two tables between their preparation and their swap."""
    tables = f"{table.catalog.base}/namespaces/ns/tables"
    table.http.post(tables, json={"name": "u", "schema": SCHEMA})
    land, raced = server.services.commits._land, []

    def with_a_race(catalog, prepared, request):
        if not raced:
            raced.append(True)
            # What the other server's swap does, past the turns of this process.
            with commits.write(server.services.engine) as conn:
                record = commits.tables_db.load(
                    conn, catalog.catalog.id, prepared[1].record.identifier
                )
                swap = commits.tables_db.Swap(
                    record.id,
                    record.metadata_location,
                    record.metadata_location + "?",
                    b"{}",
                )
                assert commits.tables_db.swap_metadata_location(conn, swap, now_ms=1)
        return land(catalog, prepared, request)

    monkeypatch.setattr(server.services.commits, "_land", with_a_race)
    changes = [
        {
            "identifier": {"namespace": ["ns"], "name": name},
            "requirements": [{"type": "assert-current-schema-id", "current-schema-id": 0}],
            "updates": [{"action": "set-properties", "updates": {"a": "1"}}],
        }
        for name in ("t", "u")
    ]
    before = table.load()
    answer = table.http.post(
        f"{table.catalog.base}/transactions/commit", json={"table-changes": changes}
    )
    assert answer.status_code >= 400
    assert table.load() == before
    assert table.files() == [before["metadata-location"]]
