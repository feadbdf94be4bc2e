"""What the server says of itself: greeting, keywords, certificate; for the report and for compare."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness.results.model import ServerFacts
from harness.runs.evidence import neutral
from harness.runs.run import Run
from harness.smtp.session import TlsFacts
from harness.verdicts import InconclusiveError
from harness.world.client import Client

LOOKS = 2  # at a server


@dataclass(frozen=True)
class _Look:
    """What one connection showed."""

    facts: ServerFacts
    ehlo: str  # the text of the reply to EHLO, in clear
    lost: bool  # whether it ended for no reason that a reply gives


def server_facts(run: Run) -> ServerFacts:
    """Look at the server, in clear text and under TLS where offered; what it does not say stays empty.

    It is asked on two connections: what is another each time (a joke, an id, a certificate made for the
    moment) says nothing about the server, and is named as varying.
    """
    client = run.observer(run.world())
    with run.threads(LOOKS, "server_facts") as pool:
        looks = [*pool.map(lambda _: _look(run, client), range(LOOKS))]
    whole = [look for look in looks if not look.lost]
    if len(whole) < LOOKS:
        return (whole or looks)[0].facts
    first, second = whole
    return replace(first.facts, varying=tuple(_varying(first, second)))


def _look(run: Run, client: Client) -> _Look:
    try:
        return _look_by(run, client)
    except InconclusiveError:  # the baseline tells why
        return _Look(ServerFacts("", (), (), {}), "", lost=True)


def _look_by(run: Run, client: Client) -> _Look:
    with client.conversation("server_facts") as talk:
        greeting = talk.connect()
        clear = talk.ehlo(client.host)
        keywords, keywords_tls = clear.keywords, {}
        tls: dict[str, str] = {}
        if "STARTTLS" in keywords:
            talk.starttls(client.tls_context(), run.sut.hostname)
            if talk.session.tls:
                tls = describe(talk.session.tls)
                keywords_tls = talk.ehlo(client.host).keywords
        talk.quit()
    facts = ServerFacts(
        greeting=neutral(greeting.text, client),
        keywords=_spelled(keywords),
        keywords_tls=_spelled(keywords_tls),
        tls=tls,
    )
    return _Look(facts, neutral(clear.text, client), bool(talk.lost))


def _varying(first: _Look, second: _Look) -> Iterator[str]:
    """The names of what two connections showed differently."""
    one, other = first.facts, second.facts
    if one.greeting != other.greeting:
        yield "greeting"
    if first.ehlo != second.ehlo:
        yield "ehlo"
    for key, words in (
        ("keywords", {*one.keywords} ^ {*other.keywords}),
        ("keywords_tls", {*one.keywords_tls} ^ {*other.keywords_tls}),
    ):
        yield from (f"{key}.{name}" for name in sorted({word.partition(" ")[0] for word in words}))
    for fact in dict.fromkeys((*one.tls, *other.tls)):
        if one.tls.get(fact) != other.tls.get(fact):
            yield f"tls.{fact}"


def describe(facts: TlsFacts) -> dict[str, str]:
    """The TLS facts of a session in words; the certificate's only when it can be read."""
    words = {"version": facts.version, "cipher": facts.cipher}
    if not facts.chain:
        return words
    try:
        certificate = x509.load_der_x509_certificate(facts.chain[0])
    except ValueError as error:
        return words | {"certificate": f"cannot be read: {error}"}
    return words | {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": ", ".join(_names(certificate)),
        "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "key": _key(certificate),
        "fingerprint": hashlib.sha256(facts.chain[0]).hexdigest(),
    }


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__


def _spelled(keywords: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name} {parameters}".strip() for name, parameters in sorted(keywords.items()))
