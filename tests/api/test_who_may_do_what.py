"""Every route, every kind of caller, the answer each gets.  A new route without a row fails here.

The rows say it in their own words: nothing is taken from the table of routes but that they exist.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from graticule.api.routes import ICEBERG_ROOT, MANAGEMENT_ROOT, route_table
from graticule.domain.tenancy import Role, Scope
from support.bodies import FUNCTION, SCHEMA, VIEW_VERSION
from support.people import Person, grant, new_organisation, new_person, with_key
from support.seaweedfs import BUCKET

NOT_IT = [{"type": "assert-table-uuid", "uuid": str(uuid4())}]
NOT_IT_EITHER = [{"type": "assert-view-uuid", "uuid": str(uuid4())}]

PRIVILEGES = ("browse", "read", "write", "manage")
R, W, M = "read", "write", "manage"
ANY = (R, W, M)

IN, UNKNOWN, FORBIDDEN, ABSENT = "in", "401", "403", "404"
NOTHING_KEPT = {"NoSuchPlanIdException", "NoSuchPlanTaskException"}
"""404s that only who may read the table gets."""


@dataclass(frozen=True)
class World:
    """An organisation with one catalog, and everything that a path can name."""

    server: Any
    admin: Person
    catalog: str
    name: str
    table_uri: str
    integration: str
    grant_id: str
    role: str

    @property
    def services(self):
        return self.server.services

    def as_admin(self, method, path, body=None):
        with self.server.http(self.admin.credential) as http:
            answer = http.request(method, f"{ICEBERG_ROOT}/v1/{self.catalog}{path}", json=body)
        assert answer.is_success, answer.text
        return answer

    def new_table(self):
        name = f"t {uuid4().hex[:8]}"
        self.as_admin("POST", "/namespaces/ns/tables", {"name": name, "schema": SCHEMA})
        return name

    def new_view(self):
        name = f"v {uuid4().hex[:8]}"
        body = {"name": name, "schema": SCHEMA, "view-version": VIEW_VERSION}
        self.as_admin("POST", "/namespaces/ns/views", body)
        return name

    def new_grant(self):
        to = new_person(self.services, self.admin)
        return grant(self.services, self.admin, "browse", to=to, catalog=self.catalog)


@dataclass(frozen=True)
class Row:
    """`users`: not for admins alone.  `scopes`: one of them must be the credential's.

    `needs` is a privilege on the catalog; without one, a route is about no object, and any answer
    but 401 and 403 will do.  `body` and `path` are made anew for each caller that gets through.
    """

    users: bool = True
    scopes: tuple[str, ...] = ANY
    needs: str | None = None
    body: Callable[[World], Any] | Any = None
    query: str | Callable[[World], str] = ""
    named: dict[str, Callable[[World], str]] | None = None
    is_open: bool = False


def data(needs, body=None, *, scopes=None, **options):
    """About what is in a catalog: read with a key that reads, changed with one that writes."""
    given = scopes or ((R, W) if needs in {"browse", "read"} else (W,))
    return Row(needs=needs, scopes=given, body=body, **options)


def admins(scopes=(M,), body=None, **options):
    return Row(users=False, scopes=scopes, body=body, **options)


def new(kind):
    """A path parameter that stands for something made for this one request."""
    return {kind: lambda world: getattr(world, f"new_{kind}")()}


def rename(kind):
    return {
        "source": {"namespace": ["ns"], "name": kind},
        "destination": {"namespace": ["ns"], "name": "taken"},
    }


def sign(world):
    return {"method": "GET", "region": "us-east-1", "uri": world.table_uri, "headers": {}}


def transaction(_world):
    change = {"requirements": NOT_IT, "updates": []}
    return {"table-changes": [{"identifier": {"namespace": ["ns"], "name": "t"}, **change}]}


def on_catalog(world):
    return f"?object={world.catalog}"


_NS = "/v1/{prefix}/namespaces"
_TABLE = f"{_NS}/{{namespace}}/tables/{{table}}"
_VIEW = f"{_NS}/{{namespace}}/views/{{view}}"
_OBJECTS = "/integrations/{integration}/objects"
_FUNCTIONS = "/catalogs/{catalog}/namespaces/{namespace}/functions"
_MANAGED = "/catalogs/{catalog}/namespaces/{namespace}/tables/{table}"
_SYNCS = "/catalogs/{catalog}/syncs"
_SCANS = "/catalogs/{catalog}/scans"

NEW_TABLE = {"name": "t", "schema": SCHEMA}
NEW_VIEW = {"name": "v", "schema": SCHEMA, "view-version": VIEW_VERSION}
REGISTERED = {"name": "t", "metadata-location": f"s3://{BUCKET}/x/metadata/1.metadata.json"}
OPEN = Row(is_open=True)

ICEBERG = {
    f"GET {_NS}": data("browse"),
    f"POST {_NS}": data("write", {"namespace": ["ns"]}),
    f"GET {_NS}/{{namespace}}": data("browse"),
    f"HEAD {_NS}/{{namespace}}": data("browse"),
    f"DELETE {_NS}/{{namespace}}": data("manage"),  # it is not empty, which comes after
    f"POST {_NS}/{{namespace}}/properties": data("write", {"updates": {"a": "b"}}),
    f"GET {_NS}/{{namespace}}/tables": data("browse"),
    f"POST {_NS}/{{namespace}}/tables": data("write", NEW_TABLE),
    f"GET {_TABLE}": data("read"),
    f"HEAD {_TABLE}": data("browse"),
    f"POST {_TABLE}": data("write", {"requirements": NOT_IT, "updates": []}),
    f"DELETE {_TABLE}": data("manage", named=new("table")),
    f"POST {_NS}/{{namespace}}/register": data("write", REGISTERED),
    f"POST {_TABLE}/unregister": data("manage", {}, named=new("table")),
    f"GET {_TABLE}/credentials": data("read"),
    f"POST {_TABLE}/sign": data("read", sign),
    f"POST {_TABLE}/metrics": data("read", {"report-type": "scan-report"}),
    f"POST {_TABLE}/plan": data("read", {}),
    f"GET {_TABLE}/plan/{{plan-id}}": data("read"),
    f"DELETE {_TABLE}/plan/{{plan-id}}": data("read"),
    f"POST {_TABLE}/tasks": data("read", {"plan-task": "anything"}),
    "POST /v1/{prefix}/tables/rename": data("manage", rename("t")),
    "POST /v1/{prefix}/transactions/commit": data("write", transaction),
    f"GET {_NS}/{{namespace}}/views": data("browse"),
    f"POST {_NS}/{{namespace}}/views": data("write", NEW_VIEW),
    f"GET {_VIEW}": data("read"),
    f"HEAD {_VIEW}": data("browse"),
    f"POST {_VIEW}": data("write", {"requirements": NOT_IT_EITHER, "updates": []}),
    f"DELETE {_VIEW}": data("manage", named=new("view")),
    f"POST {_NS}/{{namespace}}/register-view": data("write", {**REGISTERED, "name": "v"}),
    "POST /v1/{prefix}/views/rename": data("manage", rename("v")),
    f"GET {_NS}/{{namespace}}/functions": data("browse"),
    f"GET {_NS}/{{namespace}}/functions/{{function}}": data("read"),
    "GET /v1/config": Row(needs="browse", query=lambda world: f"?warehouse={world.catalog}"),
    "POST /v1/aws/s3/sign": Row(scopes=(R, W), body={}),
    "POST /v1/oauth/tokens": OPEN,
}

MANAGEMENT = {
    "GET /me": Row(),
    "POST /me/password": Row(scopes=(M,), body={}),
    "GET /organisation": Row(),
    "GET /sign-in": OPEN,
    "POST /session": OPEN,
    "DELETE /session": Row(scopes=(M,)),
    "GET /sessions": Row(scopes=(M,)),
    "DELETE /sessions/{session}": Row(scopes=(M,)),
    "POST /device": OPEN,
    "GET /scan-work": OPEN,
    "GET /scan-work/{part}": OPEN,
    "POST /device/token": OPEN,
    "GET /device/{code}": Row(scopes=(M,)),
    "POST /device/{code}": Row(scopes=(M,), body={}),
    "GET /members": admins(),
    "POST /members": admins(body={"name": ""}),
    "GET /members/{member}": admins(),
    "PATCH /members/{member}": admins(body={}),
    "DELETE /members/{member}": admins(),
    "POST /members/{member}/password-link": admins(body={}),
    "GET /members/{member}/identities": admins(),
    "POST /members/{member}/identities": admins(body={}),
    "DELETE /members/{member}/identities/{issuer}": admins(),
    "GET /keys": Row(scopes=(M,)),
    "POST /keys": Row(scopes=(M,), body={"name": ""}),
    "DELETE /keys/{key}": Row(scopes=(M,)),
    "GET /audit": admins(),
    "GET /audit/export": admins(),
    "GET /webhooks": admins(),
    "POST /webhooks": admins(body={}),
    "GET /webhooks/{webhook}": admins(),
    "PATCH /webhooks/{webhook}": admins(body={}),
    "DELETE /webhooks/{webhook}": admins(),
    "GET /webhooks/{webhook}/deliveries": admins(),
    "POST /webhooks/{webhook}/deliveries/{delivery}/redeliver": admins(body={}),
    "GET /jobs": admins(),
    "GET /jobs/{job}": admins(),
    "POST /jobs/{job}/cancel": admins(),
    "GET /roles": Row(),
    "POST /roles": admins(body={"name": "everyone"}),
    "GET /roles/{role}": Row(),
    "PUT /roles/{role}": admins(body={"name": "everyone"}),
    "DELETE /roles/{role}": admins(),
    "GET /roles/{role}/members": admins(),
    "PUT /roles/{role}/members/{member}": admins(),
    "DELETE /roles/{role}/members/{member}": admins(),
    "GET /grants": Row(needs="manage", scopes=(M,), query=on_catalog),
    "POST /grants": Row(
        needs="manage",
        scopes=(M,),
        body=lambda world: {"object": world.catalog, "role": world.role, "privilege": "browse"},
    ),
    "GET /grants/{grant}": Row(needs="manage", scopes=(M,)),
    "DELETE /grants/{grant}": Row(needs="manage", scopes=(M,), named=new("grant")),
    "GET /access": Row(needs="manage", scopes=(M,), query=on_catalog),
    "GET /explain": Row(needs="browse", query=lambda world: on_catalog(world) + "&action=read"),
    "GET /policies": admins(query="?path=s3://xyz"),
    "GET /integrations/{integration}/policies": admins(),
    "GET /integrations": Row(),
    "POST /integrations": admins(body={}),
    "GET /integrations/{integration}": Row(),
    "DELETE /integrations/{integration}": admins(),  # a catalog uses it
    "PATCH /integrations/{integration}": admins(body={}),
    "POST /integrations/{integration}/rotate": admins(body={}),
    f"GET {_OBJECTS}": Row(scopes=(R, W)),
    f"GET {_OBJECTS}/content": Row(scopes=(R, W), query="?path=none"),
    f"POST {_OBJECTS}/link": Row(scopes=(R, W), body={"path": "none"}),
    "POST /integrations/verify": admins(body={}),
    "POST /integrations/{integration}/verify": admins(body={}),
    "GET /integrations/{integration}/verifications": Row(),
    "GET /integrations/{integration}/verifications/{verification}": Row(),
    "GET /catalogs": Row(),
    "POST /catalogs": admins(body={"name": "", "integration": "lake"}),
    "GET /catalogs/{catalog}": Row(needs="browse"),
    "GET /catalogs/{catalog}/engines": Row(needs="browse"),
    "DELETE /catalogs/{catalog}": admins(),  # it is not empty
    f"GET {_SCANS}": admins(),
    f"POST {_SCANS}": admins(body={"prefix": "s3://elsewhere/x"}),
    f"GET {_SCANS}/{{scan}}": admins(),
    f"POST {_SCANS}/{{scan}}/cancel": admins(),
    f"POST {_SCANS}/{{scan}}/take-over": admins(),
    f"POST {_SCANS}/{{scan}}/token": admins(),
    "POST /catalogs/{catalog}/conversions": admins(
        body={"source": "s3://elsewhere/a.geojson", "namespace": "ns", "name": "t"}
    ),
    f"POST {_SCANS}/{{scan}}/register": admins(body={"namespace": "ns"}),
    f"GET {_SYNCS}": admins(),
    f"POST {_SYNCS}": admins(body={"tables": ["ns.nothing"]}),
    f"GET {_SYNCS}/{{sync}}": admins(),
    f"POST {_SYNCS}/{{sync}}/confirm": admins(),
    f"POST {_SYNCS}/{{sync}}/discard": admins(),
    f"POST {_SYNCS}/{{sync}}/undo": admins(),
    "GET /catalogs/{catalog}/sync-settings": admins(),
    "PUT /catalogs/{catalog}/sync-settings": admins(body={}),
    "POST /catalogs/{catalog}/sync-settings/token": admins(),
    "DELETE /catalogs/{catalog}/sync-settings/token": admins(),
    "GET /catalogs/{catalog}/sync-settings/queue": admins(),
    "PUT /catalogs/{catalog}/sync-settings/queue": admins(body={"queue": "nonsense"}),
    "DELETE /catalogs/{catalog}/sync-settings/queue": admins(),
    "POST /catalogs/{catalog}/events": Row(is_open=True, body={}),
    f"GET {_MANAGED}/sync-settings": admins(),
    f"PUT {_MANAGED}/sync-settings": admins(body={}),
    f"POST {_MANAGED}/undo-registration": admins(),
    "GET /catalogs/{catalog}/scan-policy": admins(),
    "PUT /catalogs/{catalog}/scan-policy": admins(body={"ignore": ["tmp"]}),
    f"GET {_FUNCTIONS}": data("browse"),
    f"POST {_FUNCTIONS}": data("write", {**FUNCTION, "name": "f"}),
    f"GET {_FUNCTIONS}/{{function}}": data("read"),
    f"PUT {_FUNCTIONS}/{{function}}": data("write", {**FUNCTION, "version": 9}),
    f"DELETE {_FUNCTIONS}/{{function}}": data("write", query="?version=9"),
    "GET /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/files": data("read"),
    "POST /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/files/search": data("read", {}),
    "GET /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/predicate": data(
        "read", query="?dialect=spark&bbox=0,0,1,1"
    ),
    "POST /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/predicate": data(
        "read", {"dialect": "spark", "bbox": "0,0,1,1"}
    ),
    "GET /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/footprints": data("read"),
    "GET /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/layout": data("read"),
    "GET /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/index": data("read"),
    "GET /catalogs/{catalog}/namespaces/{namespace}/tables/{table}/metrics": data("read"),
}

OTHERS = {
    "GET /health": OPEN,
    "GET /ready": OPEN,
    "GET /metrics": OPEN,
    "GET /": OPEN,
    "GET /auth/login": OPEN,
    "POST /auth/login": OPEN,
    "GET /auth/login/{issuer}": OPEN,
    "GET /auth/callback": OPEN,
    "GET /auth/link/{token}": OPEN,
    "POST /auth/link/{token}": OPEN,
    "GET /auth/device": OPEN,
    "POST /auth/device": OPEN,
}


def rows():
    """Every row by method and whole template; the catalog's also without a prefix."""
    found = dict(OTHERS)
    for line, row in MANAGEMENT.items():
        found[line.replace(" ", f" {MANAGEMENT_ROOT}", 1)] = row
    for line, row in ICEBERG.items():
        for each in {line, line.replace("/{prefix}", "", 1)}:
            found[each.replace(" ", f" {ICEBERG_ROOT}", 1)] = row
    return found


