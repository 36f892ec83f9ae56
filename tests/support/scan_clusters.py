"""Machines that inspect files of a scan, in threads of the test; and what a scan came to know."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import delete, select

from graticule.db.engine import read, write
from graticule.db.schema import file_inspections
from graticule.domain.secret import Secret
from graticule.scaleout.inspecting import Done, inspect_part
from graticule.scaleout.server import Server
from support.lake import RawFolder
from support.patience import until
from support.zoo.every import EVERY


def fill_with_zoo(raw: RawFolder) -> int:
    """Every layout of the zoo in a folder of its own, each table on its own; how many objects."""
    s3, count = raw.s3, 0
    with ThreadPoolExecutor(8) as pool:
        for layout in EVERY:
            folder = f"{raw.prefix}{layout.id}"
            for name, data in layout.build(f"s3://lake/{folder}").items():
                pool.submit(s3.put_object, Bucket="lake", Key=f"{folder}/{name}", Body=data)
                count += 1
    return count


def start(raw: RawFolder, **options: Any) -> dict[str, Any]:
    body = {"prefix": f"s3://lake/{raw.prefix.rstrip('/')}", "engine": "spark", **options}
    started = raw.http.post(raw.scans, json=body)
    assert started.status_code == 202, started.text
    return started.json()


def cluster_for(raw: RawFolder, scan: dict[str, Any]) -> Server:
    """The server as the machines see it that work for this scan."""
    told = raw.http.post(f"{raw.scans}/{scan['id']}/token")
    assert told.status_code == 200, told.text
    return Server(raw.server.url, Secret(told.json()["token"]))


def parts_of(cluster: Server) -> list[str]:
    """Once they are ready."""
    until(lambda: cluster.work()["state"] == "ready")
    return cluster.work()["parts"]


def inspect_all(cluster: Server) -> list[Done]:
    with ThreadPoolExecutor(2) as machines:
        return list(machines.map(lambda name: inspect_part(cluster, name), parts_of(cluster)))


def known(raw: RawFolder) -> dict[str, tuple]:
    """All that is known of the folder's files, byte by byte."""
    columns = file_inspections.c
    query = select(
        columns.key, columns.size_bytes, columns.etag, columns.inspection, columns.error
    ).where(columns.key.startswith(raw.prefix), columns.is_final)
    with read(raw.server.services.engine) as conn:
        return {row.key: tuple(row[1:]) for row in conn.execute(query)}


def forget(raw: RawFolder) -> None:
    """As if no file of the folder had been inspected."""
    with write(raw.server.services.engine) as conn:
        mine = file_inspections.c.key.startswith(raw.prefix)
        conn.execute(delete(file_inspections).where(mine))


def staged(raw: RawFolder) -> list[str]:
    """What lies in the catalog's own folder."""
    with raw.server.http() as http:
        at = http.get(f"/api/v1/catalogs/{raw.catalog.id}").json()["location"]
    prefix = at.removeprefix("s3://lake/").rstrip("/") + "/.graticule/"
    listed = raw.s3.list_objects_v2(Bucket="lake", Prefix=prefix)
    return [row["Key"].removeprefix(prefix) for row in listed.get("Contents", [])]
