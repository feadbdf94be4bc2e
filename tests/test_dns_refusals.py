"""What DNS cannot carry is refused when it is published, with the reason."""

import pytest

from fake_dns import FakeDns, RecordError, reverse_name


@pytest.fixture
def dns() -> FakeDns:
    return FakeDns()


@pytest.mark.parametrize(
    ("record_type", "data", "complaint"),
    [
        ("A", "198.18.0", "A address: '198.18.0' is not an IPv4 address"),
        ("A", "198.18.0.1 198.18.0.2", "A data is written as: address"),
        ("A", "", "A data is written as: address"),
        ("AAAA", "198.18.0.7", "not an IPv6 address"),
        ("AAAA", "fe80::1%eth0", "AAAA address: 'fe80::1%eth0' names an interface"),
        ("MX", "mx7.k3.example.", "MX data is written as: preference host; found 'mx7.k3.example.'"),
        ("MX", "ten mx7.k3.example.", "MX preference: 'ten' is not a number from 0 to 65535"),
        ("MX", "65536 mx7.k3.example.", "from 0 to 65535"),
        ("PTR", "a..b", "empty label"),
        ("PTR", "x" * 64, "more than 63 octets"),
        ("PTR", ".".join(["x" * 60] * 5), "at most 255"),
        ("PTR", "bücher.example", "xn--"),
        ("TXT", '"open', "without its closing"),
        ("TXT", r'"\300"', "no octet"),
        ("HINFO", f'"{"x" * 256}" os', "at most 255"),
        ("SOA", "a.example. b.example. 1 2 3 4 soon", "SOA minimum: 'soon' is not a time"),
        ("TLSA", "3 1 1 xyz", "not hexadecimal"),
        ("TYPE65280", "abc", "RFC 3597"),
        ("TYPE65280", r"\# 2 0a", "announces 2 octets and 1 follow"),
        ("TYPE65280", r"\# abc", "length"),
        ("CNAME", r"\# 2 ffff", "must be a name"),
        ("CNAME", r"\# 3 016100ff", "follow"),
        ("CNAME", r"\# 4 016100ff", "must be a name"),
        ("CNAME", r"\# 2 c000", "must be a name"),
        ("CNAME", r"\# 0", "must be a name"),
        ("DS", "nonsense", "DS data is written as: tag algorithm kind hex"),
        ("DNSKEY", "nonsense", "not DNSKEY data"),
        ("MAX", "x", "no record type"),
        ("ANY", "x", "questions only"),
        ("OPT", "x", "questions only"),
        ("TYPE65536", r"\# 0", "no record type"),
    ],
)
def test_unusable_data_is_refused_with_reason(
    dns: FakeDns, record_type: str, data: str, complaint: str
) -> None:
    with pytest.raises(RecordError) as caught:
        dns.publish("bad.k3.example", record_type, data)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", ["", "..", ".k3.example", "a..example", "x" * 64 + ".example", "ä.example"])
def test_unusable_names_are_refused(dns: FakeDns, name: str) -> None:
    with pytest.raises(RecordError):
        dns.publish(name, "A", "198.18.0.7")


@pytest.mark.parametrize("ttl", [-1, 2**31])
def test_unusable_ttls_are_refused(dns: FakeDns, ttl: int) -> None:
    with pytest.raises(RecordError, match="TTL"):
        dns.publish("k3.example", "A", "198.18.0.7", ttl=ttl)
    with pytest.raises(RecordError, match="TTL"):
        dns.zone("k3.example", ttl=ttl)


def test_unusable_addresses_are_refused(dns: FakeDns) -> None:
    with pytest.raises(RecordError, match="neither an IPv4 nor an IPv6"):
        reverse_name("198.18.0.7.1")
    with pytest.raises(RecordError, match="zone of a block list"):
        dns.list_address(".", "198.18.0.7")
