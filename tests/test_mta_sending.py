"""Mail for other hosts: to whom it goes, what is tried again, and what its sender hears of what is lost."""

import contextlib
import email
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fake_dns import Published, ServFail
from harness.reference_mta.__main__ import main
from harness.reference_mta.mail.hosts import permitted
from harness.settings.arguments import CUT_OFF
from tests.mta_process import FROM, MESSAGE, TRUSTED, RunningMta, running_mta
from tests.receiving_host import PATIENCE, ReceivingHost, receiving

Seen = TypeVar("Seen")
INTERVAL = 0.3  # seconds
LIFETIME = 60.0
OUTGOING = """
[outgoing]
route = "mx"
port = {port}
interval = {interval}
lifetime = {lifetime}
timeout = 1
"""
SMARTHOST = """
[outgoing]
route = "smarthost"
smarthost = "127.0.0.3:{port}"
interval = 0.3
"""
ALICE = "alice@castle.example"


@pytest.fixture(scope="module")
def sink() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture(scope="module")
def mta(sink: ReceivingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    extra = OUTGOING.format(port=sink.port, interval=INTERVAL, lifetime=LIFETIME)
    with running_mta(tmp_path_factory.mktemp("mta"), extra=extra) as running:
        running.dns.publish("sink.example", "A", "127.0.0.1")
        for number in range(30):
            running.dns.publish(f"d{number}.example", "MX", "10 sink.example")
        yield running
        assert (running.state.parent / "mta.log").read_text("utf-8") == ""


@pytest.fixture(autouse=True)
def _as_usual(mta: RunningMta, sink: ReceivingHost) -> None:
    for message in mta.ask(op="queue", action="list")["messages"]:
        mta.ask(op="queue", action="remove", id=message["id"])
    sink.replies, sink.taken, sink.sessions = {}, [], []


def relay(
    mta: RunningMta, *recipients: str, sender: str = ALICE, content: bytes = MESSAGE, client: str = TRUSTED
) -> None:
    """Hand a message in, from a host that the server relays for."""
    with mta.connect(client) as connection:
        connection.greet()
        assert connection.code(f"MAIL FROM:<{sender}>") == 250
        for recipient in recipients:
            assert connection.code(f"RCPT TO:<{recipient}>") == 250, recipient
        assert connection.code("DATA") == 354
        connection.send(content + b".\r\n")
        assert connection.reply().startswith("250")


def eventually(look: Callable[[], Seen]) -> Seen:
    """What `look` sees as soon as it sees something."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return seen


def queued(mta: RunningMta, recipient: str) -> list[dict[str, Any]]:
    """What is in the queue for one recipient."""
    messages = mta.ask(op="queue", action="list")["messages"]
    return [each for each in messages if recipient in [to["address"] for to in each["recipients"]]]


def states(mta: RunningMta, recipient: str) -> list[str]:
    """How the recipients of the messages in the queue for one recipient stand."""
    return [each["state"] for message in queued(mta, recipient) for each in message["recipients"]]


def bounce_about(mta: RunningMta, recipient: str) -> Message:
    """The notification in alice's mailbox about a recipient."""
    wanted = f"Final-Recipient: rfc822; {recipient}\r\n".encode()

    def look() -> list[bytes]:
        return [each for each in mta.mail("mail/alice@castle.example") if wanted in each]

    (found,) = eventually(look)
    return email.message_from_bytes(found)


def parts(message: Message) -> list[Message]:
    """The parts of a message that has some."""
    found = message.get_payload()
    assert isinstance(found, list)
    return [each for each in found if isinstance(each, Message)]


# To whom it goes


def test_a_message_goes_to_the_mx_as_it_came(mta: RunningMta, sink: ReceivingHost) -> None:
    content = b"Subject: \xc3\xa4\r\n\r\n.dot\r\n..\r\nend\r\n"
    relay(mta, "one@d0.example", content=content.replace(b"\r\n.", b"\r\n.."))
    sink.wait(1)
    (taken,) = sink.taken
    assert taken.hello == "EHLO mail.castle.example"
    assert taken.mail.startswith(f"MAIL FROM:<{ALICE}> SIZE=")
    assert taken.mail.endswith(" BODY=8BITMIME")
    assert taken.recipients == ["one@d0.example"]
    assert taken.content.startswith(b"Received: from mx.client.example (")
    assert taken.content.endswith(content)
    eventually(lambda: not queued(mta, "one@d0.example"))


def test_recipients_of_one_host_share_a_session(mta: RunningMta, sink: ReceivingHost) -> None:
    relay(mta, "one@d1.example", "two@d1.example", "three@d2.example", "bruno@castle.example")
    sink.wait(1)
    assert len(sink.sessions) == 1
    assert sink.taken[0].recipients == ["one@d1.example", "two@d1.example", "three@d2.example"]
    assert mta.mail("mail/bruno@castle.example")


def test_a_host_that_knows_no_ehlo_is_greeted_with_helo(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"EHLO": "500 What?"}
    relay(mta, "one@d0.example")
    sink.wait(1)
    assert sink.taken[0].hello == "HELO mail.castle.example"
    assert sink.taken[0].mail == f"MAIL FROM:<{ALICE}>"


def test_hosts_are_tried_by_preference_until_one_serves(mta: RunningMta, sink: ReceivingHost) -> None:
    dns = mta.dns
    dns.publish("two.example", "A", "127.0.0.2")
    dns.publish("many.example", "MX", "30 unwanted.example")
    dns.publish("many.example", "MX", "5 nowhere.example")
    dns.publish("many.example", "MX", "10 dead.example")
    dns.publish("many.example", "MX", "15 two.example")
    dns.publish("many.example", "MX", "20 sink.example")
    dns.publish("dead.example", "A", "127.0.0.9")
    dns.publish("unwanted.example", "A", "127.0.0.10")
    with receiving("127.0.0.2", sink.port) as second, receiving("127.0.0.10", sink.port) as unwanted:
        second.replies = {"GREETING": "554 5.7.1 Not today"}
        relay(mta, "one@many.example")
        sink.wait(1)
        assert len(second.sessions) == 1
        assert not unwanted.sessions


def test_a_host_with_several_addresses_is_tried_at_each(mta: RunningMta, sink: ReceivingHost) -> None:
    mta.dns.publish("wide.example", "A", "127.0.0.9")
    mta.dns.publish("wide.example", "A", "127.0.0.1")
    mta.dns.publish("wide.example", "AAAA", "::1")
    relay(mta, "one@wide.example")  # the implicit MX
    sink.wait(1)


def test_who_is_refused_by_one_host_for_now_is_offered_to_the_next(
    mta: RunningMta, sink: ReceivingHost
) -> None:
    mta.dns.publish("backed.example", "MX", "5 picky.example")
    mta.dns.publish("backed.example", "MX", "10 sink.example")
    mta.dns.publish("picky.example", "A", "127.0.0.2")
    with receiving("127.0.0.2", sink.port) as picky:
        picky.replies = {"RCPT two@backed.example": "451 4.7.1 Later", "RCPT three@backed.example": "550 No"}
        relay(mta, "one@backed.example", "two@backed.example", "three@backed.example")
        sink.wait(1)
        assert [each.recipients for each in picky.taken] == [["one@backed.example"]]
        assert [each.recipients for each in sink.taken] == [["two@backed.example"]]
    assert "550 No" in str(bounce_about(mta, "three@backed.example"))


def test_an_address_literal_is_where_the_mail_goes(mta: RunningMta, sink: ReceivingHost) -> None:
    relay(mta, "one@[127.0.0.1]")
    sink.wait(1)
    assert sink.taken[0].recipients == ["one@[127.0.0.1]"]


@pytest.mark.parametrize(
    ("domain", "records", "said"),
    [
        ("nobody.example", [], "has no address"),
        ("null.example", [("MX", "0 .")], "accepts no mail"),
        ("public.example", [("A", "8.8.8.8")], "loopback and reserved addresses only"),
        ("self.example", [("MX", "10 mail.castle.example"), ("MX", "20 sink.example")], "loops back"),
        ("castle.example", [], "Nobody has this address here"),
        ("mail.castle.example", [("A", "127.0.0.1")], "Nobody has this address here"),
    ],
)
def test_mail_that_can_go_nowhere_comes_back(
    mta: RunningMta, sink: ReceivingHost, domain: str, records: list[tuple[str, str]], said: str
) -> None:
    for kind, data in records:
        mta.dns.publish(domain, kind, data)
    relay(mta, f"one@{domain}")
    assert said in str(bounce_about(mta, f"one@{domain}"))
    assert not sink.sessions


def test_a_message_that_goes_round_in_circles_is_refused(mta: RunningMta, sink: ReceivingHost) -> None:
    with pytest.raises(AssertionError, match=r"554 5\.4\.6 Too many hops"):
        relay(mta, "loop@d3.example", content=b"Received: by x\r\n" * 101 + MESSAGE)
    assert not sink.sessions


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "10.0.0.1", "198.20.0.1", "::", "2001:db9::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1"],
)
def test_public_addresses_are_called_only_when_that_is_allowed(address: str) -> None:
    assert not permitted(address, allow_public=False)
    assert permitted(address, allow_public=True)


