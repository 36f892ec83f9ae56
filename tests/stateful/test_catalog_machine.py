"""Random histories: a model catalog and the server never disagree, on either database."""

from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from uuid6 import uuid7

from support.bodies import SCHEMA, VIEW_VERSION
from support.catalog_model import TABLE, VIEW, CatalogModel, Entry, Levels, Name
from support.profiles import effort
from support.server import LiveServer

PLURAL = {TABLE: "tables", VIEW: "views"}

# Few names, so that histories meet themselves; strange ones, so that the path's encoding matters.
LEVELS = [("a",), ("a", "a"), ("é/ü +",), ("a", "b.%1F"), ("x", "y")]
namespaces = st.sampled_from(LEVELS)
names = st.tuples(
    st.sampled_from([*LEVELS, *LEVELS[:2], *LEVELS[:2]]), st.sampled_from(["a", "t+1 ü", "日本"])
)
keys = st.sampled_from(["owner", "k ü"])
values = st.sampled_from(["", "1", "2"])
properties = st.dictionaries(keys, values, max_size=2)
kinds = st.sampled_from([TABLE, VIEW])
mostly = st.sampled_from([True, True, False])


def segment(levels: Levels) -> str:
    return "%1F".join(quote(level, safe="") for level in levels)


def identifier(name: Name) -> dict[str, Any]:
    return {"namespace": list(name[0]), "name": name[1]}


