"""The senders of forwarded mail: rewritten on the way out, found again on the way back, not to be forged."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_mta.config import Config
from harness.reference_mta.mail.srs import Flaw, Origin, Srs
from tests.mta_process import FROM, MESSAGE, STRANGER, WHITELISTED, Client, RunningMta, running_mta
from tests.receiving_host import ReceivingHost, receiving

EXTRA = """
[outgoing]
route = "mx"
port = {port}
interval = 0.3

[srs]
secret = "hush"
lifetime = 21

[[domain]]
name = "hall.example"
users = ["alice"]
aliases = {{ far = ["Friend@elsewhere.example"], both = ["alice", "far"] }}
bounce_recipients = ["alice"]
"""
NOW = 1_800_000_000.0
DAY = 86400


def srs(domain: str, *, secret: str = "hush", now: float = NOW) -> Srs:
    config = {
        "server": {"hostname": f"mail.{domain}", "state": "no-such-state"},
        "dns": {"server": "127.0.0.1:53"},
        "domain": [{"name": domain}],
        "srs": {"secret": secret},
    }
    return Srs(Config.model_validate(config), clock=lambda: now)


FIRST, SECOND = srs("first.example"), srs("second.example")


def test_the_form_is_the_documented_one() -> None:
    rewritten = FIRST.forwarded("user@source.example", "first.example")
    fixed, _, digest, day, source, rest = rewritten.replace("=", "==", 1).split("=")
    assert (fixed, source, rest) == ("SRS0", "source.example", "user@first.example")
    assert (len(digest), len(day)) == (8, 2)
    again = SECOND.forwarded(rewritten, "second.example")
    assert again.startswith("SRS1=")
    assert again.endswith(f"=first.example={rewritten[4:].partition('@')[0]}@second.example")


locals_ = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,30}", fullmatch=True)
quoted = st.from_regex(r'"([ !#-\[\]-~]|\\[ -~]){0,20}"', fullmatch=True)


@given(st.one_of(locals_, quoted), st.sampled_from(["source.example", "a-b.c.example"]))
def test_every_sender_is_found_again_over_two_hops(local_part: str, domain: str) -> None:
    sender = f"{local_part}@{domain}"
    once = FIRST.forwarded(sender, "first.example")
    assert once.endswith("@first.example")
    if not local_part.strip('"').upper().startswith(("SRS0", "SRS1")):
        assert FIRST.origin(once) == Origin(sender)
    twice = SECOND.forwarded(once, "second.example")
    assert SECOND.origin(twice) == Origin(once)
    thrice = srs("third.example").forwarded(twice, "third.example")
    assert srs("third.example").origin(thrice) == Origin(once), "not by way of the second forwarder"


@given(st.text(max_size=80))
def test_what_was_not_made_here_leads_nowhere(name: str) -> None:
    for address in (f"SRS0={name}@first.example", f"SRS1={name}@first.example"):
        found = FIRST.origin(address)
        assert found is None or found.flaw == "srs.bad-hash"


@pytest.mark.parametrize("place", range(1, 12))
def test_every_part_of_an_address_is_under_the_hash(place: int) -> None:
    good = FIRST.forwarded("user@source.example", "first.example")
    local_part = good.partition("@")[0]
    other = "B" if local_part[-place] in "Aa" else "A"
    forged = local_part[: len(local_part) - place] + other + local_part[len(local_part) - place + 1 :]
    found = FIRST.origin(f"{forged}@first.example")
    assert found is not None
    assert found.flaw == "srs.bad-hash"


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_letter_case_does_not_count(change: type[str]) -> None:
    found = FIRST.origin(change(FIRST.forwarded("User@source.example", "first.example")))
    assert found is not None
    assert (found.address.lower(), found.flaw) == ("user@source.example", "")


@pytest.mark.parametrize(("days", "flaw"), [(0, ""), (21, ""), (22, "srs.expired"), (1000, "srs.expired")])
def test_an_address_is_good_for_its_lifetime(days: int, flaw: Flaw) -> None:
    made = FIRST.forwarded("user@source.example", "first.example")
    assert srs("first.example", now=NOW + days * DAY).origin(made) == Origin("user@source.example", flaw)
    aged = FIRST.forwarded("user@source.example", "first.example", days)
    assert FIRST.origin(aged) == Origin("user@source.example", flaw)


def test_some_senders_stay_as_they_are() -> None:
    for sender in ("", "alice@FIRST.example", "root", "a@b=c", f"{'x' * 300}@source.example"):
        assert FIRST.forwarded(sender, "first.example") == sender
    assert srs("first.example", secret="").forwarded("a@b.example", "first.example") == "a@b.example"
    assert srs("first.example", secret="").origin("SRS0=x@first.example") is None


# Live


@pytest.fixture(scope="module")
def sink() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture(scope="module")
def mta(sink: ReceivingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta"), extra=EXTRA.format(port=sink.port)) as running:
        for name in ("elsewhere.example", "client.example", "first.example"):
            running.dns.publish(name, "A", "127.0.0.1")
        yield running


@pytest.fixture
def client(mta: RunningMta, sink: ReceivingHost) -> Iterator[Client]:
    sink.replies, sink.taken, sink.sessions = {}, [], []
    with mta.connect(WHITELISTED) as connection:
        connection.greet()
        yield connection


def deliver(client: Client, sender: str, recipient: str) -> str:
    assert client.code(f"MAIL FROM:<{sender}>") == 250
    if not (reply := client.say(f"RCPT TO:<{recipient}>")).startswith("250"):
        return reply
    assert client.code("DATA") == 354
    client.send(MESSAGE + b".\r\n")
    return client.reply()


def test_a_forwarded_message_names_the_forwarder(client: Client, sink: ReceivingHost) -> None:
    assert deliver(client, "sender@client.example", "far@hall.example").startswith("250")
    sink.wait(1)
    (taken,) = sink.taken
    assert taken.recipients == ["Friend@elsewhere.example"]
    assert taken.sender.startswith("SRS0=")
    assert taken.sender.endswith("=client.example=sender@hall.example")
    header = taken.content.partition(b"\r\n\r\n")[0].lower()
    assert not any(name in header for name in (b"return-path:", b"envelope-to:", b"delivery-date:"))
    assert taken.content.endswith(MESSAGE)


def test_a_copy_that_stays_here_keeps_its_sender(
    mta: RunningMta, client: Client, sink: ReceivingHost
) -> None:
    assert deliver(client, "sender@client.example", "both@hall.example").startswith("250")
    sink.wait(1)
    assert b"Return-path: <sender@client.example>\r\n" in mta.mail("mail/alice@hall.example")[0]


def test_a_forwarded_bounce_has_no_sender(client: Client, sink: ReceivingHost) -> None:
    sink.replies = {}
    made = FIRST.forwarded("sender@client.example", "first.example")
    assert deliver(client, made, "far@hall.example").startswith("250")
    sink.wait(1)
    assert sink.taken[0].sender.startswith("SRS1=")
    assert deliver(client, "", sink.taken[0].sender).startswith("250")
    sink.wait(2)
    assert sink.taken[1].sender == ""
    assert sink.taken[1].recipients == [made]


def test_a_refused_forward_comes_back_to_the_first_sender(client: Client, sink: ReceivingHost) -> None:
    sink.replies = {"RCPT Friend@elsewhere.example": "550 5.1.1 Gone"}
    assert deliver(client, "sender@client.example", "far@hall.example").startswith("250")
    sink.wait(1)
    assert sink.taken[0].sender == ""
    assert sink.taken[0].recipients == ["sender@client.example"]
    assert b"Diagnostic-Code: smtp; 550 5.1.1 Gone\r\n" in sink.taken[0].content


@pytest.mark.parametrize("sender", ["", "somebody@client.example"])
def test_a_bounce_from_outside_finds_its_way_back(
    mta: RunningMta, client: Client, sink: ReceivingHost, sender: str
) -> None:
    made = mta.ask(op="srs", sender="o'neil=x@client.example", domain="hall.example")["address"]
    assert deliver(client, sender, made.lower()).startswith("250")
    sink.wait(1)
    assert sink.taken[0].recipients == ["o'neil=x@client.example"]
    assert sink.taken[0].sender.startswith("SRS0=" if sender else "")


def test_forged_and_old_addresses_are_refused(mta: RunningMta, client: Client) -> None:
    request = {"op": "srs", "sender": "sender@client.example", "domain": "hall.example"}
    good, old = mta.ask(**request)["address"], mta.ask(**request, days=22)["address"]
    forged = good.replace("client.example", "victim.example")
    for address, words in ((old, "expired"), (forged, "not made here"), ("SRS0=x@hall.example", "not made")):
        reply = deliver(client, "", address)
        assert reply.startswith("550 5.1.1 "), reply
        assert words in reply
        assert client.code("RSET") == 250
    assert mta.ask(**request, days=21)["address"] != good
    assert deliver(client, "", mta.ask(**request, days=21)["address"]).startswith("250")


def test_a_bounce_to_a_rewritten_address_is_greylisted_as_any_other(mta: RunningMta) -> None:
    made = mta.ask(op="srs", sender="sender@client.example", domain="hall.example")["address"]
    with mta.connect(STRANGER) as stranger:
        stranger.greet()
        assert deliver(stranger, "", made).startswith("451")


def test_without_a_secret_such_an_address_is_a_name_like_any_other(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_mta(tmp_path_factory.mktemp("plain")) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        assert client.code(FROM) == 250
        assert client.say("RCPT TO:<SRS0=x@castle.example>").startswith("550 5.1.1 No such user")
        assert client.code("RCPT TO:<SRS0=x@attic.example>") == 250
