"""Dialects of the reference MTA: answers of single rules, when refusals are told, pauses, limits."""

import time
from pathlib import Path

import pytest

from tests.mta_here import log_in, play, send, speaking
from tests.mta_process import (
    FROM,
    LISTED_ONCE,
    LISTED_TWICE,
    NAME,
    NAMELESS,
    STRANGER,
    TO,
    TRUSTED,
    WHITELISTED,
    connected,
)

BARE = "EHLO 192.0.2.1"
UNQUALIFIED = "EHLO host"
NOBODY = "RCPT TO:<nobody@castle.example>"
FOREIGN = "RCPT TO:<someone@elsewhere.example>"
BOGUS = {"sender": "MAIL FROM:<>", "recipient": "RCPT TO:<bruno@castle.example>"}
BROKEN = "From: <<<>>\r\n\r\nx\r\n"
STAGES = ("banner", "helo", "mail", "rcpt", "data", "end")


def last(heard: dict[str, str]) -> str:
    """The stage and the code at which a dialogue ended."""
    stage = list(heard)[-1]
    return f"{stage} {heard[stage][:3]}"


def answer(rule: str, text: str) -> str:
    return f'[answers."{rule}"]\n{text}\n'


# Answers


@pytest.mark.parametrize(
    ("rule", "client", "offence", "documented", "stage"),
    [
        ("connect.rdns-missing", NAMELESS, {}, "rcpt 451", "banner"),
        ("helo.not-fqdn", WHITELISTED, {"helo": UNQUALIFIED}, "end 250", "helo"),
        ("helo.plain-ip", WHITELISTED, {"helo": BARE}, "helo 550", "helo"),
        ("helo.reverse-match", TRUSTED, {}, "end 250", "helo"),
        ("rcpt.relay-denied", WHITELISTED, {"recipient": FOREIGN}, "rcpt 550", "rcpt"),
        ("rcpt.unknown-user", WHITELISTED, {"recipient": NOBODY}, "rcpt 550", "rcpt"),
        ("rcpt.leading-dot", WHITELISTED, {"recipient": "RCPT TO:<.a@castle.example>"}, "rcpt 550", "rcpt"),
        ("bounce.bogus", WHITELISTED, BOGUS, "rcpt 550", "rcpt"),
        ("dnsbl.one", LISTED_ONCE, {}, "rcpt 451", "rcpt"),
        ("dnsbl.two", LISTED_TWICE, {}, "rcpt 550", "rcpt"),
        ("greylist.first-defer", STRANGER, {}, "rcpt 451", "rcpt"),
        ("data.header-syntax", WHITELISTED, {"content": BROKEN}, "end 550", "end"),
    ],
)
def test_a_rule_is_answered_as_configured(
    tmp_path: Path, rule: str, client: str, offence: dict[str, str], documented: str, stage: str
) -> None:
    with speaking(tmp_path) as mta:
        assert last(mta.play(client, **offence)) == documented
    told = answer(rule, 'action = "refuse"\ncode = 569\nstatus = "5.6.9"')
    with speaking(tmp_path / "refusing", told) as mta:
        heard = mta.play(client, **offence)
        assert heard[stage].startswith(("569 5.6.9 ", "569-5.6.9 "))
        assert last(heard) == f"{stage} 569"
        innocent = TRUSTED if rule != "helo.reverse-match" else WHITELISTED
        assert last(mta.play(innocent, helo="EHLO out.bulkmail.example")) == "end 250"


def test_an_answer_may_close_the_connection_and_need_not(tmp_path: Path) -> None:
    for close, after in (("true", ""), ("false", "250")):
        told = answer("rcpt.unknown-user", f'action = "refuse"\nclose = {close}')
        with speaking(tmp_path / close, told) as mta, mta.connect(WHITELISTED) as client:
            assert last(play(client, recipient=NOBODY)) == "rcpt 550"
            client.send(b"NOOP\r\n")
            assert client.reply()[:3] == after


@pytest.mark.parametrize("action", ["accept", "refuse"])
def test_a_reply_is_held_back_when_the_answer_says_so(tmp_path: Path, action: str) -> None:
    for held in ("true", "false"):
        told = "[server]\ndelay = 0.4\n" + answer("rcpt.unknown-user", f'action = "{action}"\nheld = {held}')
        with speaking(tmp_path / held, told) as mta, mta.connect(WHITELISTED) as client:
            client.greet()
            client.say(FROM)
            started = time.monotonic()
            assert client.code(NOBODY) == {"accept": 250, "refuse": 550}[action]
            assert mta.held == (0.4 if held == "true" else 0)
            assert time.monotonic() - started >= mta.held