class CatalogMachine(RuleBasedStateMachine):
    """Each rule does one thing to the model and to the server, and compares how it ended."""

    def __init__(self, live: LiveServer) -> None:
        super().__init__()
        self.http = live.http()
        self.base = live.new_catalog().base
        self.model = CatalogModel()
        self.staged: list[tuple[Name, dict[str, Any]]] = []
        config = self.http.get(
            "/catalog/v1/config", params={"warehouse": self.base.rpartition("/")[2]}
        ).json()
        self.served = {endpoint.partition("{prefix}")[2] for endpoint in config["endpoints"]}
        self.has_keys = "idempotency-key-lifetime" in config

    def teardown(self) -> None:
        self.compare_everything()
        self.http.close()

    # Talking to the server

    def change(
        self, method: str, path: str, body: Any = None, *, twice: bool = False
    ) -> httpx2.Response:
        """Send a change; `twice` under the same idempotency key, where the server knows those."""
        headers = {"Idempotency-Key": str(uuid7())} if twice and self.has_keys else {}
        options = {} if body is None else {"json": body}
        answer = self.http.request(method, self.base + path, headers=headers, **options)
        if headers:
            again = self.http.request(method, self.base + path, headers=headers, **options)
            assert again.status_code == answer.status_code, (answer.text, again.text)
        return answer

    def serves(self, path: str) -> bool:
        return path in self.served

    def serves_kind(self, kind: str) -> bool:
        return kind == TABLE or self.serves("/namespaces/{namespace}/views")

    def at(self, name: Name, kind: str = TABLE) -> str:
        return f"/namespaces/{segment(name[0])}/{PLURAL[kind]}/{quote(name[1], safe='')}"

    def listed(self, path: str, member: str, page_size: int | None, **params: str) -> list[Any]:
        """A whole list, by pages or at once."""
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            paging = {} if page_size is None else {"pageToken": token, "pageSize": str(page_size)}
            body = self.http.get(self.base + path, params={**params, **paging}).json()
            found += body[member]
            token = body.get("next-page-token")
            assert page_size is not None or token is None
        return found

    def some_name(self, data: st.DataObject, kind: str) -> Name:
        """Mostly the name of something that is there: chance alone would hardly ever hit one."""
        there = sorted(name for name, entry in self.model.entries.items() if entry.kind == kind)
        if there and data.draw(st.sampled_from([True, True, False])):
            return data.draw(st.sampled_from(there))
        return data.draw(names)

    # Namespaces

    @initialize()
    def begin(self) -> None:
        """Something is there from the start, or most histories would be spent on missing things."""
        for levels in (("a",), ("a", "a")):
            self.create_namespace(levels, {}, twice=False)
        for kind in (TABLE, VIEW):
            self.create((("a",), kind), kind, {}, twice=False)
            self.create((("a", "a"), "t+1 ü"), kind, {}, twice=False)

    @rule(levels=namespaces, properties=properties, twice=st.booleans())
    def create_namespace(self, levels: Levels, properties: dict[str, str], twice: bool) -> None:
        body = {"namespace": list(levels), "properties": properties}
        answer = self.change("POST", "/namespaces", body, twice=twice)
        assert answer.status_code == self.model.create_namespace(levels, properties), answer.text

    @rule(levels=namespaces, twice=st.booleans())
    def drop_namespace(self, levels: Levels, twice: bool) -> None:
        answer = self.change("DELETE", f"/namespaces/{segment(levels)}", twice=twice)
        assert answer.status_code == self.model.drop_namespace(levels), answer.text

    @rule(levels=namespaces, removals=st.lists(keys, unique=True), updates=properties)
    def update_properties(
        self, levels: Levels, removals: list[str], updates: dict[str, str]
    ) -> None:
        before = dict(self.model.namespaces.get(levels, {}))
        body = {"removals": removals, "updates": updates}
        answer = self.change("POST", f"/namespaces/{segment(levels)}/properties", body)
        expected = self.model.update_properties(levels, removals, updates)
        if expected == 404 and set(removals) & set(updates):
            assert answer.status_code in {404, 422}
        else:
            assert answer.status_code == expected, answer.text
        if expected == 200:
            assert answer.json() == {
                "updated": list(updates),
                "removed": [key for key in removals if key in before],
                "missing": [key for key in removals if key not in before],
            }

    # Tables and views

    @rule(name=names, kind=kinds, properties=properties, twice=st.booleans())
    def create(self, name: Name, kind: str, properties: dict[str, str], twice: bool) -> None:
        if not self.serves_kind(kind):
            return
        body: dict[str, Any] = {"name": name[1], "schema": SCHEMA, "properties": properties}
        if kind == VIEW:
            body["view-version"] = VIEW_VERSION
        path = f"/namespaces/{segment(name[0])}/{PLURAL[kind]}"
        answer = self.change("POST", path, body, twice=twice)
        assert answer.status_code == self.model.can_create(name), answer.text
        if answer.is_success:
            self.model.entries[name] = self.entry_of(kind, answer.json(), properties)

    @rule(name=names)
    def stage(self, name: Name) -> None:
        body = {"name": name[1], "schema": SCHEMA, "stage-create": True}
        answer = self.change("POST", f"/namespaces/{segment(name[0])}/tables", body)
        assert answer.status_code == self.model.can_create(name), answer.text
        if answer.is_success:
            self.staged.append((name, answer.json()["metadata"]))

    @precondition(lambda self: self.staged)
    @rule(data=st.data(), properties=properties)
    def commit_what_was_staged(self, data: st.DataObject, properties: dict[str, str]) -> None:
        name, metadata = self.staged.pop(data.draw(st.integers(0, len(self.staged) - 1)))
        answer = self.change("POST", self.at(name), creation(metadata, properties))
        assert answer.status_code == self.model.can_create(name), answer.text
        if answer.is_success:
            self.model.entries[name] = self.entry_of(TABLE, answer.json(), properties)

    @precondition(lambda self: self.model.left)
    @rule(data=st.data(), name=names, overwrite=st.booleans())
    def register(self, data: st.DataObject, name: Name, overwrite: bool) -> None:
        entry = data.draw(st.sampled_from(self.model.left))
        route = "register" if entry.kind == TABLE else "register-view"
        if not self.serves(f"/namespaces/{{namespace}}/{route}"):
            return
        body: dict[str, Any] = {"name": name[1], "metadata-location": entry.metadata_location}
        if entry.kind == TABLE:
            body["overwrite"] = overwrite
        answer = self.change("POST", f"/namespaces/{segment(name[0])}/{route}", body)
        overwrites = overwrite and entry.kind == TABLE
        expected = self.model.can_register(name, entry, overwrite=overwrites)
        assert answer.status_code in expected, answer.text
        if answer.is_success:
            self.model.register(name, self.entry_of(entry.kind, answer.json(), entry.properties))
            assert self.model.entries[name] == entry

    @rule(data=st.data(), destination=names, kind=kinds, twice=st.booleans())
    def rename(self, data: st.DataObject, destination: Name, kind: str, twice: bool) -> None:
        if not self.serves_kind(kind):
            return
        source = self.some_name(data, kind)
        body = {"source": identifier(source), "destination": identifier(destination)}
        answer = self.change("POST", f"/{PLURAL[kind]}/rename", body, twice=twice)
        assert answer.status_code == self.model.rename(source, destination, kind), answer.text

    @rule(data=st.data(), kind=kinds, twice=st.booleans())
    def drop(self, data: st.DataObject, kind: str, twice: bool) -> None:
        if not self.serves_kind(kind):
            return
        name = self.some_name(data, kind)
        answer = self.change("DELETE", self.at(name, kind), twice=twice)
        expected = 204 if self.model.drop(name, kind) else 404
        assert answer.status_code == expected, answer.text

    @rule(data=st.data())
    def unregister(self, data: st.DataObject) -> None:
        if not self.serves("/namespaces/{namespace}/tables/{table}/unregister"):
            return
        name = self.some_name(data, TABLE)
        answer = self.change("POST", self.at(name) + "/unregister", {})
        entry = self.model.entry(name, TABLE)
        assert answer.status_code == (200 if entry else 404), answer.text
        if entry is not None:
            assert answer.json()["metadata-location"] == entry.metadata_location
            self.model.drop(name, TABLE)

    # Commits

    @rule(data=st.data(), kind=kinds, key=keys, value=values, is_right=mostly)
    def set_property(
        self, data: st.DataObject, kind: str, key: str, value: str, is_right: bool
    ) -> None:
        if not self.serves_kind(kind):
            return
        name = self.some_name(data, kind)
        entry = self.model.entry(name, kind)
        uuid = entry.uuid if entry and is_right else str(uuid7())
        answer = self.change("POST", self.at(name, kind), commit(kind, uuid, key, value))
        if entry is None:
            assert answer.status_code == 404, answer.text
        elif not is_right:
            assert answer.status_code == 409, answer.text
        else:
            assert answer.status_code == 200, answer.text
            location = answer.json()["metadata-location"]
            changes = entry.properties.get(key) != value
            assert (location != entry.metadata_location) == changes
            entry.properties[key] = value
            entry.metadata_location = location

    @rule(data=st.data(), key=keys, value=values, is_right=mostly)
    def commit_to_two_tables(
        self, data: st.DataObject, key: str, value: str, is_right: bool
    ) -> None:
        first, second = self.some_name(data, TABLE), self.some_name(data, TABLE)
        entries = [self.model.entry(name, TABLE) for name in (first, second)]
        uuids = [entry.uuid if entry else str(uuid7()) for entry in entries]
        if not is_right:
            uuids[1] = str(uuid7())
        changes = [
            {"identifier": identifier(name), **commit(TABLE, uuid, key, value)}
            for name, uuid in zip((first, second), uuids, strict=True)
        ]
        answer = self.change("POST", "/transactions/commit", {"table-changes": changes})
        if first == second:
            assert 400 <= answer.status_code < 500, answer.text
        elif None in entries:
            # Where one is missing and the other's requirement fails, either may be told.
            assert answer.status_code in ({404} if is_right else {404, 409}), answer.text
        elif not is_right:
            assert answer.status_code == 409, answer.text
        else:
            assert answer.status_code == 204, answer.text
            for name in (first, second):
                entry = self.model.entries[name]
                entry.properties[key] = value
                entry.metadata_location = self.load(name, TABLE).json()["metadata-location"]

    # Looking

    @rule(levels=st.just(()) | namespaces, page_size=st.none() | st.integers(1, 3))
    def list_everything_in(self, levels: Levels, page_size: int | None) -> None:
        self.compare_lists(levels, page_size)

    @rule(data=st.data(), kind=kinds)
    def look_at(self, data: st.DataObject, kind: str) -> None:
        if self.serves_kind(kind):
            self.compare_entry(self.some_name(data, kind), kind)

    def load(self, name: Name, kind: str) -> httpx2.Response:
        return self.http.get(self.base + self.at(name, kind))

    def compare_entry(self, name: Name, kind: str) -> None:
        entry = self.model.entry(name, kind)
        found = self.http.head(self.base + self.at(name, kind)).status_code
        assert found == (204 if entry else 404)
        answer = self.load(name, kind)
        assert answer.status_code == (200 if entry else 404), answer.text
        if entry is not None:
            assert self.entry_of(kind, answer.json(), entry.properties) == entry
            assert entry.properties.items() <= answer.json()["metadata"]["properties"].items()

    def compare_lists(self, levels: Levels, page_size: int | None) -> None:
        if levels and levels not in self.model.namespaces:
            missing = self.http.get(f"{self.base}/namespaces/{segment(levels)}/tables")
            assert missing.status_code == 404
            return
        parent = {"parent": "\x1f".join(levels)} if levels else {}
        children = self.listed("/namespaces", "namespaces", page_size, **parent)
        assert [tuple(child) for child in children] == self.model.children(levels)
        for kind in (TABLE, VIEW):
            if levels and self.serves_kind(kind):
                path = f"/namespaces/{segment(levels)}/{PLURAL[kind]}"
                found = self.listed(path, "identifiers", page_size)
                names = self.model.names(levels, kind)
                assert found == [identifier((levels, name)) for name in names]

    def compare_everything(self) -> None:
        self.compare_lists((), None)
        for levels, properties in self.model.namespaces.items():
            self.compare_lists(levels, 2)
            loaded = self.http.get(f"{self.base}/namespaces/{segment(levels)}").json()
            assert loaded == {"namespace": list(levels), "properties": properties}
        for name, entry in self.model.entries.items():
            self.compare_entry(name, entry.kind)

    def entry_of(self, kind: str, body: dict[str, Any], properties: dict[str, str]) -> Entry:
        uuid = body["metadata"]["table-uuid" if kind == TABLE else "view-uuid"]
        return Entry(kind, uuid, body["metadata-location"], dict(properties))


