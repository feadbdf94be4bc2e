"""The scripted name server: answers what a scenario publishes, misbehaves as told, remembers every query.

    dns = FakeDns()
    dns.publish("mx7.k3.example", "A", "198.18.0.7")
    dns.script("mx7.k3.example", "AAAA", NoAnswer())
    with DnsServer(dns) as server:
        ...  # let something resolve through server.addresses[0]
    dns.queries(under="k3.example")

It never forwards: a name that nobody published does not exist.
"""

from fake_dns.behaviour import (
    Answer,
    Behaviour,
    FormErr,
    Lame,
    Late,
    NoAnswer,
    NxDomain,
    Published,
    Refused,
    Sequence,
    ServFail,
    Step,
    Truncated,
    WrongId,
)
from fake_dns.dns import FakeDns
from fake_dns.dnsbl import listing_name
from fake_dns.listening import DnsServerError
from fake_dns.log import QueryEntry
from fake_dns.names import RecordError, reverse_name
from fake_dns.server import DnsServer
from fake_dns.zonefile import ZoneFileError, load_block_list, load_zone_file

__all__ = [
    "Answer",
    "Behaviour",
    "DnsServer",
    "DnsServerError",
    "FakeDns",
    "FormErr",
    "Lame",
    "Late",
    "NoAnswer",
    "NxDomain",
    "Published",
    "QueryEntry",
    "RecordError",
    "Refused",
    "Sequence",
    "ServFail",
    "Step",
    "Truncated",
    "WrongId",
    "ZoneFileError",
    "listing_name",
    "load_block_list",
    "load_zone_file",
    "reverse_name",
]
