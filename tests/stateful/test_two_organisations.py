"""Two organisations that call everything alike: random histories of both, and no trace of either
in what the other one is told.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

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

from support.bodies import FUNCTION, SCHEMA, VIEW_VERSION
from support.catalog_model import TABLE, VIEW, CatalogModel, Entry, Levels, Name
from support.people import Person, grant, new_organisation, new_person
from support.profiles import effort
from support.seaweedfs import BUCKET
from support.server import LiveServer

PLURAL = {TABLE: "tables", VIEW: "views"}
LEVELS = [("a",), ("a", "b"), ("z",)]
MARK = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids, UUIDs, and the locations made of them
    r"|gk_[a-z0-9]+"
    r'|(?<="next-page-token":")[^"]+'
)
REQUEST_ID = re.compile(r'"(?:request_id|plan-id)":\s*"[^"]*"')
TIMES = re.compile(r'"(?:occurred_at|at|created_at)":\s*"[^"]*"')

organisations = st.sampled_from([0, 1])
namespaces = st.sampled_from(LEVELS)
names = st.tuples(namespaces, st.sampled_from(["t", "u", "v"]))
kinds = st.sampled_from([TABLE, VIEW])

PATHS = [
    "/catalog/v1/config?warehouse={mark}",
    "/catalog/v1/{mark}/namespaces",
    "/catalog/v1/{mark}/namespaces/a/tables",
    "/catalog/v1/{mark}/namespaces/a/tables/t",
    "/catalog/v1/{mark}/namespaces/a/views/t",
    "/catalog/v1/{own}/namespaces/{mark}",
    "/catalog/v1/{own}/namespaces/a/tables/{mark}",
    "/catalog/v1/{own}/namespaces/a/tables?pageToken={mark}",
    "/catalog/v1/{own}/namespaces?pageToken={mark}",
    "/api/v1/catalogs/{mark}",
    "/api/v1/catalogs/{mark}/scans",
    "/api/v1/catalogs/{mark}/namespaces/a/functions",
    "/api/v1/integrations/{mark}",
    "/api/v1/members/{mark}",
    "/api/v1/roles/{mark}",
    "/api/v1/roles/{mark}/members",
    "/api/v1/grants/{mark}",
    "/api/v1/grants?object={mark}",
    "/api/v1/grants?member={mark}",
    "/api/v1/access?object={mark}/a",
    "/api/v1/explain?action=read&object={mark}",
    "/api/v1/explain?action=manage_members&member={mark}",
    "/api/v1/webhooks/{mark}",
]
LISTS = [
    "/catalog/v1/config",
    "/catalog/v1/namespaces",
    "/api/v1/me",
    "/api/v1/organisation",
    "/api/v1/members",
    "/api/v1/keys",
    "/api/v1/roles",
    "/api/v1/roles/analysts/members",
    "/api/v1/integrations",
    "/api/v1/catalogs",
    "/api/v1/audit",
    "/api/v1/grants?object=maps",
    "/api/v1/grants?role=everyone",
    "/api/v1/access?object=maps/a",
    "/api/v1/explain?action=write&object=maps/a",
    "/api/v1/catalogs/maps/namespaces/a/functions",
]


def segment(levels: Levels) -> str:
    return "%1F".join(quote(level, safe="") for level in levels)


@dataclass
class Tenant:
    """One organisation: who acts in it, what its catalog should hold."""

    admin: httpx2.Client
    ben: httpx2.Client
    people: tuple[Person, Person]
    catalog: str
    model: CatalogModel = field(default_factory=CatalogModel)
    etags: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


class TwoOrganisations(RuleBasedStateMachine):
    """Every answer is searched for marks that were first seen in an answer to the other one."""

    def __init__(self, live: LiveServer) -> None:
        super().__init__()
        self.live = live
        self.owners: dict[str, int] = {}
        self.tenants = [self._new_tenant(number) for number in (0, 1)]

    def _new_tenant(self, number: int) -> Tenant:
        services, store = self.live.services, self.live.store
        admin = new_organisation(services, f"org {uuid4().hex}")
        ben = new_person(services, admin, name="ben")
        clients = [self.live.http(person.credential) for person in (admin, ben)]
        body = {
            "name": "lake",
            "path": f"s3://{BUCKET}",
            "access_key_id": store.admin_keys.access_key_id,
            "secret_access_key": store.admin_keys.secret_access_key.reveal(),
            "endpoint": store.endpoint,
            "region": store.region,
            "path_style": True,
        }
        assert clients[0].post("/api/v1/integrations", json=body).is_success
        made = clients[0].post(
            "/api/v1/catalogs",
            json={"name": "maps", "integration": "lake", "default_access": "none"},
        )
        assert made.is_success, made.text
        assert clients[0].post("/api/v1/roles", json={"name": "analysts"}).is_success
        grant(services, admin, "browse", to=ben, catalog="maps")
        return Tenant(clients[0], clients[1], (admin, ben), made.json()["id"])

    def teardown(self) -> None:
        for number in (0, 1):
            self.everything_listed_is_its_own(number)
        for tenant in self.tenants:
            tenant.admin.close()
            tenant.ben.close()

    def send(
        self, number: int, method: str, path: str, body: Any = None, *, by: str = "admin", **headers
    ) -> httpx2.Response:
        """An answer to one organisation, in which there is nothing of the other one."""
        tenant = self.tenants[number]
        client = tenant.admin if by == "admin" else tenant.ben
        options = {} if body is None else {"json": body}
        answer = client.request(method, path, headers=headers, **options)
        assert answer.status_code < 500, answer.text
        shown = answer.text + " ".join(answer.headers.values())
        marks = set(MARK.findall(REQUEST_ID.sub("", shown)))
        etag = answer.headers.get("etag")
        if etag is not None:
            marks.add(etag)
            tenant.etags.append(etag)
        marks -= set(headers.values())
        for mark in marks:
            owner = self.owners.setdefault(mark, number)
            assert owner == number, f"`{mark}` of {owner} was told to {number} by {method} {path}"
        return answer

    def base(self, number: int, *, by_name: bool = False) -> str:
        return f"/catalog/v1/{'maps' if by_name else self.tenants[number].catalog}"

    # Both do the same things to things of the same names

    @initialize()
    def begin(self) -> None:
        for number in (0, 1):
            self.create_namespace(number, ("a",))
            self.create(number, (("a",), "t"), TABLE, by_name=True)

    @rule(number=organisations, levels=namespaces)
    def create_namespace(self, number: int, levels: Levels) -> None:
        body = {"namespace": list(levels)}
        answer = self.send(number, "POST", f"{self.base(number)}/namespaces", body)
        expected = self.tenants[number].model.create_namespace(levels, {})
        assert answer.status_code == expected, answer.text

    @rule(number=organisations, levels=namespaces)
    def drop_namespace(self, number: int, levels: Levels) -> None:
        path = f"{self.base(number)}/namespaces/{segment(levels)}"
        answer = self.send(number, "DELETE", path)
        if answer.status_code == 409:  # functions hold it as well
            return
        assert answer.status_code == self.tenants[number].model.drop_namespace(levels)

    @rule(number=organisations, name=names, kind=kinds, by_name=st.booleans())
    def create(self, number: int, name: Name, kind: str, *, by_name: bool) -> None:
        tenant = self.tenants[number]
        body: dict[str, Any] = {"name": name[1], "schema": SCHEMA}
        if kind == VIEW:
            body["view-version"] = VIEW_VERSION
        path = f"{self.base(number, by_name=by_name)}/namespaces/{segment(name[0])}/{PLURAL[kind]}"
        key = str(uuid4())
        answer = self.send(number, "POST", path, body, **{"Idempotency-Key": key})
        tenant.keys.append(key)
        assert answer.status_code == tenant.model.can_create(name), answer.text
        if answer.is_success:
            loaded = answer.json()
            metadata = loaded["metadata"]
            uuid = metadata["table-uuid" if kind == TABLE else "view-uuid"]
            tenant.model.entries[name] = Entry(kind, uuid, loaded["metadata-location"])

    @rule(number=organisations, source=names, to=names, kind=kinds)
    def rename(self, number: int, source: Name, to: Name, kind: str) -> None:
        body = {
            part: {"namespace": list(name[0]), "name": name[1]}
            for part, name in (("source", source), ("destination", to))
        }
        answer = self.send(number, "POST", f"{self.base(number)}/{PLURAL[kind]}/rename", body)
        assert answer.status_code == self.tenants[number].model.rename(source, to, kind)

    @rule(number=organisations, name=names, kind=kinds)
    def drop(self, number: int, name: Name, kind: str) -> None:
        path = f"{self.base(number)}/namespaces/{segment(name[0])}/{PLURAL[kind]}/{name[1]}"
        answer = self.send(number, "DELETE", path)
        expected = 204 if self.tenants[number].model.drop(name, kind) else 404
        assert answer.status_code == expected

    @rule(number=organisations, name=names)
    def commit(self, number: int, name: Name) -> None:
        update = {"action": "set-properties", "updates": {"k": uuid4().hex}}
        path = f"{self.base(number)}/namespaces/{segment(name[0])}/tables/{name[1]}"
        answer = self.send(number, "POST", path, {"requirements": [], "updates": [update]})
        entry = self.tenants[number].model.entry(name, TABLE)
        assert answer.status_code == (404 if entry is None else 200)
        if entry is not None:
            entry.metadata_location = answer.json()["metadata-location"]

    @rule(number=organisations, levels=namespaces)
    def create_function(self, number: int, levels: Levels) -> None:
        path = f"/api/v1/catalogs/maps/namespaces/{segment(levels)}/functions"
        self.send(number, "POST", path, {**FUNCTION, "name": "f"})

    @rule(
        number=organisations,
        on=st.sampled_from(["maps", "maps/a", "maps/a/t", "maps/a.b"]),
        to=st.sampled_from([{"member": "ben"}, {"role": "analysts"}, {"role": "everyone"}]),
        privilege=st.sampled_from(["browse", "read", "write", "manage"]),
    )
    def give(self, number: int, on: str, to: dict[str, str], privilege: str) -> None:
        body = {"object": on, "privilege": privilege, **to}
        self.send(number, "POST", "/api/v1/grants", body)

    @rule(number=organisations, method=st.sampled_from(["PUT", "DELETE"]))
    def change_role(self, number: int, method: str) -> None:
        self.send(number, method, "/api/v1/roles/analysts/members/ben")

    @rule(number=organisations, name=names, kind=kinds, by=st.sampled_from(["admin", "ben"]))
    def load(self, number: int, name: Name, kind: str, by: str) -> None:
        path = f"{self.base(number, by_name=True)}/namespaces/{segment(name[0])}/{PLURAL[kind]}"
        answer = self.send(number, "GET", f"{path}/{name[1]}", by=by)
        entry = self.tenants[number].model.entry(name, kind)
        if entry is None:
            assert answer.status_code == 404
        elif answer.is_success:
            assert answer.json()["metadata-location"] == entry.metadata_location
        else:
            assert (by, answer.status_code) == ("ben", 403)

    @rule(number=organisations)
    def everything_listed_is_its_own(self, number: int) -> None:
        """As many as there should be, called as they should be, and nothing beside them."""
        tenant = self.tenants[number]
        for path in LISTS:
            self.send(number, "GET", path)
        model, base = tenant.model, self.base(number)
        listed = self.send(number, "GET", f"{base}/namespaces", by="ben").json()["namespaces"]
        assert [tuple(levels) for levels in listed] == model.children(())
        for levels in model.namespaces:
            for kind, plural in PLURAL.items():
                found, token = [], ""
                while token is not None:
                    path = f"{base}/namespaces/{segment(levels)}/{plural}"
                    answer = self.send(
                        number, "GET", f"{path}?pageSize=1&pageToken={quote(token)}", by="ben"
                    ).json()
                    found += [each["name"] for each in answer["identifiers"]]
                    token = answer.get("next-page-token")
                assert found == model.names(levels, kind)

    # What the other one has is as good as what nobody has

    @precondition(lambda self: self.owners)
    @rule(
        data=st.data(),
        number=organisations,
        path=st.sampled_from(PATHS),
        by=st.sampled_from(["admin", "ben"]),
    )
    def ask_for_what_is_the_others(
        self, data: st.DataObject, number: int, path: str, by: str
    ) -> None:
        foreign = sorted(mark for mark, owner in self.owners.items() if owner != number)
        if not foreign:
            return
        mark = data.draw(st.sampled_from(foreign)).strip('"')
        # A token is signed: made up, it is refused with the very words that a foreign one gets.
        nobodys = str(uuid4()) if len(mark) == 36 else mark[:-6] + "abcdef"
        told = []
        for each in (mark, nobodys):
            asked = path.format(mark=quote(each, safe=""), own=self.tenants[number].catalog)
            client = self.tenants[number].admin if by == "admin" else self.tenants[number].ben
            answer = client.get(asked)
            text = REQUEST_ID.sub("", answer.text.replace(each, "…"))
            told.append((answer.status_code, text))
        if "pageToken" in path:  # of another list, or of nobody: refused either way
            assert {status for status, _ in told} <= {400, 404}
        else:
            assert told[0] == told[1]

    @rule(data=st.data(), number=organisations, name=names)
    def load_with_the_others_etag(self, data: st.DataObject, number: int, name: Name) -> None:
        etags = self.tenants[1 - number].etags
        if not etags:
            return
        etag = data.draw(st.sampled_from(etags))
        path = f"{self.base(number)}/namespaces/{segment(name[0])}/tables/{name[1]}"
        answer = self.send(number, "GET", path, **{"If-None-Match": etag})
        there = self.tenants[number].model.entry(name, TABLE) is not None
        assert answer.status_code == (200 if there else 404)

    @rule(data=st.data(), number=organisations, levels=namespaces)
    def change_under_the_others_key(self, data: st.DataObject, number: int, levels: Levels) -> None:
        keys = self.tenants[1 - number].keys
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if key in self.tenants[number].keys:
            return
        self.tenants[number].keys.append(key)
        body = {"namespace": list(levels)}
        path = f"{self.base(number)}/namespaces"
        answer = self.send(number, "POST", path, body, **{"Idempotency-Key": key})
        assert answer.status_code == self.tenants[number].model.create_namespace(levels, {})


@pytest.mark.s3
@pytest.mark.timeout(600)
def test_two_organisations_never_see_a_trace_of_each_other(live):
    run_state_machine_as_test(
        lambda: TwoOrganisations(live), settings=effort(default=8, ci=200, steps=30)
    )