def commit(kind: str, uuid: str, key: str, value: str) -> dict[str, Any]:
    return {
        "requirements": [{"type": f"assert-{kind}-uuid", "uuid": uuid}],
        "updates": [{"action": "set-properties", "updates": {key: value}}],
    }


def creation(metadata: dict[str, Any], properties: dict[str, str]) -> dict[str, Any]:
    """What clients send to create the table that they staged."""
    return {
        "requirements": [{"type": "assert-create"}],
        "updates": [
            {"action": "assign-uuid", "uuid": metadata["table-uuid"]},
            {"action": "upgrade-format-version", "format-version": 2},
            {"action": "add-schema", "schema": metadata["schemas"][0]},
            {"action": "set-current-schema", "schema-id": -1},
            {"action": "add-spec", "spec": {"spec-id": 0, "fields": []}},
            {"action": "set-default-spec", "spec-id": -1},
            {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
            {"action": "set-default-sort-order", "sort-order-id": -1},
            {"action": "set-location", "location": metadata["location"]},
            {"action": "set-properties", "updates": {**metadata["properties"], **properties}},
        ],
    }


@pytest.mark.s3
@pytest.mark.timeout(600)
def test_a_model_catalog_and_the_server_never_disagree(live):
    run_state_machine_as_test(
        lambda: CatalogMachine(live), settings=effort(default=25, ci=300, steps=50)
    )
