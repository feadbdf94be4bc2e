"""The public face of the harness for scenarios: the mark, and the types of what fixtures give."""

from typing import Protocol

import pytest

from fake_dns import Answer, Behaviour, Late, NoAnswer, NxDomain, Refused, Sequence, ServFail
from harness.capabilities.mail_host import Arrival, Call, MailHost
from harness.capabilities.mailbox import Delivered
from harness.capabilities.queue import Queued
from harness.grants.accounts import Directory
from harness.grants.greylist import GreylistOperator
from harness.grants.mail import Mailbox, QueueOperator
from harness.grants.outage import Outage
from harness.grants.registry import CAPABILITIES
from harness.grants.sending import MailHosts, Rewriter
from harness.offence import Offence
from harness.outcome import Stage, Treatment
from harness.profile.mail_tables import Account
from harness.profile.tables import Domain, GreylistPart
from harness.profile.values import is_of_this_host
from harness.runs.end_of_data import must_end_data, must_not_end_data
from harness.runs.expect import Expect
from harness.runs.raw import Raw
from harness.runs.reply_form import replies_must_be_sound
from harness.runs.talk import Talk
from harness.sender_authentication import dkim_results, refusal, spf_mark
from harness.settings.hosts import Network
from harness.settings.secret import Secret
from harness.verdicts import (
    FailedError,
    InconclusiveError,
    NeverCameError,
    NotApplicableError,
    NotTestableError,
)
from harness.wording import counted, named
from harness.world.cast import Zone
from harness.world.client import Before, Client, message
from harness.world.conversation import Attempt, Step
from harness.world.host import SKIPS_LOOPBACK
from harness.world.internet import Internet, Kind
from harness.world.reply_set import CLOSED, SILENCE
from harness.world.signing import Algorithm, Canonical, Signer
from harness.world.sut import BlockList, Sut
from harness.world.sut_mail import Alias
from harness.world.world import Cause, Clock


class NewClient(Protocol):
    """Makes clients."""

    def __call__(
        self,
        kind: Kind,
        label: str = "client",
        *,
        endpoint: str = "",
        network: Network | None = None,
        pattern: str | None = None,
    ) -> Client:
        """A fresh innocent host of a kind, at the first endpoint of the profile or at one of a name.

        It is in one `network` of its kind's, or known to the greylist by one `pattern`, if these are given.
        """


__all__ = [
    "CLOSED",
    "SILENCE",
    "SKIPS_LOOPBACK",
    "Account",
    "Algorithm",
    "Alias",
    "Answer",
    "Arrival",
    "Attempt",
    "Before",
    "Behaviour",
    "BlockList",
    "Call",
    "Canonical",
    "Cause",
    "Client",
    "Clock",
    "Delivered",
    "Directory",
    "Domain",
    "Expect",
    "FailedError",
    "GreylistOperator",
    "GreylistPart",
    "InconclusiveError",
    "Internet",
    "Kind",
    "Late",
    "MailHost",
    "MailHosts",
    "Mailbox",
    "Network",
    "NeverCameError",
    "NewClient",
    "NoAnswer",
    "NotApplicableError",
    "NotTestableError",
    "NxDomain",
    "Offence",
    "Outage",
    "QueueOperator",
    "Queued",
    "Raw",
    "Refused",
    "Rewriter",
    "Secret",
    "Sequence",
    "ServFail",
    "Signer",
    "Stage",
    "Step",
    "Sut",
    "Talk",
    "Treatment",
    "Zone",
    "counted",
    "dkim_results",
    "each",
    "is_of_this_host",
    "message",
    "must_end_data",
    "must_not_end_data",
    "named",
    "needs",
    "refusal",
    "replies_must_be_sound",
    "rule",
    "spf_mark",
]


def rule(rule_id: str) -> pytest.MarkDecorator:
    """Mark a test function as a scenario of the rule with that id."""
    return pytest.mark.rule(rule_id)


def each(*names: str) -> pytest.MarkDecorator:
    """Mark a scenario as one that is played for every thing of a name that the profile describes.

    Each name is a parameter of the function: blocklist, white_list, selective_list, zone, group (of zones),
    last_straw and just_below (lists together); domain, strict_domain, plain_domain, boundless_domain,
    bounce_domain, listless_domain, illegal_character; trusted_network, known_pattern; addresses by the lists
    of senders: who_sends, who_never_sends, who_sends_elsewhere, postmaster; and aliases: alias,
    alias_for_many, leading, catch_all, without_catch_all, namesakes; accounts of a directory: outsider,
    odd_account.
    """
    return pytest.mark.each(*names)


def needs(*capabilities: str) -> pytest.MarkDecorator:
    """Mark a case that needs more than its rule does, such as `mailbox`.

    Raises `UnknownCapabilityError` for a name that no capability has.
    """
    return pytest.mark.needs(*(CAPABILITIES[name].name for name in capabilities))
