"""What stands for the client in a triplet: its address, its network, or the domain of its host name."""

import ipaddress

from harness.reference_mta.tables.policy import Unit

PREFIX = {4: 24, 6: 64}  # of the network of an address


def unit_of(unit: Unit, address: str, host_name: str) -> str:
    """The first part of a client's triplets; `host_name` is the confirmed one, or empty.

    A host name of more than two labels counts without the first one; who has no name is known by its address.
    """
    match unit:
        case "network":
            prefix = PREFIX[ipaddress.ip_address(address).version]
            return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
        case "host" if host_name:
            name = host_name.lower().rstrip(".")
            return name.partition(".")[2] if name.count(".") > 1 else name
    return address


def unit_named(unit: Unit, text: str) -> str:
    """The unit that an operator means: an address, or a unit as lists show it.

    Of hosts only DNS knows the name: with that unit an address stands for itself. Raises `ValueError`.
    """
    try:
        return unit_of(unit, str(ipaddress.ip_address(text)), "")
    except ValueError:
        if unit == "address":
            raise
    return str(ipaddress.ip_network(text)) if unit == "network" else text.lower()
