"""DSN (RFC 3461) with a live server: what goes on to the next host, and what senders are told."""

import email
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from harness import settings
from harness.reference_mta.defects.parts import Part, exchanged
from harness.reference_mta.mail.queue_commands import QueueCommands
from harness.reference_mta.mail.reports import MOST_RETURNED
from harness.reference_mta.mail.reports import Part as Returned
from tests.mta_here import configured, play, send, serving_here, speaking
from tests.mta_process import MESSAGE, TRUSTED, WHITELISTED, RunningMta, connected, running_mta
from tests.receiving_host import ReceivingHost, Taken, receiving
from tests.test_mta_sending import OUTGOING, eventually, parts, queued

ALICE = "alice@castle.example"
WRITER = "writer@home.example"  # whose host is the sink
HOUSE = """
[[domain]]
name = "house.example"
users = ["carla", "dora", "postmaster"]

[domain.aliases]
one = ["carla"]
all = ["carla", "dora"]
far = ["friend@d0.example"]
also = ["friend@d0.example"]
both = ["carla", "friend@d0.example"]
"""
LISTING = "250-sink.example\r\n250-8BITMIME\r\n250 DSN"
WITHOUT = "250-sink.example\r\n250 8BITMIME"
SUCCESS = "NOTIFY=SUCCESS"


