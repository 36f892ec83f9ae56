import pytest

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg.properties import check_properties


@pytest.mark.parametrize(
    "name",
    [
        "s3.endpoint", "S3.Endpoint", "s3.signer.uri", "s3.proxy-uri", "s3.access-key-id",
        "client.region", "adls.account-name", "gcs.oauth2.token", "gs.x", "hdfs.host",
        "py-io-impl", "io-impl", "signer", "rest.sigv4-enabled", "uri", "token", "header.X-A",
        "credential", "oauth2-server-uri",
    ],
)  # fmt: skip
def test_a_property_that_configures_file_access_is_refused_by_name(name):
    with pytest.raises(InvalidUpdate, match=f"`{name}` is refused"):
        check_properties({"owner": "ana", name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        "owner", "write.metadata.path", "write.object-storage.enabled", "commit.retry.num-retries",
        "s3x", "restful", "uri-pattern", "token_count", "geo", "clients", "history.expire.x", "",
    ],
)  # fmt: skip
def test_any_other_property_is_the_tables_own_business(name):
    check_properties({name: "x"})