ROWS = rows()


def test_every_route_has_a_row_and_every_row_a_route():
    assert set(ROWS) == {f"{route.method} {route.template}" for route in route_table().routes}


@dataclass(frozen=True)
class Caller:
    """Who calls: with which credential, privilege on the catalog, and scopes."""

    credential: str | None
    is_known: bool = True
    is_admin: bool = False
    privilege: str | None = None
    scopes: tuple[str, ...] = ANY

    def expected(self, row: Row) -> str:
        if not self.is_known:
            return UNKNOWN
        if not set(self.scopes) & set(row.scopes) or not (row.users or self.is_admin):
            return FORBIDDEN
        if row.needs is None or self.privilege == "everything":
            return IN
        if self.privilege is None:
            return ABSENT
        enough = PRIVILEGES.index(self.privilege) >= PRIVILEGES.index(row.needs)
        return IN if enough else FORBIDDEN


@pytest.fixture(scope="module")
def world(server):
    services = server.services
    admin = new_organisation(services, f"who {uuid4().hex[:8]}")
    with server.http(admin.credential) as http:

        def post(path, body):
            made = http.post(path, json=body)
            assert made.is_success, made.text
            return made.json()

        store = server.store
        post(
            f"{MANAGEMENT_ROOT}/integrations",
            {
                "name": "lake",
                "path": f"s3://{BUCKET}",
                "access_key_id": store.admin_keys.access_key_id,
                "secret_access_key": store.admin_keys.secret_access_key.reveal(),
                "endpoint": store.endpoint,
                "region": store.region,
                "path_style": True,
            },
        )
        body = {"name": "maps", "integration": "lake", "default_access": "none"}
        catalog = post(f"{MANAGEMENT_ROOT}/catalogs", body)["id"]
        base = f"{ICEBERG_ROOT}/v1/{catalog}"
        post(f"{base}/namespaces", {"namespace": ["ns"]})
        for name in ("t", "taken"):
            loaded = post(f"{base}/namespaces/ns/tables", {**NEW_TABLE, "name": name})
        post(f"{base}/namespaces/ns/views", NEW_VIEW)
        path = f"{MANAGEMENT_ROOT}/catalogs/{catalog}/namespaces/ns/functions"
        post(path, {**FUNCTION, "name": "f"})
        role = post(f"{MANAGEMENT_ROOT}/roles", {"name": "nobody has it"})["id"]
        loaded = http.get(f"{base}/namespaces/ns/tables/t").json()
        location = loaded["metadata"]["location"].removeprefix("s3://")
    return World(
        server=server,
        admin=admin,
        catalog=catalog,
        name="maps",
        table_uri=f"{store.endpoint}/{location}/data/x.parquet",
        integration="lake",
        grant_id=grant(services, admin, "browse", to="nobody has it", catalog=catalog),
        role=role,
    )


