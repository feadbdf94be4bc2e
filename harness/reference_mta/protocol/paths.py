"""Paths and mailboxes of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3), read by the grammar alone.

What comes out is in the form that the grammar prefers: a local part has quotes only where it needs them,
since `"a"@x.example` and `a@x.example` are one mailbox.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass, replace

LONGEST_PATH = 320  # bytes of a mailbox; RFC 5321 §4.5.3.1.3 asks for 256 with the brackets
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"'
_LABEL = r"[A-Za-z0-9\u0080-\U0010ffff]+(?:-+[A-Za-z0-9\u0080-\U0010ffff]+)*"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL = r"\[[!-Z^-~]+\]"
_LOOSE = rf"\.?{_DOT_STRING}(?:@{_DOT_STRING})*"
_ROUTE = re.compile(rf"@{_DOMAIN}(?:,@{_DOMAIN})*:")
_MAILBOX = re.compile(rf"(?P<local>{_DOT_STRING}|{_QUOTED})@(?P<domain>{_DOMAIN}|{_LITERAL})")
_ALMOST = re.compile(rf"(?P<local>{_LOOSE})@(?P<domain>{_DOMAIN}|{_LITERAL})")
_IN_QUOTES = re.compile(rf"[^>\"]*(?:{_QUOTED}[^>\"]*)*>")
_ANY_LOCAL = re.compile(rf"{_DOT_STRING}|{_QUOTED}")
_ALMOST_LOCAL = re.compile(_LOOSE)
_PLAIN = re.compile(_DOT_STRING)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
POSTMASTER = "postmaster"


@dataclass(frozen=True)
class Path:
    """A path; both parts are empty for the null path, the domain for a bare postmaster."""

    local_part: str
    domain: str
    routed: bool = False  # it had a source route, which is left out (RFC 5321 appendix C)
    almost: bool = False  # the grammar has no such local part, see `read_path`

    @property
    def is_ascii(self) -> bool:
        """Whether it can be written without SMTPUTF8."""
        return self.local_part.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        """The address as in an envelope."""
        return f"{self.local_part}@{self.domain}" if self.domain else self.local_part


NULL = Path("", "")


def read_path(text: str, *, almost: bool = False) -> tuple[Path, str] | None:
    """The path that a text begins with, and what is behind it; None when it begins with none.

    With `almost` a dot in front of the local part and further at signs in it are let through and noted:
    whoever has rules of his own about them (wiki 286–289) cannot apply them to what he never hears of.
    """
    if not text.startswith("<"):
        return None
    end = _IN_QUOTES.match(text, 1)
    if end is None:
        return None
    inner, rest = text[1 : end.end() - 1], text[end.end() :]
    if rest and not rest.startswith(" "):
        return None
    if not inner:
        return NULL, rest
    if not inner.isprintable() or len(inner.encode()) > LONGEST_PATH:
        return None
    route = _ROUTE.match(inner)
    path = _read_mailbox(inner[route.end() :] if route else inner, routed=bool(route), almost=almost)
    return (path, rest) if path else None


def in_one_form(path: Path) -> Path | None:
    """The path in the one form that all of its spellings have; None where it has none.

    The domain is as DNS has it (A-labels, RFC 5890), the local part in normalization form C (RFC 6530 §10.1),
    and then still one by the grammar. A domain has to be spelled in that form, letter case aside: one that
    has to be mapped, such as letters of full width, may be another one to others.
    """
    if path.is_ascii:
        return path
    local_part = unicodedata.normalize("NFC", path.local_part)
    domain = path.domain if path.domain.isascii() else _for_dns(path.domain)
    grammar = _ANY_LOCAL if not path.almost else _ALMOST_LOCAL
    if domain is None or not grammar.fullmatch(local_part):
        return None
    return replace(path, local_part=local_part, domain=domain)


def _for_dns(domain: str) -> str | None:
    """The A-labels of a domain; Python's encoding, that of RFC 3490, maps some of what RFC 5891 refuses."""
    labels = []
    for label in domain.split("."):
        try:
            encoded = label.encode("idna")
            plain = label.isascii() or encoded.decode("idna") == unicodedata.normalize("NFC", label).lower()
        except UnicodeError:
            return None
        if not plain:
            return None
        labels.append(encoded.decode("ascii"))
    return ".".join(labels)


def read_mailbox(text: str) -> Path | None:
    """A mailbox by the grammar, without brackets; None when it is none."""
    return _read_mailbox(text, routed=False, almost=False)


def _read_mailbox(text: str, *, routed: bool, almost: bool) -> Path | None:
    if text.lower() == POSTMASTER:  # the one name that needs no domain (RFC 5321 §4.5.1)
        return None if routed else Path(text, "")
    found = _MAILBOX.fullmatch(text)
    loose = None if found or not almost else _ALMOST.fullmatch(text)
    match = found or loose
    if match is None or not _is_domain(match["domain"]):
        return None
    return Path(_shortest(match["local"]), match["domain"], routed, loose is not None)


def _shortest(local_part: str) -> str:
    """The same local part without quotes, or quoted pairs, that it does not need."""
    if not local_part.startswith('"'):
        return local_part
    content = _PAIR.sub(r"\1", local_part[1:-1])
    if _PLAIN.fullmatch(content):
        return content
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_domain(domain: str) -> bool:
    """Whether a literal holds an address (RFC 5321 §4.1.3, where no other tag is registered)."""
    if not domain.startswith("["):
        return True
    content = domain[1:-1]
    if content[:5].lower() == "ipv6:":
        return _is_address(content[5:], 6)
    return _is_address(content, 4)


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