# What is tried again


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("reply", ["451 4.3.0 Later", ""])
def test_mail_that_is_put_off_is_tried_again_each_interval(
    mta: RunningMta, sink: ReceivingHost, stage: str, reply: str
) -> None:
    sink.replies = {stage: reply}
    recipient = f"{stage.lower()}{len(reply)}@d4.example"
    relay(mta, recipient)
    sink.wait(sessions=3)
    (message,) = queued(mta, recipient)
    assert message["sender"] == ALICE
    assert (attempts := message["recipients"][0]["attempts"]) >= 2
    assert message["next_try"] - message["arrived"] >= (attempts - 1) * INTERVAL
    assert ("451 4.3.0 Later" if reply else "sink.example [127.0.0.1]") in message["recipients"][0]["reply"]
    sink.replies = {}
    sink.wait(1)
    eventually(lambda: not queued(mta, recipient))
    assert len(sink.taken) == 1


def test_only_the_reply_after_the_final_dot_delivers(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"DATA": "250 2.0.0 Fine"}
    relay(mta, "one@d14.example", content=b"X-Token: t14\r\n" + MESSAGE)
    sink.wait(sessions=2)
    assert "where 354 belongs" in queued(mta, "one@d14.example")[0]["recipients"][0]["reply"]
    sink.replies = {}
    sink.wait(1)
    assert b"X-Token: t14" in sink.taken[0].content


