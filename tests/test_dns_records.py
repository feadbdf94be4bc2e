"""What is published is what is answered: types, wildcards, aliases, negative answers, block lists."""

import threading

import pytest

from fake_dns import FakeDns, RecordError, listing_name, reverse_name
from fake_dns.answer import Transport
from tests.dns_asking import Question, answers, ask, ask_raw, rcode, result


@pytest.fixture
def dns() -> FakeDns:
    dns = FakeDns()
    dns.zone("k3.example")
    return dns


@pytest.mark.parametrize(
    ("record_type", "data", "shown"),
    [
        ("A", "198.18.0.7", "198.18.0.7"),
        ("AAAA", "2001:db8::7", "2001:db8::7"),
        ("PTR", "mx7.k3.example", "mx7.k3.example."),
        ("MX", "10 mx7.k3.example.", "10 mx7.k3.example."),
        ("TXT", "v=spf1 a:mx7.k3.example -all", '"v=spf1 a:mx7.k3.example -all"'),
        ("TXT", '"v=DKIM1; k=rsa" "p=abc"', '"v=DKIM1; k=rsa","p=abc"'),
        ("TXT", "", '""'),
        ("NS", "ns1.k3.example.", "ns1.k3.example."),
        ("CNAME", "other.k3.example.", "other.k3.example."),
        ("SRV", "0 5 25 mx7.k3.example.", "0 5 25 mx7.k3.example."),
        ("CAA", '0 issue "ca.example"', '0 issue "ca.example"'),
        ("TLSA", "3 1 1 aa bb cc", "3 1 1 AABBCC"),
        ("NAPTR", '100 10 "u" "E2U" "" k3.example.', '100 10 "u" "E2U" "" k3.example.'),
        ("DS", "1 8 2 aabb", "1 8 2 AABB"),
        ("TYPE65280", r"\# 3 0a0b0c", r"\# 3 0A0B0C"),
        ("TYPE65280", r"\# 4 0a 0b0c 0d", r"\# 4 0A0B0C0D"),
    ],
)
def test_each_type_comes_back_as_published(dns: FakeDns, record_type: str, data: str, shown: str) -> None:
    dns.publish("name.k3.example", record_type, data, ttl=77)
    reply = ask(dns, Question("name.k3.example", record_type))
    assert [str(record.rdata) for record in reply.rr] == [shown]
    assert [record.ttl for record in reply.rr] == [77]
    assert (reply.header.aa, reply.header.ra, reply.header.rd) == (1, 1, 1)


def test_soa_and_ns_of_a_declared_zone(dns: FakeDns) -> None:
    assert answers(dns, "k3.example", "NS") == ["ns.fake-dns.invalid."]
    assert answers(dns, "k3.example", "SOA") == [
        "ns.fake-dns.invalid. hostmaster.fake-dns.invalid. 1 3600 600 86400 60"
    ]


def test_declaring_a_zone_keeps_an_authority_of_its_own(dns: FakeDns) -> None:
    own = "ns1.own.example. me.own.example. 5 1 1 1 9"
    dns.publish("own.example", "SOA", own)
    dns.publish("own.example", "NS", "ns1.own.example.")
    dns.zone("own.example")
    assert answers(dns, "own.example", "SOA") == [own]
    assert answers(dns, "own.example", "NS") == ["ns1.own.example."]


def test_a_zone_has_one_soa(dns: FakeDns) -> None:
    dns.publish("k3.example", "SOA", "a.example. b.example. 2 1 1 1 9")
    assert len(answers(dns, "k3.example", "SOA")) == 1


def test_text_without_a_quote_at_its_beginning_is_literal(dns: FakeDns) -> None:
    text = r'say "hi" \o/ ; (not a comment) \065'
    dns.publish("literal.k3.example", "TXT", text)
    assert ask(dns, Question("literal.k3.example", "TXT")).rr[0].rdata.data == [text.encode()]


def test_empty_data_goes_on_the_wire(dns: FakeDns) -> None:
    dns.publish("empty.k3.example", "TYPE65280", r"\# 0")
    packet = ask_raw(dns, Question("empty.k3.example", "TYPE65280").packet())
    assert packet.endswith(b"\xc0\x0c\xff\x00\x00\x01\x00\x00\x00\x3c\x00\x00")


