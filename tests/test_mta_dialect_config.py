"""The tables of a dialect in the reference MTA's configuration: what they take, how mistakes are told."""

import re
from pathlib import Path

import pytest

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.dialect import spoken
from harness.reference_mta.tables.answers import REFUSED_ONLY, RULES
from tests.mta_here import configured

GOOD = f"""
[speech]
told = "rcpt"
banner_pause = 0.5
error_limit = 20
mark_field = "X-Suspect"

[answers."helo.not-fqdn"]
action = "refuse"
code = 504
status = "5.5.2"
held = true
close = true

[answers."dnsbl.two"]
action = "accept"
mark = true

[[dnsbl]]
name = "black"
zones = ["black.blocklist.example"]
weight = 3
answers = ["127.0.0.2", "127.0.0.4/30"]

[dnsbl_policy]
threshold = 4
order = "parallel"

[greylist]
code = 450
unit = "network"
stage = "data"
exempt = ["Postmaster", "abuse"]
before_users = false

[auth.users]
alice = "{hash_password("x", cost=2)}"

[auth.senders]
alice = ["alice@castle.example"]
"""
CHECKED = {
    check
    for question in (
        *Policy().connect,
        *Policy().helo,
        *Policy().credentials,
        *Policy().mail_first,
        *Policy().mail,
        *Policy().rcpt_first,
        *Policy().rcpt,
        *Policy().user,
        *Policy().listed,
        *Policy().greylist,
        *Policy().content,
        *Policy().bounces,
    )
    for check in question.checks
}


def test_every_check_can_be_answered_and_nothing_else() -> None:
    assert len(RULES) == len(set(RULES))
    assert set(RULES) == CHECKED
    assert set(REFUSED_ONLY) <= CHECKED


def test_the_tables_are_read(tmp_path: Path) -> None:
    config = configured(tmp_path, GOOD)
    assert config.speech.told == "rcpt"
    assert config.greylist.exempt == ("postmaster", "abuse")
    assert config.dnsbl[0].weight == 3
    answered = spoken(config).helo[1].checks["helo.not-fqdn"].then
    assert (answered.code, answered.status, answered.delay, answered.drop) == (504, "5.2", 1.0, True)