@pytest.fixture(scope="module")
def sink() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture(scope="module")
def mta(sink: ReceivingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    extra = OUTGOING.format(port=sink.port, interval=0.3, lifetime=60.0) + HOUSE
    with running_mta(tmp_path_factory.mktemp("mta"), extra=extra) as running:
        publish(running)
        yield running
        assert (running.state.parent / "mta.log").read_text("utf-8") == ""


def publish(mta: RunningMta) -> None:
    mta.dns.publish("sink.example", "A", "127.0.0.1")
    for name in ("d0", "d1", "d2", "home"):
        mta.dns.publish(f"{name}.example", "MX", "10 sink.example")


@pytest.fixture(autouse=True)
def _as_usual(mta: RunningMta, sink: ReceivingHost) -> None:
    eventually(lambda: not mta.ask(op="queue", action="list")["messages"])
    for file in (mta.state / "mail").rglob("new/*"):
        file.unlink()
    sink.replies, sink.taken, sink.sessions = {"EHLO": LISTING}, [], []


def hand_in(
    mta: RunningMta,
    *recipients: str,
    sender: str = f"<{ALICE}>",
    content: bytes = MESSAGE,
    client: str = TRUSTED,
) -> None:
    """Hand a message in; sender and recipients are given with their parameters."""
    with mta.connect(client) as connection:
        connection.greet()
        for command in (f"MAIL FROM:{sender}", *(f"RCPT TO:{each}" for each in recipients)):
            assert connection.code(command) == 250, command
        assert connection.code("DATA") == 354
        connection.send(content + b".\r\n")
        assert connection.reply().startswith("250")


def sent(mta: RunningMta, sink: ReceivingHost, number: int) -> list[Taken]:
    """What the sink has taken when all has been sent: so many messages."""
    sink.wait(number)
    eventually(lambda: not mta.ask(op="queue", action="list")["messages"])
    assert len(sink.taken) == number
    return sink.taken


def reports(mta: RunningMta, mailbox: str = ALICE) -> list[Message]:
    """The notifications in a mailbox."""
    kept = (email.message_from_bytes(each) for each in mta.mail(f"mail/{mailbox}"))
    return [each for each in kept if each.get_content_type() == "multipart/report"]


def told(report: Message) -> tuple[Message, list[Message]]:
    """The fields about the message, and those about each recipient."""
    first, *rest = parts(parts(report)[1])
    return first, rest


def actions(report: Message) -> dict[str, str]:
    """By recipient what has become of the message."""
    return {each["Final-Recipient"].partition("; ")[2]: each["Action"] for each in told(report)[1]}


# What is listed


def test_it_is_listed_and_its_parameters_change_no_reply(mta: RunningMta) -> None:
    with mta.connect(WHITELISTED) as client:
        assert "250-DSN" in client.greet().split("\n")
        assert client.code("MAIL FROM:<a@client.example> RET=FULL ENVID=x ENVID=x") == 501
        assert client.say("MAIL FROM:<a@client.example> RET=full ENVID=a+2Bb") == "250 2.1.0 Sender noted"
        assert client.code(f"RCPT TO:<{ALICE}> NOTIFY=NEVER,SUCCESS") == 501
        assert client.code(f"RCPT TO:<{ALICE}> NOTIFY=NEVER ORCPT=rfc822;a+20b@c.example") == 250
        assert client.code("RCPT TO:<nobody@castle.example> NOTIFY=SUCCESS") == 550


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with (
        speaking(tmp_path, '[extensions]\nwithout = ["DSN"]') as server,
        server.connect(WHITELISTED) as client,
    ):
        assert "DSN" not in client.greet()
        assert client.code("MAIL FROM:<a@client.example> RET=HDRS") == 555
        assert client.code("MAIL FROM:<a@client.example>") == 250
        assert client.code(f"RCPT TO:<{ALICE}> NOTIFY=NEVER") == 555


# What goes on


def test_parameters_go_on_unchanged_to_a_host_that_lists_them(mta: RunningMta, sink: ReceivingHost) -> None:
    asked = "<one@d0.example> NOTIFY=success,Delay ORCPT=RFC822;One+2Btag+20x@D0.example"
    hand_in(mta, asked, "<two@d0.example>", sender=f"<{ALICE}> ENVID=QQ+2B314 RET=hdrs")
    (taken,) = sent(mta, sink, 1)
    assert taken.mail == f"MAIL FROM:<{ALICE}> RET=hdrs ENVID=QQ+2B314"
    assert taken.rcpt == [f"RCPT TO:{asked}", "RCPT TO:<two@d0.example>"]
    assert not reports(mta), "the other host tells of it"


def test_nothing_is_added_where_nothing_was_asked(mta: RunningMta, sink: ReceivingHost) -> None:
    hand_in(mta, "<one@d0.example>")
    (taken,) = sent(mta, sink, 1)
    assert (taken.mail, taken.rcpt) == (f"MAIL FROM:<{ALICE}>", ["RCPT TO:<one@d0.example>"])


def test_a_host_that_does_not_list_it_is_told_nothing_and_the_sender_all_the_more(
    mta: RunningMta, sink: ReceivingHost
) -> None:
    sink.replies = {"EHLO": WITHOUT, "END": "250 2.6.0 Taken as 17"}
    hand_in(
        mta,
        "<one@d0.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;One@d0.example",
        "<two@d0.example> NOTIFY=FAILURE",
        "<three@d0.example>",
        sender=f"<{ALICE}> RET=FULL ENVID=x+20y",
    )
    (taken,) = sent(mta, sink, 1)
    assert taken.mail == f"MAIL FROM:<{ALICE}>"
    assert taken.rcpt == [f"RCPT TO:<{name}@d0.example>" for name in ("one", "two", "three")]
    (report,) = reports(mta)
    of_message, (recipient,) = told(report)
    assert of_message["Original-Envelope-Id"] == "x y"
    assert recipient["Original-Recipient"] == "rfc822;One@d0.example"
    assert recipient["Final-Recipient"] == "rfc822; one@d0.example"
    assert (recipient["Action"], recipient["Status"]) == ("relayed", "2.6.0")
    assert recipient["Remote-MTA"] == "dns; sink.example"
    assert recipient["Diagnostic-Code"] == "smtp; 250 2.6.0 Taken as 17"
    assert report["Return-path"] == "<>"
    assert report["Auto-Submitted"] == "auto-replied"
    assert parts(report)[2].get_content_type() == "text/rfc822-headers", "it is no failure (RFC 3461 §4.3)"


def test_a_recipient_that_is_named_twice_has_asked_for_both(mta: RunningMta, sink: ReceivingHost) -> None:
    hand_in(
        mta,
        "<one@d0.example> NOTIFY=NEVER ORCPT=rfc822;a",
        "<one@d0.example> NOTIFY=DELAY ORCPT=rfc822;b",
        "<two@d0.example> NOTIFY=SUCCESS",
        "<two@d0.example>",
    )
    (taken,) = sent(mta, sink, 1)
    assert taken.rcpt == [
        "RCPT TO:<one@d0.example> NOTIFY=DELAY ORCPT=rfc822;b",
        "RCPT TO:<two@d0.example> NOTIFY=SUCCESS,FAILURE,DELAY",
    ]


@pytest.mark.parametrize("able", [True, False])
def test_an_original_recipient_beyond_ascii_goes_on_in_a_form_that_fits(
    mta: RunningMta, sink: ReceivingHost, able: bool
) -> None:
    sink.replies = {"EHLO": LISTING.replace("250 DSN", "250-DSN\r\n250 SMTPUTF8") if able else LISTING}
    recipient = "ä@d0.example" if able else "a@d0.example"
    hand_in(mta, f"<{recipient}> ORCPT=utf-8;ä€@d0.example", sender=f"<{ALICE}> SMTPUTF8")
    (taken,) = sent(mta, sink, 1)
    expected = "ä€@d0.example" if able else r"\x{E4}\x{20AC}@d0.example"
    assert taken.rcpt == [f"RCPT TO:<{recipient}> ORCPT=utf-8;{expected}"]


def test_an_original_recipient_that_does_not_fit_is_left_out(mta: RunningMta, sink: ReceivingHost) -> None:
    hand_in(mta, f"<one@d0.example> NOTIFY=DELAY ORCPT=utf-8;{'ä' * 83}", sender=f"<{ALICE}> SMTPUTF8")
    (taken,) = sent(mta, sink, 1)
    assert taken.rcpt == ["RCPT TO:<one@d0.example> NOTIFY=DELAY"]


# What senders are told of deliveries


def test_a_delivery_is_told_of_once(mta: RunningMta, sink: ReceivingHost) -> None:
    hand_in(
        mta,
        f"<{ALICE}> NOTIFY=SUCCESS ORCPT=rfc822;Alice+20A@castle.example",
        "<bruno@castle.example> NOTIFY=Success,FAILURE",
        "<carla@house.example> NOTIFY=FAILURE",
        "<dora@house.example>",
        sender=f"<{WRITER}> RET=FULL ENVID=id+2B1",
    )
    (taken,) = sent(mta, sink, 1)
    assert taken.mail.startswith("MAIL FROM:<>")
    assert not any(word in taken.mail for word in ("RET", "ENVID"))
    assert taken.rcpt == [f"RCPT TO:<{WRITER}>"]
    report = email.message_from_bytes(taken.content)
    assert actions(report) == {ALICE: "delivered", "bruno@castle.example": "delivered"}
    of_message, (alice, bruno) = told(report)
    assert of_message["Original-Envelope-Id"] == "id+1"
    assert of_message["Reporting-MTA"] == "dns; mail.castle.example"
    assert alice["Original-Recipient"] == "rfc822;Alice A@castle.example"
    assert alice["Status"] == "2.0.0"
    assert bruno["Original-Recipient"] is None
    assert report["Auto-Submitted"] == "auto-replied"
    assert parts(report)[2].get_content_type() == "text/rfc822-headers"
    assert b"A line." not in taken.content
    for mailbox in (ALICE, "bruno@castle.example", "carla@house.example", "dora@house.example"):
        assert len(mta.mail(f"mail/{mailbox}")) == 1


@pytest.mark.parametrize("notify", ["", "NOTIFY=NEVER", "NOTIFY=FAILURE,DELAY", "NOTIFY=DELAY"])
def test_of_a_delivery_nobody_is_told_who_does_not_ask(mta: RunningMta, notify: str) -> None:
    hand_in(mta, f"<bruno@castle.example> {notify}".strip(), sender=f"<{ALICE}> RET=FULL ENVID=x")
    assert not reports(mta)
    assert not mta.ask(op="queue", action="list")["messages"], "it would be kept before the 250"


def test_the_null_sender_is_told_nothing(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": WITHOUT}
    hand_in(mta, f"<{ALICE}> {SUCCESS}", f"<one@d0.example> {SUCCESS}", sender="<> RET=FULL ENVID=x")
    sent(mta, sink, 1)
    assert len(mta.mail(f"mail/{ALICE}")) == 1
    assert not reports(mta)
    assert not mta.mail("mail/postmaster@castle.example")


# Aliases and forwarding


def test_an_alias_of_one_is_as_its_mailbox(mta: RunningMta) -> None:
    hand_in(mta, f"<one@house.example> {SUCCESS}")
    (report,) = reports(mta)
    assert actions(report) == {"one@house.example": "delivered"}


def test_an_alias_of_one_elsewhere_hands_the_parameters_on(mta: RunningMta, sink: ReceivingHost) -> None:
    asked = "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Far@house.example"
    hand_in(mta, f"<far@house.example> {asked}", sender=f"<{ALICE}> RET=HDRS ENVID=7")
    (taken,) = sent(mta, sink, 1)
    assert taken.mail == f"MAIL FROM:<{ALICE}> RET=HDRS ENVID=7"
    assert taken.rcpt == [f"RCPT TO:<friend@d0.example> {asked}"]
    assert not reports(mta)


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x", " NOTIFY=FAILURE ORCPT=rfc822;x"),
        ("NOTIFY=SUCCESS", " NOTIFY=NEVER"),
        ("NOTIFY=DELAY", " NOTIFY=DELAY"),
        ("", ""),
    ],
)
def test_an_alias_of_several_is_expanded(
    mta: RunningMta, sink: ReceivingHost, asked: str, passed: str
) -> None:
    hand_in(mta, f"<both@house.example> {asked}".strip(), sender=f"<{ALICE}> RET=FULL")
    (taken,) = sent(mta, sink, 1)
    assert taken.mail == f"MAIL FROM:<{ALICE}> RET=FULL"
    assert taken.rcpt == [f"RCPT TO:<friend@d0.example>{passed}"]
    assert [actions(each) for each in reports(mta)] == [{"both@house.example": "expanded"}] * (
        "SUCCESS" in asked
    )


