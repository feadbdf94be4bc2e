"""The policy of the reference MTA: a module a stage, and the whole of it as one value."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from harness.reference_mta.authentication import LoginParts
from harness.reference_mta.config import Config
from harness.reference_mta.greeting import GreetingParts
from harness.reference_mta.listening import addresses
from harness.reference_mta.mail.delivery import FilingParts
from harness.reference_mta.mail.dkim import DkimParts
from harness.reference_mta.mail.forwarding import ForwardingParts
from harness.reference_mta.mail.hosts import FindingParts
from harness.reference_mta.mail.parts import AS_IT_SHOULD_BE, MailParts
from harness.reference_mta.mail.queue_commands import QueueParts
from harness.reference_mta.mail.reports import ReportParts
from harness.reference_mta.mail.retrying import RetryingParts
from harness.reference_mta.mail.routing import RoutingParts
from harness.reference_mta.mail.spam import SpamParts
from harness.reference_mta.mail.spf import SpfParts
from harness.reference_mta.mail.srs import SrsParts
from harness.reference_mta.policy.accounts import CREDENTIALS, SENDER
from harness.reference_mta.policy.bounce import BOUNCE
from harness.reference_mta.policy.checks import Check, Question
from harness.reference_mta.policy.connect import HOST, HostParts
from harness.reference_mta.policy.data import HEADER, is_broken
from harness.reference_mta.policy.dnsbl import LISTED, ListParts
from harness.reference_mta.policy.greylisting import AS_IT_SHOULD_BE as GREYLISTING
from harness.reference_mta.policy.greylisting import BOUNCES, GREYLISTED, GreylistParts, of_all
from harness.reference_mta.policy.helo import GREETING, STICKY
from harness.reference_mta.policy.mail import GREETED, MAIL_DELAY, RCPT_DELAY
from harness.reference_mta.policy.rcpt import CHARACTERS, COUNT, COUNTED, FIRST_CHARACTER, RELAYING, USER
from harness.reference_mta.policy.srs import SRS
from harness.reference_mta.protocol.parts import ProtocolParts, unnoticed
from harness.reference_mta.replies import reply
from harness.reference_mta.session import SessionParts
from harness.reference_mta.spf.check import RecordParts
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
    content: tuple[Question, ...] = (HEADER,)
    bounces: tuple[Question, ...] = (BOUNCES,)
    hosts: HostParts = field(default_factory=HostParts)
    lists: ListParts = field(default_factory=ListParts)
    greylisting: GreylistParts = GREYLISTING
    is_broken: Callable[[str, str], bool] = is_broken  # an address header: its name, its value
    session: SessionParts = field(default_factory=SessionParts)
    login: LoginParts = field(default_factory=LoginParts)
    spf: SpfParts = field(default_factory=SpfParts)
    spf_records: RecordParts = field(default_factory=RecordParts)
    dkim: DkimParts = field(default_factory=DkimParts)
    spam: SpamParts = field(default_factory=SpamParts)
    srs: SrsParts = field(default_factory=SrsParts)
    routing: RoutingParts = field(default_factory=RoutingParts)
    forwarding: ForwardingParts = field(default_factory=ForwardingParts)
    filing: FilingParts = field(default_factory=FilingParts)
    finding: FindingParts = field(default_factory=FindingParts)
    retrying: RetryingParts = field(default_factory=RetryingParts)
    reports: ReportParts = field(default_factory=ReportParts)
    queue: QueueParts = field(default_factory=QueueParts)
    addresses: Callable[[Config], tuple[str, ...]] = addresses  # where the server listens
    greeting: GreetingParts = field(default_factory=GreetingParts)
    protocol: ProtocolParts = field(default_factory=ProtocolParts)
    delivery: MailParts = AS_IT_SHOULD_BE
    phrase: Callable[[int, str, str], str] = reply  # a refusal in the words of a check
    note: Callable[[str], None] = unnoticed  # is told which part is at work

    def message(self, greylist: Greylist, *, null: bool) -> tuple[Question, ...]:
        """What is asked about a message, in order; `null`: about a bounce.

        A server that greylists at the end of DATA asks there about all its recipients at once.
        """
        late = greylist.stage != "rcpt" and not null
        return (*self.content, *(map(of_all, self.greylist) if late else ()), *self.bounces)

    def recipient(self, greylist: Greylist, *, null: bool) -> tuple[Question, ...]:
        """What is asked about a recipient when it is not one too many, in order; `null`: for a bounce.

        A server that greylists at the end of DATA does not at RCPT; bounces it never does there, see
        `greylisting.at_rcpt`.
        """
        greylisting = self.greylist if greylist.stage == "rcpt" or null else ()
        if greylist.before_users:
            return (*self.rcpt, *greylisting, *self.user, *self.listed)
        return (*self.rcpt, *self.user, *self.listed, *greylisting)

    def most_recipients(self, most: int) -> int:
        """The limit on a message's recipients, where policy holds every client to it; 0 where it does not."""
        counts = [check for question in self.rcpt_first for check in question.checks.values()]
        return most if any(check.then.refuses for check in counts if check.rule == COUNTED) else 0

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
            content=tuple(map(change, self.content)),
            bounces=tuple(map(change, self.bounces)),
        )

    def with_treatment(self, rule: str, change: Callable[[Check], Check]) -> "Policy":
        """The policy with what `change` makes of one rule's check, wherever it is asked for."""

        def swapped(question: Question) -> Question:
            checks = {
                name: change(check) if name == rule else check for name, check in question.checks.items()
            }
            return replace(question, checks=checks)

        return self.with_questions(swapped)
