"""Deliberate defects in servers that speak a dialect: a defect changes what is configured, and off is off."""

import time
from pathlib import Path

import pytest

from harness.reference_mta.defects import MUTANTS, find
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Check, Question
from harness.reference_mta.policy.dialect import spoken
from harness.reference_mta.tables.answers import REFUSED_ONLY, RULES
from tests.mta_here import configured, speaking
from tests.mta_process import LISTED_ONCE, NAMELESS, STRANGER, TO, WHITELISTED

UNQUALIFIED = {"helo": "EHLO host"}
NOBODY = {"recipient": "RCPT TO:<nobody@castle.example>"}
BROKEN = {"content": "From: <<<>>\r\n\r\nx\r\n"}
OTHERWISE_OFF = (
    "auth.wrong-password",  # by comparing nothing
    "auth.unknown-user",  # by the words
    "dnsbl.authenticated-exempt",  # by asking all the same
    "dnsbl.fail-open",  # by another reading of the answer
    "dnsbl.group-counts-once",  # by another sum
    "dnsbl.none",  # by a mark
    "greylist.null-not-at-rcpt",  # by asking all the same
    "helo.forward-match",  # by another reading of the greeting
    "srs.bad-hash",  # by comparing nothing
    "srs.expired",  # the same
)
KNOWN = '[answers."greylist.first-defer"]\naction = "accept"\n'


def answers(action: str) -> str:
    """The same answer to every rule."""
    return "".join(
        f'[answers."{rule}"]\naction = "{action}"\n'
        for rule in RULES
        if action == "refuse" or rule not in REFUSED_ONLY
    )


def checks(policy: Policy) -> dict[str, Check]:
    """Every check by its rule."""
    found: dict[str, Check] = {}

    def collect(question: Question) -> Question:
        found.update(question.checks)
        return question

    policy.with_questions(collect)
    return found


def last(heard: dict[str, str]) -> str:
    """The stage and the code at which a dialogue ended."""
    stage = list(heard)[-1]
    return f"{stage} {heard[stage][:3]}"


@pytest.mark.parametrize("rule", sorted({m.rule for m in MUTANTS if m.kind == "off"} & set(RULES)))
@pytest.mark.parametrize("action", ["accept", "refuse"])
def test_what_is_switched_off_is_off_whatever_is_configured(tmp_path: Path, rule: str, action: str) -> None:
    configured_policy = spoken(configured(tmp_path, answers(action)))
    changed = find(f"{rule}:off").change(configured_policy)
    if rule not in OTHERWISE_OFF:
        assert checks(changed)[rule].then == checks(configured_policy)[rule].off == checks(Policy())[rule].off


@pytest.mark.parametrize(
    ("mutant", "client", "words", "sound", "broken"),
    [
        ("connect.rdns-missing:off", NAMELESS, {}, "569", "end 250"),
        ("helo.not-fqdn:off", WHITELISTED, UNQUALIFIED, "569", "end 250"),
        ("helo.not-fqdn:strict-deny", WHITELISTED, UNQUALIFIED, "569", "550"),
        ("rcpt.unknown-user:off", WHITELISTED, NOBODY, "569", "end 250"),
        ("rcpt.unknown-user:weak-4xx", WHITELISTED, NOBODY, "569", "450"),
        ("dnsbl.one:off", LISTED_ONCE, {}, "569", "end 250"),
        ("data.header-syntax:off", WHITELISTED, BROKEN, "end 569", "end 250"),
        ("data.header-syntax:weak-4xx", WHITELISTED, BROKEN, "end 569", "end 450"),
        ("data.header-syntax:weak-no-From", WHITELISTED, BROKEN, "end 569", "end 250"),
        (
            "rcpt.illegal-chars:weak-no-percent",
            WHITELISTED,
            {"recipient": "RCPT TO:<a%b@attic.example>"},
            "569",
            "end 250",
        ),
    ],
)
@pytest.mark.parametrize(("told", "stage"), [("now", ""), ("rcpt", "rcpt"), ("message", "end")])
def test_a_defect_is_one_wherever_refusals_are_told(
    tmp_path: Path,
    mutant: str,
    client: str,
    words: dict[str, str],
    sound: str,
    broken: str,
    told: str,
    stage: str,
) -> None:
    rule = mutant.partition(":")[0]
    stage = stage or {"connect": "banner", "helo": "helo", "rcpt": "rcpt", "dnsbl": "rcpt"}.get(
        rule.partition(".")[0], "end"
    )
    tables = f'[speech]\ntold = "{told}"\n[answers."{rule}"]\naction = "refuse"\ncode = 569\n{KNOWN}'
    for name, expected in (("", sound), (mutant, broken)):
        with speaking(tmp_path / (name or "sound"), tables, mutant=name) as mta:
            heard = mta.play(client, **words)
            assert last(heard) == (expected if " " in expected else f"{stage} {expected}")