def test_long_text_is_split_into_strings_that_join_again(dns: FakeDns) -> None:
    text = "v=DKIM1; p=" + "x" * 600
    dns.publish("long.k3.example", "TXT", text)
    reply = ask(dns, Question("long.k3.example", "TXT"), Transport.TCP)
    pieces = reply.rr[0].rdata.data
    assert [len(piece) for piece in pieces] == [255, 255, 101]
    assert b"".join(pieces).decode() == text


def test_several_records_of_a_type_come_in_order_and_none_twice(dns: FakeDns) -> None:
    for address in ("198.18.0.9", "198.18.0.7", "198.18.0.9", "198.18.0.8"):
        dns.publish("many.k3.example", "A", address)
    assert answers(dns, "many.k3.example") == ["198.18.0.7", "198.18.0.9", "198.18.0.8"]


def test_a_record_set_has_one_ttl(dns: FakeDns) -> None:
    dns.publish("many.k3.example", "A", "198.18.0.7", ttl=10)
    dns.publish("many.k3.example", "A", "198.18.0.8", ttl=20)
    assert {record.ttl for record in ask(dns, Question("many.k3.example")).rr} == {20}


def test_any_gets_every_record(dns: FakeDns) -> None:
    dns.publish("all.k3.example", "A", "198.18.0.7")
    dns.publish("all.k3.example", "MX", "10 all.k3.example.")
    dns.publish("all.k3.example", "TYPE65280", r"\# 1 ff")
    assert len(answers(dns, "all.k3.example", "ANY")) == 3


def test_names_are_compared_without_case_and_questions_echoed_with_it(dns: FakeDns) -> None:
    dns.publish("MX7.k3.Example.", "A", "198.18.0.7")
    for asked in ("mx7.k3.example", "mX7.K3.eXAMPLE"):
        reply = ask(dns, Question(asked))
        assert str(reply.q.qname) == f"{asked}."
        assert str(reply.rr[0].rname) == f"{asked}."
        assert str(reply.rr[0].rdata) == "198.18.0.7"
    assert [entry.name for entry in dns.queries()] == ["mx7.k3.example"] * 2


# Negative answers


def test_unknown_name_and_unknown_type_carry_the_soa(dns: FakeDns) -> None:
    dns.publish("mx7.k3.example", "A", "198.18.0.7")
    for name, record_type, expected in (
        ("nope.k3.example", "A", "NXDOMAIN"),
        ("mx7.k3.example", "AAAA", "NODATA"),
        ("nope.elsewhere.example", "A", "NXDOMAIN"),
    ):
        reply = ask(dns, Question(name, record_type))
        assert result(dns, name, record_type) == expected
        zone = "k3.example." if "k3" in name else "."
        assert [(str(record.rname), record.rtype) for record in reply.auth] == [(zone, 6)]


def test_no_is_believed_for_the_smaller_of_ttl_and_minimum(dns: FakeDns) -> None:
    dns.publish("short.example", "SOA", "ns.short.example. me.short.example. 1 1h 1h 1d 5", ttl=600)
    assert ask(dns, Question("x.short.example")).auth[0].ttl == 5
    dns.publish("short.example", "SOA", "ns.short.example. me.short.example. 1 1h 1h 1d 1h", ttl=7)
    assert ask(dns, Question("x.short.example")).auth[0].ttl == 7


def test_the_innermost_zone_answers(dns: FakeDns) -> None:
    dns.zone("sub.k3.example")
    assert str(ask(dns, Question("x.sub.k3.example")).auth[0].rname) == "sub.k3.example."
    assert str(ask(dns, Question("x.subb.k3.example")).auth[0].rname) == "k3.example."


def test_empty_non_terminal_is_no_data(dns: FakeDns) -> None:
    dns.publish("a.b.c.k3.example", "A", "198.18.0.7")
    assert result(dns, "b.c.k3.example") == result(dns, "c.k3.example") == "NODATA"
    assert result(dns, "d.c.k3.example") == "NXDOMAIN"
    assert dns.withdraw("a.b.c.k3.example") == 1
    assert result(dns, "b.c.k3.example") == "NXDOMAIN"


