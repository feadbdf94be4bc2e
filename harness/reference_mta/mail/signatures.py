"""DKIM signatures (RFC 6376, RFC 8463), by dkimpy; what it leaves open is decided here.

It looks for keys itself, with the host's resolver, and finds the b tag of a signature by a pattern that takes
other text for one, and misses some: so its parts are put together here, for keys fetched before. Its patterns
take time that is quadratic in the folds of a field, in runs of white space and in the length of a
key: what no signer writes does not reach it.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

import dkim
from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError
from dkim.crypto import RSASSA_PKCS1_v1_5_verify
from dkim.util import parse_tag_value
from nacl.exceptions import BadSignatureError

from harness.reference_mta.mail.header import parted

MOST = 5  # signatures of a message that are looked at
LARGEST_HEADER = 100 * 1024  # bytes of a header section, as Postfix has it for one field
MOST_LINES = 2000  # of a header section
LONGEST = 8192  # bytes of a signature
SPREAD = re.compile(rb"\s{101}")  # more white space than a fold of a signature has
SHORTEST_KEY = 1024  # bits of an RSA key (RFC 8301 §3.2)
LONGEST_KEY = 1000  # characters in base64; 4096 bits, the most that have to do (RFC 8301 §3.2), are 736
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
    result: str = ""  # pass, fail, neutral, permerror or temperror; empty while it is open
    reason: str = ""
    testing: bool = False  # whether the key says that nothing shall hang on it (RFC 6376 §3.6.1, t=y)

    @property
    def key_name(self) -> str:
        """Where DNS has the key (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


def read(content: bytes) -> list[Signature]:
    """The signatures of a message, those that cannot be read with their result already.

    Those that are too many to be looked at are one, which is neutral.
    """
    header = parted(content)[0]
    if b"dkim-signature" not in header.lower():
        return []
    if len(header) > LARGEST_HEADER or header.count(b"\r\n") > MOST_LINES:
        return [Signature(0, result="permerror", reason="the header section is too large")]
    try:
        parser = dkim.DKIM(header)
    except Exception as error:  # noqa: BLE001 - strangers wrote it, and the parser raises whatever it meets
        return [_unusable(Signature(0), error)]
    fields = [field for name, field in parser.headers if name.lower() == b"dkim-signature"]
    found = [_read_one(index, field) for index, field in enumerate(fields[:MOST])]
    if len(fields) > MOST:
        found.append(Signature(MOST, result="neutral", reason=f"only {MOST} signatures are looked at"))
    return found


def verify(content: bytes, signature: Signature, key: str) -> Signature:
    """The signature with its result, by the text of its key record."""
    record = key.encode("utf-8", "surrogateescape")
    try:
        tags = {name: b"".join(value.split()).lower() for name, value in parse_tag_value(record).items()}
        signature = replace(signature, testing=b"y" in tags.get(b"t", b"").split(b":"))
        fault = _fault_of_key(signature, tags)
        if fault:
            return replace(signature, result="permerror", reason=fault)
        reason = _falsehood(content, signature, _for_any_service(record))
    except Exception as error:  # noqa: BLE001 - as above
        return _unusable(signature, error)
    return _false(signature, reason) if reason else replace(signature, result="pass")


def _falsehood(content: bytes, signature: Signature, record: bytes) -> str:
    """Why a signature is not that of the message and the key; empty when it is (RFC 6376 §6.1.3)."""
    header, body = parted(content)
    fields = dkim.DKIM(header).headers
    places = [place for place, (name, _) in enumerate(fields) if name.lower() == b"dkim-signature"]
    name, field = fields.pop(places[signature.index])  # it does not sign itself, whatever h says (§5.4)
    tags, names, form = _prepared(field)
    body = form.canonicalize_body(_squeezed(body) if signature.canonical.endswith("/relaxed") else body)
    length = int(tags.get(b"l", len(body)))
    if length > len(body):
        raise dkim.MessageFormatError("l= is larger than the body")  # §3.5
    key, bits, kind, _ = dkim.evaluate_pk(signature.key_name, record)
    if hashlib.sha256(body[:length]).digest() != base64.b64decode(tags[b"bh"]):
        return "body hash mismatch"
    signed = dkim.select_headers(form.canonicalize_headers(fields), [*names, b"from"])  # and no other From
    ((name, field),) = form.canonicalize_headers([(name, _blanked(field))])
    text = b"".join(b":".join(one) for one in [*signed, (name, field.removesuffix(b"\r\n"))])
    if not _signs(key, kind, base64.b64decode(tags[b"b"]), text):
        return "the signature is not that of the key"
    if kind == b"rsa" and bits < SHORTEST_KEY:
        raise dkim.KeyFormatError(f"public key too small: {bits}")
    return ""


def _signs(key: Any, kind: bytes, signature: bytes, text: bytes) -> bool:
    """Whether the key has signed the text, or rather its hash (RFC 8463 §3)."""
    hashed = hashlib.sha256(text)
    if kind == b"rsa":
        return bool(RSASSA_PKCS1_v1_5_verify(hashed, signature, key))
    try:
        key.verify(hashed.digest(), signature)
    except BadSignatureError:
        return False
    return True


def _blanked(field: bytes) -> bytes:
    """The signature as it was signed: without the value of b and the white space around it (§3.5, §3.7)."""
    tags = [tag.partition(b"=") for tag in field.split(b";")]
    return b";".join(name + sign + (b"" if name.strip() == b"b" else value) for name, sign, value in tags)


def _squeezed(body: bytes) -> bytes:
    """The body with single blanks for white space: the relaxed form of both is one (RFC 6376 §3.4.4)."""
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    return body


def _read_one(index: int, field: bytes) -> Signature:
    if len(field) > LONGEST or SPREAD.search(field):
        return Signature(index, result="permerror", reason="the signature is too long")
    try:
        tags, _, _ = _prepared(field)
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


def _prepared(field: bytes) -> tuple[dict[bytes, bytes], list[bytes], CanonicalizationPolicy]:
    """The tags of a signature that may count, the names of the fields that it signs, and its canonical form.

    dkimpy takes q for one word; it is a list, of which what is not known does not matter (RFC 6376 §3.5).
    """
    tags = parse_tag_value(field)
    ways = b"".join(tags.get(b"q", b"").split()).lower().split(b":")
    dkim.validate_signature_fields({**tags, b"q": b"dns/txt"} if b"dns/txt" in ways else tags)
    names = [name.strip().lower() for name in tags[b"h"].split(b":")]
    if b"from" not in names:
        raise dkim.ValidationError("From is not signed")  # §6.1.1
    try:
        return tags, names, CanonicalizationPolicy.from_c_value(tags.get(b"c"))
    except InvalidCanonicalizationPolicyError as error:
        raise dkim.MessageFormatError("c= is not known") from error


def _fault_of_key(signature: Signature, tags: dict[bytes, bytes]) -> str:
    """Why a key cannot be used for the signature; empty when it can (RFC 6376 §3.6.1)."""
    if not tags.get(b"p"):
        return "the key is revoked" if b"p" in tags else "the record has no key"
    if len(tags[b"p"]) > LONGEST_KEY:
        return "the key is too long"
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


def _for_any_service(record: bytes) -> bytes:
    """The key record without its s tag, of which dkimpy does not know that it is a list (RFC 6376 §3.6.1)."""
    return b";".join(tag for tag in record.split(b";") if tag.partition(b"=")[0].strip() != b"s")


def _false(signature: Signature, reason: str) -> Signature:
    reason += ", of a domain that is testing" if signature.testing else ""
    return replace(signature, result="fail", reason=reason)


def _unusable(signature: Signature, error: Exception) -> Signature:
    return replace(signature, result="permerror", reason=_first_words(error))


def _first_words(error: Exception) -> str:
    return str(error).partition("(")[0].strip()[:120] or type(error).__name__