@pytest.fixture(scope="module")
def callers(world):
    services, admin = world.services, world.admin
    found = {
        "anonymous": Caller(None, is_known=False),
        "bad token": Caller("gk_bad:gs_bad", is_known=False),
        "admin of another organisation": Caller(
            new_organisation(services, f"other {uuid4().hex[:8]}").credential, is_admin=True
        ),
        "no grant": Caller(new_person(services, admin).credential),
        "admin": Caller(
            new_person(services, admin, role=Role.ADMIN).credential,
            is_admin=True,
            privilege="everything",
        ),
    }
    for privilege in PRIVILEGES:
        person = new_person(services, admin)
        grant(services, admin, privilege, to=person, catalog=world.catalog)
        found[privilege] = Caller(person.credential, privilege=privilege)
        if privilege == "manage":
            for scope in Scope:
                key = with_key(services, admin, person.id, {scope})
                found[f"manage, scope {scope}"] = Caller(
                    key.credential, privilege=privilege, scopes=(scope.value,)
                )
    for scope in Scope:
        key = with_key(services, admin, admin.id, {scope})
        found[f"admin, scope {scope}"] = Caller(
            key.credential, is_admin=True, privilege="everything", scopes=(scope.value,)
        )
    return found


def path_of(world, line, row, *, fresh):
    """The path with a name for each parameter; made for this one request where that is needed."""
    fixed = {
        "prefix": world.catalog,
        "catalog": world.catalog,
        "namespace": "ns",
        "table": "t",
        "view": "v",
        "function": "f",
        "integration": world.integration,
        "grant": world.grant_id,
        "role": "everyone",
        "member": "nobody",
        "plan-id": "p",
    }
    if fresh and row.named:
        fixed |= {name: make(world) for name, make in row.named.items()}
    template = line.partition(" ")[2]
    query = row.query(world) if callable(row.query) else row.query
    for part in [part[1:-1] for part in template.split("/") if part.startswith("{")]:
        template = template.replace(f"{{{part}}}", fixed.get(part, "none"))
    return template + query


