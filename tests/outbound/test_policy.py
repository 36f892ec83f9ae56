"""Which addresses the server may connect to, and how much of a URL it understands."""

import pytest

from graticule.domain.errors import InvalidRequest
from graticule.outbound.gate import ANYWHERE, PUBLIC_ONLY, Outbound
from graticule.outbound.policy import OutboundPolicy

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "::1",
    "fd00::1",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "fec0::1",
    "4000::1",
]


def resolving_to(*addresses, policy=None):
    return Outbound(policy or OutboundPolicy(), resolve=lambda _host, _port: list(addresses))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_open_over_tls_only(address):
    assert PUBLIC_ONLY.policy.permits("https", "s3.example.org", address)
    assert not PUBLIC_ONLY.policy.permits("http", "s3.example.org", address)
    assert ANYWHERE.policy.permits("http", "s3.example.org", address)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_open_only_where_the_operator_says_so(address):
    for scheme in ("http", "https"):
        assert not PUBLIC_ONLY.policy.permits(scheme, "s3.example.org", address)
        assert ANYWHERE.policy.permits(scheme, "s3.example.org", address)
        by_host = OutboundPolicy.parse("minio.internal, s3.example.org")
        assert by_host.permits(scheme, "S3.Example.org.", address)
        assert not by_host.permits(scheme, "other.example.org", address)
        assert not by_host.permits(scheme, "a.s3.example.org", address)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_services_and_disguised_addresses_are_never_open_by_a_general_switch(address):
    for scheme in ("http", "https"):
        assert not PUBLIC_ONLY.policy.permits(scheme, "s3.example.org", address)
        assert not ANYWHERE.policy.permits(scheme, "s3.example.org", address)
        assert not OutboundPolicy.parse("s3.example.org").permits(scheme, "s3.example.org", address)


def test_a_network_that_the_operator_names_is_open_and_nothing_beside_it():
    policy = OutboundPolicy.parse("10.2.0.0/16, fd12::/32,169.254.7.7, 64:ff9b::/96")

    for address in ("10.2.3.4", "fd12::9", "169.254.7.7", "64:ff9b::808:808"):
        assert policy.permits("http", "any.example", address)
    for address in ("10.3.0.1", "fd13::9", "169.254.169.254", "::ffff:10.2.3.4"):
        assert not policy.permits("http", "any.example", address)


@pytest.mark.parametrize("entries", ["10.2.0.0/33", "10.2.0.1/16", "http://minio", "a b", "*"])
def test_an_entry_that_is_neither_a_network_nor_a_host_is_refused(entries):
    with pytest.raises(ValueError, match="neither a network"):
        OutboundPolicy.parse(entries)


@pytest.mark.parametrize("text", ["", "2130706433", "0x7f000001", "127.1", "a.b", "1.2.3.4.5"])
def test_what_is_not_an_address_is_not_permitted(text):
    assert not ANYWHERE.policy.permits("https", "s3.example.org", text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.example.org", "https://s3.example.org"),
        ("HTTPS://S3.Example.ORG:443/", "https://s3.example.org"),
        ("https://s3.example.org:9000", "https://s3.example.org:9000"),
        ("https://8.8.8.8", "https://8.8.8.8"),
        ("https://[2606:4700::1111]:8443", "https://[2606:4700::1111]:8443"),
    ],
)
def test_one_endpoint_has_one_spelling(url, expected):
    assert resolving_to("93.184.216.34", "2606:4700::1111").check_endpoint(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3.example.org",
        "ftp://s3.example.org",
        "https://",
        "https://user@s3.example.org",
        "https://user:pw@s3.example.org",
        "https://@s3.example.org",
        "https://s3.example.org/bucket",
        "https://s3.example.org?x=1",
        "https://s3.example.org?",
        "https://s3.example.org#x",
        "https://s3.example.org:99999",
        "https://s3.example.org:x",
        "https://s3_example.org\\@evil.example",
        "https://exa mple.org",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_an_endpoint_is_a_scheme_a_host_and_a_port_and_nothing_else(url):
    with pytest.raises(InvalidRequest):
        resolving_to("8.8.8.8", policy=OutboundPolicy(allow_private=True)).check_endpoint(url)


def test_a_url_keeps_its_path_and_query():
    outbound = resolving_to("93.184.216.34")

    checked = outbound.check_url("HTTPS://Hooks.Example.org/a/B?c=D", of="url")

    assert checked == "https://hooks.example.org/a/B?c=D"
    with pytest.raises(InvalidRequest, match="must escape"):
        outbound.check_url("https://hooks.example.org/a\r\nX: y", of="url")


def test_without_tls_an_endpoint_is_refused_unless_the_operator_opened_it():
    with pytest.raises(InvalidRequest, match="must be reached by https"):
        resolving_to("93.184.216.34").check_endpoint("http://s3.example.org")
    opened = resolving_to("10.0.0.9", policy=OutboundPolicy.parse("10.0.0.0/8"))
    assert opened.check_endpoint("http://minio.internal:9000") == "http://minio.internal:9000"


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_one_address_in_the_operators_network_spoils_a_name_and_is_not_told(address):
    for addresses in ([address], ["93.184.216.34", address]):
        with pytest.raises(InvalidRequest, match="not on public addresses only") as refused:
            resolving_to(*addresses).check_endpoint("https://s3.example.org")
        assert address not in str(refused.value).replace("`s3.example.org`", "")


METADATA_SPELLINGS = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "025177524776",
    "0251.0376.0251.0376",
    "169.16689662",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
]


@pytest.mark.parametrize("host", METADATA_SPELLINGS)
def test_a_metadata_service_is_recognised_however_it_is_spelt(host):
    """By the machine's own resolver, which reads all of these."""
    for outbound in (PUBLIC_ONLY, ANYWHERE):
        for scheme in ("http", "https"):
            with pytest.raises(InvalidRequest):
                outbound.check_endpoint(f"{scheme}://{host}/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost", "017700000001"])
def test_other_spellings_of_loopback_are_resolved_before_they_are_judged(host):
    with pytest.raises(InvalidRequest):
        PUBLIC_ONLY.check_endpoint(f"https://{host}")
    assert ANYWHERE.check_endpoint(f"http://{host}") == f"http://{host}"


def test_a_host_that_nobody_knows_is_refused_by_name():
    def unknown(_host, _port):
        raise OSError

    with pytest.raises(InvalidRequest, match=r"does not know the host `nowhere\.example`"):
        Outbound(OutboundPolicy(), resolve=unknown).check_endpoint("https://nowhere.example")
    with pytest.raises(InvalidRequest, match="does not know"):
        resolving_to().check_endpoint("https://nowhere.example")
