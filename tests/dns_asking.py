"""How the tests ask a `FakeDns`, without sockets or over real ones; dnslib reads the replies."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dnslib as untyped

from fake_dns import FakeDns, Late, NoAnswer, ServFail, Truncated, WrongId
from fake_dns.answer import Transport

dnslib: Any = untyped
HOST = "mx7.k3.example"
PATIENCE = 5.0  # seconds for a reply that must come


@dataclass
class Question:
    """A query to be sent."""

    name: str
    type: str = "A"
    edns: int | None = None  # octets of UDP payload that are offered
    edns_version: int = 0
    dnssec_ok: bool = False
    qclass: str = "IN"
    id: int = 4711

    def packet(self) -> bytes:
        query = dnslib.DNSRecord(dnslib.DNSHeader(id=self.id, rd=1))
        query.add_question(
            dnslib.DNSQuestion(
                self.name, getattr(dnslib.QTYPE, self.type), getattr(dnslib.CLASS, self.qclass)
            )
        )
        if self.edns is not None:
            flags = "do" if self.dnssec_ok else ""
            query.add_ar(dnslib.EDNS0(udp_len=self.edns, version=self.edns_version, flags=flags))
        return bytes(query.pack())


GOOD = Question(HOST)


def ask(dns: FakeDns, question: Question, transport: Transport = Transport.UDP) -> Any:
    """The reply to a question, no socket involved."""
    return parse(ask_raw(dns, question.packet(), transport))


def parse(packet: bytes) -> Any:
    """A `dnslib.DNSRecord`."""
    return dnslib.DNSRecord.parse(packet)


def ask_raw(dns: FakeDns, packet: bytes, transport: Transport = Transport.UDP) -> bytes:
    reply = dns.respond(packet, "127.0.0.1", transport).packet(packet[:2])
    assert reply is not None
    return reply


def answers(dns: FakeDns, name: str, record_type: str = "A") -> list[str]:
    """The data of the answer section, as dnslib shows it."""
    return [str(record.rdata) for record in ask(dns, Question(name, record_type)).rr]


def rcode(reply: Any) -> str:
    return str(dnslib.RCODE[reply.header.rcode])


def result(dns: FakeDns, name: str, record_type: str = "A") -> str:
    """The reply code, NODATA for a positive one without an answer."""
    reply = ask(dns, Question(name, record_type))
    return "NODATA" if rcode(reply) == "NOERROR" and not reply.rr else rcode(reply)


def udp_exchange(address: tuple[str, int], packet: bytes, timeout: float = PATIENCE) -> bytes:
    """Send one datagram, return the next; raises `TimeoutError`."""
    with udp_socket(address, timeout) as sock:
        sock.send(packet)
        return sock.recv(65535)


def udp_socket(address: tuple[str, int], timeout: float = PATIENCE) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect(address)
    return sock


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


def read_framed(sock: socket.socket) -> bytes:
    """One reply from a TCP connection; raises `EOFError` when the server closed it."""
    return read_exactly(sock, int.from_bytes(read_exactly(sock, 2), "big"))


def read_exactly(sock: socket.socket, octets: int) -> bytes:
    read = b""
    while len(read) < octets:
        more = sock.recv(octets - len(read))
        if not more:
            raise EOFError
        read += more
    return read


@contextlib.contextmanager
def tcp(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=PATIENCE) as sock:
        yield sock


def over_udp(address: tuple[str, int], question: Question) -> Any:
    return parse(udp_exchange(address, question.packet()))


def over_tcp(address: tuple[str, int], question: Question) -> Any:
    with tcp(address) as sock:
        sock.sendall(framed(question.packet()))
        return parse(read_framed(sock))


def is_closed(sock: socket.socket) -> bool:
    """Waits until the server hangs up; raises `TimeoutError` when it does not."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def world() -> FakeDns:
    """Names for every occasion."""
    dns = FakeDns()
    dns.zone("k3.example")
    dns.publish(HOST, "A", "198.18.0.7")
    for number in range(100):
        dns.publish("large.k3.example", "A", f"198.18.1.{number}")
    for number in range(400):
        dns.publish("huge.k3.example", "A", f"198.19.{number // 200}.{number % 200}")
    dns.publish("medium.k3.example", "TXT", "x" * 900)
    dns.script("silent.k3.example", None, NoAnswer())
    dns.script("late.k3.example", None, Late(0.2, ServFail()))
    dns.script("forged.k3.example", None, WrongId())
    dns.script("cut.k3.example", None, Truncated())
    return dns
