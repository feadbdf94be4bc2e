"""SPF: what a record means, and what the reference MTA does about it over live SMTP."""

import asyncio
import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_dns import NoAnswer
from harness.reference_mta.resolver import FAILED, NOTHING, Answer, Lookup
from harness.reference_mta.spf.check import Finding, Inquiry, check_host
from harness.reference_mta.spf.macro import SyntaxFault
from harness.reference_mta.spf.record import parse
from tests.mta_process import MESSAGE, NAME, TO, TRUSTED, WHITELISTED, RunningMta, running_mta

Zone = Mapping[tuple[str, str], list[str] | None]
WORLD: Zone = {
    ("net.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all exp=why.net.example"],
    ("why.net.example", "TXT"): ["%{i} is not ours, %{s}"],
    ("a.example", "TXT"): ["v=spf1 a mx -all"],
    ("a.example", "A"): ["192.0.2.7"],
    ("a.example", "MX"): ["10 mx.a.example"],
    ("mx.a.example", "A"): ["192.0.2.8"],
    ("soft.example", "TXT"): ["unrelated", "v=spf1 ?ip4:192.0.2.9 ~all"],
    ("inc.example", "TXT"): ["v=spf1 include:net.example ~all"],
    ("red.example", "TXT"): ["v=spf1 redirect=net.example"],
    ("none.example", "TXT"): ["nothing"],
    ("two.example", "TXT"): ["v=spf1 +all", "v=spf1 -all"],
    ("bad.example", "TXT"): ["v=spf1 +all ip4:300.1.1.1"],
    ("late.example", "TXT"): None,
    ("exists.example", "TXT"): ["v=spf1 exists:%{ir}.%{v}.%{d} -all"],
    ("7.2.0.192.in-addr.exists.example", "A"): ["127.0.0.2"],
    ("loop.example", "TXT"): ["v=spf1 include:loop.example -all"],
    ("void.example", "TXT"): ["v=spf1 a:x1.example a:x2.example a:x3.example +all"],
    ("nowhere.example", "TXT"): ["v=spf1 include:gone.example +all"],
}


