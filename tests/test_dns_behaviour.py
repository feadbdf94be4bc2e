"""What is scripted happens: by name and type, once or in turn, over UDP and TCP."""

import pytest

from fake_dns import (
    Answer,
    Behaviour,
    FakeDns,
    FormErr,
    Lame,
    Late,
    NoAnswer,
    NxDomain,
    Published,
    RecordError,
    Refused,
    Sequence,
    ServFail,
    Truncated,
    WrongId,
)
from fake_dns.answer import Transport
from tests.dns_asking import Question, answers, ask, rcode, result

HOST = "mx7.k3.example"


@pytest.fixture
def dns() -> FakeDns:
    dns = FakeDns()
    dns.zone("k3.example")
    dns.publish(HOST, "A", "198.18.0.7")
    dns.publish(HOST, "TXT", "published")
    return dns


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [(NxDomain(), "NXDOMAIN"), (ServFail(), "SERVFAIL"), (Refused(), "REFUSED"), (FormErr(), "FORMERR")],
)
def test_reply_codes(dns: FakeDns, behaviour: Behaviour, code: str) -> None:
    dns.script(HOST, "A", behaviour)
    for transport in Transport:
        reply = ask(dns, Question(HOST), transport)
        assert (rcode(reply), reply.rr) == (code, [])
    assert [entry.answer for entry in dns.queries()] == [code, code]
    assert answers(dns, HOST, "TXT") == ['"published"']


def test_a_scripted_unknown_name_carries_the_soa_and_is_not_unpublished(dns: FakeDns) -> None:
    dns.script(HOST, "A", NxDomain())
    assert [str(record.rname) for record in ask(dns, Question(HOST)).auth] == ["k3.example."]
    assert dns.unpublished() == []


def test_a_server_that_knows_no_edns(dns: FakeDns) -> None:
    dns.script(HOST, "A", FormErr())
    assert ask(dns, Question(HOST, edns=1232)).ar == []


def test_silence(dns: FakeDns) -> None:
    dns.script(HOST, "A", NoAnswer())
    packet = Question(HOST).packet()
    assert dns.respond(packet, "127.0.0.1", Transport.UDP).packet(packet[:2]) is None
    assert dns.queries()[0].answer == "no answer (scripted)"


def test_truncation_leads_to_tcp(dns: FakeDns) -> None:
    dns.script(HOST, "A", Truncated())
    over_udp, over_tcp = ask(dns, Question(HOST)), ask(dns, Question(HOST), Transport.TCP)
    assert (over_udp.header.tc, over_udp.rr) == (1, [])
    assert (over_tcp.header.tc, str(over_tcp.rr[0].rdata)) == (0, "198.18.0.7")
    assert [entry.answer for entry in dns.queries()] == ["truncated (scripted)", "NOERROR 198.18.0.7"]


def test_wrong_id(dns: FakeDns) -> None:
    dns.script(HOST, "A", WrongId())
    reply = ask(dns, Question(HOST, id=4711))
    assert reply.header.id != 4711
    assert str(reply.rr[0].rdata) == "198.18.0.7"
    assert dns.queries()[0].answer == "NOERROR 198.18.0.7 (scripted: wrong id)"


def test_lame(dns: FakeDns) -> None:
    dns.script(HOST, "A", Lame())
    reply = ask(dns, Question(HOST))
    assert (rcode(reply), reply.header.aa, reply.header.ra, reply.rr) == ("NOERROR", 0, 0, [])
    assert [(str(record.rname), record.rtype) for record in reply.auth] == [(".", 2)]


def test_late_says_how_late_and_what(dns: FakeDns) -> None:
    packet = Question(HOST).packet()
    dns.script(HOST, "A", Late(1.5))
    assert dns.respond(packet, "127.0.0.1", Transport.UDP).delay == 1.5
    dns.script(HOST, "A", Late(2, ServFail()))
    assert rcode(ask(dns, Question(HOST))) == "SERVFAIL"
    assert [entry.answer for entry in dns.queries()] == [
        "NOERROR 198.18.0.7 (scripted: 1.5 s late)",
        "SERVFAIL (scripted: 2 s late)",
    ]


def test_other_records_than_published(dns: FakeDns) -> None:
    dns.script(HOST, "A", Answer("198.18.0.8", "198.18.0.9", ttl=5))
    assert [(str(r.rdata), r.ttl) for r in ask(dns, Question(HOST)).rr] == [
        ("198.18.0.8", 5),
        ("198.18.0.9", 5),
    ]
    dns.script(HOST, "A", Answer())
    assert result(dns, HOST) == "NODATA"