def test_an_alias_of_several_mailboxes_is_expanded_too(mta: RunningMta) -> None:
    hand_in(mta, f"<all@house.example> {SUCCESS}", f"<dora@house.example> {SUCCESS}")
    (report,) = reports(mta)
    assert actions(report) == {"all@house.example": "expanded", "dora@house.example": "delivered"}


def test_recipients_that_lead_to_one_address_have_asked_together(
    mta: RunningMta, sink: ReceivingHost
) -> None:
    hand_in(mta, "<far@house.example> NOTIFY=NEVER ORCPT=rfc822;far", "<also@house.example> NOTIFY=DELAY")
    (taken,) = sent(mta, sink, 1)
    assert taken.rcpt == ["RCPT TO:<friend@d0.example> NOTIFY=DELAY"]


def test_with_a_rewritten_sender_they_go_on_and_reports_come_back(
    tmp_path: Path, sink: ReceivingHost
) -> None:
    extra = OUTGOING.format(port=sink.port, interval=0.3, lifetime=60.0) + HOUSE
    with running_mta(tmp_path, extra=extra + '[srs]\nsecret = "a secret of the forwarder"\n') as mta:
        publish(mta)
        hand_in(mta, f"<far@house.example> {SUCCESS}", sender=f"<{WRITER}> ENVID=8", client=WHITELISTED)
        (taken,) = sent(mta, sink, 1)
        assert taken.mail.startswith("MAIL FROM:<SRS0=")
        assert taken.mail.endswith("@house.example> ENVID=8")
        assert taken.rcpt == [f"RCPT TO:<friend@d0.example> {SUCCESS}"]
        sink.replies = {"EHLO": WITHOUT}
        hand_in(mta, f"<far@house.example> {SUCCESS}", sender=f"<{WRITER}>", client=WHITELISTED)
        _, _, report = sent(mta, sink, 3)
        assert report.rcpt == [f"RCPT TO:<{WRITER}>"]
        assert actions(email.message_from_bytes(report.content)) == {"friend@d0.example": "relayed"}
        sink.replies = {"EHLO": LISTING}
        hand_in(mta, f"<{taken.sender}> NOTIFY=NEVER ORCPT=rfc822;w", sender="<> ENVID=9")
        bounce = sent(mta, sink, 4)[-1]
        assert bounce.mail == "MAIL FROM:<> ENVID=9"
        assert bounce.rcpt == [f"RCPT TO:<{WRITER}> NOTIFY=NEVER ORCPT=rfc822;w"]


