"""Each published vulnerability of a catalog's vending and locations, tried here over the REST API.

Behind them all is one mistake: a string of a client's flows into a policy or a path.  The store is
behind a proxy that counts, so "nothing was asked for, nothing was written" is seen, not believed.
"""

import json
from collections import Counter
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError

from graticule.iceberg import metadata
from support.faults import faulty
from support.table_documents import schema

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": True}]}
DELEGATE = {"X-Iceberg-Access-Delegation": "vended-credentials"}


class Lake:
    """A catalog of one test, on a folder of its own, and what its store was asked for."""

    def __init__(self, http, folder, proxy):
        self.http, self.folder, self.proxy = http, folder, proxy
        made = http.post(
            "/api/v1/catalogs",
            json={"name": folder.folder, "integration": folder.integration["id"], "force": True},
        ).json()
        self.base = f"/catalog/v1/{made['id']}"
        self.root = made["location"]

    def create(self, name="t", namespace=("ns",), **body):
        levels = quote("\x1f".join(namespace), safe="")
        self.http.post(f"{self.base}/namespaces", json={"namespace": list(namespace)})
        return self.http.post(
            f"{self.base}/namespaces/{levels}/tables",
            json={"name": name, "schema": SCHEMA, **body},
            headers=DELEGATE,
        )

    def commit(self, *updates):
        return self.http.post(
            f"{self.base}/namespaces/ns/tables/t",
            json={"requirements": [], "updates": list(updates)},
            headers=DELEGATE,
        )

    def asked(self):
        """Writes, and calls of the token service, since the last time this was asked."""
        seen = Counter({verb: self.proxy.seen[verb] for verb in ("POST", "PUT")})
        self.proxy.seen.clear()
        return dict(seen)


NOTHING = {"POST": 0, "PUT": 0}


@pytest.fixture
def lake(http, connect_folder, seaweedfs):
    with faulty(seaweedfs.endpoint) as proxy:
        lake = Lake(http, connect_folder(endpoint=proxy.endpoint), proxy)
        yield lake


def client_of(server, loaded):
    """A client with what was vended, and nothing else."""
    config = loaded["storage-credentials"][0]["config"]
    return boto3.client(
        "s3",
        endpoint_url=server.store.endpoint,
        region_name=server.store.region,
        aws_access_key_id=config["s3.access-key-id"],
        aws_secret_access_key=config["s3.secret-access-key"],
        aws_session_token=config["s3.session-token"],
    )


def outside(lake):
    """Places that are not for a table of this catalog to have."""
    beside = lake.folder.uri + "2"
    return [
        "s3://elsewhere/t",
        f"{beside}/t",
        lake.folder.uri,
        lake.root,
        f"{lake.root}/../t",
        f"{lake.root}/*",
        f"{lake.root}/t?",
        f"{lake.root}/${{aws:userid}}",
        f"{lake.root}/a//b",
        "file:///etc/passwd",
    ]


@pytest.mark.parametrize("place", range(10))
def test_cve_2026_42809_a_staged_table_gets_no_credential_before_its_location_is_checked(
    lake, place
):
    """Apache Polaris < 1.4.1: staging vended for a location that only the commit would check."""
    assert lake.create("warm").status_code == 200
    seen = lake.asked()
    assert min(seen.values()) > 0, "the proxy sees what a table that may be there takes"

    refused = lake.create(location=outside(lake)[place], **{"stage-create": True})

    assert refused.status_code == 400, refused.text
    assert "storage-credentials" not in refused.json()
    assert lake.asked() == NOTHING


def test_cve_2026_42809_nor_for_the_paths_in_its_properties(lake):
    assert lake.create("warm").status_code == 200
    lake.asked()

    for name in ("write.data.path", "write.metadata.path", "write.object-storage.path"):
        properties = {name: "s3://elsewhere/t"}
        refused = lake.create(properties=properties, **{"stage-create": True})
        assert refused.status_code == 400, refused.text

    assert lake.asked() == NOTHING


@pytest.mark.parametrize("name", ["*", "t*", "?", "**", "${aws:userid}"])
def test_cve_2026_42810_a_pattern_in_a_name_widens_no_credential(server, lake, name):
    """Apache Polaris < 1.4.1: `*` in a table's or namespace's name widened the policy."""
    loaded = lake.create(name, namespace=(name,)).json()
    victim = lake.create("victim").json()["metadata"]["location"]
    own, s3 = loaded["metadata"]["location"], client_of(server, loaded)
    bucket, _, key = victim.removeprefix("s3://").partition("/")

    assert not set("*?$") & set(own)
    assert loaded["storage-credentials"][0]["prefix"] == f"{own}/"
    s3.put_object(Bucket=bucket, Key=f"{own.removeprefix(f's3://{bucket}/')}/x", Body=b"")
    for attempt in (
        lambda: s3.put_object(Bucket=bucket, Key=f"{key}/x", Body=b""),
        lambda: s3.get_object(Bucket=bucket, Key=f"{key}/x"),
        lambda: s3.list_objects_v2(Bucket=bucket, Prefix=f"{key}/"),
    ):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert refused.value.response["Error"]["Code"] == "AccessDenied"


