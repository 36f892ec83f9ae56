"""An index that is damaged: right answers all the same, and one job that repairs it."""

import pyarrow as pa
import pytest

from graticule.services.catalog import index_orders
from support.plans import PlannedTable
from support.points import COLUMNS, rows, window


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(index_orders, "INDEX_DELAY_S", 0.0)


@pytest.fixture
def table(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    written = client.create_table("ns.t", COLUMNS)
    found = PlannedTable(catalog, http, "ns", "t")
    for each in (rows(1, 2), rows(30)):
        written.append(each)
        found.files()
    found.await_sound_index()
    return found


class Copies:
    """The index of the current snapshot: the file beside the table, and that of this machine."""

    def __init__(self, table):
        self.table = table
        current = table.metadata["current-snapshot-id"]
        [stored] = [one for one in table.index_status()["indexes"] if one["snapshot_id"] == current]
        self.location = stored["location"]
        self.bucket, _, self.key = self.location.removeprefix("s3://").partition("/")
        folder = table.catalog.server.services.indexing._stored._cache._folder
        self.local = folder / self.key.rpartition("/")[2]
        self.data = self.local.read_bytes()

    def replace(self, where, data):
        self.table.forget_indexes()
        if "local" in where:
            self.local.unlink()
            if data is not None:
                self.local.write_bytes(data)
        if "bucket" in where:
            self.table.s3.delete_object(Bucket=self.bucket, Key=self.key)
            if data is not None:
                self.table.s3.put_object(Bucket=self.bucket, Key=self.key, Body=data)

    def flipped(self, part):
        at = len(self.data) - 1 if part == "end" else self._of_array(part)
        return self.data[:at] + bytes([self.data[at] ^ 4]) + self.data[at + 1 :]

    def _of_array(self, name):
        """Where the bytes of one of the arrays begin."""
        whole = pa.py_buffer(self.data)
        reader = pa.ipc.open_file(whole)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            if batch.column(0)[0].as_py() == name:
                return batch.column(3).buffers()[2].address - whole.address
        raise AssertionError(name)

    def of_parent(self):
        """The index of the snapshot before, as it is stored."""
        current = self.table.metadata["current-snapshot-id"]
        [other] = [
            one["location"]
            for one in self.table.index_status()["indexes"]
            if one["snapshot_id"] != current
        ]
        key = other.removeprefix("s3://").partition("/")[2]
        return self.table.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()


def repairs(table):
    jobs = table.http.get("/api/v1/jobs", params={"kind": "index", "limit": 100}).json()["items"]
    return [job for job in jobs if "repairs" in job["parameters"]]


def told(table):
    """What the audit log says of damaged indexes of the table."""
    query = {"type": "table.index_damaged", "catalog": table.catalog.id}
    events = table.http.get("/api/v1/audit", params=query).json()["items"]
    return [event["details"] for event in events]


@pytest.mark.parametrize(
    "damage",
    ["end", "boxes.sides", "tree.ids", "paths.data", "cut", "gone", "foreign", "parent"],
)
def test_a_damaged_index_gives_the_right_answer_and_is_repaired_once(table, damage):
    expected = table.files(window(29, 31))
    copies = Copies(table)
    match damage:
        case "cut":
            data = copies.data[: len(copies.data) // 2]
        case "gone":
            data = None
        case "foreign":
            data = b"something else"
        case "parent":
            data = copies.of_parent()
        case part:
            data = copies.flipped(part)
    before = {job["id"] for job in repairs(table)}
    copies.replace({"local", "bucket"}, data)
    for _ in range(3):
        assert table.files(window(29, 31)) == expected
    table.forget_indexes()
    assert table.files(window(0, 90)) == table.files()
    table.await_sound_index()
    [job] = [job for job in repairs(table) if job["id"] not in before]
    reason = job["parameters"]["repairs"]
    assert (job["state"], job["result"]) == (
        "succeeded",
        {"files": 2, "unknown": 0, "repaired": reason},
    )
    assert told(table) == [
        {
            "location": copies.location,
            "snapshot-id": table.metadata["current-snapshot-id"],
            "damage": reason,
        }
    ]
    assert Copies(table).location != copies.location
    assert copies.key not in table.index_files()
    assert table.files(window(29, 31)) == expected
    kept = table.catalog.server.services.indexing._kept.values()
    assert [known.is_makeshift for known in kept] == [False] * len(kept)


def test_a_copy_that_is_damaged_is_fetched_again_and_needs_no_repair(table):
    expected = table.files(window(29, 31))
    copies = Copies(table)
    for data in (copies.flipped("boxes.sides"), None):
        copies.replace({"local"}, data)
        assert table.files(window(29, 31)) == expected
        assert copies.local.read_bytes() == copies.data
    assert table.index_status()["state"] == "ready"
    assert Copies(table).location == copies.location


def test_until_it_is_repaired_everybody_is_told_of_the_damage(table, monkeypatch):
    monkeypatch.setattr(table.catalog.server.services.job_worker, "_handlers", {})
    copies = Copies(table)
    before = {job["id"] for job in repairs(table)}
    copies.replace({"local", "bucket"}, b"something else")
    expected = len(table.files())
    [job] = [job for job in repairs(table) if job["id"] not in before]
    status = table.index_status()
    assert (status["state"], status["job_id"], job["state"]) == ("damaged", job["id"], "queued")
    [damaged] = [one for one in status["indexes"] if one["damage"]]
    assert damaged["location"] == copies.location
    assert damaged["damage"] == job["parameters"]["repairs"]
    assert damaged["damaged_at"] is not None
    assert job["requested_by"] == "repair"
    for _ in range(2):
        table.forget_indexes()
        assert len(table.files()) == expected
    assert [each["id"] for each in repairs(table) if each["id"] not in before] == [job["id"]]
    monkeypatch.undo()
    table.await_sound_index()
