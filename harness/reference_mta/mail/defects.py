"""Deliberate defects of the sender, each for one way of sending: it shows in the rule that it breaks."""

from dataclasses import dataclass, replace

from harness.reference_mta.config import Config
from harness.reference_mta.mail.delivery_result import DeliveryResult, State
from harness.reference_mta.mail.message import Message
from harness.reference_mta.reached import SOUND, Quirks

RULES = {  # the rules that defects belong to, and the [outgoing] route of the servers that they show in
    "smarthost.routes-nonlocal": "smarthost",
    "smarthost.off": "mx",
    "queue.retry": "mx",
    "local-only.nonlocal-refused": "none",
    "local-only.not-listening": "none",
    "outgoing.no-rdns-refused": "mx",
    "queue.list-remove-thaw": "mx",
}
PACES = {"off": 1e6, "weak-slow": 3.0, "weak-hasty": 0.1}  # of queue.retry, in intervals


@dataclass(frozen=True)
class Defects:
    """What is wrong with a server's way of sending; nothing as a rule."""

    config: Config
    quirks: Quirks = SOUND

    def has(self, name: str) -> bool:
        """Whether a defect is switched on, and of this server's way of sending."""
        rule = name.partition(":")[0]
        return RULES.get(rule) == self.config.outgoing.route and name in self.quirks

    @property
    def pace(self) -> float:
        """Intervals from one attempt to the next."""
        return next((pace for kind, pace in PACES.items() if self.has(f"queue.retry:{kind}")), 1.0)

    def outcome(self, outcome: DeliveryResult) -> DeliveryResult:
        """What an outcome is taken for."""
        refused = outcome.state is State.FAILED and outcome.elsewhere and bool(outcome.host)
        if refused and self.has("outgoing.no-rdns-refused:off"):
            return replace(outcome, state=State.WAITING)
        if outcome.state is not State.WAITING:
            return outcome
        for rule in ("queue.retry", "smarthost.routes-nonlocal"):
            if self.has(f"{rule}:weak-bounced") or (outcome.elsewhere and self.has(f"{rule}:weak-impatient")):
                return replace(outcome, state=State.FAILED)
            if self.has(f"{rule}:weak-lost"):
                return replace(outcome, state=State.DELIVERED)
        return outcome

    def lost(self, lost: dict[str, DeliveryResult]) -> dict[str, DeliveryResult]:
        """What a notification says of the recipients that failed."""
        if self.has("outgoing.no-rdns-refused:weak-wordless"):
            return {address: replace(each, words="The host refused it") for address, each in lost.items()}
        return lost

    def notice(self, notice: Message, lost: dict[str, DeliveryResult]) -> Message | None:
        """The notification that goes out, if one does."""
        refused = any(each.elsewhere and each.host for each in lost.values())
        for rule in ("local-only.nonlocal-refused", *(["outgoing.no-rdns-refused"] if refused else [])):
            if self.has(f"{rule}:weak-silent"):
                return None
            if self.has(f"{rule}:weak-sender"):
                return replace(notice, sender=f"MAILER-DAEMON@{self.config.server.hostname}")
        return notice
