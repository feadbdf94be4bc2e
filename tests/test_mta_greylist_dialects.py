"""Ways to greylist: who counts as the same client, when it is asked, with which code, and who is exempt."""

from pathlib import Path

import pytest

from harness.reference_mta.__main__ import main
from harness.reference_mta.greylist_unit import unit_named, unit_of
from harness.reference_mta.tables.policy import Unit
from tests.mta_here import play, speaking
from tests.mta_process import FROM, STRANGER, TO, TRUSTED, WHITELISTED, Client, RunningMta, running_mta

SAME_NETWORK = "192.0.2.200"
OTHER_NETWORK = "198.51.100.9"
SAME_DOMAIN = "198.51.100.10"  # as STRANGER, in another network
NULL = "MAIL FROM:<>"
NOBODY = "RCPT TO:<nobody@castle.example>"
POSTMASTER = "RCPT TO:<PostMaster@castle.example>"
HOSTS = {
    SAME_NETWORK: "near.other.example",
    OTHER_NETWORK: "far.other.example",
    SAME_DOMAIN: "mx2.client.example",
}


def last(heard: dict[str, str]) -> str:
    """The stage and the code at which a dialogue ended."""
    stage = list(heard)[-1]
    return f"{stage} {heard[stage][:3]}"


def attempt(mta: RunningMta, client: str) -> int:
    """The reply code of RCPT."""
    with mta.connect(client) as connection:
        connection.greet()
        assert connection.code(FROM) == 250
        return connection.code(TO)


def named(mta: RunningMta) -> None:
    """The clients of this module have names that DNS confirms."""
    for address, name in HOSTS.items():
        mta.dns.publish(name, "A", address)
        mta.dns.publish(".".join(reversed(address.split("."))) + ".in-addr.arpa", "PTR", name)


# Who counts as the same client


@pytest.mark.parametrize(
    ("unit", "known"),
    [
        ("address", [STRANGER]),
        ("network", [STRANGER, SAME_NETWORK]),
        ("host", [STRANGER, SAME_DOMAIN]),
    ],
)
def test_a_retry_may_come_from_another_client_of_the_unit(
    tmp_path: Path, unit: str, known: list[str]
) -> None:
    with running_mta(tmp_path, greylist=f'unit = "{unit}"') as mta:
        named(mta)
        assert attempt(mta, STRANGER) == 451
        assert mta.ask(op="advance", client=STRANGER, seconds=61) == {"ok": True}
        assert attempt(mta, STRANGER) == 250
        for client in HOSTS:
            assert attempt(mta, client) == (250 if client in known else 451)


OTHER_NAME = "MAIL FROM:<other@client.example>"
OTHER_DOMAIN = "MAIL FROM:<sender@sub.client.example>"
OTHER_RECIPIENT = "RCPT TO:<bruno@castle.example>"


@pytest.mark.parametrize(
    ("parts", "known"),
    [
        (["client", "sender", "recipient"], []),
        (["client", "sender"], [OTHER_RECIPIENT]),
        (["client", "sender domain"], [OTHER_NAME, OTHER_RECIPIENT]),
        (["client", "sender domain", "recipient"], [OTHER_NAME]),
        (["client"], [OTHER_NAME, OTHER_DOMAIN, OTHER_RECIPIENT]),
    ],
)
def test_who_is_known_may_differ_in_what_does_not_count(
    tmp_path: Path, parts: list[str], known: list[str]
) -> None:
    with running_mta(tmp_path, greylist=f"parts = {parts}") as mta:

        def met(changed: str, client: str = STRANGER) -> int:
            with mta.connect(client) as connection:
                connection.greet()
                assert connection.code(changed if changed.startswith("MAIL") else FROM) == 250
                return connection.code(changed if changed.startswith("RCPT") else TO)

        assert met(FROM) == 451
        assert met(OTHER_DOMAIN) == 451  # nobody is known yet, by whatever parts
        assert mta.ask(op="advance", client=STRANGER, seconds=61) == {"ok": True}
        assert met(FROM) == 250
        assert met(FROM, OTHER_NETWORK) == 451
        for changed in (OTHER_NAME, OTHER_RECIPIENT):
            assert met(changed) == (250 if changed in known else 451)
        assert mta.ask(op="advance", client=STRANGER, seconds=5184000) == {"ok": True}
        assert met("MAIL FROM:<third@client.example>") == 451  # nobody is known any more


