"""The policy of the reference MTA: a module a stage, and the whole of it as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.reference_mta.greeting import GreetingParts
from harness.reference_mta.mail.parts import AS_IT_SHOULD_BE, MailParts
from harness.reference_mta.policy.accounts import CREDENTIALS, SENDER
from harness.reference_mta.policy.bounce import BOUNCE
from harness.reference_mta.policy.checks import Check, Question
from harness.reference_mta.policy.connect import HOST
from harness.reference_mta.policy.data import HEADER_CHECK
from harness.reference_mta.policy.dnsbl import LISTED
from harness.reference_mta.policy.greylisting import BOUNCE_CHECKS, GREYLISTED
from harness.reference_mta.policy.helo import GREETING, STICKY
from harness.reference_mta.policy.mail import GREETED, MAIL_DELAY, RCPT_DELAY
from harness.reference_mta.policy.rcpt import CHARACTERS, COUNT, FIRST_CHARACTER, RELAYING, USER
from harness.reference_mta.policy.srs import SRS
from harness.reference_mta.protocol.parts import ProtocolParts
from harness.reference_mta.reached import SOUND, Quirks
from harness.reference_mta.replies import reply
from harness.reference_mta.tables.policy import Greylist


@dataclass(frozen=True)
class Policy:
    """Every question, by the stage at which it is asked, in order; and the parts that speak and deliver."""

    connect: tuple[Question, ...] = (HOST,)
    helo: tuple[Question, ...] = (STICKY, GREETING)
    credentials: tuple[Question, ...] = (CREDENTIALS,)
    mail_first: tuple[Question, ...] = (GREETED,)
    mail: tuple[Question, ...] = (MAIL_DELAY,)
    rcpt_first: tuple[Question, ...] = (COUNT,)
    rcpt: tuple[Question, ...] = (RCPT_DELAY, SENDER, RELAYING, SRS)
    user: tuple[Question, ...] = (CHARACTERS, FIRST_CHARACTER, USER, BOUNCE)
    listed: tuple[Question, ...] = (LISTED,)
    greylist: tuple[Question, ...] = (GREYLISTED,)
    header: Check = HEADER_CHECK
    bounces: dict[str, Check] = field(default_factory=lambda: {check.rule: check for check in BOUNCE_CHECKS})
    greeting: GreetingParts = field(default_factory=GreetingParts)
    protocol: ProtocolParts = field(default_factory=ProtocolParts)
    delivery: MailParts = AS_IT_SHOULD_BE
    phrase: Callable[[int, str, str], str] = reply  # a refusal in the words of a check
    quirks: Quirks = SOUND

    def recipient(self, greylist: Greylist, *, null: bool) -> tuple[Question, ...]:
        """What is asked about a recipient when it is not one too many, in order; `null`: for a bounce.

        A server that greylists at the end of DATA does not at RCPT; bounces it never does there, see
        `greylisting.at_rcpt`.
        """
        greylisting = self.greylist if greylist.stage == "rcpt" or null else ()
        if greylist.before_users:
            return (*self.rcpt, *greylisting, *self.user, *self.listed)
        return (*self.rcpt, *self.user, *self.listed, *greylisting)

    def with_questions(self, change: Callable[[Question], Question]) -> "Policy":
        """The policy with every question replaced by what `change` makes of it."""
        return replace(
            self,
            connect=tuple(map(change, self.connect)),
            helo=tuple(map(change, self.helo)),
            credentials=tuple(map(change, self.credentials)),
            mail_first=tuple(map(change, self.mail_first)),
            mail=tuple(map(change, self.mail)),
            rcpt_first=tuple(map(change, self.rcpt_first)),
            rcpt=tuple(map(change, self.rcpt)),
            user=tuple(map(change, self.user)),
            listed=tuple(map(change, self.listed)),
            greylist=tuple(map(change, self.greylist)),
        )

    def with_treatment(self, rule: str, change: Callable[[Check], Check]) -> "Policy":
        """The policy with what `change` makes of one rule's check, wherever it is asked for."""

        def swap(checks: Mapping[str, Check]) -> dict[str, Check]:
            return {name: change(check) if name == rule else check for name, check in checks.items()}

        header = swap({self.header.rule: self.header})[self.header.rule]
        asked = self.with_questions(lambda question: replace(question, checks=swap(question.checks)))
        return replace(asked, header=header, bounces=swap(self.bounces))
