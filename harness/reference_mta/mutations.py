"""Deliberate defects: each breaks one rule, and nothing that another rule speaks of."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from harness import settings
from harness.reference_mta.certificate import SOUND, Flaws
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import DELAY, Check, Question, Treatment, defer, deny
from harness.reference_mta.policy.transaction import Transaction

Change = Callable[[Policy], Policy]
SHORT = 0.4  # share of the delay that is far too short


@dataclass(frozen=True)
class Mutant:
    """One defect: `RULE:KIND`, where the kind is off, strict-… (hits the innocent) or weak-…"""

    rule: str
    kind: str
    description: str
    change: Change
    flaws: Flaws = SOUND

    @property
    def name(self) -> str:
        """As `--mutant` and the configuration call it."""
        return f"{self.rule}:{self.kind}"


class UnknownMutantError(Exception):
    """A name that no mutant has."""


def find(name: str) -> Mutant:
    """The mutant of that name; raises `UnknownMutantError` that names the nearest."""
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise UnknownMutantError(
        f"no mutant {name!r}; {settings.nearest(name, [mutant.name for mutant in MUTANTS])}"
    )


# How a policy is changed


def _replace_check(rule: str, treat: Callable[[Check], Treatment]) -> Change:
    """Another treatment for the cases of one rule, wherever it is asked for."""

    def change(policy: Policy) -> Policy:
        def swap(checks: Mapping[str, Check]) -> dict[str, Check]:
            return {
                name: replace(check, then=treat(check)) if name == rule else check
                for name, check in checks.items()
            }

        header = swap({policy.header.rule: policy.header})[policy.header.rule]
        asked = policy.with_questions(lambda question: replace(question, checks=swap(question.checks)))
        return replace(asked, header=header, bounces=swap(policy.bounces))

    return change


def _sort(
    rule: str, classify: Callable[[Transaction, str | None], Awaitable[str | None] | str | None]
) -> Change:
    """Sort cases differently in the question that knows the rule; `classify` gets the answer so far."""

    def change(policy: Policy) -> Policy:
        def resort(question: Question) -> Question:
            if rule not in question.checks:
                return question

            async def sort(transaction: Transaction) -> str | None:
                found = classify(transaction, await question.classify(transaction))
                return await found if isinstance(found, Awaitable) else found

            return replace(question, classify=sort)

        return policy.with_questions(resort)

    return change


def _quirk(name: str) -> Change:
    return lambda policy: replace(policy, quirks=policy.quirks | {name})


# Kinds of mutants


def _off(rule: str, description: str) -> Mutant:
    return Mutant(rule, "off", description, _replace_check(rule, lambda check: check.off))


def _weak(rule: str, kind: str, description: str, treatment: Treatment) -> Mutant:
    return Mutant(rule, kind, description, _replace_check(rule, lambda check: treatment))


def _late_family(rule: str, description: str, *, refuses: bool) -> list[Mutant]:
    """Everything that can be wrong with a treatment that is held back."""
    mutants = [_off(rule, description)]
    shorter = _replace_check(rule, lambda check: replace(check.then, delay=SHORT))
    mutants.append(Mutant(rule, "weak-short", "held back for less than half of the delay", shorter))
    if refuses:
        prompt = _replace_check(rule, lambda check: replace(check.then, delay=0.0))
        lenient = _replace_check(rule, lambda check: replace(check.then, code=0))
        temporary = _replace_check(rule, lambda check: replace(check.then, code=450))
        mutants += [
            Mutant(rule, "weak-prompt", "refused without the delay", prompt),
            Mutant(rule, "weak-delay-only", "delayed and then accepted", lenient),
            Mutant(rule, "weak-4xx", "refused for the moment only", temporary),
        ]
    elif not rule.startswith("connect."):
        refused = _replace_check(rule, lambda check: deny("5.7.1 No", late=True))
        mutants.append(Mutant(rule, "strict-deny", "refused after the delay", refused))
    return mutants


def _deny_family(rule: str, description: str) -> list[Mutant]:
    """Everything that can be wrong with a prompt refusal."""
    temporary = _replace_check(rule, lambda check: replace(check.then, code=450))
    late = _replace_check(rule, lambda check: replace(check.then, delay=1.0))
    dropped = _replace_check(rule, lambda check: replace(check.then, drop=True))
    return [
        _off(rule, description),
        Mutant(rule, "weak-4xx", "refused for the moment only", temporary),
        Mutant(rule, "strict-late", "refused after a delay that is not documented", late),
        Mutant(rule, "strict-drop", "refused, and the connection closed", dropped),
    ]


def _quirky(rule: str, kind: str, description: str) -> Mutant:
    return Mutant(rule, kind, description, _quirk(f"{rule}:{kind}"))


def _strict(rule: str, kind: str, description: str, hits: Callable[[Transaction], bool]) -> Mutant:
    """The rule also claims a neighbour that is innocent."""
    change = _sort(rule, lambda transaction, found: rule if hits(transaction) else found)
    return Mutant(rule, f"strict-{kind}", description, change)


def _spared(
    rule: str, kind: str, description: str, instead: str | None, spares: Callable[[Transaction], bool]
) -> Mutant:
    """The rule leaves some of its own cases to another answer."""
    change = _sort(
        rule, lambda transaction, found: instead if found == rule and spares(transaction) else found
    )
    return Mutant(rule, f"weak-{kind}", description, change)


# Neighbours


def _greeting(transaction: Transaction) -> str:
    return transaction.greeting.lower()


def _own_domains(transaction: Transaction) -> list[str]:
    return [domain.name.lower() for domain in transaction.config.domain]


async def _only_by_reversal(transaction: Transaction, found: str | None) -> str | None:
    if found != "helo.forward-match":
        return found
    _, names = await transaction.names_of(transaction.client)
    reversed_names = [name.lower() for name in names]
    return "helo.reverse-match" if _greeting(transaction) in reversed_names else "helo.dns-mismatch"


def _has(character: str) -> Callable[[Transaction], bool]:
    return lambda transaction: character in transaction.mailbox.local_part


MUTANTS: tuple[Mutant, ...] = (
    # connect
    _off("connect.rdns-confirmed", "a host with a verified name is delayed"),
    *_late_family("connect.rdns-missing", "a host without a name is not delayed", refuses=False),
    *_late_family("connect.rdns-temperror", "a failed lookup of the name is let pass", refuses=False),
    *_late_family("connect.rdns-unresolvable", "a name without an address is let pass", refuses=False),
    *_late_family("connect.rdns-mismatch", "a name with other addresses is let pass", refuses=False),
    # helo
    *_late_family("helo.not-fqdn", "an unqualified name is not delayed", refuses=False),
    *_late_family("helo.plain-ip", "a bare address is taken", refuses=True),
    _strict(
        "helo.plain-ip",
        "digits",
        "a host name whose first label begins with a digit is taken for an address",
        lambda transaction: (
            _greeting(transaction)[:1].isdigit() and "-" in _greeting(transaction).split(".")[0]
        ),
    ),
    _spared(
        "helo.plain-ip",
        "own-only",
        "only the client's own address is noticed",
        "helo.forward-match",
        lambda transaction: _greeting(transaction) != transaction.client,
    ),
    _off("helo.plain-ip-sticky", "a second greeting is taken as if nothing had been"),
    _quirky(
        "helo.plain-ip-sticky", "weak-once", "only the next greeting is refused, the one after it is taken"
    ),
    *_late_family("helo.ip-literal", "an address literal is not delayed", refuses=False),
    *_late_family("helo.own-domain", "a stranger may greet as one of the server's domains", refuses=True),
    _spared(
        "helo.own-domain",
        "case",
        "the domain is compared with regard to letter case",
        "helo.forward-match",
        lambda transaction: transaction.greeting not in _own_domains(transaction),
    ),
    _spared(
        "helo.own-domain",
        "first-only",
        "only the first of the server's domains is known",
        "helo.forward-match",
        lambda transaction: _greeting(transaction) != _own_domains(transaction)[0],
    ),
    _strict(
        "helo.own-domain",
        "prefix",
        "a name that begins with one of the server's domains is taken for it",
        lambda transaction: any(
            _greeting(transaction).startswith(f"{own}.") for own in _own_domains(transaction)
        ),
    ),
    *_late_family(
        "helo.own-host", "a host name in one of the server's domains is not delayed", refuses=False
    ),
    *_late_family("helo.own-primary", "a stranger may greet as the server itself", refuses=True),
    _spared(
        "helo.own-primary",
        "localhost",
        "localhost is not among the local domains",
        "helo.forward-match",
        lambda transaction: _greeting(transaction) == "localhost",
    ),
    Mutant(
        "helo.forward-match",
        "off",
        "a name that resolves to the client is delayed unless the client's PTR gives it back",
        _sort("helo.forward-match", _only_by_reversal),
    ),
    _off("helo.reverse-match", "a name that is consistent in itself is delayed"),
    *_late_family("helo.dns-mismatch", "a name that DNS does not confirm is not delayed", refuses=False),
    _quirky("helo.no-aaaa-stall", "off", "a failing AAAA lookup spoils a name whose A record matches"),
    # mail
    *_late_family("mail.no-helo", "MAIL without a greeting is taken", refuses=True),
    *_late_family("mail.delay-repeated", "the earned delay does not come again at MAIL", refuses=False),
    # rcpt
    *_late_family("rcpt.delay-repeated", "the earned delay does not come again at RCPT", refuses=False),
    *_late_family("rcpt.relay-denied", "an open relay", refuses=True),
    *(
        _quirky("rcpt.relay-denied", f"weak-{trick}", f"a disguised foreign address is relayed: {trick}")
        for trick in ("percent", "bang", "route", "quoted", "two-ats")
    ),
    _off("rcpt.relay-trusted", "the relay hosts may not relay"),
    _off("rcpt.relay-authenticated", "an account may not relay"),
    *_deny_family("rcpt.illegal-chars", "illegal characters are let pass"),
    *(
        _spared(
            "rcpt.illegal-chars",
            f"no-{label}",
            f"the character {character} is not on the list",
            None,
            _has(character),
        )
        for character, label in (("@", "at"), ("%", "percent"), ("!", "bang"), ("/", "slash"), ("|", "pipe"))
    ),
    *_deny_family("rcpt.leading-dot", "a leading dot is let pass"),
    *_deny_family("rcpt.unknown-user", "every local part is taken"),
    _off("rcpt.too-many", "there is no limit of recipients"),
    _weak("rcpt.too-many", "weak-deny", "refused, and the connection left open", deny("5.5.3 Too many")),
    _strict(
        "rcpt.too-many",
        "one-less",
        "the limit is one recipient too low",
        lambda transaction: transaction.recipients == transaction.config.server.max_recipients,
    ),
    # bounce
    *_deny_family("bounce.bogus", "a bounce to one who never sends is taken"),
    *_deny_family("bounce.postmaster-sender", "postmaster is a sender like any other"),
    _strict(
        "bounce.postmaster-sender",
        "prefix",
        "a sender whose name begins with postmaster is taken for it",
        lambda transaction: transaction.sender.lower().startswith("postmaster-"),
    ),
    _off("bounce.legal", "bounces to senders are refused"),
    _off("bounce.postmaster-legal", "bounces to postmaster are refused"),
    _off("bounce.case-insensitive", "the local part is compared with regard to letter case"),
    _off("bounce.tagged", "a tagged name is not looked up without its tag"),
    *_deny_family("bounce.tag-in-front", "the name behind a tag is looked up"),
    _off("bounce.no-list", "a domain without a list takes every bounce"),
    *_deny_family("bounce.per-domain", "the lists of all domains are one"),
    # dnsbl
    _weak("dnsbl.none", "off", "the message of a client on no list is marked", Treatment(mark=True)),
    *_late_family("dnsbl.one", "one hit has no effect", refuses=False),
    _weak("dnsbl.one", "weak-no-mark", "the message is not marked", DELAY),
    *_late_family("dnsbl.two", "two hits have no effect", refuses=True),
    _quirky("dnsbl.two", "weak-no-text", "the reply does not give the lists' texts"),
    _quirky("dnsbl.two", "weak-one-name", "the reply names one list only"),
    _quirky("dnsbl.group-counts-once", "off", "each zone of a group counts"),
    _quirky("dnsbl.threshold-stops", "off", "all lists are always asked"),
    _quirky("dnsbl.not-before-rcpt", "off", "the lists are asked at connect"),
    _quirky("dnsbl.authenticated-exempt", "off", "accounts are looked up as well"),
    _off("dnsbl.test-point", "the test entry is ignored"),
    _quirky("dnsbl.fail-open", "off", "a list that fails counts as a hit"),
    # greylist
    _off("greylist.first-defer", "an unknown triplet is accepted"),
    _weak("greylist.first-defer", "weak-450", "deferred with 450", Treatment(450, "4.7.1 Later")),
    _weak("greylist.first-defer", "strict-deny", "refused for good", deny("5.7.1 No")),
    _off("greylist.early-retry", "a retry is accepted at once"),
    _off("greylist.retry-accept", "a retry is never accepted"),
    _off("greylist.whitelisted", "a known triplet is deferred again"),
    _off("greylist.expired", "a retry after the time-out is accepted"),
    _off("greylist.lifetime-expiry", "a known triplet stays known for ever"),
    _quirky("greylist.lifetime-extended", "off", "the use of a triplet does not move its expiry on"),
    _quirky("greylist.other-triplet", "off", "a triplet that differs in one part from a known one is known"),
    *(
        _quirky("greylist.other-triplet", f"weak-no-{part}", f"triplets are kept without the {part}")
        for part in ("client", "sender", "recipient")
    ),
    *_deny_family("greylist.blacklisted", "the black list has no effect"),
    _quirky("greylist.host-whitelist", "off", "the host whitelist has no effect"),
    _quirky("greylist.relay-exempt", "off", "relay hosts are greylisted"),
    _quirky("greylist.authenticated-exempt", "off", "accounts are greylisted"),
    _off("greylist.null-not-at-rcpt", "the null sender is deferred at RCPT"),
    _off("greylist.postmaster-at-rcpt", "a postmaster sender is treated as the null sender"),
    _off("greylist.null-at-data", "bounces are not greylisted"),
    _quirky("greylist.null-at-data", "weak-any", "a client that is known for any mail may bounce"),
    _off("greylist.null-blacklisted", "the black list has no effect on bounces"),
    _weak("greylist.null-blacklisted", "weak-4xx", "deferred instead of refused", defer("4.7.1 Later")),
    _quirky("greylist.after-other-checks", "off", "the greylist is asked before the other checks"),
    _quirky("greylist.case", "off", "triplets are compared with regard to letter case"),
    _off("greylist.daemon-down", "mail is refused while the store is out of reach"),
    _quirky("greylist.manual", "off", "entries cannot be removed"),
    # data
    *_deny_family("data.header-syntax", "headers are not looked at"),
    *(
        _quirky("data.header-syntax", f"weak-no-{name}", f"the header {name} is not looked at")
        for name in ("From", "To", "Cc", "Bcc", "Reply-To", "Sender")
    ),
    # tls
    _quirky("tls.starttls-offered", "off", "STARTTLS is not listed"),
    _quirky("tls.starttls-offered", "weak-after", "STARTTLS is still listed under TLS"),
    Mutant(
        "tls.certificate",
        "off",
        "the certificate is for another name",
        lambda policy: policy,
        Flaws(other_name=True),
    ),
    Mutant(
        "tls.certificate",
        "weak-expired",
        "the certificate is expired",
        lambda policy: policy,
        Flaws(expired=True),
    ),
    Mutant(
        "tls.certificate",
        "weak-chain",
        "the intermediate certificate is not sent",
        lambda policy: policy,
        Flaws(without_intermediate=True),
    ),
    _quirky("tls.state-reset", "off", "the greeting is kept over STARTTLS"),
    # auth
    _quirky("auth.only-under-tls", "off", "AUTH is listed in clear text"),
    _quirky("auth.plaintext-refused", "off", "AUTH is taken in clear text"),
    _quirky("auth.plain-initial", "off", "credentials on the same line are not taken"),
    _quirky("auth.plain-prompted", "off", "the prompt is not given"),
    _quirky("auth.plain-prompted", "weak-prompt", "the prompt is not empty"),
    _quirky("auth.wrong-password", "off", "every password of a known name is right"),
    _quirky("auth.unknown-user", "off", "an unknown name is told as such"),
    _quirky("auth.login-not-offered", "off", "LOGIN is listed too"),
    _quirky("auth.from-anywhere", "off", "AUTH is not offered to the relay hosts"),
    # delay
    _quirky("delay.no-early-reject", "off", "after the last held-back reply the connection is closed"),
    # absent
    _quirky("absent.sender-callout", "off", "the sender's mail host is called"),
    _quirky("absent.recipient-callout", "off", "the recipient's mail host is called"),
    _quirky("absent.spf-reject", "off", "a sender is refused by SPF"),
    _quirky("absent.size-limit", "off", "messages over 10 MB are refused"),
    _quirky("absent.mime-checks", "off", "an attached program is refused"),
)