def test_what_a_host_may_have_taken_goes_to_no_other_one_at_once(
    mta: RunningMta, sink: ReceivingHost
) -> None:
    mta.dns.publish("doubt.example", "A", "127.0.0.4")
    mta.dns.publish("doubt.example", "A", "127.0.0.1")
    with receiving("127.0.0.4", sink.port) as first:
        first.replies = {"END": ""}
        relay(mta, "one@doubt.example")
        first.wait(sessions=2)
        assert not sink.sessions
        first.replies = {}
        first.wait(1)


def test_too_many_recipients_for_one_message_are_tried_again(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"RCPT two@d15.example": "552 5.5.3 Too many recipients"}
    relay(mta, "one@d15.example", "two@d15.example")
    sink.wait(1)
    eventually(lambda: queued(mta, "two@d15.example")[0]["recipients"][1]["attempts"])
    sink.replies = {}
    sink.wait(2)
    assert [each.recipients for each in sink.taken] == [["one@d15.example"], ["two@d15.example"]]


def test_an_outcome_that_cannot_be_noted_is_not_forgotten(tmp_path: Path, sink: ReceivingHost) -> None:
    sink.replies = {"RCPT": "451 4.7.1 Not yet"}
    extra = OUTGOING.format(port=sink.port, interval=2, lifetime=60)
    with running_mta(tmp_path, extra=extra) as mta:
        mta.dns.publish("d16.example", "A", "127.0.0.1")
        relay(mta, "one@d16.example")
        eventually(lambda: queued(mta, "one@d16.example")[0]["recipients"][0]["attempts"])
        with contextlib.closing(sqlite3.connect(mta.state / "queue.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sink.replies = {}
            sink.wait(1)
            log = tmp_path / "mta.log"
            eventually(lambda: "cannot be noted, and it is not tried before" in log.read_text("utf-8"))
            other.rollback()
        eventually(lambda: not queued(mta, "one@d16.example"))
        assert len(sink.taken) == 1


def test_a_host_that_hangs_is_left_after_the_timeout(mta: RunningMta, sink: ReceivingHost) -> None:
    mta.dns.publish("slow.example", "A", "127.0.0.2")
    mta.dns.publish("slow.example", "A", "127.0.0.1")
    with receiving("127.0.0.2", sink.port) as slow:
        slow.replies = {"EHLO": "250-and so on"}
        relay(mta, "one@slow.example")
        slow.wait(sessions=1)
        sink.wait(1)


def test_a_dns_that_fails_is_asked_again(mta: RunningMta, sink: ReceivingHost) -> None:
    mta.dns.script("flaky.example", None, ServFail())
    relay(mta, "one@flaky.example")
    eventually(lambda: "looked up" in queued(mta, "one@flaky.example")[0]["recipients"][0]["reply"])
    mta.dns.publish("flaky.example", "MX", "10 sink.example")
    mta.dns.script("flaky.example", None, Published())
    sink.wait(1)


# What its sender hears


def test_what_is_refused_comes_back_with_the_receivers_words(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"RCPT gone@d5.example": "550-5.1.1 Nobody\r\n550 5.1.1 of that name\x07here \xc3\xa4"}
    relay(mta, "gone@d5.example", "here@d5.example", content=b"X-Token: t5\r\n" + MESSAGE)
    notice = bounce_about(mta, "gone@d5.example")
    assert sink.taken[0].recipients == ["here@d5.example"]
    assert notice["Return-path"] == "<>"
    assert notice["Auto-Submitted"] == "auto-replied"
    assert notice["To"] == f"<{ALICE}>"
    assert notice.get_content_type() == "multipart/report"
    assert notice.get_param("report-type") == "delivery-status"
    text, status, returned = parts(notice)
    assert "gone@d5.example" in text.get_payload()
    about_message, about_recipient = parts(status)
    assert about_message["Reporting-MTA"] == "dns; mail.castle.example"
    assert about_recipient["Action"] == "failed"
    assert about_recipient["Status"] == "5.1.1"
    assert about_recipient["Remote-MTA"] == "dns; sink.example"
    assert about_recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1 Nobody 5.1.1 of that name?here ?")
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "X-Token: t5" in returned.get_payload()
    assert "A line." not in str(notice)
    eventually(lambda: not queued(mta, "gone@d5.example"))


def test_a_greeting_of_554_comes_back(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"GREETING": "554 sink ESMTP server not available (no DNS Reverse)"}
    relay(mta, "one@d6.example")
    notice = str(bounce_about(mta, "one@d6.example"))
    assert "554 sink ESMTP server not available (no DNS Reverse)" in notice
    assert len(sink.sessions) == 1


def test_the_notification_goes_to_a_sender_elsewhere(mta: RunningMta, sink: ReceivingHost) -> None:
    sink.replies = {"RCPT one@d7.example": "550 No"}
    relay(mta, "one@d7.example", sender="writer@d8.example")
    sink.wait(1)
    assert sink.taken[0].mail.startswith("MAIL FROM:<> ")
    assert sink.taken[0].recipients == ["writer@d8.example"]
    assert b"Diagnostic-Code: smtp; 550 No\r\n" in sink.taken[0].content


def test_a_lifetime_ends_with_a_notification(tmp_path: Path, sink: ReceivingHost) -> None:
    sink.replies = {"RCPT": "451 4.7.1 Never"}
    extra = OUTGOING.format(port=sink.port, interval=60, lifetime=1)
    with running_mta(tmp_path, extra=extra) as mta:
        mta.dns.publish("d9.example", "A", "127.0.0.1")
        relay(mta, "one@d9.example")
        notice = str(bounce_about(mta, "one@d9.example"))
        assert "Status: 5.4.7" in notice
        assert "451 4.7.1 Never" in notice
        assert len(sink.sessions) == 2, "at once, and at the very end"
        eventually(lambda: not queued(mta, "one@d9.example"))


def test_without_a_route_mail_for_others_comes_back(tmp_path: Path, sink: ReceivingHost) -> None:
    with running_mta(tmp_path) as mta:
        mta.dns.publish("elsewhere.example", "A", "127.0.0.1")
        relay(mta, "one@elsewhere.example", "bruno@castle.example")
        notice = str(bounce_about(mta, "one@elsewhere.example"))
        assert "Mailing to remote domains not supported" in notice
        assert len(mta.mail("mail/bruno@castle.example")) == 1
        assert not mta.dns.queries(under="elsewhere.example")


def test_a_smarthost_gets_all_of_it(tmp_path: Path, sink: ReceivingHost) -> None:
    with (
        receiving("127.0.0.3") as smarthost,
        running_mta(tmp_path, extra=SMARTHOST.format(port=smarthost.port)) as mta,
    ):
        smarthost.replies = {"RCPT": "450 4.2.0 Busy"}
        relay(mta, "one@d1.example", "two@other.example", "bruno@castle.example")
        smarthost.wait(sessions=2)
        assert len(queued(mta, "one@d1.example")) == 1
        smarthost.replies = {}
        smarthost.wait(1)
        assert smarthost.taken[0].recipients == ["one@d1.example", "two@other.example"]
        assert not mta.dns.queries(under="d1.example")
        assert not sink.sessions


# The operator's hand


def bounced_into_the_void(mta: RunningMta, sink: ReceivingHost, recipient: str) -> dict[str, Any]:
    """A notification that cannot be delivered, which is frozen."""
    sink.replies = {"RCPT": "550 5.1.1 Nobody"}
    relay(mta, "gone@d10.example", sender=recipient)
    return eventually(lambda: next((each for each in queued(mta, recipient) if each["frozen"]), None)) or {}


def test_a_notification_that_cannot_be_delivered_is_frozen_until_it_is_thawed(
    mta: RunningMta, sink: ReceivingHost
) -> None:
    frozen = bounced_into_the_void(mta, sink, "void@d11.example")
    assert frozen["sender"] == ""
    met = len(sink.sessions)
    assert mta.ask(op="queue", action="run")["ok"]
    time.sleep(INTERVAL * 2)  # a frozen message is what does not happen
    assert len(sink.sessions) == met
    assert mta.ask(op="queue", action="thaw", id=frozen["id"]) == {"ok": True, "found": True}
    sink.wait(sessions=met + 1)
    eventually(lambda: queued(mta, "void@d11.example")[0]["frozen"])
    sink.replies = {}
    assert mta.ask(op="queue", action="thaw", id=frozen["id"])["found"]
    sink.wait(1)
    assert sink.taken[0].recipients == ["void@d11.example"]


def test_a_notification_is_not_frozen_while_somebody_waits_for_it(
    mta: RunningMta, sink: ReceivingHost
) -> None:
    sink.replies = {"RCPT one@d17.example": "550 5.1.1 Nobody", "RCPT two@d17.example": "450 4.2.1 Later"}
    relay(mta, "one@d17.example", "two@d17.example", sender="")
    sink.wait(sessions=3)
    assert not queued(mta, "two@d17.example")[0]["frozen"]
    sink.replies = {}
    sink.wait(1)
    frozen = eventually(lambda: [each for each in queued(mta, "one@d17.example") if each["frozen"]])
    assert states(mta, "one@d17.example") == ["failed", "delivered"]
    assert mta.ask(op="queue", action="thaw", id=frozen[0]["id"])["found"]
    sink.wait(2)
    assert [each.recipients for each in sink.taken] == [["two@d17.example"], ["one@d17.example"]]


def test_whole_messages_are_for_nobody_else_to_read(mta: RunningMta) -> None:
    assert (mta.state / "queue.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("broken", ["no database", "another table", "another state"])
def test_a_queue_that_is_none_is_told_with_a_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    file = tmp_path / "state" / "queue.sqlite"
    with running_mta(tmp_path, extra=OUTGOING.format(port=9, interval=3600, lifetime=86400)) as mta:
        mta.dns.publish("d18.example", "A", "127.0.0.1")
        relay(mta, "one@d18.example")
    if broken == "no database":
        file.write_text("a shopping list, and a long one at that", "utf-8")
    else:
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            if broken == "another table":
                database.execute("ALTER TABLE message RENAME COLUMN frozen TO cold")
            else:
                database.execute("UPDATE recipient SET state = 'undecided'")
    assert main(["queue", "list", str(tmp_path / "mta.toml")]) == 2
    said = capsys.readouterr().err
    assert str(file) in said
    assert "move it away" in said


def test_an_operator_works_on_the_queue_from_another_process(
    tmp_path: Path, sink: ReceivingHost, capsys: pytest.CaptureFixture[str]
) -> None:
    def operate(mta: RunningMta, action: str, *more: str) -> tuple[int, str]:
        """The operator's command, in the process of this test: exit status and output."""
        status = main(["queue", action, str(mta.state.parent / "mta.toml"), *more])
        return status, capsys.readouterr().out

    extra = OUTGOING.format(port=sink.port, interval=3600, lifetime=86400)
    sink.replies = {"RCPT": "451 4.7.1 Not yet"}
    with running_mta(tmp_path, extra=extra) as mta:
        mta.dns.publish("d12.example", "A", "127.0.0.1")
        assert operate(mta, "list") == (0, "The queue is empty.\n")
        relay(mta, "one@d12.example")
        relay(mta, "two@d12.example")
        relay(mta, "lost@nowhere.example", sender="")
        eventually(lambda: all(each["recipients"][0]["attempts"] for each in queued(mta, "two@d12.example")))
        frozen = eventually(lambda: [e for e in queued(mta, "lost@nowhere.example") if e["frozen"]])[0]["id"]
        sink.wait(sessions=2)
        first, second = (queued(mta, f"{name}@d12.example")[0]["id"] for name in ("one", "two"))
        status, listing = operate(mta, "list")
        assert status == 0
        assert re.search(rf"^{first}  \d s  \d+ bytes  <{ALICE}>$", listing, re.MULTILINE)
        assert re.search(rf"^{frozen}  \d s  \d+ bytes  <>  frozen$", listing, re.MULTILINE)
        assert "    two@d12.example  waiting, attempt 1: 451 4.7.1 Not yet\n" in listing
        assert [each["id"] for each in json.loads(operate(mta, "list", "--json")[1])] == [
            first,
            second,
            frozen,
        ]
        assert operate(mta, "remove", first) == (0, "")
        assert operate(mta, "remove", first) == (1, f"no message {first} in the queue\n")
        assert operate(mta, "thaw", second) == (1, f"no frozen message {second} in the queue\n")
        assert operate(mta, "thaw", frozen)[0] == 0
        with pytest.raises(SystemExit, match="2"):
            operate(mta, "thaw")
        sink.replies = {}
        assert operate(mta, "run")[0] == 0
        sink.wait(1)
        assert sink.taken[0].recipients == ["two@d12.example"]
        eventually(lambda: frozen in operate(mta, "list")[1] and not queued(mta, "two@d12.example"))


def test_a_server_that_is_started_again_goes_on(tmp_path: Path, sink: ReceivingHost) -> None:
    extra = OUTGOING.format(port=sink.port, interval=1, lifetime=60)
    sink.replies = {"END": "451 4.3.0 Later"}
    hosts = {"d13.example": "127.0.0.1"}
    with running_mta(tmp_path, extra=extra, hosts=hosts) as mta:
        relay(mta, "one@d13.example")
        sink.wait(sessions=1)
    sink.replies = {}
    with running_mta(tmp_path, extra=extra, hosts=hosts):
        sink.wait(1)


def test_what_one_host_took_is_not_sent_again_after_a_stop_while_another_hangs(
    tmp_path: Path, sink: ReceivingHost
) -> None:
    extra = OUTGOING.format(port=sink.port, interval=1, lifetime=60).replace("timeout = 1", "timeout = 60")
    with receiving("127.0.0.2", sink.port) as slow:
        slow.replies = {"EHLO": "250-and so on"}
        hosts = {"d18.example": "127.0.0.1", "slow.example": "127.0.0.2"}
        for run in (1, 2):
            with running_mta(tmp_path, extra=extra, hosts=hosts) as mta:
                if run == 1:
                    relay(mta, "one@d18.example", "one@slow.example")
                slow.wait(sessions=run)
                while states(mta, "one@slow.example") != ["delivered", "waiting"]:
                    time.sleep(0.02)
    assert len(sink.taken) == 1


def test_a_second_server_does_not_touch_the_queue(tmp_path: Path) -> None:
    with running_mta(tmp_path) as mta:
        again = subprocess.run(
            [sys.executable, "-m", "harness.reference_mta", str(mta.state.parent / "mta.toml")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert again.returncode == 2
        assert "queue.waker: another server works with this state directory" in again.stderr
        assert "Errno" not in again.stderr


def test_a_reader_of_the_list_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    with running_mta(tmp_path, extra=OUTGOING.format(port=9, interval=3600, lifetime=86400)) as mta:
        mta.dns.publish("d19.example", "A", "127.0.0.1")
        relay(mta, "one@d19.example")
        unread, written = os.pipe()
        os.close(unread)
        listing = subprocess.run(
            [sys.executable, "-m", "harness.cli", "mta", "queue", "list", str(tmp_path / "mta.toml")],
            stdout=written,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
        os.close(written)
        assert (listing.returncode, listing.stderr) == (CUT_OFF, "")


def test_mail_is_put_off_while_the_queue_cannot_be_written(tmp_path: Path, sink: ReceivingHost) -> None:
    extra = OUTGOING.format(port=sink.port, interval=60, lifetime=60)
    with running_mta(tmp_path, extra=extra) as mta, mta.connect(TRUSTED) as client:
        database = sqlite3.connect(mta.state / "queue.sqlite", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        client.greet()
        assert client.code(FROM) == 250
        assert client.code("RCPT TO:<one@d1.example>") == 250
        assert client.code("RCPT TO:<bruno@castle.example>") == 250
        assert client.code("DATA") == 354
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith("452 4.3.1")
        database.execute("ROLLBACK")
        database.close()
        assert mta.mail("mail/bruno@castle.example") == []
        assert not queued(mta, "one@d1.example")
