"""The values of a configuration: addresses, networks, password hashes; a wrong one is told with its mend."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from harness import settings
from harness.reference_mta.domains import LABEL
from harness.reference_mta.passwords import is_hash
from harness.secret import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WIDEST = {4: 8, 6: 32}  # shorter prefixes make an open relay
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # all of IPv4 in an IPv6 network that looks narrow
LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")  # where the answers of block lists lie (RFC 5782 §2.1)


def _address(value: object) -> object:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError(f"{value!r} is no IP address; write it in numbers, as 127.0.0.1") from None


def _network(value: object) -> object:
    try:
        network = ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an address or a network such as 203.0.113.0/24") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(MAPPED):
        raise ValueError(f"{value} stands for IPv4 addresses; write them as such, 203.0.113.0/24")
    if network.prefixlen < WIDEST[network.version]:
        raise ValueError(
            f"{value} is so wide that the server would be an open relay; name networks of "
            f"/{WIDEST[4]} (IPv4) or /{WIDEST[6]} (IPv6) at most"
        )
    return network


def _endpoint(value: object) -> object:
    host, separator, port = str(value).rpartition(":")
    try:
        address, number = str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise ValueError(f"{value!r} is no address and port; write 127.0.0.1:53") from None
    if not separator or not 0 < number < 65536:
        raise ValueError(f"{value!r} has no port from 1 to 65535")
    return (address, number)


def _hash(value: Secret) -> Secret:
    if not is_hash(value.reveal()):
        raise ValueError("is no password hash; make one with: smtp-harness mta hash-password")
    return value


def _list_answer(value: object) -> object:
    try:
        network = ipaddress.IPv4Network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an address or a network such as 127.0.0.4/30") from None
    if not network.subnet_of(LOOPBACK):
        raise ValueError(f"{value} is not in {LOOPBACK}, where the answers of block lists lie")
    return network


Address = Annotated[str, BeforeValidator(_address)]
RelayNetwork = Annotated[Network, BeforeValidator(_network)]
ListAnswer = Annotated[ipaddress.IPv4Network, BeforeValidator(_list_answer)]
Endpoint = Annotated[tuple[str, int], BeforeValidator(_endpoint)]
PasswordHash = Annotated[settings.SecretText, AfterValidator(_hash)]
CertificateName = Annotated[str, Field(pattern=rf"^(\*\.)?{LABEL}(\.{LABEL})*$", max_length=253)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]
