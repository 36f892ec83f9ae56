"""What grants cost: pages and loads of a member who sees 1 % of a namespace, beside an admin's."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from uuid import uuid4

from sqlalchemy import Engine, event, insert, text

from benchmarks.load_generator import read_load, timed
from benchmarks.report import Options, Result
from benchmarks.rest import Connection
from graticule import logs
from graticule.app import create_app
from graticule.db import granted_tables, schema
from graticule.db.engine import is_sqlite, write
from graticule.db.upgrade import upgrade
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import ALL_SCOPES, Edition, MemberKind, Principal, Role
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.wiring import Services, open_services

NAMESPACES = 100
TABLES = 10_000
TABLES_ELSEWHERE = 10
GRANTED_PART = 100
"""One table of so many is granted to the member."""
NEIGHBOURS = 200
"""Members with as many grants each, on other tables of the same namespace."""
PAGE = 100
LOOKUPS = 2_000
ROUNDS = 5
BIG = "ns_050"
NOW = 1_760_000_000_000
PRIVILEGE_READ = 2


def run(options: Options) -> Result:
    result = Result("What grants cost")
    tables = 500 if options.quick else TABLES
    neighbours = 5 if options.quick else NEIGHBOURS
    result.notes.append(
        f"{NAMESPACES} namespaces, one of {tables:,} tables. The member was granted every "
        f"{GRANTED_PART}th of them, {neighbours} others as many each. One process, one connection."
    )
    with _sqlite(options.folder) as url:
        _measure(result, options, "SQLite", url, tables=tables, neighbours=neighbours)
    with _postgres() as url:
        _measure(result, options, "PostgreSQL", url, tables=tables, neighbours=neighbours)
    return result


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'grants.db'}"


@contextmanager
def _postgres() -> Iterator[str]:
    """The throwaway cluster of the tests."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.postgres import cluster  # noqa: PLC0415

    with cluster() as running, running.database() as url:
        yield url


def _measure(
    result: Result, options: Options, name: str, url: str, *, tables: int, neighbours: int
) -> None:
    settings = Settings(
        data_dir=options.folder / name, database_url=url, log_level="error", log_format="json"
    )
    logs.configure(log_format="json", level="error")
    if not url.startswith("sqlite"):
        from graticule.db.engine import create_engine  # noqa: PLC0415

        engine = create_engine(url)
        upgrade(engine)
        engine.dispose()
    services = open_services(settings)
    try:
        people = _people(services)
        catalog = _fill(services.engine, people, tables=tables, neighbours=neighbours)
        with BackgroundServer(create_app(services, settings)) as server:
            base = f"{server.url}/catalog/v1/{catalog}"
            _pages(result, options, name, base, people)
            _statements(result, name, services.engine, base, people)
        _lookups(result, name, services.engine, catalog, people)
    finally:
        services.close()


People = dict[str, tuple[Principal, str]]


def _people(services: Services) -> People:
    """Who is measured, each with its bearer token."""
    key = services.organisations.bootstrap()
    assert key is not None
    admin = key.credential.replace(":", ".", 1)
    principal = services.authentication.of_bearer(admin)
    people = {"admin": (principal, admin)}
    for name in ("granted 1 %", "granted the namespace"):
        member = services.members.create(
            principal,
            name=f"member {len(people)}",
            kind=MemberKind.SERVICE_ACCOUNT,
            role=Role.USER,
        )
        _, new = services.api_keys.create(
            principal, name="a key", member=member.id, scopes=ALL_SCOPES
        )
        token = new.credential.replace(":", ".", 1)
        people[name] = (services.authentication.of_bearer(token), token)
    assert principal.edition is Edition.ENTERPRISE
    return people