# Whom a script concerns


@pytest.mark.parametrize("every", [None, "ANY"])
def test_every_type(dns: FakeDns, every: str | None) -> None:
    dns.script(HOST, every, ServFail())
    for record_type in ("A", "TXT", "MX", "ANY"):
        assert result(dns, HOST, record_type) == "SERVFAIL"
    dns.script(HOST, "A", Published())
    assert answers(dns, HOST) == ["198.18.0.7"]
    assert result(dns, HOST, "TXT") == "SERVFAIL"


def test_a_name_without_records(dns: FakeDns) -> None:
    dns.script("only.scripted.example", "PTR", ServFail())
    assert result(dns, "only.scripted.example", "PTR") == "SERVFAIL"
    assert result(dns, "only.scripted.example", "A") == "NXDOMAIN"


def test_all_below_a_name_the_nearest_script_first(dns: FakeDns) -> None:
    dns.script("*.k3.example", None, ServFail())
    dns.script("*.sub.k3.example", "A", Refused())
    dns.script("own.sub.k3.example", "A", Published())
    assert result(dns, HOST) == "SERVFAIL"
    assert result(dns, "a.b.k3.example") == "SERVFAIL"
    assert result(dns, "x.sub.k3.example") == "REFUSED"
    assert result(dns, "x.sub.k3.example", "TXT") == "SERVFAIL"
    assert result(dns, "own.sub.k3.example") == "NXDOMAIN"
    assert result(dns, "k3.example", "SOA") == "NOERROR"


def test_whoever_comes_by_an_alias(dns: FakeDns) -> None:
    dns.publish("www.k3.example", "CNAME", HOST)
    dns.script(HOST, "A", ServFail())
    assert result(dns, "www.k3.example") == "SERVFAIL"
    dns.script(HOST, "A", Answer("198.18.0.9"))
    assert answers(dns, "www.k3.example") == [f"{HOST}.", "198.18.0.9"]


def test_withdrawing_ends_the_script_too(dns: FakeDns) -> None:
    dns.script(HOST, "A", ServFail())
    dns.script(HOST, None, Refused())
    dns.withdraw(HOST, "A")
    assert result(dns, HOST) == "REFUSED"
    dns.withdraw(HOST)
    assert result(dns, HOST) == "NXDOMAIN"


# Sequences


def test_a_different_answer_with_each_query(dns: FakeDns) -> None:
    dns.script(HOST, "A", Sequence([ServFail(), "198.18.0.8", Published(), NxDomain()]))
    assert result(dns, HOST) == "SERVFAIL"
    assert answers(dns, HOST) == ["198.18.0.8"]
    assert answers(dns, HOST) == ["198.18.0.7"]
    assert [result(dns, HOST) for _ in range(3)] == ["NXDOMAIN"] * 3


def test_a_sequence_may_begin_anew(dns: FakeDns) -> None:
    dns.script(HOST, "A", Sequence([ServFail(), Published()], again=True))
    assert [result(dns, HOST) for _ in range(4)] == ["SERVFAIL", "NOERROR"] * 2


def test_each_name_of_a_wildcard_script_shares_the_turns(dns: FakeDns) -> None:
    dns.script("*.k3.example", "A", Sequence([ServFail(), Refused()]))
    assert [result(dns, "a.k3.example"), result(dns, "b.k3.example")] == ["SERVFAIL", "REFUSED"]


# What cannot be scripted


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 3601])
def test_impossible_delays(seconds: float) -> None:
    with pytest.raises(RecordError, match="delay"):
        Late(seconds)


def test_late_twice() -> None:
    with pytest.raises(RecordError, match="add the seconds up"):
        Late(1, Late(1))


def test_an_empty_sequence() -> None:
    with pytest.raises(RecordError, match="at least one"):
        Sequence([])


@pytest.mark.parametrize(
    "behaviour", [Answer("mx7"), Sequence([ServFail(), "mx7"]), Late(1, Answer("mx7"))], ids=repr
)
def test_records_are_checked_when_they_are_scripted(dns: FakeDns, behaviour: Behaviour) -> None:
    with pytest.raises(RecordError, match="not an IPv4 address"):
        dns.script(HOST, "A", behaviour)
    with pytest.raises(RecordError, match="one type at a time"):
        dns.script(HOST, None, behaviour)
    assert answers(dns, HOST) == ["198.18.0.7"]
