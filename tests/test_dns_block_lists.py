"""Block lists of whole ranges: networks in the fake DNS and in TOML, and the data sets of rbldnsd."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dns import FakeDns, RecordError, ZoneFileError, listing_name, load_block_list, load_zone_file
from fake_dns.listings import Listed
from fake_dns.masterfile import LineError
from fake_dns.names import name_key
from fake_dns.networks import ip4_networks, ip6_network
from fake_dns.rbldnsd import DATASETS, read_block_list
from harness.cli import main
from tests.dns_asking import answers, result

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
ZONE = "bl.example"


def listing(text: str, dataset: str = "ip4set") -> FakeDns:
    dns = FakeDns()
    for publish in read_block_list(text, ZONE, dataset):
        publish(dns)
    return dns


def said(dns: FakeDns, address: str) -> tuple[list[str], list[str]]:
    """The A and TXT records of an address, or of a domain."""
    name = listing_name(address, ZONE) if address[-1].isdecimal() else f"{address}.{ZONE}"
    return answers(dns, name), answers(dns, name, "TXT")


def test_an_address_may_stand_on_several_lists_of_one_zone(tmp_path: Path) -> None:
    entry = f'[[listing]]\nzone = "{ZONE}"\naddress = "198.18.0.1"\n'
    path = tmp_path / "a.toml"
    path.write_text(f'{entry}code = "127.0.0.2"\n{entry}code = "127.0.0.10"\ntext = "dynamic"\n', "utf-8")
    dns = FakeDns()
    load_zone_file(path, dns)
    codes, texts = said(dns, "198.18.0.1")
    assert sorted(codes) == ["127.0.0.10", "127.0.0.2"]
    assert len(texts) == 2
    dns.list_address(ZONE, "198.18.0.1", "127.0.0.4", "only this")
    assert said(dns, "198.18.0.1")[0] == ["127.0.0.4"]


# Networks


def test_a_network_lists_all_its_addresses() -> None:
    dns = FakeDns()
    dns.zone(ZONE)
    dns.list_network(ZONE, ipaddress.ip_network("198.18.0.0/15"))
    dns.list_network(ZONE, ipaddress.ip_network("198.19.4.0/22"), "127.0.0.4", 'costs $5, "says" it')
    dns.list_network(ZONE, ipaddress.ip_network("2001:db8::/33"), text=None)
    dns.list_address(ZONE, "198.19.5.5", "127.0.0.9")
    assert said(dns, "198.18.0.0") == (["127.0.0.2"], ['"spam source"'])
    assert said(dns, "198.19.7.255") == (["127.0.0.4"], ['"costs $5, "says" it"'])
    assert said(dns, "198.19.5.5")[0] == ["127.0.0.9"]
    assert said(dns, "2001:db8::5") == (["127.0.0.2"], [])
    for address in ("198.17.255.255", "198.20.0.0", "2001:db8:8000::"):
        assert result(dns, listing_name(address, ZONE)) == "NXDOMAIN"


def test_what_leads_to_a_listed_address_exists() -> None:
    """Else a resolver that asks label by label (RFC 9156) would take the first NXDOMAIN for the whole."""
    dns = listing("198.18.0.0/30")
    for name in ("198", "18.198", "0.18.198"):
        assert result(dns, f"{name}.{ZONE}") == "NODATA"
    for name in ("199", "x", "1.18.198", "256.0.18.198", "07.0.18.198", "9.1.0.18.198", "1.0.18.x"):
        assert result(dns, f"{name}.{ZONE}") == "NXDOMAIN"


def test_networks_in_a_toml_file(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "zen").write_text("198.18.9\n")
    file = tmp_path / "a.toml"
    file.write_text(
        f'[[listing]]\nzone = "{ZONE}"\naddress = "198.18.0.0/22"\ncode = "127.0.0.3"\n'
        f'[[rbldnsd]]\nzone = "{ZONE}"\ndataset = "ip4set"\nfile = "lists/zen"\n'
    )
    dns = FakeDns()
    load_zone_file(file, dns)
    assert said(dns, "198.18.3.9")[0] == ["127.0.0.3"]
    assert said(dns, "198.18.9.9")[0] == ["127.0.0.2"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('[[listing]]\nzone = "a"\naddress = "198.18.0.1/22"', "a.toml:1: '198.18.0.1/22' is no network: "),
        ('[[listing]]\nzone = "a"\naddress = "198.18.0.0/33"', "a.toml:1: '198.18.0.0/33' is no network: "),
        (
            '[[listing]]\nzone = "a"\naddress = "198.18.0.0/22"\ncode = "x"',
            "a.toml:1: 'x' is not the IPv4 address",
        ),
        (
            '[[rbldnsd]]\nzone = "a"\ndataset = "ip4set"\nfile = "/etc/passwd"',
            "a.toml:1: '/etc/passwd' is not in",
        ),
        ('[[rbldnsd]]\nzone = "a"\ndataset = "x"\nfile = "list"', "a.toml:1: 'x' is no data set"),
        ('\n[[rbldnsd]]\nzone = "a"\ndataset = "ip4set"\nfile = "list"', "list:2: 'x' is no IPv4 address"),
    ],
)
def test_errors_of_ranges_name_the_line(tmp_path: Path, lines: str, told: str) -> None:
    (tmp_path / "list").write_text("198.18.0.1\nx\n")
    (tmp_path / "a.toml").write_text(lines)
    with pytest.raises(ZoneFileError) as caught:
        load_zone_file(tmp_path / "a.toml", FakeDns())
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(told)


# rbldnsd


def test_an_ip4set_with_everything() -> None:
    dns = listing(
        "# a comment\n; another\n\n127.0.0.2\n"
        ":3:Open relay, see http://bl.example/?$\n$1 for $5\n"
        "198.18.0.0/24\n!198.18.0.9\n"
        "198.18.1.7 :4:$1: $\n198.18.1.7 :127.0.0.5\n198.18.2.1-9  only text ; all of it\n"
        "198.18.3   # default\n198.18.4 :6:\n198.19-198.20\n$TTL 5m\n198.30/16\n"
    )
    assert said(dns, "127.0.0.2") == (["127.0.0.2"], [])
    assert said(dns, "198.18.0.7") == (["127.0.0.3"], ['"Open relay, see http://bl.example/?198.18.0.7"'])
    assert result(dns, listing_name("198.18.0.9", ZONE)) == "NXDOMAIN"
    assert said(dns, "198.18.1.7") == (
        ["127.0.0.4", "127.0.0.5"],
        ['"for $5: 198.18.1.7"', '"Open relay, see http://bl.example/?198.18.1.7"'],
    )
    assert said(dns, "198.18.2.9") == (["127.0.0.3"], ['"only text ; all of it"'])
    assert said(dns, "198.18.2.10") == ([], [])
    assert said(dns, "198.18.3.1")[0] == ["127.0.0.3"]
    assert said(dns, "198.18.4.1") == (["127.0.0.6"], [])
    assert said(dns, "198.20.255.255")[0] == said(dns, "198.30.1.1")[0] == ["127.0.0.3"]
    assert answers(dns, ZONE, "NS")


def test_a_dnset_with_everything() -> None:
    dns = listing(
        ":2:$ is bad\n.all.test\n*.below.test\nonly.test :3:\n!good.all.test\n!.fine.all.test\n", "dnset"
    )
    assert said(dns, "all.test") == (["127.0.0.2"], ['"all.test is bad"'])
    assert said(dns, "a.b.all.test") == (["127.0.0.2"], ['"a.b.all.test is bad"'])
    assert said(dns, "x.below.test")[0] == ["127.0.0.2"]
    assert said(dns, "only.test") == (["127.0.0.3"], [])
    assert result(dns, f"below.test.{ZONE}") == "NODATA"
    for name in ("good.all.test", "fine.all.test", "x.fine.all.test", "x.only.test", "test.all"):
        assert result(dns, f"{name}.{ZONE}") in ("NXDOMAIN", "NODATA")
        assert said(dns, name) == ([], [])


@pytest.mark.parametrize(
    ("dataset", "listed", "other"),
    [
        ("ip6trie", "2001:db8::5", "2001:db9::5"),
        ("ip6tset", "2001:db8:0:7::5", "2001:db8:0:9::5"),
    ],
)
def test_lists_of_ipv6_addresses(dataset: str, listed: str, other: str) -> None:
    text = {"ip6trie": "2001:db8::/32\n!2001:db8::9", "ip6tset": "2001:db8:0:7::\n!2001:db8:0:7::9"}[dataset]
    dns = listing(text, dataset)
    assert said(dns, listed)[0] == ["127.0.0.2"]
    assert said(dns, other) == ([], [])
    assert said(dns, listed[:-1] + "9") == ([], [])


def test_a_combined_list_with_a_generic_part() -> None:
    dns = listing(
        "$NS 1w ns1.ex.test\n$SOA 1w ns1.ex.test me.ex.test 7 2h 2h 1w 1h\n"
        "$DATASET ip4set:proxies proxies @\n:2:proxy $\n198.18.0.1\n"
        "$DATASET dnset names\nbad.test\n"
        "$DATASET generic proxies @\n@ A 127.0.0.8\nwww 300 A 127.0.0.8\n"
        '@ MX 10 mx.ex.test\n@ TXT "a list"\n',
        "combined",
    )
    assert said(dns, "198.18.0.1") == (["127.0.0.2"], ['"proxy 198.18.0.1"'])
    assert answers(dns, f"1.0.18.198.proxies.{ZONE}") == ["127.0.0.2"]
    assert answers(dns, f"bad.test.names.{ZONE}") == ["127.0.0.2"]
    assert answers(dns, f"www.proxies.{ZONE}") == answers(dns, f"www.{ZONE}") == ["127.0.0.8"]
    assert answers(dns, ZONE, "MX") == ["10 mx.ex.test."]
    assert answers(dns, ZONE, "NS") == ["ns1.ex.test."]
    assert answers(dns, ZONE, "SOA") == ["ns1.ex.test. me.ex.test. 7 7200 7200 604800 3600"]


@pytest.mark.parametrize(
    ("line", "dataset", "told"),
    [
        ("198.18.0.256", "ip4set", "no IPv4 address"),
        ("198.18.0.0/33", "ip4set", "32 bits"),
        ("198.18.9-198.18.1", "ip4set", "ends before it begins"),
        ("198.18.0.1 :x:text", "ip4set", "not :CODE:TEXT"),
        ("198.18.0.1 :300:text", "ip4set", "is not the IPv4 address"),
        ("2001:db8::/129", "ip6trie", "no IPv6"),
        ("fe80::%eth0/64", "ip6trie", "names an interface"),
        ("a..b", "dnset", "empty label"),
        ("www CNAME x", "generic", "is written as"),
        ("www A x", "generic", "not an IPv4 address"),
        ("198.18.0.1", "combined", "before the first line with $DATASET"),
        ("$DATASET acl @", "combined", "no data set"),
        ("$DATASET combined @", "combined", "no type of a section"),
        ("$FOO x", "ip4set", "$FOO is not understood here"),
        ("$TTL soon", "ip4set", "not a time"),
        ("$SOA 1w x", "ip4set", "SOA data is written as"),
        ("$NS ns.bl.example", "ip4set", "it is written as: $NS TTL host …"),
        ("#$NS", "ip4set", "it is written as: $NS TTL host …"),
    ],
)
def test_errors_of_a_list_name_the_line(line: str, dataset: str, told: str) -> None:
    with pytest.raises(LineError) as caught:
        listing(f"\n{line}\n", dataset)
    assert caught.value.line == 2
    assert told in str(caught.value)


def test_no_answer_is_longer_than_a_string_may_be() -> None:
    dns = listing(f":2:{'$' * 251}x $\n.test", "dnset")
    assert len(said(dns, f"{'y' * 60}.{'y' * 60}.test")[1][0]) <= 257
    with pytest.raises(RecordError, match="at most 255"):
        Listed(ipaddress.IPv4Address("127.0.0.2"), "x" * 256, 60)


def test_lists_are_loaded_from_files_and_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").write_bytes(b"\xef\xbb\xbf198.18.0.1 gr\xfc\xdfe\n")
    (tmp_path / "two").write_text("198.18.0.2\n!\n")
    dns = FakeDns()
    load_block_list(ZONE, "ip4set", [tmp_path / "one"], dns)
    assert said(dns, "198.18.0.1")[0] == ["127.0.0.2"]
    with pytest.raises(ZoneFileError, match="two:2: '' is no IPv4 address"):
        load_block_list(ZONE, "ip4set", [tmp_path / "two"], dns)
    assert said(dns, "198.18.0.2") == ([], [])
    for arguments, told in (
        ([], "there is nothing to answer"),
        (["--rbldnsd", ZONE], "write ZONE:DATASET:FILE"),
        (["--rbldnsd", f"{ZONE}:acl:{tmp_path}/one"], "'acl' is no data set"),
        (["--rbldnsd", f".:ip4set:{tmp_path}/one"], "cannot be the zone of a block list"),
        (["--rbldnsd", f"{ZONE}:ip4set:{tmp_path}/one,{tmp_path}/two"], "two:2: "),
        ([f"{tmp_path}/one"], "--origin"),
        ([f"{tmp_path}/one", "--origin", "ä"], "--origin: 'ä' is not ASCII"),
        ([f"{tmp_path}/one", "--origin", "a.", "--listen", "x"], "--listen: 'x' is no address and port"),
        (["--rbldnsd", f"a..b:ip4set:{tmp_path}/one"], "--rbldnsd: 'a..b' is not a domain name"),
    ):
        assert main(["dns", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("smtp-harness: ")
        assert told in error
        assert error.count("\n") == 1


# Properties

ADDRESSES = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
NETWORKS = st.tuples(st.integers(0, 7), st.integers(28, 32)).map(
    lambda pair: ipaddress.ip_network((0xC6120000 + (pair[0] << 1), pair[1]), strict=False)
)


@QUICK
@given(st.lists(st.tuples(NETWORKS, st.booleans()), max_size=6))
def test_the_longest_prefix_decides(entries: list[tuple[ipaddress.IPv4Network, bool]]) -> None:
    dns, apex = FakeDns(), name_key(ZONE)
    for network, listed in entries:
        entry = Listed(ipaddress.IPv4Address("127.0.0.2"), None, 60) if listed else None
        dns.list_range(apex, network, entry)
    for last in range(18):
        address = ipaddress.IPv4Address(0xC6120000 + last)
        around = [(network.prefixlen, listed) for network, listed in entries if address in network]
        longest = max((length for length, _ in around), default=None)
        expected = bool(around) and all(listed for length, listed in around if length == longest)
        assert bool(answers(dns, listing_name(str(address), ZONE))) is expected


@QUICK
@given(ADDRESSES, ADDRESSES)
def test_a_range_covers_exactly_what_lies_between(
    one: ipaddress.IPv4Address, two: ipaddress.IPv4Address
) -> None:
    low, high = sorted((one, two))
    networks = list(ip4_networks(f"{low}-{high}"))
    assert networks[0].network_address == low
    assert networks[-1].broadcast_address == high
    assert sum(network.num_addresses for network in networks) == int(high) - int(low) + 1


@QUICK
@given(st.ip_addresses(v=6), st.integers(0, 128))
def test_ipv6_networks_survive_being_written_and_read(address: ipaddress.IPv6Address, bits: int) -> None:
    network = ipaddress.IPv6Network((int(address), bits), strict=False)
    assert ip6_network(str(network), 128) == network


LINES = st.sampled_from(
    [
        "198.18.0.1",
        "!198.18.0.1",
        ":2:x $",
        ":",
        "$1 x",
        "$TTL 5",
        "$SOA 1 a b 1 2 3 4 5",
        "$NS 1 a",
        "$DATASET",
        "a.b",
        "$DATASET ip4set @",
        "*.a",
        ".a",
        ". x",
        "@ A 1.2.3.4",
        "x TXT",
        "2001:db8::",
        "::/0 :1",
        "0/0 $$$1",
        "1-2-3",
    ]
)


@QUICK
@given(st.one_of(st.text(max_size=80), st.lists(LINES).map("\n".join)), st.sampled_from(DATASETS))
def test_any_text_is_a_list_or_a_line_error(text: str, dataset: str) -> None:
    try:
        dns = listing(text, dataset)
    except LineError as error:
        line = error.line
    else:
        line = 1
        assert result(dns, "1.0.18.198.bl.example") in ("NOERROR", "NODATA", "NXDOMAIN")
    assert 1 <= line <= text.count("\n") + 1