class Zones:
    """DNS of a few records; a name without any does not exist, and `None` is silence."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    async def ask(self, name: str, record_type: str) -> Answer:
        found = self.zone.get((name.lower(), record_type), [])
        if found is None:
            return FAILED
        return Answer(Lookup.FOUND, tuple(found)) if found else NOTHING


def check(domain: str, client: str = "192.0.2.7", zone: Zone = WORLD) -> Finding:
    inquiry = Inquiry(ipaddress.ip_address(client), "ann", domain, "mx.a.example", "mail.castle.example")
    return asyncio.run(check_host(Zones(zone), inquiry))


@pytest.mark.parametrize(
    ("domain", "client", "result"),
    [
        ("net.example", "192.0.2.7", "pass"),
        ("net.example", "198.51.100.1", "fail"),
        ("net.example", "2001:db8::1", "pass"),
        ("a.example", "192.0.2.7", "pass"),
        ("a.example", "192.0.2.8", "pass"),
        ("a.example", "192.0.2.9", "fail"),
        ("a.example", "2001:db8::1", "fail"),
        ("soft.example", "192.0.2.9", "neutral"),
        ("soft.example", "192.0.2.10", "softfail"),
        ("inc.example", "192.0.2.7", "pass"),
        ("inc.example", "198.51.100.1", "softfail"),
        ("red.example", "198.51.100.1", "fail"),
        ("none.example", "192.0.2.7", "none"),
        ("gone.example", "192.0.2.7", "none"),
        ("toplevel", "192.0.2.7", "none"),
        ("[192.0.2.7]", "192.0.2.7", "none"),
        ("a..example", "192.0.2.7", "none"),
        ("two.example", "192.0.2.7", "permerror"),
        ("bad.example", "192.0.2.7", "permerror"),
        ("late.example", "192.0.2.7", "temperror"),
        ("exists.example", "192.0.2.7", "pass"),
        ("exists.example", "192.0.2.8", "fail"),
        ("loop.example", "192.0.2.7", "permerror"),
        ("void.example", "192.0.2.7", "permerror"),
        ("nowhere.example", "192.0.2.7", "permerror"),
    ],
)
def test_what_a_domain_says_of_a_client(domain: str, client: str, result: str) -> None:
    assert check(domain, client).result == result


def test_ten_terms_may_ask_dns_and_eleven_may_not() -> None:
    terms = " ".join(["a:a.example"] * 10)
    zone = {**WORLD, ("ten.example", "TXT"): [f"v=spf1 {terms} -all"]}
    assert check("ten.example", "192.0.2.99", zone).result == "fail"
    zone = {**WORLD, ("ten.example", "TXT"): [f"v=spf1 {terms} a:a.example -all"]}
    assert check("ten.example", "192.0.2.99", zone).result == "permerror"


def test_a_failure_is_explained_in_the_words_of_the_domain() -> None:
    words = "198.51.100.1 is not ours, ann@red.example"
    assert check("red.example", "198.51.100.1").explanation == words
    assert check("inc.example", "198.51.100.1").explanation == ""


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 a:museum",
        "v=spf1 a:foo.123",
        "v=spf1 a/33",
        "v=spf1 a//129",
        "v=spf1 a/024",
        "v=spf1 ip4:192.0.2",
        "v=spf1 ip6:::1%lo",
        "v=spf1 -all.",
        "v=spf1 include",
        "v=spf1 exists:%{c}.example",
        "v=spf1 exists:%{d0}.example",
        "v=spf1 redirect=a.example redirect=a.example",
        "v=spf1 foo=%",
        "v=spf1 ma\xf1ana",
        "v=spf1 a\tmx",
    ],
)
def test_what_the_grammar_does_not_have_is_a_fault(record: str) -> None:
    with pytest.raises(SyntaxFault):
        parse(record)


@given(st.text(alphabet=st.sampled_from("v=spf1 a:/-%{}dilr.+~?exmpl0129\t\x80"), max_size=200))
def test_any_text_is_a_record_or_a_fault(text: str) -> None:
    try:
        record = parse(f"v=spf1 {text}")
    except SyntaxFault:
        return
    assert all(term.name for term in record.terms)


@given(st.lists(st.text(max_size=60), max_size=3), st.text(max_size=80))
def test_no_record_and_no_domain_breaks_the_check(texts: list[str], domain: str) -> None:
    zone: Zone = {(domain.lower(), "TXT"): [f"v=spf1 {text}" for text in texts]}
    assert check(domain, zone=zone).result


def said_of(mta: RunningMta, sender: str, client: str = WHITELISTED) -> str:
    """The refusal at MAIL, or the Received-SPF field of the delivered message; empty without one."""
    kept = set(mta.mail("mail/alice@castle.example"))
    with mta.connect(client) as talk:
        talk.greet()
        answer = talk.say(f"MAIL FROM:<{sender}>")
        if not answer.startswith("250"):
            return answer
        assert talk.code(TO) == 250
        assert talk.code("DATA") == 354
        talk.send(MESSAGE + b".\r\n")
        assert talk.reply().startswith("250")
    (content,) = set(mta.mail("mail/alice@castle.example")) - kept
    found = re.search(r"^Received-SPF: ((?:.+\r\n[ \t])*.*)\r\n", content.decode(), re.MULTILINE)
    return found[1].replace("\r\n\t", " ") if found else ""


@pytest.fixture(scope="module", params=["mark", "reject"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def mta(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta"), extra=f'[spf]\nmode = "{mode}"\n') as server:
        publish(server)
        yield server


def publish(mta: RunningMta) -> None:
    for (name, record_type), texts in WORLD.items():
        for text in texts or []:
            mta.dns.publish(name, record_type, text)
        if texts is None:
            mta.dns.script(name, record_type, NoAnswer())
    mta.dns.publish(NAME, "TXT", "v=spf1 ?all")
    mta.dns.publish("sly.example", "TXT", "v=spf1 -all exp=why.sly.example")
    mta.dns.publish("why.sly.example", "TXT", "%{l} says \\ and 250 ok %{S}")


def test_a_failure_is_refused_or_marked_with_the_explanation(mta: RunningMta, mode: str) -> None:
    said = said_of(mta, "ann@net.example")
    assert f"{WHITELISTED} is not ours, ann@net.example" in said
    if mode == "reject":
        assert said.startswith("550 5.7.23 net.example does not permit 198.51.100.5")
    else:
        assert said.startswith("fail (the domain does not permit the client) receiver=mail.castle.example;")
        assert "client-ip=198.51.100.5" in said
        assert 'envelope-from="<ann@net.example>"' in said
        assert "mechanism=-all" in said


def test_no_answer_is_a_reason_to_wait_or_a_mark(mta: RunningMta, mode: str) -> None:
    said = said_of(mta, "ann@late.example")
    assert said.startswith("451 4.4.3" if mode == "reject" else "temperror")


@pytest.mark.parametrize(
    ("sender", "result"),
    [("ann@inc.example", "softfail"), ("ann@none.example", "none"), ("ann@two.example", "permerror")],
)
def test_everything_else_is_marked(mta: RunningMta, sender: str, result: str) -> None:
    assert said_of(mta, sender).startswith(f"{result} (")


def test_the_null_sender_is_checked_by_its_greeting(mta: RunningMta) -> None:
    said = said_of(mta, "")
    assert said.startswith("neutral")
    assert 'identity=helo; client-ip=198.51.100.5; envelope-from="<>"' in said


def test_relay_hosts_are_not_checked(mta: RunningMta) -> None:
    assert said_of(mta, "ann@net.example", TRUSTED) == ""


def test_what_a_stranger_wrote_stays_in_its_place(mta: RunningMta) -> None:
    said = said_of(mta, '"a\\"b; result=pass"@sly.example')
    assert 'a"b; result=pass says \\ and 250 ok a%22b%3B%20result%3Dpass%40sly.example' in said.replace(
        "\\\\", "\\"
    ).replace('\\"', '"')
    assert said_of(mta, '""@sly.example').count("postmaster says") == 1


def test_without_the_setting_nothing_is_asked(tmp_path: Path) -> None:
    with running_mta(tmp_path) as server:
        publish(server)
        assert said_of(server, "ann@net.example") == ""
        assert server.dns.queries(type="TXT") == []
