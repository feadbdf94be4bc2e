"""A sending host that the harness plays: how it talks to the server."""

import contextlib
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum

from fake_dns import reverse_name
from harness.outcome import Stage, Treatment, later
from harness.profile.tables import GreylistPart
from harness.settings.secret import Secret
from harness.smtp.command import Command
from harness.smtp.session import Session
from harness.smtp.tls import unverifying_context, verifying_context
from harness.verdicts import InconclusiveError, NotApplicableError, NotTestableError
from harness.wording import counted
from harness.world.conversation import Attempt, Conversation, Step
from harness.world.host import Host
from harness.world.internet import SIZES, Identity, Kind

RESET_DONE = 250
GREYLIST_SLACK = 1.0  # seconds over the documented delay before a retry, or lifetime
FORGOTTEN_TIMES = 5  # that a host is tried whose neighbours come again meanwhile
MANY_STRANGERS = 10_000  # of so many, hardly one comes in two runs that both try it


class Before(Enum):
    """What a client has sent on the same connection before the mail in question."""

    NOTHING = "nothing"
    GIVEN_UP = "a mail that was given up by RSET"
    SENT = "a message"


@dataclass
class Client(Host):
    """One sending host."""

    kind: Kind
    label: str = "client"
    word: str = "message"  # what its messages are called in what they are found by
    put_off: tuple[Stage, int] | None = None  # where, and by which code, before it waited and came again
    came_before: bool = False  # and waited, so that no greylist puts it off any more

    @property
    def token(self) -> str:
        """What no message has in it but its own, and notifications about that."""
        return f"{self.word}-{self.identity.domain}"

    def another(self, label: str = "another host") -> "Client":
        """Another host of the same kind that is innocent in every respect, in another network."""
        identity = self.world.internet.identity(self.kind)
        return replace(self._beside(identity, label), server=self.server)

    def neighbours(self) -> tuple["Client", "Client"]:
        """Two other hosts of the same kind, with addresses side by side in one network."""
        one, other = self.world.internet.neighbours(self.kind)
        return (
            self._beside(one, "a host"),
            self._beside(other, "its neighbour"),
        )

    def at_address(self, address: str) -> "Client":
        """An innocent host with an address that a scenario prescribes."""
        self.world.dns.withdraw(reverse_name(address), "PTR")
        identity = self.world.internet.identity(self.kind, address)
        return self._beside(identity, f"client {address}")

    def _beside(self, identity: Identity, label: str) -> "Client":
        """Another host that comes to the same endpoint."""
        made = Client(self.world, identity, self.kind, label, endpoint=self.endpoint)
        made.forget_earlier_runs()
        return made

    def session(self) -> Session:
        """A session that is not connected yet."""
        return Session(
            self.reached_at,
            self.address,
            reply_timeout=self.world.sut.profile.patience,
            secrets=[account.secret for account in self.world.sut.profile.logins],
        )

    @contextlib.contextmanager
    def conversation(self, label: str = "") -> Iterator[Conversation]:
        """A session to be driven by hand; the socket is closed at the end, whatever happens."""
        with self.world.dialogue():
            session = self.session()
            self.world.waited += self.world.pace.take_turn(session)
            conversation = Conversation(
                session,
                self.address,
                self.silence,
                token=self.token,
                may_be_greylisted=self._may_be_greylisted,
                may_end=self.world.may_end,
            )
            self.world.conversations.append((label or self.label, self, conversation))
            self.world.internet.retries.comes(self.address)
            try:
                yield conversation
            finally:
                session.close()
                self.world.internet.retries.comes(self.address)

    def attempt(
        self,
        *,
        helo: str | None = None,
        extended: bool = True,
        sender: str | None = None,
        recipient: str | Sequence[str] | None = None,
        message: bytes | None = None,
        before: Before = Before.NOTHING,
        covered: bool = False,
        authenticated: bool = False,
        upto: Stage | None = None,
        patient: bool = True,
        label: str = "",
    ) -> Attempt:
        """A whole dialogue, connect to QUIT, as far as the server must be heard to tell the verdict.

        That is the stage at which it tells verdicts of the rule, or the end of DATA with a `message` of one's
        own, and no less than `upto`; it ends early at the first refusal. It greets with EHLO, or with HELO
        when it is not to be `extended`, and again under TLS when it is to be `covered`. Several recipients
        are told one after the other; a `message` for more of them than `policy.max_recipients` raises
        `NotTestableError`. An ordinary mail may come `before`, on the same connection. A known or trusted
        host that is greylisted all the same waits and tries again, as any mail server would, where the
        profile lets time pass; unless it is not `patient`. Raises `NotApplicableError` for a message before
        it where the server is a command.
        """
        goal = Stage.DATA if message is not None else later(self.world.goal, upto or Stage.CONNECT)
        recipients = (
            [recipient or self.world.sut.recipient] if isinstance(recipient, str | None) else list(recipient)
        )
        most = self.world.sut.profile.policy.max_recipients
        if message is not None and len(recipients) > most:
            raise NotTestableError(
                f"a message would be for {counted(len(recipients), 'recipient')}, and policy.max_recipients "
                f"is {most}"
            )
        if before is Before.SENT and isinstance(self.reached_at.transport, Command):
            raise NotApplicableError(
                "mail behind a message is another dialogue where a command is talked to: a dry run says "
                "behind a message that it was none, in lines that are no replies"
            )
        if sender is None:
            sender = self._account_sender if authenticated else self.sender

        def once() -> Attempt:
            with self.conversation(label) as talk:
                self._go_through(
                    talk,
                    goal,
                    greet=lambda: self._greet(
                        talk, helo, extended=extended, covered=covered, authenticated=authenticated
                    ),
                    sender=sender,
                    recipients=recipients,
                    content=message,
                    before=before,
                )
                return replace(talk.quit(), recipient=recipients[0])

        attempt = once()
        if patient and (authenticated or not self.kind.is_strange):
            taken_before = -1
            while taken_before < attempt.taken:  # each recipient may be waited for, if that leads further
                taken_before, attempt = attempt.taken, self.after_greylist(attempt, once)
            if self.world.clock:
                return replace(attempt, awaits_greylist=False)
        return attempt

    def be_known(self, recipient: str | None = None) -> None:
        """Before a dialogue by hand: see to it that no greylist puts this host off in it.

        Where no exemption of it is certain and time can pass, it comes once before, waits and comes again.
        """
        if self._may_be_greylisted() and self.world.clock:
            before = replace(self, label="the same host, before", word="earlier", put_off=None)
            before.attempt(recipient=recipient, upto=self.world.sut.greylist.stage)
            self.came_before = before.put_off is not None

    def carry_on(self, talk: Conversation, recipient: str = "") -> None:
        """From MAIL on as far as the server must be heard to tell the verdict, or to the first refusal."""
        goal, recipient = self.world.goal, recipient or self.world.sut.recipient
        if goal in (Stage.CONNECT, Stage.HELO, Stage.TLS, Stage.AUTH):
            return
        if talk.mail(self.sender).treatment is not Treatment.PASS or goal is Stage.MAIL:
            return
        if talk.rcpt(recipient).treatment is Treatment.PASS and goal is Stage.DATA:
            talk.data(message(self, recipient))

    def _greet(
        self, talk: Conversation, helo: str | None, *, extended: bool, covered: bool, authenticated: bool
    ) -> Step:
        if authenticated:
            return self.log_in(talk)
        if covered:
            return self._cover(talk, helo)[1]
        return (talk.ehlo if extended else talk.helo)(helo or self.host)

    def _go_through(
        self,
        talk: Conversation,
        goal: Stage,
        *,
        greet: Callable[[], Step],
        sender: str,
        recipients: Sequence[str],
        content: bytes | None,
        before: Before,
    ) -> None:
        """Stage by stage, up to the goal or the first refusal."""
        if talk.connect().treatment is not Treatment.PASS or goal is Stage.CONNECT:
            return
        if greet().treatment is not Treatment.PASS or goal in (Stage.HELO, Stage.TLS, Stage.AUTH):
            return
        if before is not Before.NOTHING and not self._sends_before(talk, before):
            return
        if talk.mail(sender).treatment is not Treatment.PASS or goal is Stage.MAIL:
            return
        for one in recipients:
            if talk.rcpt(one).treatment is not Treatment.PASS:
                return
        if goal is not Stage.RCPT:
            talk.data(message(self, recipients[0]) if content is None else content)

    def _sends_before(self, talk: Conversation, what: Before) -> bool:
        """Whether an ordinary mail was taken, and given up or sent."""
        recipient = self.world.sut.recipient
        if talk.mail(self.sender).treatment is not Treatment.PASS:
            return False
        if talk.rcpt(recipient).treatment is not Treatment.PASS:
            return False
        if what is Before.GIVEN_UP:
            return talk.reset().code == RESET_DONE
        earlier = message(replace(self, word="earlier"), recipient)
        return talk.data(earlier).treatment is Treatment.PASS

    def _may_be_greylisted(self) -> bool:
        """Whether a greylist may put this host off: no exemption of it is certain."""
        sut = self.world.sut
        if sut.profile.greylist is None or self.came_before:
            return False
        known = self.kind.is_known and self.is_confirmed
        return not (known and all(map(sut.whitelists, (self.host, *self.other_names))))

    @property
    def _account_sender(self) -> str:
        """The envelope sender that the profile's account uses."""
        auth = self.world.sut.profile.auth
        return (auth.sender if auth else None) or self.sender

    def after_greylist(
        self, attempt: Attempt, again: Callable[[], Attempt], *, whatever_code: bool = False
    ) -> Attempt:
        """The attempt, made again after the greylist's delay if that put it off.

        At RCPT or at the end of DATA, whichever it does with such mail; with the greylist's codes, or
        `whatever_code` where nothing else is held against this client.
        """
        greylist, clock, met = self.world.sut.profile.greylist, self.world.clock, attempt.reached
        if not greylist or not clock or not met:
            return attempt
        put_off = met.stage in (Stage.RCPT, Stage.DATA) and met.treatment is Treatment.DEFER
        if not put_off or not (whatever_code or met.code in greylist.codes):
            return attempt
        self.put_off = met.stage, met.code
        with self.world.internet.retries.coming_again(self.address):
            clock.advance(self.address, greylist.delay + GREYLIST_SLACK)
            return again()

    def forgotten(self, once: Callable[[], Attempt], *, bounces: bool = False) -> Attempt:
        """An attempt of a host that the greylist does not know, whatever it or others have done before.

        Where it goes by no sender, or the attempt `bounces` and has none, it may know a host by another one
        of its network, or by an earlier run.
        Then so much time passes first that all of them are forgotten, and none of them may come again
        meanwhile. Raises `NotTestableError` without a clock, and `InconclusiveError` where they do.
        """
        greylist, clock, near = self.world.sut.greylist, self.world.clock, self.world.internet.retries.near
        if not self._may_be_known_by_others(bounces=bounces):
            return once()
        if clock is None:
            raise NotTestableError(
                f"{_why_unsent(bounces=bounces)}, so the greylist may know this host by others, or by an "
                "earlier run, and the profile has no [clock], so that they are not forgotten"
            )
        for _ in range(FORGOTTEN_TIMES):
            before = near(self.address)
            clock.advance(self.address, greylist.forgets_within + GREYLIST_SLACK)
            moved = near(self.address)
            attempt = once()
            after = near(self.address)
            nobody_waits = before.begun == before.ended == after.begun == after.ended
            is_alone = nobody_waits and moved.came == before.came
            if is_alone or not attempt.reached or attempt.reached.treatment is not Treatment.PASS:
                return attempt
        raise InconclusiveError(
            "other hosts of its network waited and came again at the same time, so the greylist may know "
            "this one by them"
        )

    def forget_earlier_runs(self, *, bounces: bool = False) -> None:
        """Let the greylist forget a stranger that it may know by an earlier run.

        Where it goes by no sender, or the stranger `bounces` and has none, that is likely if there are few
        to choose from. Raises `NotTestableError` where it cannot be done.
        """
        greylist, clock = self.world.sut.profile.greylist, self.world.clock
        if not self.kind.is_strange or not greylist:
            return
        if greylist.counts(GreylistPart.SENDER_DOMAIN) and not bounces:
            return
        choice = self.world.internet.choice_of(self.kind)
        if greylist.key == "host" or choice >= MANY_STRANGERS:
            return
        if clock is None:
            whom = f"networks ({SIZES[self.version]})" if greylist.key == "network" else "addresses"
            raise NotTestableError(
                f"{_why_unsent(bounces=bounces)}, so the greylist may know a stranger by an earlier run, "
                f"with only {choice} {whom} to choose from; give clients.networks {MANY_STRANGERS} of them, "
                "or describe a [clock], so that earlier runs are forgotten"
            )
        clock.advance(self.address, greylist.forgets_within + GREYLIST_SLACK)

    def _may_be_known_by_others(self, *, bounces: bool) -> bool:
        """Whether the greylist may know it though it has not come before; a stranger lives alone.

        Of a stranger earlier runs are forgotten where its mail might be known by them; its bounces may be.
        """
        greylist = self.world.sut.profile.greylist
        if greylist is None or greylist.key == "host":
            return False
        if greylist.counts(GreylistPart.SENDER_DOMAIN) and not bounces:
            return False
        if bounces and self.world.internet.choice_of(self.kind) < MANY_STRANGERS:
            return True
        return bool(self.kind.prescribed) or (greylist.key == "network" and not self.kind.is_strange)

    def tls_context(self) -> ssl.SSLContext:
        """TLS as scenarios that are not about the certificate use it: encrypted, unverified."""
        return unverifying_context()

    def verifying_context(self) -> tuple[str, ssl.SSLContext]:
        """The name that clients use, and TLS as a careful client does it: against the profile's CA."""
        tls = self.world.sut.profile.tls
        if tls is None:
            raise NotTestableError("the profile has no [tls]")
        return tls.name, verifying_context(tls.ca_file)

    def account(self) -> tuple[str, Secret]:
        """Name and password of the profile's account."""
        auth = self.world.sut.profile.auth
        if auth is None:
            raise NotTestableError("the profile has no [auth] account")
        return auth.user, auth.secret

    def begin_tls(self, talk: Conversation) -> tuple[Step, Step]:
        """Connect, EHLO, STARTTLS, EHLO: the two answers to EHLO, in clear text and under TLS.

        Without a handshake the second EHLO is not sent, and its step has no reply.
        """
        talk.connect()
        return self._cover(talk)

    def log_in(self, talk: Conversation) -> Step:
        """EHLO, STARTTLS, EHLO and AUTH with the account of the profile."""
        user, secret = self.account()
        self._cover(talk)
        return self.authenticate(talk, user, secret)

    def authenticate(
        self, talk: Conversation, user: str, password: Secret | str, *, initial: bool = True
    ) -> Step:
        """AUTH PLAIN under TLS, with the credentials at once or after the prompt.

        Without a handshake nothing is sent: the step has no reply and says why.
        """
        if talk.session.encrypted or talk.broken:
            return talk.auth_plain(user, password, initial=initial)
        return talk.unsaid(Stage.AUTH, "AUTH PLAIN", f"no credentials were sent, for {_uncovered(talk)}")

    def authenticate_in_clear_text(self, talk: Conversation, user: str, password: Secret | str) -> Step:
        """AUTH PLAIN for everybody on the way to read: for what is about clear text, and nothing else."""
        talk.session.reveals_secrets = True
        return talk.auth_plain(user, password)

    def _cover(self, talk: Conversation, helo: str | None = None) -> tuple[Step, Step]:
        if talk.session.encrypted:  # since before the greeting
            covered = talk.ehlo(helo or self.host)
            return covered, covered
        clear = talk.ehlo(self.host)
        talk.starttls(self.tls_context(), self.world.sut.hostname)
        if talk.session.encrypted or talk.broken:
            return clear, talk.ehlo(helo or self.host)
        return clear, talk.unsaid(Stage.HELO, "EHLO", _uncovered(talk))


def _why_unsent(*, bounces: bool) -> str:
    """Why the greylist does not tell mail by its sender."""
    return "a bounce has no sender" if bounces else "the greylist goes by no sender"


def _uncovered(talk: Conversation) -> str:
    return f"no TLS handshake took place; STARTTLS: {talk.attempt.tls}"


def message(
    client: Client,
    recipient: str,
    *,
    subject: str = "smtp-harness",
    body: str | None = None,
    to: str = "",
) -> bytes:
    """A well-formed message of a client (RFC 5322), with CRLF line ends; `to` is another value of To.

    It is found by `client.token`, which stands in its Message-ID, and in its body: some greylists know bodies
    that they have seen before. It is dated now: content filters hold an old date against a message.
    """
    body = f"Hello.\r\n{client.token}\r\n" if body is None else body
    header = {
        "From": f"<{client.sender}>",
        "To": to or f"<{recipient}>",
        "Subject": subject,
        "Date": format_datetime(datetime.now(UTC)),
        "Message-ID": f"<{client.token}@{client.host}>",
    }
    return ("".join(f"{name}: {value}\r\n" for name, value in header.items()) + "\r\n" + body).encode()