def test_another_domain_is_another_sender(tmp_path: Path) -> None:
    with running_mta(tmp_path, greylist='parts = ["client", "sender domain"]') as mta:
        for seconds, sender, code in (
            (0, FROM, "rcpt 451"),
            (61, FROM, "end 250"),
            (0, OTHER_NAME, "end 250"),
            (0, OTHER_DOMAIN, "rcpt 451"),
            (0, NULL, "end 451"),
        ):
            assert mta.ask(op="advance", client=STRANGER, seconds=seconds) == {"ok": True}
            with mta.connect(STRANGER) as connection:
                assert last(play(connection, sender=sender)) == code


@pytest.mark.parametrize("unit", ["address", "network", "host"])
def test_the_control_channel_goes_by_the_unit(tmp_path: Path, unit: str) -> None:
    triplet = {"client": STRANGER, "sender": "sender@client.example", "recipient": "alice@castle.example"}
    entry = {"op": "greylist", "list": "black", **triplet}
    with running_mta(tmp_path, greylist=f'unit = "{unit}"') as mta:
        named(mta)
        assert mta.ask(**entry, action="add") == {"ok": True}
        assert attempt(mta, STRANGER) == 550
        listing = mta.ask(op="greylist", action="list", list="black", client=STRANGER)
        assert listing == {"ok": True, "entries": [triplet]}
        (kept,) = mta.ask(op="greylist", action="list", list="black")["entries"]
        assert mta.ask(op="greylist", action="remove", list="black", **kept) == {"ok": True}
        assert attempt(mta, STRANGER) == 451
        assert mta.ask(op="outage", client=STRANGER, on=True) == {"ok": True}
        assert attempt(mta, STRANGER) == 250
        assert attempt(mta, OTHER_NETWORK) == 451


@pytest.mark.parametrize(
    ("unit", "given"),
    [("address", STRANGER), ("network", STRANGER), ("network", "192.0.2.0/24"), ("host", "Client.Example")],
)
def test_the_command_line_goes_by_the_unit(
    tmp_path: Path, unit: str, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_mta(tmp_path, greylist=f'unit = "{unit}"') as mta:
        entry = [
            str(mta.state.parent / "mta.toml"),
            "black",
            given,
            "sender@client.example",
            "alice@castle.example",
        ]
        assert main(["greylist", "add", *entry]) == 0
        assert attempt(mta, STRANGER) == 550
        assert main(["greylist", "list", *entry[:3]]) == 0
        assert capsys.readouterr().out.count("<alice@castle.example>") == 1
        assert main(["greylist", "remove", *entry]) == 0
        assert attempt(mta, STRANGER) == 451


def test_the_command_line_names_what_is_no_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_mta(tmp_path):
        assert main(["greylist", "list", str(tmp_path / "mta.toml"), "white", "192.0.2.0/24"]) == 2
    assert "'192.0.2.0/24' does not appear to be an IPv4 or IPv6 address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unit", "host", "expected"),
    [
        ("address", "mx.client.example", "2001:db8::7"),
        ("network", "mx.client.example", "2001:db8::/64"),
        ("host", "MX.client.example.", "client.example"),
        ("host", "mx.a.client.example", "a.client.example"),
        ("host", "client.example", "client.example"),
        ("host", "", "2001:db8::7"),
    ],
)
def test_what_stands_for_a_client(unit: Unit, host: str, expected: str) -> None:
    assert unit_of(unit, "2001:db8::7", host) == expected
    assert unit_named(unit, expected) == expected


# When, with which code, and of whom it is not


@pytest.mark.parametrize("code", [451, 450])
@pytest.mark.parametrize(("sender", "stage"), [(FROM, "rcpt"), (NULL, "end")])
def test_an_unknown_triplet_is_put_off_with_the_code(
    tmp_path: Path, code: int, sender: str, stage: str
) -> None:
    with speaking(tmp_path, f"[greylist]\ncode = {code}\n") as mta:
        for _ in range(2):  # a retry that comes too early too
            assert last(mta.play(STRANGER, sender=sender)) == f"{stage} {code}"
        assert last(mta.play(WHITELISTED, sender=sender)) == "end 250"


