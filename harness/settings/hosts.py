"""Domain names, addresses, endpoints and mailboxes as people write them: one check for all files.

Each check takes what stands in a file and returns it, or raises `ValueError` with what is wrong and what to
write. What is no string is returned as it is: the type that follows says so.
"""

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator, PlainValidator, StringConstraints

from harness.settings.notation import written

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LISTINGS = ipaddress.IPv4Network("127.0.0.0/8")  # where the answers of block lists lie (RFC 5782 §2.1)

LONGEST_NAME = 253  # octets (RFC 1035 §3.1: 255 on the wire)
LONGEST_LABEL = 63
LONGEST_LOCAL_PART = 64  # octets (RFC 5321 §4.5.3.1.1)
SHOWN = 60  # characters of a wrong value in an error

LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?")
# RFC 5321 §4.1.2; dots may stand anywhere, as they do in addresses that are in use.
LOCAL_PART = re.compile(r"""[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+|"([ !#-\[\]-~]|\\[ -~])*\"""")
LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]")  # in place of a domain (RFC 5321 §4.1.3)
ENDPOINT = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<plain>[^\[\]:]*)):(?P<port>[0-9]{1,5})")


def shown(value: str) -> str:
    """A wrong value in an error: quoted, escaped, and not too long."""
    return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}…"


def domain_name(value: object) -> object:
    """A domain name without the final dot (RFC 1035 §2.3.4); raises `ValueError`."""
    if not isinstance(value, str):
        return value
    if not value:
        raise ValueError("is empty; write a domain name, such as mail.example.org")
    if wrong := _wrong_name(value):
        raise ValueError(f"{shown(value)} {wrong}")
    return value


def _wrong_name(value: str) -> str:
    """Why a text is no domain name; empty when it is one."""
    if unprintable := _unprintable(value):
        return unprintable
    if "@" in value:
        return "is a mail address; write the domain alone"
    if len(value) > 4 * LONGEST_NAME or (value.isascii() and len(value.removesuffix(".")) > LONGEST_NAME):
        return f"has {len(value)} characters, and a domain name has at most {LONGEST_NAME}"
    if not value.isascii():
        written = _xn(value)
        return f"is not ASCII; write {written!r}" if written else "is not ASCII; write its xn-- form"
    if value.endswith(".") and value.strip("."):
        return f"ends in a dot; write {value.rstrip('.')!r}"
    labels = value.split(".")
    if not all(labels):
        return "has an empty label; write one dot between two labels, and none in front"
    long = max(labels, key=len)
    if len(long) > LONGEST_LABEL:
        return f"has a label of {len(long)} octets; at most {LONGEST_LABEL} fit"
    if odd := next((label for label in labels if not LABEL.fullmatch(label)), ""):
        return f"has the label {odd!r}; a label is made of letters, digits and hyphens within"
    return "is no name but an address; write the name" if labels[-1].isdigit() else ""


def _xn(name: str) -> str:
    """An international name as DNS has it; empty when it has no such form."""
    try:
        written = name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return "" if _wrong_name(written) else written


def _unprintable(value: str) -> str:
    if any(character.isspace() for character in value):
        return "has a blank or a line end; leave it out"
    return "" if value.isprintable() else "has a character that does not print; leave it out"


def is_domain_name(text: str) -> bool:
    """Whether a text, which anybody may have sent, is a domain name."""
    return bool(text) and not _wrong_name(text)


def local_part(value: object) -> object:
    """What stands before the @ of a mail address (RFC 5321 §4.1.2); raises `ValueError`."""
    if not isinstance(value, str):
        return value
    if not LOCAL_PART.fullmatch(value):
        why = "" if value.startswith('"') else _unprintable(value)
        wrong = why or "is no local part; write what stands before the @, such as ann"
        raise ValueError(f"{shown(value)} {wrong}")
    if len(value) > LONGEST_LOCAL_PART:
        raise ValueError(
            f"{shown(value)} has {len(value)} octets, and a local part at most {LONGEST_LOCAL_PART}"
        )
    return value


