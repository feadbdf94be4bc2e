"""What is kept of mail after the 250: where it was found, and what the server said to other hosts."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dnslib import DNSRecord

from fake_dns.answer import Transport
from harness.capabilities.mail_host import MailHost
from harness.grants.greylist import GREYLIST_OPERATOR, GREYLIST_OUTAGE
from harness.grants.mail import MAILBOX, QUEUE_OPERATOR
from harness.grants.sending import SINK
from harness.outcome import Stage
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.course import run_scenario
from harness.runs.evidence import neutral
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.trial import Plan
from harness.world.client import message
from harness.world.internet import Kind


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        yield run


def plan(run: Run, scenario: Callable[[Play], None]) -> Plan:
    def call(play: Play) -> None:
        play.call(lambda: scenario(play), {}, ())

    return Plan(run.catalogue["delivery.alias"], frozenset(), call, has_twin=False)


def test_what_was_done_as_the_operator_is_kept(run: Run) -> None:
    assert run.profile.auth
    password = run.profile.auth.secret.reveal()

    def play(play: Play) -> None:
        sink = play.tool(SINK)
        assert sink
        queue = play.tool(QUEUE_OPERATOR)
        assert queue
        greylist = play.tool(GREYLIST_OPERATOR)
        assert greylist
        host, client = sink.host(), play.new_client(Kind.TRUSTED)
        host.says(Stage.RCPT, "451 4.3.0 Come back later")
        friend = f"{password}@{host.domain}"
        attempt = client.attempt(recipient=friend, message=message(client, friend))
        play.expect(attempt)
        host.dialogue()
        for _ in range(3):
            (entry,) = queue.entries(host.domain)
        queue.remove(entry.id)
        queue.entries(host.domain)
        triplet = ("192.0.2.9", client.sender, "bob@here.example")
        greylist.add("black", *triplet)
        greylist.listed("black", *triplet)
        greylist.remove("black", *triplet)
        greylist.listed("black", *triplet)

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.PASSED, outcome.reason
    acts = [event for event in outcome.tries[-1].events if event.who == "operator"]
    looked, removed, again, added, there, taken, gone = acts
    assert looked.text == again.text
    assert (removed.shown, again.shown, added.shown, taken.shown) == ("", "nothing", "", "")
    assert (there.shown, gone.shown) == ("it is there", "it is not there")
    assert removed.text.split()[2] in looked.shown
    assert password not in str(acts)
    assert "***@" in looked.shown
    assert [act.at for act in acts] == sorted(act.at for act in acts)
    assert 0 < looked.at < outcome.seconds + 60
    assert outcome.tries[-1].dialogues[0].began is not None
    assert outcome.tries[-1].dialogues[0].began < looked.at


def test_a_found_message_and_a_call_elsewhere_are_kept(run: Run) -> None:
    assert run.profile.auth
    password = run.profile.auth.secret.reveal()

    def play(play: Play) -> None:
        sink = play.tool(SINK)
        assert sink
        mailbox = play.tool(MAILBOX)
        assert mailbox
        host, client = sink.host(), play.new_client(Kind.TRUSTED)
        recipients = [play.run.sut.recipient, f"friend@{host.domain}"]
        content = message(client, recipients[0], subject=password, body=f"It is {password}.\r\n")
        attempt = client.attempt(recipient=recipients, message=content)
        play.expect(attempt)
        mailbox.find(recipients[0], client.token)
        mailbox.copies(recipients[0], client.token)
        host.arrival(client.token)
        host.dialogue()

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.PASSED, outcome.reason
    recipient, host = run.sut.recipient, r"mail\.d[\w-]+\.example"
    there = f"found in the inbox of {recipient}, at {host}: a message for friend@[\\w.-]+ was taken"
    assert re.fullmatch(rf"data: 250 .* after [\d.]+ s; {there}", outcome.observed)
    (only,) = outcome.tries
    (delivery,) = only.deliveries
    assert (delivery.recipient, delivery.folder) == (run.sut.recipient, "")
    assert Path(delivery.where).is_file()
    headers = dict(delivery.headers)
    assert headers["To"] == f"<{run.sut.recipient}>"
    assert headers["Subject"] == "***"
    ours, theirs = only.dialogues
    assert (ours.label, ours.told[-1].stage) == ("client", "data")
    assert theirs.label.startswith("the server calls mail.d")
    assert (theirs.client_name, theirs.steps) == (run.sut.hostname, ())
    assert theirs.called.startswith("mail.d")
    assert [line.direction for line in theirs.lines[:2]] == ["S", "C"]
    assert password not in repr(only)


def test_of_a_host_that_all_share_only_what_is_ours_is_kept(run: Run) -> None:
    def play(play: Play) -> None:
        sink = play.tool(SINK)
        assert sink
        target, recipient = sink.forward_target(), "moved@castle.example"
        for client in (play.new_client(Kind.KNOWN), Play(run, play.rule).new_client(Kind.KNOWN)):
            attempt = client.attempt(recipient=recipient, message=message(client, recipient))
            target.arrival(client.token)
            target.dialogue(1, about=client.identity.domain)
        play.expect(attempt)

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.PASSED, outcome.reason
    calls = [one for one in outcome.tries[0].dialogues if one.called]
    assert len(calls) == 1


def test_the_hosts_of_a_scenario_are_gone_when_it_is_over(run: Run) -> None:
    kept: list[MailHost] = []

    def play(play: Play) -> None:
        sink = play.tool(SINK)
        assert sink
        kept.append(sink.host())
        raise AssertionError("it ends here")

    assert run_scenario(run, plan(run, play)).status is Status.FAILED
    assert len({host.address for host in kept}) == len(kept) == 2
    assert [run.internet.dns.withdraw(host.name) for host in kept] == [0, 0]


def test_what_a_server_makes_up_is_taken_out_of_a_reply_and_no_keyword_is(run: Run) -> None:
    client = run.client(run.world(), Kind.STRANGER)
    said = f"8BITMIME SMTPUTF8 queued as 4XyzAB12Q for {client.address} of {client.host}"
    assert neutral(said, client) == "8BITMIME SMTPUTF8 queued as <id> for <client> of <name>"


def test_everything_that_is_done_in_a_play_is_on_one_clock_and_each_question_stands_once(run: Run) -> None:
    def play(play: Play) -> None:
        assert play.world.clock
        outage = play.tool(GREYLIST_OUTAGE)
        assert outage
        client = play.new_client(Kind.STRANGER)
        client.publish(client.name("other"), "A", client.address)
        client.list_on(play.run.sut.dnsbl[0])
        client.unlist_from(play.run.sut.dnsbl[0])
        client.attempt(label="first attempt")
        play.world.clock.advance(client.address, 61.0)
        outage.cut(client.address)
        outage.end()
        play.expect(client.attempt(label="retry"))

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.PASSED, outcome.reason
    (only,) = outcome.tries
    first, retry = only.dialogues
    acts = [event for event in only.events if event.who != "server"]
    assert acts[0].at == 0.0
    assert [event.who for event in acts] == [*["DNS"] * (len(acts) - 3), "clock", "outage", "outage"]
    assert "moved on by 61.00 s" in acts[-3].text
    assert acts[-3].shown.startswith("greylist.delay is 60 s, timeout ")
    assert first.began is not None
    assert retry.began is not None
    assert acts[-4].at <= first.began < acts[-3].at <= acts[-2].at <= acts[-1].at <= retry.began
    for talk in (first, retry):
        asked = [(query.name, query.type) for query in talk.queries]
        assert asked
        assert len(asked) == len(set(asked))
        assert all(query.at >= 0 and query.times == 1 for query in talk.queries)


def test_a_question_that_the_server_repeats_is_counted(run: Run) -> None:
    def ask(name: str) -> None:
        packet = bytes(DNSRecord.question(name, "TXT").pack())
        run.internet.dns.respond(packet, "127.0.0.1", Transport.UDP)

    def play(play: Play) -> None:
        client = play.new_client(Kind.KNOWN)
        with client.conversation() as talk:
            talk.connect()
            for _ in range(3):
                ask(client.name("policy"))
            talk.quit()
        play.expect(client.attempt())

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.PASSED, outcome.reason
    first, second = outcome.tries[0].dialogues
    (policy,) = [query for query in first.queries if query.type == "TXT"]
    assert (policy.times, len(policy.again)) == (3, 2)
    assert not [query for query in second.queries if query.type == "TXT"]


def test_a_reply_that_came_too_soon_has_the_threshold_that_it_missed(run: Run) -> None:
    def play(play: Play) -> None:
        attempt = play.new_client(Kind.KNOWN).attempt()
        play.expect.outcome("delay+pass at rcpt", attempt)

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.FAILED, outcome.reason
    threshold = 0.9 * run.profile.policy.delay
    steps = [step for step in outcome.tries[-1].dialogues[0].told if step.reply and step.reply.missed]
    assert {step.stage: step.reply.missed for step in steps if step.reply} == {
        "rcpt": pytest.approx(threshold)
    }
    assert f"held back a silence of {threshold:.2f} s or more" in outcome.reason


def test_every_exchange_is_a_step_and_each_reply_knows_its_lines(run: Run) -> None:
    def play(play: Play) -> None:
        client = play.new_client(Kind.KNOWN)
        with client.conversation() as talk:
            talk.connect()
            talk.ehlo(client.host)
            talk.reset()
            talk.mail(client.sender)
            talk.rcpt(play.run.sut.recipient)
            talk.data(message(client, play.run.sut.recipient))
            attempt = talk.quit()
        play.expect(attempt)

    outcome = run_scenario(run, plan(run, play))
    assert outcome.status is Status.PASSED, outcome.reason
    (talk,) = outcome.tries[0].dialogues
    assert [(step.stage, step.sent.partition(" ")[0]) for step in talk.steps] == [
        ("connect", ""),
        ("helo", "EHLO"),
        ("", "RSET"),
        ("mail", "MAIL"),
        ("rcpt", "RCPT"),
        ("data", "DATA"),
        ("data", "the"),
        ("", "QUIT"),
    ]
    assert [step.stage for step in talk.told] == ["connect", "helo", "mail", "rcpt", "data"]
    for step in talk.steps:
        (fact,) = step.replies
        assert fact.line is not None
        line = talk.lines[fact.line]
        assert line.direction == "S"
        assert line.text.startswith(str(fact.code))
        assert step.at is not None
        assert step.at <= line.at
    starts = [fact.line for step in talk.steps for fact in step.replies]
    assert starts == sorted(set(starts), key=starts.index)
    assert talk.told[-1].reply
    assert talk.told[-1].reply.code == 250