@pytest.mark.parametrize("sender", [FROM, NULL])
def test_the_greylist_may_wait_for_the_message(tmp_path: Path, sender: str) -> None:
    with speaking(tmp_path, '[greylist]\nstage = "data"\ndelay = 0.3\n') as mta:
        assert last(mta.play(STRANGER, sender=sender)) == "end 451"
        assert mta.mail("alice@castle.example") == []
        assert last(mta.play(WHITELISTED, sender=sender)) == "end 250"


def accepts(client: Client, *recipients: str) -> int:
    """The reply code to a message for several recipients, each of whom is taken at RCPT."""
    assert client.code(FROM) == 250
    for recipient in recipients:
        assert client.code(recipient) == 250
    assert client.code("DATA") == 354
    client.send(b".\r\n")
    return int(client.reply()[:3])


def test_one_unknown_recipient_puts_the_message_off_and_all_become_known(tmp_path: Path) -> None:
    bruno = "RCPT TO:<bruno@castle.example>"
    with running_mta(tmp_path, greylist='stage = "data"') as mta, mta.connect(STRANGER) as client:
        client.greet()
        assert accepts(client, TO) == 451
        mta.ask(op="advance", client=STRANGER, seconds=61)
        assert accepts(client, TO, bruno) == 451
        assert accepts(client, TO) == 250
        mta.ask(op="advance", client=STRANGER, seconds=61)
        assert accepts(client, bruno, TO) == 250


def test_the_black_list_counts_more_than_a_delay(tmp_path: Path) -> None:
    black = {"client": STRANGER, "sender": "sender@client.example", "recipient": "bruno@castle.example"}
    bruno = "RCPT TO:<bruno@castle.example>"
    with running_mta(tmp_path, greylist='stage = "data"') as mta, mta.connect(STRANGER) as client:
        mta.ask(op="greylist", action="add", list="black", **black)
        client.greet()
        for recipients in ((TO, bruno), (bruno, TO)):
            assert accepts(client, *recipients) == 550
        assert accepts(client, TO) == 451


@pytest.mark.parametrize("stage", ["rcpt", "data"])
@pytest.mark.parametrize(("sender", "put_off"), [(FROM, ""), (NULL, "end 451")])
def test_some_recipients_are_never_greylisted(tmp_path: Path, stage: str, sender: str, put_off: str) -> None:
    tables = f'[greylist]\nstage = "{stage}"\nexempt = ["postmaster"]\n'
    with speaking(tmp_path, tables) as mta:
        assert last(mta.play(STRANGER, sender=sender, recipient=POSTMASTER)) == "end 250"
        other = put_off or {"rcpt": "rcpt 451", "data": "end 451"}[stage]
        assert last(mta.play(STRANGER, sender=sender)) == other
    with speaking(tmp_path / "none", f'[greylist]\nstage = "{stage}"\n') as mta:
        assert last(mta.play(STRANGER, sender=sender, recipient=POSTMASTER)).endswith(" 451")


@pytest.mark.parametrize(("before", "first"), [("true", 451), ("false", 550)])
def test_the_greylist_may_be_asked_before_the_recipient_is_looked_at(
    tmp_path: Path, before: str, first: int
) -> None:
    with running_mta(tmp_path, greylist=f"before_users = {before}") as mta, mta.connect(STRANGER) as client:
        client.greet()
        client.say(FROM)
        for recipient in (NOBODY, "RCPT TO:<a%b@castle.example>"):
            assert client.code(recipient) == first
        assert client.code("RCPT TO:<someone@elsewhere.example>") == 550
        mta.ask(op="advance", client=STRANGER, seconds=61)
        assert client.code(NOBODY) == 550


def test_a_bounce_is_refused_at_rcpt_whenever_the_greylist_is_asked(tmp_path: Path) -> None:
    with speaking(tmp_path, "[greylist]\nbefore_users = true\n") as mta:
        heard = mta.play(STRANGER, sender=NULL, recipient="RCPT TO:<bruno@castle.example>")
        assert last(heard) == "rcpt 550"


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_relay_hosts_are_not_greylisted_at_any_stage(tmp_path: Path, stage: str) -> None:
    with speaking(tmp_path, f'[greylist]\nstage = "{stage}"\n') as mta:
        assert last(mta.play(TRUSTED)) == "end 250"
        assert last(mta.play(STRANGER)).endswith(" 451")
