"""The values of a configuration that only it has: relay networks, password hashes, names on certificates."""

import ipaddress
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator

from harness import settings
from harness.reference_mta.protocol.paths import in_one_form, read_mailbox
from harness.reference_mta.verifiers import Account
from harness.settings import hosts
from harness.settings.hosts import Network
from harness.settings.secret import Secret

WIDEST = {4: 8, 6: 32}  # shorter prefixes make an open relay
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # all of IPv4 in an IPv6 network that looks narrow


def _network(value: object) -> Network:
    network = hosts.as_network(value, "203.0.113.0/24")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(MAPPED):
        raise ValueError(f"{value} stands for IPv4 addresses; write them as such, 203.0.113.0/24")
    if network.prefixlen < WIDEST[network.version]:
        raise ValueError(
            f"{value} is so wide that the server would be an open relay; name networks of "
            f"/{WIDEST[4]} (IPv4) or /{WIDEST[6]} (IPv6) at most"
        )
    return network


def _mailbox_name(value: object) -> object:
    """A local part, beyond ASCII in the form that those of envelopes have (RFC 6531)."""
    if not isinstance(value, str) or value.isascii():
        return hosts.local_part(value)
    path = read_mailbox(f"{value}@localhost") if value.isprintable() else None
    found = in_one_form(path) if path else None
    if found is None:
        raise ValueError(
            f"{hosts.shown(value)} is no local part; write what stands before the @, such as ann"
        )
    return found.local_part


def _account(value: object) -> Account:
    """One hash, or several of different kinds; no error shows one."""
    if isinstance(value, Account):
        return value
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("must be a password hash in quotes, or a list of them")
    return Account.of(*map(Secret, texts))


def _certificate_name(value: object) -> object:
    """A domain name, or all names right below one: `*.example.org`."""
    if isinstance(value, str):
        hosts.domain_name(value.removeprefix("*."))
    return value


ClientNetwork = Annotated[Network, PlainValidator(_network)]
KnownBy = Annotated[Account, PlainValidator(_account), settings.UNSHOWN]
CertificateName = Annotated[str, BeforeValidator(_certificate_name)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]
MailboxName = Annotated[str, BeforeValidator(_mailbox_name)]
