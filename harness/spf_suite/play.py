"""Plays one case over live SMTP and holds what the server shows against the suite."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from harness.grants.mail import MAILBOX
from harness.outcome import Treatment
from harness.runs.play import Play
from harness.sender_authentication import Shown, in_message, in_refusal, refusal
from harness.spf_suite.suite import DEFAULT, Case, CaseSet
from harness.verdicts import FailedError, InconclusiveError, NotTestableError
from harness.world.client import Client
from harness.world.conversation import Attempt
from harness.world.internet import Identity, Kind

ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
DNS_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*", re.ASCII)
TELLING = 8  # characters from which on a text is not found by chance in another


@dataclass(frozen=True)
class SpfDialogue:
    """One case and the set whose zone data it needs."""

    case: Case
    set: CaseSet

    def __call__(self, play: Play) -> None:
        """Raises how it ended, unless the server showed one of the right results."""
        case = self.case
        token = f"spf-{secrets.token_hex(6)}.example"
        domain = case.sender.rpartition("@")[2] or case.helo
        host = domain if DNS_NAME.fullmatch(domain) else token  # its questions belong to this dialogue
        client = Client(play.world, Identity(case.host, host, token), Kind.KNOWN, "the case")
        recipient = play.run.sut.recipient
        content = _message(token, recipient)
        attempt = client.attempt(
            helo=case.helo, sender=wire_form(case.sender), recipient=recipient, message=content
        )
        shown = in_refusal(attempt) or self._delivered(play, attempt, recipient, token)
        play.expect.observed = shown.where
        self._judge(shown, told=play.run.sut.mail.spf.explanations)
        play.expect.proven = True

    def _delivered(self, play: Play, attempt: Attempt, recipient: str, token: str) -> Shown:
        if step := refusal(attempt):
            said = f"the server does not let this case get as far as an SPF result: {step.stage}: {step}"
            if step.reply is None or step.treatment is Treatment.DEFER:
                raise InconclusiveError(said)
            raise NotTestableError(said)
        mailbox = play.tool(MAILBOX)
        if mailbox is None:
            raise NotTestableError(
                "the profile has no [mailbox], and the result stands in the message that was accepted"
            )
        found = mailbox.find(recipient, token)
        shown = in_message(found, null_sender=not self.case.sender)
        if shown is None:
            raise FailedError(
                "the delivered message has neither Received-SPF nor spf= in Authentication-Results"
            )
        return shown

    def _judge(self, shown: Shown, *, told: bool) -> None:
        """`told` is whether the server passes explanations on."""
        expected = " or ".join(self.case.results)
        if shown.result not in self.case.results:
            raise FailedError(f"expected {expected}, but the server found {shown.result}: {shown.where}")
        if told and self.case.explanation is not None and shown.result == "fail":
            self._judge_explanation(shown)

    def _judge_explanation(self, shown: Shown) -> None:
        """Where the server shows any: explanations are optional, and many are not passed on (§6.2)."""
        wanted, seen = _squeezed(self.case.explanation or ""), shown.explanation
        seen = None if seen is None else _squeezed(seen)
        if wanted == DEFAULT:
            foreign = [text for text in self._texts if seen and _mentions(seen, text)]
            if foreign:
                raise FailedError(f"the explanation {foreign[0]!r} must not be used: {shown.where}")
            return
        if seen is not None and not any(form.lower() in seen.lower() for form in self._forms(wanted)):
            raise FailedError(f"expected the explanation {wanted!r}: {shown.where}")

    def _forms(self, wanted: str) -> list[str]:
        """The explanation, and the same with a quoted local part as it stood in MAIL FROM."""
        local_part = self.case.sender.rpartition("@")[0]
        quoted = wire_form(self.case.sender).rpartition("@")[0]
        return [wanted, wanted.replace(local_part, quoted)] if local_part else [wanted]

    @property
    def _texts(self) -> list[str]:
        """Everything in the zone data that may be somebody's explanation."""
        found = ["".join(parts) for zone in self.set.zones for kind, parts in zone.records if kind == "TXT"]
        return [text for text in found if not text.lower().startswith("v=spf")]


def wire_form(sender: str) -> str:
    """A sender as SMTP carries it: a local part that is no dot-string in quotes (RFC 5321 §4.1.2)."""
    local_part, at, domain = sender.rpartition("@")
    if not at or ATOM.fullmatch(local_part):
        return sender
    quoted = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"@{domain}'


def _squeezed(text: str) -> str:
    """Folded header fields and replies of several lines do not keep blanks as they were."""
    return " ".join(text.split())


def _mentions(seen: str, text: str) -> bool:
    return seen.lower() == text.lower() or (len(text) >= TELLING and text.lower() in seen.lower())


def _message(token: str, recipient: str) -> bytes:
    header = {
        "From": f"<sender@{token}>",
        "To": f"<{recipient}>",
        "Subject": "smtp-harness",
        "Date": format_datetime(datetime.now(UTC)),
        "Message-ID": f"<1@{token}>",
    }
    return ("".join(f"{name}: {value}\r\n" for name, value in header.items()) + "\r\nHello.\r\n").encode()