def test_unpublished_names_are_remembered_once_and_in_order(dns: FakeDns) -> None:
    dns.publish("alias.k3.example", "CNAME", "gone.elsewhere.example")
    dns.publish("mx7.k3.example", "A", "198.18.0.7")
    for name in ("y.example", "X.k3.example", "alias.k3.example", "y.example", "mx7.k3.example"):
        ask(dns, Question(name))
    assert dns.unpublished() == ["y.example", "x.k3.example", "gone.elsewhere.example"]
    assert dns.unpublished(under="k3.example") == ["x.k3.example", "gone.elsewhere.example"]


# Changes


def test_changes_hold_at_once_also_for_answers_given_before(dns: FakeDns) -> None:
    assert result(dns, "new.k3.example") == "NXDOMAIN"
    dns.publish("new.k3.example", "A", "198.18.0.7")
    assert answers(dns, "new.k3.example") == ["198.18.0.7"]
    dns.publish("new.k3.example", "TXT", "x")
    assert dns.withdraw("new.k3.example", "A") == 1
    assert result(dns, "new.k3.example") == "NODATA"
    assert dns.withdraw("new.k3.example") == 1
    assert dns.withdraw("new.k3.example") == 0
    assert result(dns, "new.k3.example") == "NXDOMAIN"


def test_a_broken_record_changes_nothing(dns: FakeDns) -> None:
    with pytest.raises(RecordError):
        dns.publish("bad.k3.example", "A", "198.18.0.256")
    assert result(dns, "bad.k3.example") == "NXDOMAIN"