def test_a_delay_that_is_configured_comes_again(tmp_path: Path) -> None:
    for held in ("true", "false"):
        told = "[server]\ndelay = 0.3\n" + answer("helo.plain-ip", f'action = "accept"\nheld = {held}')
        with speaking(tmp_path / held, told) as mta, mta.connect(WHITELISTED) as client:
            client.reply()
            client.say(BARE)
            for command in (FROM, TO):
                started = time.monotonic()
                assert client.code(command) == 250
                assert mta.held == (0.3 if held == "true" else 0)
                assert time.monotonic() - started >= mta.held


@pytest.mark.parametrize("field", ["X-DNSbl-Warning", "X-Suspect"])
@pytest.mark.parametrize(
    ("rule", "client", "offence", "words"),
    [
        ("connect.rdns-missing", NAMELESS, {}, "connect.rdns-missing"),
        ("helo.not-fqdn", WHITELISTED, {"helo": UNQUALIFIED}, "helo.not-fqdn"),
        ("bounce.bogus", WHITELISTED, BOGUS, "bounce.bogus"),
        ("dnsbl.two", LISTED_TWICE, {}, f"{LISTED_TWICE} is listed by traps.blocklist.example, reports"),
        ("data.header-syntax", WHITELISTED, {"content": BROKEN}, "data.header-syntax"),
        ("mail.no-helo", WHITELISTED, {"helo": "NOOP"}, "mail.no-helo"),
    ],
)
def test_an_accepted_offence_is_marked(
    tmp_path: Path, rule: str, client: str, offence: dict[str, str], words: str, field: str
) -> None:
    reached = offence.get("recipient", TO).partition("<")[2].rstrip(">")
    for mark in ("true", "false"):
        told = (
            f'[speech]\nmark_field = "{field}"\n'
            + answer(rule, f'action = "accept"\nmark = {mark}')
            + answer("greylist.first-defer", 'action = "accept"')
        )
        with speaking(tmp_path / mark, told) as mta:
            assert last(mta.play(client, **offence)) == "end 250"
            (message,) = mta.mail(reached)
            assert (f"\n{field}: {words}" in message) == (mark == "true")


def test_a_mark_belongs_to_the_message_that_earned_it(tmp_path: Path) -> None:
    told = answer("bounce.bogus", 'action = "accept"\nmark = true')
    with speaking(tmp_path, told) as mta, mta.connect(WHITELISTED) as client:
        assert last(play(client, **BOGUS)) == "end 250"
        for command in (FROM, "RCPT TO:<bruno@castle.example>"):
            assert client.code(command) == 250
        assert client.code("DATA") == 354
        client.send(b"Subject: other\r\n\r\n.\r\n")
        assert client.code("NOOP") == 250
        marked = ["bounce.bogus" in message for message in mta.mail("bruno@castle.example")]
        assert sorted(marked) == [False, True]


def test_a_wrong_password_is_answered_as_configured(tmp_path: Path) -> None:
    told = answer("auth.wrong-password", 'action = "refuse"\ncode = 454\nclose = true')
    for tables, reply, after in (("", "535 5.7.8 ", "250"), (told, "454 4.7.8 ", "")):
        with speaking(tmp_path / reply[:3], tables) as mta, mta.connect(WHITELISTED) as client:
            client.reply()
            assert log_in(client, mta.state, "wrong").startswith(reply)
            client.send(b"NOOP\r\n")
            assert client.reply()[:3] == after


def test_the_right_password_is_right_whatever_a_wrong_one_earns(tmp_path: Path) -> None:
    told = answer("auth.wrong-password", 'action = "refuse"\ncode = 454\nclose = true')
    with speaking(tmp_path, told) as mta, mta.connect(WHITELISTED) as client:
        client.reply()
        assert log_in(client, mta.state).startswith("235 ")


# A refusal in place of the greeting

TURNED_AWAY = answer("connect.rdns-missing", 'action = "refuse"\ncode = 554')


def test_who_is_refused_at_the_connection_can_only_quit(tmp_path: Path) -> None:
    with speaking(tmp_path, TURNED_AWAY) as mta, mta.connect(NAMELESS) as client:
        assert client.reply().startswith("554 5.7.1 ")
        for command in (f"EHLO {NAME}", FROM, TO, "DATA", "STARTTLS", "NOOP", "RSET"):
            assert client.say(command).startswith("503 5.5.1 ")
        assert client.code("QUIT") == 221
        assert client.reply() == ""


