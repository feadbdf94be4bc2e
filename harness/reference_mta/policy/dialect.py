"""The policy as a configuration has it: its own answers in place of the documented ones."""

from dataclasses import replace
from functools import partial

from harness.reference_mta.config import Config
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Check, Treatment, Words
from harness.reference_mta.policy.dnsbl import LISTED, naming, warning
from harness.reference_mta.policy.greylisting import BOUNCES, GREYLISTED, unreachable
from harness.reference_mta.tables.answers import Answer


def spoken(config: Config) -> Policy:
    """The documented policy with everything that the configuration says otherwise."""
    chosen = unreachable(config.greylist.when_unreachable)
    policy = Policy().with_treatment("greylist.daemon-down", lambda check: replace(check, then=chosen))
    deferring = partial(_deferring, code=config.greylist.code)
    for rule in {*GREYLISTED.checks, *BOUNCES.checks}:
        policy = policy.with_treatment(rule, deferring)
    for rule, answer in config.answers.items():
        policy = policy.with_treatment(rule, partial(_answering, answer=answer))
    return policy


def _deferring(check: Check, code: int) -> Check:
    """The check with another code for the moment; what it refuses for good stays as it is."""

    def coded(treatment: Treatment) -> Treatment:
        return replace(treatment, code=code) if 400 <= treatment.code < 500 else treatment

    return replace(check, then=coded(check.then), off=coded(check.off))


def _answering(check: Check, answer: Answer) -> Check:
    """The check with a configured answer; what it does while it is switched off stays as it is."""
    by_list = check.rule in LISTED.checks
    delay = 1.0 if answer.held else 0.0
    if answer.action == "accept":
        mark: Words = warning if by_list else check.rule
        return replace(check, then=Treatment(delay=delay, mark=mark if answer.mark else ""))
    documented = check.then if check.then.refuses else Treatment(550)
    words = documented.words or (naming if by_list else f"That is not accepted here ({check.rule})")
    status = answer.status.partition(".")[2] if answer.status else documented.status
    code = answer.code or documented.code
    return replace(check, then=Treatment(code, words, status, delay, drop=answer.close))