def test_many_threads_publish_while_others_ask(dns: FakeDns) -> None:
    failures: list[str] = []

    def scenario(number: int) -> None:
        for step in range(40):
            name = f"h{step}.c{number}.example"
            dns.publish(name, "A", f"198.18.{number}.{step}")
            if answers(dns, name) != [f"198.18.{number}.{step}"]:
                failures.append(name)
            dns.withdraw(name)
            if result(dns, name) != "NXDOMAIN":
                failures.append(f"{name} stayed")

    threads = [threading.Thread(target=scenario, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(dns.queries(under="c3.example")) == 80


# Wildcards: the zone of RFC 4592 section 2.2.1, its names moved


@pytest.fixture
def wild() -> FakeDns:
    dns = FakeDns()
    dns.zone("w.example")
    dns.publish("*.w.example", "TXT", "this is a wildcard")
    dns.publish("*.w.example", "MX", "10 host1.w.example.")
    dns.publish("sub.*.w.example", "TXT", "this is not a wildcard")
    dns.publish("host1.w.example", "A", "192.0.2.1")
    dns.publish("_ssh._tcp.host1.w.example", "SRV", "0 0 22 host1.w.example.")
    dns.zone("subdel.w.example")
    return dns


@pytest.mark.parametrize(
    ("name", "record_type", "expected"),
    [
        ("host3.w.example", "MX", "NOERROR"),
        ("host3.w.example", "A", "NODATA"),
        ("foo.bar.w.example", "TXT", "NOERROR"),
        ("*.w.example", "TXT", "NOERROR"),
        ("host1.w.example", "MX", "NODATA"),
        ("sub.*.w.example", "MX", "NODATA"),
        ("_telnet._tcp.host1.w.example", "SRV", "NXDOMAIN"),
        ("_tcp.host1.w.example", "TXT", "NODATA"),
        ("host.subdel.w.example", "A", "NXDOMAIN"),
        ("ghost.*.w.example", "MX", "NXDOMAIN"),
    ],
)
def test_wildcards(wild: FakeDns, name: str, record_type: str, expected: str) -> None:
    assert result(wild, name, record_type) == expected


def test_a_wildcard_answers_in_the_name_that_was_asked(wild: FakeDns) -> None:
    reply = ask(wild, Question("foo.bar.w.example", "MX"))
    assert str(reply.rr[0].rname) == "foo.bar.w.example."


def test_a_wildcard_may_be_an_alias(dns: FakeDns) -> None:
    dns.publish("*.w.k3.example", "CNAME", "mx7.k3.example")
    dns.publish("mx7.k3.example", "A", "198.18.0.7")
    assert answers(dns, "any.w.k3.example") == ["mx7.k3.example.", "198.18.0.7"]


# Aliases


def test_aliases_are_followed_and_shown(dns: FakeDns) -> None:
    dns.publish("a.k3.example", "CNAME", "B.k3.example")
    dns.publish("b.k3.example", "CNAME", "c.other.example")
    dns.publish("c.other.example", "A", "198.18.0.7")
    assert answers(dns, "a.k3.example") == ["B.k3.example.", "c.other.example.", "198.18.0.7"]
    assert answers(dns, "a.k3.example", "CNAME") == ["B.k3.example."]
    assert dns.queries()[0].answer == "NOERROR B.k3.example, c.other.example, 198.18.0.7"


def test_an_alias_may_be_given_as_octets(dns: FakeDns) -> None:
    dns.publish("a.k3.example", "CNAME", r"\# 3 014200")
    dns.publish("b", "A", "198.18.0.7")
    assert answers(dns, "a.k3.example") == ["B.", "198.18.0.7"]


def test_malformed_data_of_other_types_is_served_as_it_is(dns: FakeDns) -> None:
    dns.publish("bad.k3.example", "A", r"\# 3 c61200")
    assert ask_raw(dns, Question("bad.k3.example").packet()).endswith(b"\x00\x03\xc6\x12\x00")
    dns.publish("bad.example", "SOA", r"\# 0")
    assert ask_raw(dns, Question("x.bad.example").packet())[3] & 0xF == 3


def test_the_end_of_an_alias_decides_what_no_means(dns: FakeDns) -> None:
    dns.publish("a.k3.example", "CNAME", "gone.k3.example")
    dns.publish("b.k3.example", "CNAME", "text.k3.example")
    dns.publish("text.k3.example", "TXT", "x")
    gone, empty = ask(dns, Question("a.k3.example")), ask(dns, Question("b.k3.example"))
    assert (rcode(gone), len(gone.rr), len(gone.auth)) == ("NXDOMAIN", 1, 1)
    assert (rcode(empty), len(empty.rr), len(empty.auth)) == ("NOERROR", 1, 1)


def test_alias_loops_end(dns: FakeDns) -> None:
    dns.publish("a.k3.example", "CNAME", "b.k3.example")
    dns.publish("b.k3.example", "CNAME", "a.k3.example")
    dns.publish("self.k3.example", "CNAME", "self.k3.example")
    assert answers(dns, "a.k3.example") == ["b.k3.example.", "a.k3.example."]
    assert answers(dns, "self.k3.example") == ["self.k3.example."]


def test_endless_alias_chains_end(dns: FakeDns) -> None:
    for number in range(40):
        dns.publish(f"c{number}.k3.example", "CNAME", f"c{number + 1}.k3.example")
    assert len(ask(dns, Question("c0.k3.example"), Transport.TCP).rr) == 16


# Addresses


def test_reverse_names(dns: FakeDns) -> None:
    dns.publish_ptr("198.18.0.7", "mx7.k3.example")
    dns.publish_ptr("2001:db8::7", "mx7.k3.example")
    assert reverse_name("198.18.0.7") == "7.0.18.198.in-addr.arpa"
    assert reverse_name("2001:db8::7") == "7." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
    for address in ("198.18.0.7", "2001:DB8:0::7"):
        assert answers(dns, reverse_name(address), "PTR") == ["mx7.k3.example."]


def test_block_list_entries_come_and_go(dns: FakeDns) -> None:
    dns.zone("bl.example")
    for address in ("198.18.0.7", "2001:db8::7"):
        name = listing_name(address, "bl.example")
        assert result(dns, name) == "NXDOMAIN"
        dns.list_address("bl.example", address, text='says "spam", C:\\ and more')
        assert answers(dns, name) == ["127.0.0.2"]
        assert b"".join(ask(dns, Question(name, "TXT")).rr[0].rdata.data) == b'says "spam", C:\\ and more'
        dns.list_address("bl.example", address, code="127.0.0.4", text=None)
        assert answers(dns, name) == ["127.0.0.4"]
        assert result(dns, name, "TXT") == "NODATA"
        dns.unlist_address("bl.example", address)
        assert result(dns, name) == "NXDOMAIN"


def test_listing_names() -> None:
    assert listing_name("127.0.0.2", "bl.example.") == "2.0.0.127.bl.example"
    assert listing_name("2001:db8::1", "bl.example") == "1." + "0." * 23 + "8.b.d.0.1.0.0.2.bl.example"


def test_nothing_is_listed_by_itself(dns: FakeDns) -> None:
    dns.zone("bl.example")
    assert result(dns, listing_name("127.0.0.2", "bl.example")) == "NXDOMAIN"