def test_without_the_tables_policy_is_the_documented_one(tmp_path: Path) -> None:
    assert spoken(configured(tmp_path)) == Policy()
    assert spoken(configured(tmp_path, GOOD)) != Policy()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[speech]", "[speach]", "speach: unknown key; did you mean 'speech'"),
        ('told = "rcpt"', 'told = "data"', "speech.told"),
        ("banner_pause = 0.5", "banner_pause = -1", "speech.banner_pause"),
        ("banner_pause = 0.5", "banner_pause = nan", "speech.banner_pause"),
        ("error_limit = 20", "error_limit = -1", "speech.error_limit"),
        ("error_limit = 20", "error_limits = 20", "did you mean 'error_limit'"),
        ('"X-Suspect"', '"X Suspect"', "speech.mark_field"),
        ('"X-Suspect"', '"X-Suspect:"', "speech.mark_field"),
        ('"X-Suspect"', '""', "speech.mark_field"),
        (
            "helo.not-fqdn",
            "helo.not-fqd",
            "helo.not-fqd: no check has that rule; did you mean 'helo.not-fqdn'",
        ),
        ("helo.not-fqdn", "delivery.no-catch-all", "delivery.no-catch-all: no check has that rule"),
        ('action = "refuse"', "", "answers.helo.not-fqdn.action: is required"),
        ('action = "refuse"', 'action = "deny"', "answers.helo.not-fqdn.action"),
        ('action = "refuse"', 'action = "accept"', "code, status and close belong to a refusal"),
        ("code = 504", "code = 250", "answers.helo.not-fqdn.code"),
        ("code = 504", "code = 600", "answers.helo.not-fqdn.code"),
        ("code = 504", "code = 450", "5.5.2 is no status of a 450; begin it with 4"),
        ("code = 504\n", "", "code: add it, 5.5.2 alone"),
        ("code = 504\n", "mark = true\ncode = 504\n", "only what is accepted carries a mark"),
        ('code = 504\nstatus = "5.5.2"\nheld = true\nclose = true', "code = 421", "add close = true"),
        ('"5.5.2"', '"2.0.0"', "answers.helo.not-fqdn.status"),
        ('"5.5.2"', '"5.5"', "answers.helo.not-fqdn.status"),
        ("held = true", 'held = "late"', "answers.helo.not-fqdn.held"),
        ("dnsbl.two", "rcpt.relay-denied", "rcpt.relay-denied: that would be an open relay"),
        ("dnsbl.two", "auth.wrong-password", "auth.wrong-password: that would be no password at all"),
        ("weight = 3", "weight = 0", "dnsbl.0.weight: a list that weighs 0 counts for nothing"),
        ("weight = 3", "weight = 1.5", "dnsbl.0.weight"),
        ('"127.0.0.4/30"', '"127.0.0.5/30"', "write an address or a network such as 127.0.0.4/30"),
        ('"127.0.0.4/30"', '"192.0.2.1"', "192.0.2.1 is not in 127.0.0.0/8"),
        ('"127.0.0.4/30"', '"::1"', "dnsbl.0.answers.1"),
        ('["127.0.0.2", "127.0.0.4/30"]', "[]", "dnsbl.0.answers"),
        ('order = "parallel"', 'order = "at once"', "dnsbl_policy.order"),
        ("code = 450", "code = 550", "greylist.code"),
        ("code = 450", "code = 421", "greylist.code: 421 says that the connection ends"),
        ('unit = "network"', 'unit = "net"', "greylist.unit"),
        ('stage = "data"', 'stage = "mail"', "greylist.stage"),
        ('"abuse"', '"abuse@castle.example"', "greylist.exempt.1: 'abuse@castle.example' is no local part"),
        ("before_users = false", "before_users = true", "before_users: the end of DATA comes after"),
        (
            "[auth.senders]\nalice",
            "[auth.senders]\nalce",
            "senders.alce: no such account; did you mean 'alice'",
        ),
        (
            '["alice@castle.example"]',
            '["alice"]',
            "senders.alice.0: 'alice' is no mail address; write it whole",
        ),
        (
            '["alice@castle.example"]',
            '["@castle.example"]',
            "senders.alice.0: '@castle.example' is no mail address",
        ),
        ('["alice@castle.example"]', '"alice@castle.example"', "auth.senders.alice"),
    ],
)
def test_mistakes_are_named_with_their_mend(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert GOOD.count(old) >= 1
    file = tmp_path / "mta.toml"
    head = (
        '[server]\nhostname = "mail.castle.example"\nstate = "s"\n[dns]\nserver = "127.0.0.1:9"\n'
        '[[domain]]\nname = "castle.example"\n'
    )
    file.write_text(head + GOOD, "utf-8")
    settings.read(file, Config)
    file.write_text(head + GOOD.replace(old, new, 1), "utf-8")
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(file, Config)
    assert named in str(caught.value)


def test_the_guide_shows_a_dialect(tmp_path: Path) -> None:
    guide = Path("docs/reference-mta.md").read_text("utf-8")
    (shown,) = [block for block in re.findall(r"(?ms)^```toml\n(.*?)^```$", guide) if "[speech]" in block]
    config = configured(tmp_path, shown)
    assert (config.speech.told, config.greylist.unit, config.dnsbl[0].weight) == ("rcpt", "network", -2)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        configured(tmp_path, GOOD.replace('"rcpt"', '"never"').replace("504", "204").replace("450", "250"))
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "speech.told",
        "answers.helo.not-fqdn.code",
        "greylist.code",
    ]