# What senders are told of failures


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        ("", True),
        ("NOTIFY=FAILURE", True),
        ("NOTIFY=SUCCESS,failure", True),
        ("NOTIFY=NEVER", False),
        ("NOTIFY=SUCCESS", False),
        ("NOTIFY=DELAY", False),
    ],
)
def test_a_failure_is_told_of_where_that_is_wanted(
    mta: RunningMta, sink: ReceivingHost, notify: str, wanted: bool
) -> None:
    sink.replies = {"EHLO": LISTING, "RCPT one@d1.example": "550 5.1.1 Nobody"}
    hand_in(mta, f"<one@d1.example> {notify}".strip(), sender=f"<{ALICE}> ENVID=9")
    eventually(lambda: not queued(mta, "one@d1.example"))
    assert [actions(each) for each in reports(mta)] == [{"one@d1.example": "failed"}] * wanted
    assert all(told(each)[0]["Original-Envelope-Id"] == "9" for each in reports(mta))


def test_only_those_are_named_of_whom_it_is_wanted(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": LISTING, "RCPT": "550 5.1.1 Nobody"}
    hand_in(mta, "<one@d1.example> NOTIFY=NEVER", "<two@d1.example> NOTIFY=FAILURE ORCPT=x400;/C+3Dde/")
    eventually(lambda: not queued(mta, "one@d1.example"))
    (report,) = reports(mta)
    assert actions(report) == {"two@d1.example": "failed"}
    assert told(report)[1][0]["Original-Recipient"] == "x400;/C=de/"
    assert b"one@d1.example" not in report.as_bytes()


BODY = b"Subject: \xc3\xa4\r\nX-Token: t\r\n\r\n.A line.\r\n\r\n--x\r\n\xff\r\n"


@pytest.mark.parametrize(
    ("ret", "content", "kind"),
    [
        (" RET=FULL", BODY, "message/rfc822"),
        (" RET=full", MESSAGE + b"x" * 70 + b"\r\n", "message/rfc822"),
        (" RET=HDRS", BODY, "text/rfc822-headers"),
        ("", BODY, "text/rfc822-headers"),
        (" RET=FULL", BODY + (b"x" * 78 + b"\r\n") * (MOST_RETURNED // 80), "text/rfc822-headers"),
    ],
    ids=["8-bit", "full", "headers", "as ever", "too large"],
)
def test_what_comes_back_of_the_message(
    mta: RunningMta, sink: ReceivingHost, ret: str, content: bytes, kind: str
) -> None:
    sink.replies = {"EHLO": LISTING, "RCPT one@d1.example": "550 5.1.1 Nobody"}
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    hand_in(mta, "<one@d1.example>", sender=f"<{ALICE}>{ret}", content=stuffed)
    eventually(lambda: not queued(mta, "one@d1.example"))
    (report,) = reports(mta)
    assert parts(report)[2].get_content_type() == kind
    whole = next(each for each in mta.mail(f"mail/{ALICE}") if b"multipart/report" in each)
    returned = whole.partition(f"Content-Type: {kind}\r\n".encode())[2]
    assert (content in returned) == (kind == "message/rfc822")
    assert content.partition(b"\r\n\r\n")[0] in returned
    assert (b"Content-Transfer-Encoding: 8bit" in whole) == (not whole.isascii())


def test_binary_content_comes_back_as_its_header(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": LISTING}  # which takes none
    content = b"Subject: bytes\r\n\r\n\0\n\r.\n\xff"
    with mta.connect(TRUSTED) as client:
        client.greet()
        assert client.code(f"MAIL FROM:<{ALICE}> BODY=BINARYMIME RET=FULL") == 250
        assert client.code("RCPT TO:<one@d1.example>") == 250
        client.send(b"BDAT %d LAST\r\n%b" % (len(content), content))
        assert client.reply().startswith("250")
    eventually(lambda: not queued(mta, "one@d1.example"))
    (report,) = reports(mta)
    assert parts(report)[2].get_content_type() == "text/rfc822-headers"


def test_nothing_that_others_say_makes_a_field_or_a_part(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {
        "EHLO": LISTING,
        "RCPT one@d1.example": "550-5.1.1 No\r\n550-X-Injected: yes\r\n550 \x00\r\x0bX-Injected: \xff",
    }
    hand_in(
        mta,
        "<one@d1.example> ORCPT=rfc822;+22a+22+20@c+20X-Injected:+20yes",
        sender=f"<{ALICE}> ENVID=--+3D_x+20X-Injected:+20yes+20+3D?utf-8?B?DQpYLUluamVjdGVkOiB5ZXM+3D?+3D",
        content=b"Subject: =?utf-8?B?DQpYLUluamVjdGVkOiB5ZXM=?=\r\nSubject: --=_\r\nMessage-ID: <a>\r\n\r\n",
    )
    eventually(lambda: not queued(mta, "one@d1.example"))
    (report,) = reports(mta)
    assert len(parts(report)) == 3
    of_message, (recipient,) = told(report)
    assert not any("X-Injected" in each for each in (report, of_message, recipient))
    assert of_message["Original-Envelope-Id"].startswith("--=_x X-Injected: yes =?utf-8?B?")
    raw = next(each for each in mta.mail(f"mail/{ALICE}") if b"multipart/report" in each)
    assert raw.isascii()
    assert b"\nX-Injected" not in raw


# What senders are told of delays


def test_a_delay_is_told_of_once_and_only_where_that_is_wanted(tmp_path: Path, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": LISTING, "RCPT": "451 4.7.1 Not yet"}
    extra = OUTGOING.format(port=sink.port, interval=0.2, lifetime=60.0) + "delay_report = 0.5\n"
    extra = extra.replace("timeout = 1\n", "timeout = 30\n")  # so that the last word is the host's
    with running_mta(tmp_path, extra=extra) as mta:
        publish(mta)
        for name, asked in (("yes", "NOTIFY=DELAY ORCPT=rfc822;Yes"), ("no", "NOTIFY=FAILURE"), ("also", "")):
            hand_in(mta, f"<{name}@d1.example> {asked}".strip(), sender=f"<{ALICE}> RET=FULL ENVID=1")
        hand_in(mta, "<void@d1.example> NOTIFY=DELAY", sender="<>")
        eventually(lambda: len(reports(mta)) == 2)
        tried = attempts(mta)
        eventually(lambda: attempts(mta) >= tried + 12)
        found = reports(mta)
        assert {address: action for each in found for address, action in actions(each).items()} == {
            "yes@d1.example": "delayed",
            "also@d1.example": "delayed",
        }
        assert len(found) == 2
        report = next(each for each in found if "yes@d1.example" in actions(each))
        of_message, (recipient,) = told(report)
        assert of_message["Original-Envelope-Id"] == "1"
        assert recipient["Original-Recipient"] == "rfc822;Yes"
        assert recipient["Status"] == "4.7.1"
        assert recipient["Will-Retry-Until"]
        assert parts(report)[2].get_content_type() == "text/rfc822-headers"


def attempts(mta: RunningMta) -> int:
    messages: list[dict[str, Any]] = mta.ask(op="queue", action="list")["messages"]
    return sum(each["attempts"] for message in messages for each in message["recipients"])


def test_without_a_time_for_it_no_delay_is_told_of(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": LISTING, "RCPT one@d2.example": "451 4.7.1 Not yet"}
    hand_in(mta, "<one@d2.example> NOTIFY=DELAY")
    eventually(lambda: attempts(mta) >= 4)
    sink.replies = {"EHLO": LISTING}
    sent(mta, sink, 1)
    assert not reports(mta)


# What is kept


def test_what_was_asked_outlives_the_server(tmp_path: Path, sink: ReceivingHost) -> None:
    extra = OUTGOING.format(port=sink.port, interval=1, lifetime=60)
    sink.replies = {"END": "451 4.3.0 Later"}
    asked = "<one@d0.example> NOTIFY=SUCCESS ORCPT=rfc822;A+2Bb"
    for run in (1, 2):
        with running_mta(tmp_path, extra=extra, hosts={"d0.example": "127.0.0.1"}) as mta:
            if run == 1:
                hand_in(mta, asked, sender=f"<{ALICE}> RET=FULL ENVID=x")
                sink.wait(sessions=1)
                sink.replies = {"EHLO": LISTING}
            else:
                (taken,) = sent(mta, sink, 1)
                assert taken.mail == f"MAIL FROM:<{ALICE}> RET=FULL ENVID=x"
                assert taken.rcpt == [f"RCPT TO:{asked}"]


def test_a_delay_that_would_never_be_told_of_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match="delay_report: by then lifetime is over"):
        configured(tmp_path, "[outgoing]\nlifetime = 60\ndelay_report = 60")


# What others may take the place of


def _with_another_field(sound: Part) -> Part:
    return lambda *given: replace(sound(*given), annotations=("X-Other: written",))


OTHERS = {
    "wanted": exchanged("a.b", "off", "", "reports.wanted", lambda _: lambda request, occasion: True),
    "written": exchanged("a.b", "off", "", "reports.written", _with_another_field),
    "status": exchanged(
        "a.b", "off", "", "reports.status", lambda sound: lambda *given: "X-Other: status\n" + sound(*given)
    ),
    "returned": exchanged(
        "a.b",
        "off",
        "",
        "reports.returned",
        lambda _: lambda *given: Returned("text/plain", b"X-Other: back\r\n"),
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_each_part_of_a_report_can_be_another_one(tmp_path: Path, other: str) -> None:
    config = configured(tmp_path)
    with serving_here(config, OTHERS[other]) as address, connected(address, TRUSTED) as client:
        notify = "NOTIFY=NEVER" if other == "wanted" else SUCCESS
        heard = play(
            client, sender=f"MAIL FROM:<{ALICE}>", recipient=f"RCPT TO:<bruno@castle.example> {notify}"
        )
        assert heard["end"].startswith("250"), heard
        (report,) = (config.server.state / "mail" / ALICE / "new").glob("*")
        assert (b"X-Other: " in report.read_bytes()) == (other != "wanted")


def _broken(*given: object) -> bool:
    raise ZeroDivisionError


def test_a_report_that_cannot_be_written_has_nothing_sent_again(tmp_path: Path, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": WITHOUT}
    tables = f'[outgoing]\nroute = "smarthost"\nsmarthost = "127.0.0.1:{sink.port}"\ninterval = 0.2'
    broken = exchanged("a.b", "off", "", "reports.wanted", lambda sound: _broken)
    config = configured(tmp_path, tables)
    with serving_here(config, broken) as address, connected(address, TRUSTED) as client:
        heard = play(client, sender=f"MAIL FROM:<{ALICE}>", recipient=f"RCPT TO:<one@d0.example> {SUCCESS}")
        assert heard["end"].startswith("250"), heard
        sink.wait(1)
        queue = QueueCommands(config.server.state)
        eventually(lambda: not queue.entries())
        heard = send(client, sender=f"MAIL FROM:<{ALICE}>", recipient=f"RCPT TO:<{ALICE}> {SUCCESS}")
        assert heard["end"].startswith("250"), heard
    assert len(sink.taken) == 1