def test_who_is_refused_at_the_connection_may_find_it_closed(tmp_path: Path) -> None:
    with speaking(tmp_path, TURNED_AWAY + "close = true\n") as mta, mta.connect(NAMELESS) as client:
        assert client.reply().startswith("554 5.7.1 ")
        assert client.reply() == ""


def test_who_connects_without_a_proxy_is_refused_as_well(tmp_path: Path) -> None:
    direct = "[server]\nproxy_protocol = false\n"
    refused = answer("connect.rdns-confirmed", 'action = "refuse"\ncode = 554')
    for tables, greeting in ((direct, "220 "), (direct + refused, "554 5.7.1 ")):
        with speaking(tmp_path / greeting.strip(), tables) as mta, connected(mta.address) as client:
            assert client.reply().startswith(greeting)


# When refusals are told

KNOWN = answer("greylist.first-defer", 'action = "accept"')
OFFENCES = {
    "connect": (answer("connect.rdns-missing", 'action = "refuse"\ncode = 569') + KNOWN, NAMELESS, {}),
    "greeting": (
        answer("helo.not-fqdn", 'action = "refuse"\ncode = 569'),
        WHITELISTED,
        {"helo": UNQUALIFIED},
    ),
    "recipient": (
        answer("rcpt.unknown-user", 'action = "refuse"\ncode = 569'),
        WHITELISTED,
        {"recipient": NOBODY},
    ),
}
TOLD = {"now": 0, "mail": 2, "rcpt": 3, "message": 5}
EARNED = {"connect": 0, "greeting": 1, "recipient": 3}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("offence", OFFENCES)
def test_a_refusal_is_told_where_this_server_tells_it(tmp_path: Path, offence: str, told: str) -> None:
    tables, client, words = OFFENCES[offence]
    with speaking(tmp_path, f'[speech]\ntold = "{told}"\n' + tables) as mta:
        expected = STAGES[max(TOLD[told], EARNED[offence])]
        heard = mta.play(client, **words)
        assert last(heard) == f"{expected} 569"
        if TOLD[told] > EARNED[offence]:
            assert "STARTTLS" in heard["helo"]
        assert last(mta.play(WHITELISTED)) == "end 250"


@pytest.mark.parametrize(("told", "stage"), [("mail", "mail"), ("rcpt", "rcpt"), ("message", "end")])
def test_a_refusal_is_told_each_time_and_nothing_is_delivered(tmp_path: Path, told: str, stage: str) -> None:
    tables, _, words = OFFENCES["greeting"]
    with speaking(tmp_path, f'[speech]\ntold = "{told}"\n' + tables) as mta:
        with mta.connect(WHITELISTED) as client:
            assert last(play(client, **words)) == f"{stage} 569"
            if told == "rcpt":
                assert client.code(TO) == 569
            client.say("RSET")
            assert last(send(client)) == f"{stage} 569"
        assert mta.mail("alice@castle.example") == []


def test_a_recipient_that_is_refused_later_spoils_the_message(tmp_path: Path) -> None:
    with speaking(tmp_path, '[speech]\ntold = "message"\n') as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        for commands, end in (((TO, NOBODY), "550 5.1.1 "), ((FOREIGN,), "550 5.7.1 "), ((TO,), "250 ")):
            for command in (FROM, *commands):
                assert client.code(command) == 250
            assert client.code("DATA") == 354
            client.send(b".\r\n")
            assert client.reply().startswith(end)
        assert len(mta.mail("alice@castle.example")) == 1


@pytest.mark.parametrize(
    "forgets", ["RSET", f"EHLO {NAME}", f"HELO {NAME}", "STARTTLS", FROM, "EHLO", "NOOP"]
)
def test_no_command_slips_a_recipient_past_a_refusal_that_waits(tmp_path: Path, forgets: str) -> None:
    with speaking(tmp_path, '[speech]\ntold = "message"\n') as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        for command in (FROM, FOREIGN):
            assert client.code(command) == 250
        if forgets == "STARTTLS":
            client.start_tls(mta.state / "ca.pem")
            client.say(f"EHLO {NAME}")
        else:
            client.say(forgets)
        if client.say("DATA").startswith("354"):
            client.send(b".\r\n")
            assert client.reply().startswith("550 5.7.1 ")
        else:
            assert forgets not in (FROM, "EHLO", "NOOP")