def _fill(engine: Engine, people: People, *, tables: int, neighbours: int) -> str:
    """Rows as the server writes them, in bulk."""
    admin, few, all_of_it = (principal for principal, _ in people.values())
    organisation, catalog, integration = admin.organisation_id, str(uuid4()), str(uuid4())
    namespaces = [
        {
            "id": str(uuid4()),
            "catalog_id": catalog,
            "path": f"ns_{number:03d}",
            "parent": "",
            "properties": "{}",
            "created_at_ms": NOW,
        }
        for number in range(NAMESPACES)
    ]
    rows = []
    for namespace in namespaces:
        count = tables if namespace["path"] == BIG else TABLES_ELSEWHERE
        rows += [_table(catalog, namespace["id"], number) for number in range(count)]
    big = next(namespace for namespace in namespaces if namespace["path"] == BIG)
    of_big = [row for row in rows if row["namespace_id"] == big["id"]]

    def grant(grantee: str, table: dict[str, object] | None) -> dict[str, object]:
        return {
            "id": str(uuid4()),
            "organisation_id": organisation,
            "catalog_id": catalog,
            "namespace_id": big["id"],
            "table_id": None if table is None else table["id"],
            "object_id": big["id"] if table is None else table["id"],
            "kind": "namespace" if table is None else "table",
            "path": BIG,
            "name": "" if table is None else table["name"],
            "grantee_id": grantee,
            "grantee_kind": "member",
            "privilege": PRIVILEGE_READ,
            "granted_by": "admin",
            "created_at_ms": NOW,
        }

    granted = [grant(few.member_id, row) for row in of_big[::GRANTED_PART]]
    granted.append(grant(all_of_it.member_id, None))
    for number in range(neighbours):
        other = str(uuid4())
        granted += [grant(other, row) for row in of_big[number % GRANTED_PART :: GRANTED_PART]]
    roles = [
        {
            "id": str(uuid4()),
            "organisation_id": organisation,
            "name": f"role {number}",
            "created_at_ms": NOW,
        }
        for number in range(3)
    ]
    with write(engine) as conn:
        conn.execute(
            insert(schema.storage_integrations).values(
                id=integration,
                organisation_id=organisation,
                name="lake",
                bucket="lake",
                key="",
                region="eu-central-1",
                endpoint="",
                path_style=False,
                role_arn="arn:aws:iam::123456789012:role/lake",
                bucket_type="private",
                version=1,
                created_at_ms=NOW,
            )
        )
        conn.execute(
            insert(schema.catalogs).values(
                id=catalog,
                organisation_id=organisation,
                integration_id=integration,
                name="measured",
                location=f"s3://lake/{catalog}",
                properties="{}",
                created_at_ms=NOW,
            )
        )
        conn.execute(insert(schema.namespaces), namespaces)
        conn.execute(insert(schema.tables), rows)
        conn.execute(insert(schema.roles), roles)
        conn.execute(
            insert(schema.role_members),
            [{"member_id": few.member_id, "role_id": role["id"]} for role in roles],
        )
        conn.execute(insert(schema.grants), granted)
    if not is_sqlite(engine):  # what the server does by itself within a minute
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("VACUUM ANALYZE"))
    return catalog


def _table(catalog: str, namespace_id: str, number: int) -> dict[str, object]:
    table_id = str(uuid4())
    location = f"s3://lake/{catalog}/{table_id}/"
    return {
        "id": table_id,
        "catalog_id": catalog,
        "namespace_id": namespace_id,
        "name": f"table_{number:06d}",
        "kind": "table",
        "table_uuid": str(uuid4()),
        "location": location,
        "metadata_location": f"{location}metadata/00000-{table_id}.metadata.json",
        "version": 0,
        "created_at_ms": NOW,
        "updated_at_ms": NOW,
    }


def _pages(result: Result, options: Options, name: str, base: str, people: People) -> None:
    lists = {
        f"page of {PAGE} tables, {name}": f"/namespaces/{BIG}/tables?pageSize={PAGE}",
        f"page of {PAGE} namespaces, {name}": f"/namespaces?pageSize={PAGE}",
        f"existence of a table, {name}": f"/namespaces/{BIG}/tables/table_000100",
    }
    for case, path in lists.items():
        loads: dict[str, list[dict[str, float]]] = {who: [] for who in people}
        for _ in range(ROUNDS):  # in turns: what else the machine does then hits all of them
            for who, (_, token) in people.items():
                headers = {"Authorization": f"Bearer {token}"}
                if case.startswith("existence"):
                    with Connection(base, headers) as http:
                        took = timed(partial(_head, http, path), times=LOOKUPS // ROUNDS)
                else:
                    took = read_load(base + path, headers, connections=1, seconds=options.seconds)
                loads[who].append(took)
        for who, taken in loads.items():
            names = [name for name in taken[0] if name.startswith("p")]
            result.add(case, who, **{n: median(took[n] for took in taken) for n in names})
        of_admin = result.figure(case, "admin", "p50_ms")
        for who in list(people)[1:]:
            ratio = (result.figure(case, who, "p50_ms") or 0) / (of_admin or 1)
            result.add_ratio(f"{case}: p50 of who was {who} over an admin's", ratio, "≤ 3")


def _head(http: Connection, path: str) -> None:
    status, _ = http.request("HEAD", path)
    assert status == 204, status


def _statements(result: Result, name: str, engine: Engine, base: str, people: People) -> None:
    """SQL statements by page, also of a larger one: they must be as many."""
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    for who, (_, token) in people.items():
        counts = []
        for size in (10, PAGE):
            with Connection(base, {"Authorization": f"Bearer {token}"}) as http:
                path = f"/namespaces/{BIG}/tables?pageSize={size}"
                http.call("GET", path)
                seen.clear()
                http.call("GET", path)
                counts.append(sum("SELECT" in statement for statement in seen))
        result.add(f"SQL of a page of 10 and of {PAGE}, {name}", who, few=counts[0], many=counts[1])


def _lookups(result: Result, name: str, engine: Engine, catalog: str, people: People) -> None:
    """The statement of loadTable alone, in this process."""
    identifier = TableIdentifier.of([BIG], "table_000100")
    for who, (principal, _) in people.items():
        took = timed(
            partial(granted_tables.look_up, engine, principal, catalog, identifier), times=LOOKUPS
        )
        result.add(f"pointer and privilege of one table, {name}", who, **took)