@pytest.mark.parametrize("name", ["' || true || '", '"},{"Effect":"Allow', "\\", "a'b", 'a"b'])
def test_cve_2026_42811_a_quote_in_a_name_says_nothing_in_a_policy(lake, name):
    """Apache Polaris < 1.4.1: a name closed the string of an access boundary's condition.

    We have no such conditions; names are in no policy at all, and this is where that is seen.
    """
    made = lake.create(name, namespace=(name,))
    assert made.status_code == 200, made.text
    location = made.json()["metadata"]["location"]

    assert location.removeprefix(f"{lake.root}/").replace("-", "").isalnum()


@pytest.mark.parametrize("name", ["write.metadata.path", "write.data.path"])
@pytest.mark.parametrize("place", range(10))
def test_cve_2026_42812_no_metadata_is_written_where_a_property_leads(lake, place, name):
    """Apache Polaris < 1.4.1: metadata went to `write.metadata.path` before it was checked."""
    assert lake.create().status_code == 200
    before = lake.http.get(f"{lake.base}/namespaces/ns/tables/t").json()["metadata-location"]
    lake.asked()

    for refused in (
        lake.commit({"action": "set-properties", "updates": {name: outside(lake)[place]}}),
        lake.create("u", properties={name: outside(lake)[place]}),
    ):
        assert refused.status_code == 400, refused.text

    assert lake.asked() == NOTHING
    after = lake.http.get(f"{lake.base}/namespaces/ns/tables/t").json()["metadata-location"]
    assert after == before


@pytest.mark.parametrize("place", range(10))
def test_a_table_is_not_moved_to_where_its_catalog_does_not_reach(lake, place):
    """The same by `set-location`, and for what is vended afterwards."""
    assert lake.create().status_code == 200
    lake.asked()

    refused = lake.commit({"action": "set-location", "location": outside(lake)[place]})

    assert refused.status_code == 400, refused.text
    assert lake.asked() == NOTHING


def test_gravitinos_pattern_a_registered_document_vends_for_no_path_outside_its_table(lake):
    """Apache Gravitino grants these paths as a document says them."""
    lake.create("warm")
    for number, name in enumerate(("write.data.path", "write.metadata.path")):
        location = f"{lake.folder.uri}/r{number}"
        document = metadata.new_table(
            schema=schema(),
            partition_spec=None,
            sort_order=None,
            location=location,
            properties={name: "s3://elsewhere/t"},
            table_uuid=f"9c12d441-03fe-4693-9a96-a0705ddf69c{number}",
            now_ms=1_790_000_000_000,
        )
        at = lake.folder.put(f"r{number}/metadata/v1.metadata.json", json.dumps(document).encode())
        lake.asked()

        refused = lake.http.post(
            f"{lake.base}/namespaces/ns/register",
            json={"name": f"r{number}", "metadata-location": at},
            headers=DELEGATE,
        )

        assert refused.status_code == 400, refused.text
        assert "storage-credentials" not in refused.json()
        assert lake.asked()["PUT"] == 0


def test_no_document_makes_a_table_of_a_whole_catalog_or_of_what_the_server_keeps_there(lake):
    """Its readers would get all that dropped tables left behind, and nobody another table."""
    lake.create("warm")
    root = lake.root.rstrip("/")
    for number, location in enumerate((root, f"{root}/.graticule", f"{root}/.graticule/scans/s")):
        document = metadata.new_table(
            schema=schema(),
            partition_spec=None,
            sort_order=None,
            location=location,
            properties={},
            table_uuid=f"9c12d441-03fe-4693-9a96-a0705ddf69d{number}",
            now_ms=1_790_000_000_000,
        )
        at = f"{location}/metadata/v1.metadata.json"
        name = at.removeprefix(f"{lake.folder.uri}/")
        lake.folder.put(name, json.dumps(document).encode())
        # Not for the tables that are there: a catalog without any is as far from being one.
        lake.http.delete(f"{lake.base}/namespaces/ns/tables/warm")
        refused = lake.http.post(
            f"{lake.base}/namespaces/ns/register",
            json={"name": "r", "metadata-location": at},
            headers=DELEGATE,
        )
        assert refused.status_code == 400, refused.text
        assert "is where a catalog keeps its tables" in refused.json()["error"]["message"]
    asked = lake.create("t", location=f"{root}/.graticule/scans/s")
    assert asked.status_code == 400, asked.text
    assert "is the server's own" in asked.json()["error"]["message"]
