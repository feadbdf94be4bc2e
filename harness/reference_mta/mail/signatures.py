"""DKIM signatures (RFC 6376, RFC 8463), by dkimpy; what it leaves open is decided here.

It looks for keys itself, with the host's resolver, unless it is handed them: they are fetched before.
"""

from dataclasses import dataclass, replace

import dkim
from dkim.util import parse_tag_value

MOST = 5  # signatures of a message that are looked at
SHORTEST_KEY = 1024  # bits of an RSA key (RFC 8301 §3.2)
KEY_TYPES = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}  # rsa-sha1 is none any more (RFC 8301 §3.1)


@dataclass(frozen=True)
class Signature:
    """One signature: whose it is, where its key lies, and what it came to (RFC 8601 §2.7.1)."""

    index: int
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    identity: str = ""
    canonical: str = ""
    value: str = ""
    result: str = ""  # pass, fail, permerror or temperror; empty while it is open
    reason: str = ""

    @property
    def key_name(self) -> str:
        """Where DNS has the key (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


def read(content: bytes) -> list[Signature]:
    """The signatures of a message, those that cannot be read with their result already."""
    try:
        headers = dkim.DKIM(content).headers
    except Exception as error:  # noqa: BLE001 - strangers wrote it, and the parser raises whatever it meets
        return [] if b"dkim-signature" not in content.lower() else [_unusable(Signature(0), error)]
    count = sum(name.lower() == b"dkim-signature" for name, _ in headers)
    return [_read_one(content, index) for index in range(min(count, MOST))]


def verify(content: bytes, signature: Signature, key: str) -> Signature:
    """The signature with its result, by the text of its key record."""
    record = key.encode("utf-8", "surrogateescape")
    try:
        fault = _fault_of_key(signature, record)
        if fault:
            return replace(signature, result="permerror", reason=fault)
        dkim.evaluate_pk(signature.key_name, record)  # which `verify` takes for a false signature
        verifier = dkim.DKIM(content, minkey=SHORTEST_KEY)
        good = verifier.verify(signature.index, dnsfunc=lambda name, timeout: record)
    except dkim.ValidationError as error:  # what is wrong with the signature itself was found by `read`
        return replace(signature, result="fail", reason=_first_words(error))
    except Exception as error:  # noqa: BLE001 - as above
        return _unusable(signature, error)
    if good:
        return replace(signature, result="pass")
    return replace(signature, result="fail", reason="the signature is not that of the key")


def _read_one(content: bytes, index: int) -> Signature:
    try:
        tags, _, _ = dkim.DKIM(content).verify_headerprep(index)
    except Exception as error:  # noqa: BLE001 - as above
        return _unusable(Signature(index), error)
    words = {
        name.decode("ascii"): b"".join(value.split()).decode("ascii", "replace")
        for name, value in tags.items()
        if name.isascii()
    }
    found = Signature(
        index,
        domain=words["d"],
        selector=words["s"],
        algorithm=words["a"].lower(),
        identity=words.get("i", f"@{words['d']}"),
        canonical=words.get("c", "simple/simple"),
        value=words["b"],
    )
    if found.algorithm not in KEY_TYPES:
        return replace(found, result="permerror", reason=f"{found.algorithm} is no algorithm that counts")
    return found


def _fault_of_key(signature: Signature, record: bytes) -> str:
    """Why a key cannot be used for the signature; empty when it can (RFC 6376 §3.6.1)."""
    tags = {name: b"".join(value.split()).lower() for name, value in parse_tag_value(record).items()}
    if not tags.get(b"p"):
        return "the key is revoked" if b"p" in tags else "the record has no key"
    if tags.get(b"k", b"rsa").decode("ascii", "replace") != KEY_TYPES[signature.algorithm]:
        return "the key is of another kind"
    if b"h" in tags and b"sha256" not in tags[b"h"].split(b":"):
        return "the key is not for sha256"
    if b"s" in tags and not {b"*", b"email"} & set(tags[b"s"].split(b":")):
        return "the key is not for mail"
    strict = b"s" in tags.get(b"t", b"").split(b":")
    if strict and signature.identity.rpartition("@")[2].lower() != signature.domain.lower():
        return "the key is not for subdomains"
    return ""


def _unusable(signature: Signature, error: Exception) -> Signature:
    return replace(signature, result="permerror", reason=_first_words(error))


def _first_words(error: Exception) -> str:
    return str(error).partition("(")[0].strip()[:120] or type(error).__name__