def kind_of(answer: httpx2.Response) -> str:
    if answer.status_code == 404 and answer.request.method != "HEAD":
        error = answer.json().get("error")
        if isinstance(error, dict) and error["type"] in NOTHING_KEPT:
            return IN
    return {401: UNKNOWN, 403: FORBIDDEN, 404: ABSENT}.get(answer.status_code, IN)


@pytest.mark.s3
@pytest.mark.parametrize("line", sorted(ROWS))
def test_each_caller_gets_the_answer_that_is_its_due(world, callers, line):
    row = ROWS[line]
    wrong = {}
    with httpx2.Client(base_url=world.server.url, timeout=60) as http:
        for name, caller in callers.items():
            expected = caller.expected(row)
            path = path_of(world, line, row, fresh=expected == IN)
            body = row.body(world) if callable(row.body) else row.body
            headers = {}
            if caller.credential is not None:
                token = caller.credential.replace(":", ".", 1)
                headers["Authorization"] = f"Bearer {token}"
            method = line.partition(" ")[0]
            answer = http.request(method, path, json=body, headers=headers)
            assert answer.status_code < 500, (name, answer.text)
            if row.is_open or (expected == ABSENT and answer.status_code == 404):
                continue
            got = kind_of(answer)
            if got == ABSENT and expected == IN and row.needs is None:
                continue
            if got != expected:
                wrong[name] = (expected, answer.status_code, answer.text[:200])
    assert wrong == {}
