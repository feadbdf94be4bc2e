"""Deliberate defects: each breaks one rule, and nothing that another rule speaks of.

`RULE:off` leaves an offence unpunished or a promise unkept, `RULE:weak-…` enforces the rule at the wrong
moment, with the wrong code or on too few, `RULE:strict-…` hits somebody innocent, whom its description names.
"""

from collections.abc import Iterable

from harness import settings
from harness.reference_mta.defects.absent import ABSENT_MUTANTS
from harness.reference_mta.defects.greeting import GREETING_MUTANTS
from harness.reference_mta.defects.greylist import GREYLIST_MUTANTS
from harness.reference_mta.defects.kinds import Mutant
from harness.reference_mta.defects.lists import LIST_MUTANTS
from harness.reference_mta.defects.message import MESSAGE_MUTANTS
from harness.reference_mta.defects.outgoing import OUTGOING_MUTANTS
from harness.reference_mta.defects.recipient import RECIPIENT_MUTANTS
from harness.reference_mta.defects.rfc_commands import RFC_COMMAND_MUTANTS
from harness.reference_mta.defects.rfc_content import CONTENT_MUTANTS
from harness.reference_mta.defects.rfc_greeting import RFC_GREETING_MUTANTS
from harness.reference_mta.defects.rfc_reply import REPLY_MUTANTS
from harness.reference_mta.defects.rfc_session import RFC_SESSION_MUTANTS
from harness.reference_mta.defects.sender_authentication import SENDER_AUTHENTICATION_MUTANTS
from harness.reference_mta.defects.session import SESSION_MUTANTS
from harness.reference_mta.defects.srs import SRS_MUTANTS
from harness.reference_mta.policy import Policy

__all__ = ["MUTANTS", "Mutant", "UnknownMutantError", "broken", "find"]

MUTANTS: tuple[Mutant, ...] = (
    *GREETING_MUTANTS,
    *RECIPIENT_MUTANTS,
    *LIST_MUTANTS,
    *GREYLIST_MUTANTS,
    *SESSION_MUTANTS,
    *ABSENT_MUTANTS,
    *MESSAGE_MUTANTS,
    *SENDER_AUTHENTICATION_MUTANTS,
    *OUTGOING_MUTANTS,
    *SRS_MUTANTS,
    *RFC_GREETING_MUTANTS,
    *RFC_SESSION_MUTANTS,
    *RFC_COMMAND_MUTANTS,
    *CONTENT_MUTANTS,
    *REPLY_MUTANTS,
)


class UnknownMutantError(Exception):
    """A name that no mutant has."""


def broken(policy: Policy, names: Iterable[str]) -> Policy:
    """The policy with what the mutants of these names change; raises `UnknownMutantError`."""
    for name in names:
        policy = find(name).change(policy)
    return policy


def find(name: str) -> Mutant:
    """The mutant of that name; raises `UnknownMutantError` that names the nearest."""
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise UnknownMutantError(
        f"no mutant {name!r}; {settings.nearest(name, [mutant.name for mutant in MUTANTS])}"
    )