def test_a_good_greeting_makes_up_for_a_bad_one(tmp_path: Path) -> None:
    tables, _, _ = OFFENCES["greeting"]
    with speaking(tmp_path, '[speech]\ntold = "rcpt"\n' + tables) as mta, mta.connect(WHITELISTED) as client:
        client.reply()
        for greeting, code in ((UNQUALIFIED, 569), (f"EHLO {NAME}", 250), (UNQUALIFIED, 569)):
            assert client.code(greeting) == 250
            assert client.code(FROM) == 250
            assert client.code(TO) == code


def test_tls_makes_up_for_a_greeting_and_not_for_the_host(tmp_path: Path) -> None:
    for offence, code in (("greeting", 250), ("connect", 569)):
        tables, address, _ = OFFENCES[offence]
        with (
            speaking(tmp_path / offence, '[speech]\ntold = "rcpt"\n' + tables) as mta,
            mta.connect(address) as client,
        ):
            client.reply()
            assert client.code(UNQUALIFIED) == 250
            client.start_tls(mta.state / "ca.pem")
            assert client.code(f"EHLO {NAME}") == 250
            assert client.code(FROM) == 250
            assert client.code(TO) == code


@pytest.mark.parametrize("told", ["rcpt", "message"])
@pytest.mark.parametrize("logs_in", [True, False])
def test_who_has_logged_in_meanwhile_is_spared(tmp_path: Path, told: str, logs_in: bool) -> None:
    tables, _, _ = OFFENCES["connect"]
    with (
        speaking(tmp_path, f'[speech]\ntold = "{told}"\n' + tables) as mta,
        mta.connect(NAMELESS) as client,
    ):
        client.reply()
        if logs_in:
            assert log_in(client, mta.state).startswith("235 ")
        else:
            client.say(f"EHLO {NAME}")
        refused = {"rcpt": "rcpt 569", "message": "end 569"}[told]
        assert last(send(client)) == ("end 250" if logs_in else refused)


def test_a_relay_host_is_spared_later_and_not_at_once(tmp_path: Path) -> None:
    tables, _, words = OFFENCES["greeting"]
    for told, end in (("now", "helo 569"), ("rcpt", "end 250")):
        with speaking(tmp_path / told, f'[speech]\ntold = "{told}"\n' + tables) as mta:
            assert last(mta.play(TRUSTED, **words)) == end


def test_what_a_relay_host_does_wrong_with_its_message_is_told(tmp_path: Path) -> None:
    with speaking(tmp_path, '[speech]\ntold = "message"\n') as mta:
        assert last(mta.play(TRUSTED, content=BROKEN)) == "end 550"


@pytest.mark.parametrize("told", ["mail", "rcpt", "message"])
def test_what_is_out_of_sequence_or_too_much_is_told_at_once(tmp_path: Path, told: str) -> None:
    with speaking(tmp_path, f'[server]\nmax_recipients = 2\n[speech]\ntold = "{told}"\n') as mta:
        assert last(mta.play(WHITELISTED, helo="NOOP")) == "mail 503"
        with mta.connect(WHITELISTED) as client:
            client.greet()
            assert [client.code(command) for command in (FROM, TO, TO, TO)] == [250, 250, 250, 550]
            assert client.reply() == ""
        with mta.connect(WHITELISTED) as client:
            client.reply()
            assert log_in(client, mta.state, "wrong").startswith("535 ")


def test_the_greylist_has_a_stage_of_its_own(tmp_path: Path) -> None:
    with speaking(tmp_path, '[speech]\ntold = "message"\n') as mta:
        assert last(mta.play(STRANGER)) == "rcpt 451"


def test_a_refusal_is_held_back_where_it_is_told(tmp_path: Path) -> None:
    told = '[server]\ndelay = 0.4\n[speech]\ntold = "rcpt"\n' + answer(
        "helo.not-fqdn", 'action = "refuse"\nheld = true\nclose = true'
    )
    with speaking(tmp_path, told) as mta, mta.connect(WHITELISTED) as client:
        client.reply()
        for command, code, late in ((UNQUALIFIED, 250, False), (FROM, 250, False), (TO, 550, True)):
            started = time.monotonic()
            assert client.code(command) == code
            assert mta.held == (0.4 if late else 0)
            assert time.monotonic() - started >= mta.held
        assert client.reply() == ""


