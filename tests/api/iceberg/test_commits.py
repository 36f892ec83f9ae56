"""Commits over HTTP: what lands, what is refused, and that a refusal leaves nothing behind."""

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from support.patience import until
from support.server import LiveCatalog

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}


class Table:
    """A table of one test, with the requests that the tests make of it."""

    def __init__(self, http, catalog: LiveCatalog, name="t"):
        self.http, self.catalog, self.name = http, catalog, name
        self.url = f"{catalog.base}/namespaces/ns/tables/{name}"
        http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
        made = http.post(
            f"{catalog.base}/namespaces/ns/tables", json={"name": name, "schema": SCHEMA}
        )
        assert made.status_code == 200, made.text
        self.uuid = made.json()["metadata"]["table-uuid"]

    @property
    def identifier(self):
        return {"namespace": ["ns"], "name": self.name}

    def load(self):
        return self.http.get(self.url).json()

    def commit(self, updates, requirements=()):
        body = {"requirements": list(requirements), "updates": list(updates)}
        return self.http.post(self.url, json=body)

    def files(self, server):
        s3 = boto3.client(
            "s3",
            endpoint_url=server.store.endpoint,
            region_name=server.store.region,
            aws_access_key_id=server.store.admin_keys.access_key_id,
            aws_secret_access_key=server.store.admin_keys.secret_access_key.reveal(),
        )
        prefix = self.load()["metadata"]["location"].removeprefix("s3://lake/")
        listed = s3.list_objects_v2(Bucket="lake", Prefix=f"{prefix}/")
        return sorted(row["Key"] for row in listed.get("Contents", []))


@pytest.fixture
def table(http, catalog):
    return Table(http, catalog)


def set_properties(**properties):
    return {"action": "set-properties", "updates": properties}


def snapshot(snapshot_id, parent=None, sequence=1):
    return {
        "snapshot-id": snapshot_id,
        "parent-snapshot-id": parent,
        "sequence-number": sequence,
        "timestamp-ms": 1_800_000_000_000,
        "manifest-list": f"s3://lake/none/snap-{snapshot_id}.avro",
        "summary": {"operation": "append"},
        "schema-id": 0,
    }


def add_to_main(snapshot_id, parent=None, sequence=1):
    return [
        {"action": "add-snapshot", "snapshot": snapshot(snapshot_id, parent, sequence)},
        {
            "action": "set-snapshot-ref",
            "ref-name": "main",
            "type": "branch",
            "snapshot-id": snapshot_id,
        },
    ]


def main_is(snapshot_id):
    return {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": snapshot_id}


def error_of(answer):
    return answer.status_code, answer.json()["error"]["type"]


def test_a_commit_moves_the_table_to_a_new_metadata_file(table):
    before = table.load()
    answer = table.commit(
        [set_properties(owner="ana")], [{"type": "assert-table-uuid", "uuid": table.uuid}]
    )
    assert answer.status_code == 200
    after = table.load()
    assert after["metadata"] == answer.json()["metadata"]
    assert after["metadata-location"] == answer.json()["metadata-location"]
    assert after["metadata-location"].rpartition("/")[2].startswith("00001-")
    assert after["metadata"]["properties"]["owner"] == "ana"
    log = [entry["metadata-file"] for entry in after["metadata"]["metadata-log"]]
    assert log == [before["metadata-location"]]


def test_a_commit_that_changes_nothing_writes_nothing(server, table):
    table.commit([set_properties(owner="ana")])
    before, files = table.load(), table.files(server)
    answer = table.commit([set_properties(owner="ana")])
    assert answer.json()["metadata-location"] == before["metadata-location"]
    assert table.commit([]).status_code == 200
    assert table.files(server) == files


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        (
            {"type": "assert-table-uuid", "uuid": "00000000-0000-0000-0000-000000000000"},
            "Requirement failed: UUID does not match",
        ),
        (
            {"type": "assert-current-schema-id", "current-schema-id": 7},
            "Requirement failed: current schema changed",
        ),
        (
            {"type": "assert-last-assigned-field-id", "last-assigned-field-id": 7},
            "Requirement failed: last assigned field id changed",
        ),
        (
            {"type": "assert-default-spec-id", "default-spec-id": 7},
            "Requirement failed: default partition spec changed",
        ),
    ],
)
def test_a_requirement_that_does_not_hold_conflicts_and_leaves_no_orphan(
    server, table, requirement, message
):
    before, files = table.load(), table.files(server)
    answer = table.commit([set_properties(a="b")], [requirement])
    assert error_of(answer) == (409, "CommitFailedException")
    assert message in answer.json()["error"]["message"]
    assert (table.load(), table.files(server)) == (before, files)