def mail_address(value: object) -> object:
    """A whole mail address, its domain in lower case; raises `ValueError`."""
    if not isinstance(value, str):
        return value
    name, _, domain = value.rpartition("@")
    if not (name and domain):
        raise ValueError(f"{shown(value)} is no mail address; write it whole, as ann@example.org")
    literal = LITERAL.fullmatch(domain)
    try:
        local_part(name)
        ip_address(literal[1]) if literal else domain_name(domain)
    except ValueError as error:
        raise ValueError(f"{shown(value)} is no mail address: {error}") from None
    return value if literal else f"{name}@{domain.lower()}"


def target(value: object) -> object:
    """Where an alias leads to: a local part of its own domain, or a whole address; raises `ValueError`."""
    if not isinstance(value, str):
        return value
    try:
        return value if LOCAL_PART.fullmatch(value) else mail_address(value)
    except ValueError:
        raise ValueError(
            f"leads to {shown(value)}; name a local part of this domain, or a whole address without < > and "
            "words beside it"
        ) from None


def ip_address(value: object) -> object:
    """An IPv4 or IPv6 address in its usual form; raises `ValueError`."""
    if not isinstance(value, str):
        return value
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(
            f"{shown(value)} is no IP address; write it in numbers, as 127.0.0.1 or ::1, and no name"
        ) from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise ValueError(
            f"{shown(value)} has a zone, which means something to one host only; write an address without %"
        )
    return str(address)


def endpoint(value: str, lowest: int = 0) -> tuple[str, int]:
    """An address and a port from `lowest` on, as `127.0.0.1:5353` or `[::1]:5353`; raises `ValueError`."""
    match = ENDPOINT.fullmatch(value)
    if match is None:
        raise ValueError(f"{shown(value)} is no address and port; write 127.0.0.1:5353 or [::1]:5353")
    address = str(ip_address(match["plain"] if match["literal"] is None else match["literal"]))
    port = int(match["port"])
    if not lowest <= port <= 65535:
        raise ValueError(f"{shown(value)} has no port from {lowest} to 65535; write 127.0.0.1:5353")
    if (":" in address) != (match["literal"] is not None):
        raise ValueError(f"{shown(value)}: only an IPv6 address stands in brackets; write 127.0.0.1:5353")
    return address, port


def endpoint_text(address: str, port: int) -> str:
    """The form that `endpoint` reads."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoint_to_call(value: str) -> tuple[str, int]:
    return endpoint(value, lowest=1)


def as_network(value: object, example: str) -> Network:
    """A network, or an address for a network of one; raises `ValueError`, whose mend is the example."""
    if isinstance(value, Network):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, such as {example}")
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        wrong = "is an address within a network" if "host bits" in str(error) else "is no network"
        raise ValueError(f"{shown(value)} {wrong}; write an address or a network such as {example}") from None


def list_answer(value: object) -> ipaddress.IPv4Network:
    """What a block list answers: addresses in 127.0.0.0/8 (RFC 5782 §2.1); raises `ValueError`."""
    found = as_network(value, "127.0.0.4/30")
    if not isinstance(found, ipaddress.IPv4Network) or not found.subnet_of(LISTINGS):
        raise ValueError(f"{value} is not in {LISTINGS}, where the answers of block lists lie (RFC 5782 2.1)")
    return found


def twice(names: list[str]) -> str:
    """The first name that is there twice, in whatever letter case; empty when none is."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            return name
        seen.add(name.lower())
    return ""


DomainName = Annotated[str, BeforeValidator(domain_name)]
LowerName = Annotated[DomainName, StringConstraints(to_lower=True)]  # where it is compared with others
LocalPart = Annotated[str, BeforeValidator(local_part)]
MailAddress = Annotated[str, BeforeValidator(mail_address)]
Target = Annotated[str, BeforeValidator(target)]
Address = Annotated[str, BeforeValidator(ip_address)]
Endpoint = Annotated[tuple[str, int], written(tuple, endpoint)]
EndpointToCall = Annotated[tuple[str, int], written(tuple, _endpoint_to_call)]
ListAnswer = Annotated[ipaddress.IPv4Network, PlainValidator(list_answer)]