def test_a_delay_alone_is_not_put_off(tmp_path: Path) -> None:
    tables = '[server]\ndelay = 0.3\n[speech]\ntold = "message"\n'
    with speaking(tmp_path, tables) as mta, mta.connect(WHITELISTED) as client:
        client.reply()
        for command in (UNQUALIFIED, FROM, TO):
            started = time.monotonic()
            assert client.code(command) == 250
            assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(("told", "stage"), [("now", "mail"), ("rcpt", "rcpt"), ("message", "end")])
def test_a_sender_that_spf_refuses_is_told_where_others_are(tmp_path: Path, told: str, stage: str) -> None:
    with speaking(tmp_path, f'[spf]\nmode = "reject"\n[speech]\ntold = "{told}"\n') as mta:
        mta.dns.publish("client.example", "TXT", "v=spf1 -all")
        heard = mta.play(WHITELISTED)
        assert heard[stage].startswith("550 5.7.23 ")
        assert last(heard) == f"{stage} 550"
        assert last(mta.play(WHITELISTED, sender="MAIL FROM:<a@other.example>")) == "end 250"


# A wait for everybody, and a limit of errors


@pytest.mark.parametrize("pause", [0.4, 0])
def test_everybody_waits_for_the_greeting(tmp_path: Path, pause: float) -> None:
    tables = f"[server]\ndelay = 0.5\n[speech]\nbanner_pause = {pause}\n"
    with speaking(tmp_path, tables) as mta:
        for client, earned in ((WHITELISTED, 0.0), (NAMELESS, 0.5)):
            started = time.monotonic()
            with mta.connect(client) as connection:
                assert connection.reply().startswith("220 ")
                waited = time.monotonic() - started
            assert waited >= mta.held == earned + pause


@pytest.mark.parametrize("told", ["now", "rcpt"])
def test_each_refusal_takes_its_time(tmp_path: Path, told: str) -> None:
    tables = f'[server]\ndelay = 0.5\n[speech]\ntold = "{told}"\nrefusal_pause = 0.3\n'
    tables += '[answers."helo.not-fqdn"]\naction = "refuse"\nheld = true\n'
    with speaking(tmp_path, tables) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        for command, code, held in (
            ("FOO", 500, 0.3),
            ("RCPT TO:<alice@castle.example>", 503, 0.3),
            (FROM, 250, 0.0),
            (NOBODY, 550, 0.3),
            (TO, 250, 0.0),
            ("RSET", 250, 0.0),
            ("EHLO short", 250 if told == "rcpt" else 550, 0.0 if told == "rcpt" else 0.8),
        ):
            started = time.monotonic()
            assert client.code(command) == code
            assert mta.held == pytest.approx(held), command
            assert time.monotonic() - started >= held
        assert client.code(FROM) == 250
        assert client.code(TO) == (550 if told == "rcpt" else 250)
        assert mta.held == pytest.approx(0.8 if told == "rcpt" else 0.0)


def test_too_many_errors_end_the_connection(tmp_path: Path) -> None:
    with speaking(tmp_path, "[speech]\nerror_limit = 3\n") as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        client.say(FROM)
        assert [client.code(command) for command in (NOBODY, "FOO", TO, NOBODY)] == [550, 500, 250, 550]
        assert client.reply().startswith("421 4.7.0 ")
        assert client.reply() == ""


def test_commands_that_nobody_knows_are_errors_like_others(tmp_path: Path) -> None:
    with speaking(tmp_path, "[speech]\nerror_limit = 9\n") as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        assert [client.code("FOO") for _ in range(9)] == [500] * 9
        assert client.reply().startswith("421 4.7.0 ")
        assert client.reply() == ""


def test_errors_after_a_refused_greeting_count(tmp_path: Path) -> None:
    tables = TURNED_AWAY + "[speech]\nerror_limit = 3\n"
    with speaking(tmp_path, tables) as mta, mta.connect(NAMELESS) as client:
        assert client.reply().startswith("554 ")
        assert [client.code("NOOP"), client.code("FOO")] == [503, 500]
        assert client.reply().startswith("421 4.7.0 ")


def test_without_a_limit_errors_end_nothing(tmp_path: Path) -> None:
    tables = "[speech]\nerror_limit = 0\n"
    with speaking(tmp_path, tables) as mta, mta.connect(WHITELISTED) as client:
        client.greet()
        client.say(FROM)
        assert [client.code("VRFY") for _ in range(150)] == [501] * 150
        assert client.code(TO) == 250