def test_a_create_commit_sent_again_after_its_answer_was_lost_is_the_success_it_was(http, catalog):
    """Java would delete the data files of a create that it is told has failed."""
    namespaces = f"{catalog.base}/namespaces"
    http.post(namespaces, json={"namespace": ["ns"]})
    body = {"name": "t", "schema": SCHEMA, "stage-create": True}
    staged = http.post(f"{namespaces}/ns/tables", json=body).json()["metadata"]
    commit = {
        "requirements": [{"type": "assert-create"}],
        "updates": [
            {"action": "assign-uuid", "uuid": staged["table-uuid"]},
            {"action": "upgrade-format-version", "format-version": 2},
            {"action": "add-schema", "schema": staged["schemas"][0]},
            {"action": "set-current-schema", "schema-id": -1},
            {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
            {"action": "set-default-spec", "spec-id": -1},
            {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
            {"action": "set-default-sort-order", "sort-order-id": -1},
            {"action": "set-location", "location": staged["location"]},
            *add_to_main(31),
        ],
    }
    first = http.post(f"{namespaces}/ns/tables/t", json=commit)
    assert first.status_code == 200, first.text
    again = http.post(f"{namespaces}/ns/tables/t", json=commit)
    assert (again.status_code, again.json()) == (200, first.json())
    commit["updates"][0]["uuid"] = "11111111-2222-4333-8444-555555555555"
    another = http.post(f"{namespaces}/ns/tables/t", json=commit)
    assert error_of(another) == (409, "AlreadyExistsException")


def test_creating_by_commit_what_is_there_conflicts(table):
    answer = table.commit([], [{"type": "assert-create"}])
    assert error_of(answer) == (409, "AlreadyExistsException")


def test_a_commit_on_a_missing_table_is_no_such_table(http, catalog):
    answer = http.post(
        f"{catalog.base}/namespaces/ns/tables/none", json={"requirements": [], "updates": []}
    )
    assert error_of(answer) == (404, "NoSuchTableException")


@pytest.mark.parametrize(
    "update",
    [
        {"action": "paint-it-black"},
        {},
        {"action": None},
        {"action": "set-properties"},
        {"action": "set-properties", "updates": {"s3.endpoint": "http://evil"}},
        {"action": "add-schema", "schema": "no"},
        {"action": "set-current-schema", "schema-id": 99},
        {"action": "set-location", "location": "s3://lake/elsewhere"},
        {"action": "set-location", "location": "s3://other/x"},
        {"action": "upgrade-format-version", "format-version": 1},
        {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 5},
        {"action": "remove-schemas", "schema-ids": [0]},
    ],
)
def test_an_update_that_makes_no_sense_is_a_bad_request_and_changes_nothing(server, table, update):
    before, files = table.load(), table.files(server)
    assert error_of(table.commit([update])) == (400, "BadRequestException")
    assert (table.load(), table.files(server)) == (before, files)


def test_an_unknown_requirement_is_a_bad_request(table):
    answer = table.commit([], [{"type": "assert-good-weather"}])
    assert error_of(answer) == (400, "BadRequestException")


def test_unknown_fields_survive_a_commit(table):
    extended = {**snapshot(11), "x-vendor": {"deep": [1, 2.5, None]}}
    table.commit(
        [
            {"action": "add-snapshot", "snapshot": extended},
            add_to_main(11)[1],
        ]
    )
    table.commit([set_properties(a="b")])
    [kept] = table.load()["metadata"]["snapshots"]
    assert kept["x-vendor"] == {"deep": [1, 2.5, None]}


def test_a_commit_sent_again_after_its_answer_was_lost_is_the_success_it_was(server, table):
    """A 409 would make the client delete the files that the table now refers to."""
    first = table.commit(add_to_main(21), [main_is(None)])
    assert first.status_code == 200
    files = table.files(server)
    again = table.commit(add_to_main(21), [main_is(None)])
    assert again.status_code == 200
    assert again.json() == first.json()
    assert table.files(server) == files
    table.commit(add_to_main(22, parent=21, sequence=2), [main_is(21)])
    assert table.commit(add_to_main(21), [main_is(None)]).status_code == 200


def test_another_commit_on_a_branch_that_moved_conflicts(table):
    table.commit(add_to_main(21), [main_is(None)])
    answer = table.commit(add_to_main(22), [main_is(None)])
    assert error_of(answer) == (409, "CommitFailedException")


def test_property_commits_of_many_writers_all_land(server, table):
    """Nothing in them requires that the table stood still, so the server applies each in turn."""

    def write(i: int) -> int:
        with server.http() as http:
            body = {"requirements": [], "updates": [set_properties(**{f"k{i}": "v"})]}
            return http.post(table.url, json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(write, range(24)))
    assert statuses == [200] * 24
    properties = table.load()["metadata"]["properties"]
    assert {f"k{i}" for i in range(24)} <= set(properties)
    # Those that waited for each other share a file.
    assert 1 <= len(table.load()["metadata"]["metadata-log"]) <= 24


def test_commits_that_wait_for_each_other_share_a_file_and_each_has_its_own_outcome(
    server, http, table
):
    """What is refused, and what another has done already, is told to each as if alone."""
    before, files = table.load(), table.files(server)
    commits = server.services.commits
    key = f"{table.catalog.id}/ns/{table.name}"
    asked = [
        ([set_properties(a="1")], []),
        ([set_properties(b="2")], [{"type": "assert-current-schema-id", "current-schema-id": 7}]),
        ([set_properties(a="1")], []),
        (add_to_main(11), [main_is(None)]),
        (add_to_main(12), [main_is(None)]),
        ([{"action": "no-such-update"}], []),
        ([set_properties(c="3")], []),
    ]

    def write(change):
        with server.http() as http:
            updates, requirements = change
            body = {"requirements": requirements, "updates": updates}
            answer = http.post(table.url, json=body)
            return answer.status_code, answer.json().get("metadata-location")

    with ThreadPoolExecutor(len(asked)) as pool:
        with commits._turns.take([key]):
            futures = []
            for number, change in enumerate(asked, 1):
                futures.append(pool.submit(write, change))
                until(lambda count=number: commits._groups.waiting(key) == count)
        outcomes = [future.result() for future in futures]
    after = table.load()
    landed = (200, after["metadata-location"])
    assert outcomes == [landed, (409, None), landed, landed, (409, None), (400, None), landed]
    assert after["metadata"]["properties"] | {"a": "1", "c": "3"} == after["metadata"]["properties"]
    assert "b" not in after["metadata"]["properties"]
    assert [s["snapshot-id"] for s in after["metadata"]["snapshots"]] == [11]
    log = [entry["metadata-file"] for entry in after["metadata"]["metadata-log"]]
    assert log == [before["metadata-location"]]
    assert len(table.files(server)) == len(files) + 1


def test_of_racing_appends_on_one_branch_exactly_one_lands(server, table):
    def append(snapshot_id: int) -> int:
        with server.http() as http:
            body = {"requirements": [main_is(None)], "updates": add_to_main(snapshot_id)}
            return http.post(table.url, json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(append, range(100, 108)))
    assert statuses == [200] + [409] * 7
    assert len(table.load()["metadata"]["snapshots"]) == 1
    metadata_files = [f for f in table.files(server) if f.endswith(".metadata.json")]
    assert len(metadata_files) == 2


def test_a_transaction_changes_all_tables_or_none(http, catalog, table):
    other = Table(http, catalog, "u")

    def transact(*changes):
        return http.post(
            f"{catalog.base}/transactions/commit", json={"table-changes": list(changes)}
        )

    def change(of, requirements=(), **properties):
        return {
            "identifier": of.identifier,
            "requirements": list(requirements),
            "updates": [set_properties(**properties)],
        }

    before = (table.load(), other.load())
    failed = transact(change(table, a="1"), change(other, [main_is(5)], a="1"))
    assert error_of(failed) == (409, "CommitFailedException")
    assert (table.load(), other.load()) == before
    assert transact(change(table, a="1"), change(other, a="1")).status_code == 204
    assert table.load()["metadata"]["properties"]["a"] == "1"
    assert other.load()["metadata"]["properties"]["a"] == "1"
    assert error_of(transact(change(table, a="2"), change(table, a="3")))[0] == 400


def test_metadata_goes_gzipped_and_where_its_properties_say(server, table):
    location = table.load()["metadata"]["location"]
    answer = table.commit(
        [
            set_properties(
                **{
                    "write.metadata.compression-codec": "gzip",
                    "write.metadata.path": f"{location}/elsewhere",
                }
            )
        ]
    ).json()
    assert answer["metadata-location"].startswith(f"{location}/elsewhere/00001-")
    assert answer["metadata-location"].endswith(".gz.metadata.json")
    assert table.load()["metadata"] == answer["metadata"]
    outside = table.commit([set_properties(**{"write.metadata.path": "s3://lake/elsewhere"})])
    assert error_of(outside) == (400, "BadRequestException")


def test_old_metadata_files_are_deleted_when_the_table_asks_for_it(server, table):
    table.commit(
        [
            set_properties(
                **{
                    "write.metadata.delete-after-commit.enabled": "true",
                    "write.metadata.previous-versions-max": "2",
                }
            )
        ]
    )
    for i in range(5):
        table.commit([set_properties(i=str(i))])
    kept = [f for f in table.files(server) if f.endswith(".metadata.json")]
    document = table.load()
    named = [entry["metadata-file"] for entry in document["metadata"]["metadata-log"]]
    assert sorted(f"s3://lake/{key}" for key in kept) == sorted(
        [*named, document["metadata-location"]]
    )
    assert len(named) == 2
