"""Names, addresses and endpoints as people write them; what is wrong with one, and what to write."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_dns.names import wire_name
from harness.settings.hosts import (
    domain_name,
    endpoint,
    endpoint_text,
    ip_address,
    is_domain_name,
    local_part,
    mail_address,
    target,
    twice,
)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "is empty; write a domain name"),
        ("example.org.", "ends in a dot; write 'example.org'"),
        ("a..example", "has an empty label"),
        (".example", "has an empty label"),
        (".", "has an empty label"),
        ("a" * 64 + ".example", "has a label of 64 octets; at most 63 fit"),
        ("a." * 126 + "ab", "has 254 characters, and a domain name has at most 253"),
        ("mail example", "has a blank or a line end; leave it out"),
        ("example.org\n", "has a blank or a line end; leave it out"),
        ("example\x00.org", "has a character that does not print; leave it out"),
        ("bücher.example", "is not ASCII; write 'xn--bcher-kva.example'"),
        ("ann@example.org", "is a mail address; write the domain alone"),
        ("-mail.example", "has the label '-mail'"),
        ("mail-.example", "has the label 'mail-'"),
        ("ma!l.example", "has the label 'ma!l'"),
        ("127.0.0.1", "is no name but an address; write the name"),
    ],
)
def test_a_domain_name_that_is_none(written: str, told: str) -> None:
    assert not is_domain_name(written)
    with pytest.raises(ValueError, match=r"\S") as caught:
        domain_name(written)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "written",
    ["example.org", "MX.Example", "localhost", "_dmarc.example", "a" * 63, "a." * 125 + "abc", "4.example"],
)
def test_a_domain_name(written: str) -> None:
    assert domain_name(written) == written
    assert is_domain_name(written)


@given(st.text(max_size=300))
def test_dns_can_carry_whatever_is_taken_for_a_domain_name(text: str) -> None:
    if is_domain_name(text):
        assert wire_name(text).count(b".") == 0
    else:
        with pytest.raises(ValueError, match=r"\S"):
            domain_name(text)


@given(st.text(max_size=80))
def test_nothing_that_is_taken_for_a_mailbox_can_end_a_line(text: str) -> None:
    for check in (local_part, mail_address, target):
        with contextlib.suppress(ValueError):
            taken = str(check(text))
            assert taken.isascii()
            assert taken.isprintable()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "'' is no local part"),
        ("ann\n", "has a blank or a line end"),
        ("ann bell", "has a blank or a line end"),
        ("ann@example.org", "is no local part; write what stands before the @"),
        ("änn", "is no local part"),
        ("a" * 65, "has 65 octets, and a local part at most 64"),
    ],
)
def test_a_local_part_that_is_none(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        local_part(written)
    assert told in str(caught.value)


def test_mail_addresses() -> None:
    assert mail_address("Ann@Example.ORG") == "Ann@example.org"
    assert mail_address('"a b"@[IPv6:::1]') == '"a b"@[IPv6:::1]'
    assert target("ann") == "ann"
    for wrong in ("ann", "@example.org", "ann@", "ann@a..b", "a b@example.org", "ann@[1.2.3]"):
        with pytest.raises(ValueError, match="is no mail address"):
            mail_address(wrong)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("localhost", "write it in numbers, as 127.0.0.1 or ::1, and no name"),
        ("mail.example.org", "and no name"),
        ("fe80::1%eth0", "has a zone, which means something to one host only"),
        ("127.1", "is no IP address"),
        ("127.0.0.1 ", "is no IP address"),
        ("", "is no IP address"),
    ],
)
def test_an_address_that_is_none(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        ip_address(written)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "127.0.0.1",
        ":53",
        "localhost:53",
        "::1:53",
        "[::1]",
        "[127.0.0.1]:53",
        "127.0.0.1:65536",
        "127.0.0.1:+5",
        "127.0.0.1:٥",
        "127.0.0.1:5 ",
        "[fe80::1%eth0]:53",
        "[::1:53",
        "127.0.0.1:123456",
    ],
)
def test_an_endpoint_that_is_none(written: str) -> None:
    with pytest.raises(ValueError, match="write"):
        endpoint(written)


def test_a_port_that_is_called_is_not_0() -> None:
    assert endpoint("127.0.0.1:0") == ("127.0.0.1", 0)
    with pytest.raises(ValueError, match="no port from 1 to 65535"):
        endpoint("127.0.0.1:0", lowest=1)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_endpoint_is_read_as_it_is_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    assert endpoint(endpoint_text(str(address), port)) == (str(address), port)


def test_twice() -> None:
    assert twice(["a", "b", "A"]) == "A"
    assert twice(["a", "b"]) == ""
