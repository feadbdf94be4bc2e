"""The deliberate defects: each is real, has a name of its own, and no rule is without one."""

import re
from collections import Counter
from pathlib import Path

import pytest

from harness.reference_mta.certificate import SOUND
from harness.reference_mta.defects import MUTANTS, Mutant, UnknownMutantError, find
from harness.reference_mta.policy import Policy
from harness.rules import Catalogue
from tests.mta_process import FROM, STRANGER, TO, running_mta

# It has no directory of accounts: what is about that is proved by the mutants of a real server.
RULES = frozenset(rule.id for rule in Catalogue.below(Path("scenarios")) if "directory" not in rule.needs)
KIND = re.compile("off|(strict|weak)-[A-Za-z0-9-]+")


def names(mutant: Mutant) -> str:
    return mutant.name


def test_names_are_unique() -> None:
    assert [name for name, times in Counter(mutant.name for mutant in MUTANTS).items() if times > 1] == []


def test_every_rule_can_be_switched_off() -> None:
    assert {mutant.rule for mutant in MUTANTS if mutant.kind == "off"} == RULES


@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_mutant_is_another_server(mutant: Mutant) -> None:
    changed = mutant.change(Policy())
    assert changed != Policy() or mutant.flaws != SOUND


@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_mutant_is_found_and_described(mutant: Mutant) -> None:
    assert find(mutant.name) is mutant
    assert mutant.rule in RULES
    assert KIND.fullmatch(mutant.kind)
    assert len(mutant.description) > 10


def test_a_change_touches_the_rule_and_nothing_else() -> None:
    sound, changed = Policy(), find("helo.plain-ip:off").change(Policy())
    assert changed.connect == sound.connect
    assert changed.rcpt == sound.rcpt
    different = [
        rule
        for before, after in zip(sound.helo, changed.helo, strict=True)
        for rule in before.checks
        if before.checks[rule] != after.checks[rule]
    ]
    assert different == ["helo.plain-ip"]


def test_a_name_that_is_almost_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(UnknownMutantError, match=r"did you mean 'rcpt\.too-many:strict-one-less'"):
        find("rcpt.too-many:one-less")


@pytest.mark.parametrize(
    ("mutation", "code"), [("greylist.first-defer:off", 250), ("greylist.first-defer:weak-450", 450)]
)
def test_a_mutant_is_what_the_configuration_starts(tmp_path: Path, mutation: str, code: int) -> None:
    with running_mta(tmp_path, mutation=mutation) as mta, mta.connect(STRANGER) as client:
        client.greet()
        assert client.code(FROM) == 250
        assert client.code(TO) == code


@pytest.mark.parametrize(
    "mutation", ["tls.certificate:off", "tls.certificate:weak-expired", "tls.certificate:weak-chain"]
)
def test_a_flawed_certificate_is_not_trusted(tmp_path: Path, mutation: str) -> None:
    with running_mta(tmp_path, mutation=mutation) as mta, mta.connect(STRANGER) as client:
        client.greet()
        with pytest.raises(OSError, match=r"(?i)certificate"):
            client.start_tls(mta.state / "ca.pem")