@pytest.mark.parametrize("stage", ["rcpt", "data"])
@pytest.mark.parametrize(
    ("mutant", "sender", "broken"),
    [
        ("greylist.first-defer:off", "a@client.example", "end 250"),
        ("greylist.first-defer:strict-deny", "a@client.example", "550"),
        ("greylist.postmaster-at-rcpt:off", "postmaster@client.example", "end 250"),
        ("greylist.null-at-data:off", "", "end 250"),
        ("greylist.null-not-at-rcpt:off", "", "rcpt 450"),
        ("greylist.case:off", "a@client.example", "450"),
    ],
)
def test_the_greylists_defects_are_defects_at_each_stage(
    tmp_path: Path, stage: str, mutant: str, sender: str, broken: str
) -> None:
    tables = f'[greylist]\nstage = "{stage}"\ncode = 450\n'
    told = "end" if stage == "data" or not sender else "rcpt"
    for name, expected in (("", "450"), (mutant, broken)):
        with speaking(tmp_path / (name or "sound"), tables, mutant=name) as mta:
            heard = mta.play(STRANGER, sender=f"MAIL FROM:<{sender}>")
            assert last(heard) == (expected if " " in expected else f"{told} {expected}")


def test_a_short_delay_is_short_where_refusals_are_told_later(tmp_path: Path) -> None:
    refused = '[answers."helo.plain-ip"]\naction = "refuse"\nheld = true\n'
    tables = f'[server]\ndelay = 0.8\n[speech]\ntold = "rcpt"\n{refused}'
    held = {}
    for mutant in ("", "helo.plain-ip:weak-short", "helo.plain-ip:weak-prompt"):
        with (
            speaking(tmp_path / (mutant or "sound"), tables, mutant=mutant) as mta,
            mta.connect(WHITELISTED) as client,
        ):
            client.reply()
            assert client.code("EHLO 192.0.2.1") == 250
            assert client.code("MAIL FROM:<a@client.example>") == 250
            started = time.monotonic()
            assert client.code(TO) == 550
            held[mutant] = mta.held
            assert time.monotonic() - started >= mta.held
    assert held == pytest.approx({"": 0.8, "helo.plain-ip:weak-short": 0.32, "helo.plain-ip:weak-prompt": 0})


def test_a_filters_defect_goes_by_the_mark_that_is_configured(tmp_path: Path) -> None:
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "alice@castle.example").write_text(
        "if header X-Suspect defined then save Listed\n", "utf-8"
    )
    tables = f'[speech]\nmark_field = "X-Suspect"\n[delivery]\nfilters = "{tmp_path}/filters"\n{KNOWN}'
    for mutant, kept in (
        ("", "alice@castle.example/.Listed"),
        ("filter.dnsbl-folder:off", "alice@castle.example"),
    ):
        with speaking(tmp_path / (mutant or "sound"), tables, mutant=mutant) as mta:
            assert last(mta.play(LISTED_ONCE)) == "end 250"
            assert len(mta.mail(kept)) == 1
