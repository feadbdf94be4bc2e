"""DNS messages, as much of them as a stub resolver needs: questions out, answers in (RFC 1035 §4)."""

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct("!6H")
RECORD = struct.Struct("!2HIH")  # type, class, TTL, length of the data
INTERNET = 1
LONGEST_NAME, LONGEST_LABEL = 255, 63  # bytes on the wire (RFC 1035 §2.3.4)
POINTER = 0xC0
PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b".\\")  # in a label that is shown as it is


class Type(IntEnum):
    """The record types that this server asks for."""

    A = 1
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28


class WireError(ValueError):
    """A name that DNS cannot carry, or bytes that are no answer to the question."""


@dataclass(frozen=True)
class Response:
    """What an answer says: the response code, and the data of the records of the asked type as text."""

    code: int
    truncated: bool
    values: tuple[str, ...]


def question(name: str, record_type: Type) -> bytes:
    """The question section for a name; raises `WireError` when DNS cannot carry it."""
    parts = []
    for label in name.removesuffix(".").split("."):
        try:
            data = label.encode("ascii")
        except UnicodeEncodeError:
            raise WireError(f"{name!r} is not ASCII") from None
        if not 0 < len(data) <= LONGEST_LABEL or b"\\" in data:
            raise WireError(f"{name!r} has a label that DNS cannot carry")
        parts.append(bytes((len(data),)) + data)
    wire = b"".join(parts) + b"\0"
    if len(wire) > LONGEST_NAME:
        raise WireError(f"{name!r} is too long for DNS")
    return wire + struct.pack("!2H", record_type, INTERNET)


def query(number: int, asked: bytes) -> bytes:
    """A whole query, recursion desired; `number` is its id."""
    return HEADER.pack(number, 0x0100, 1, 0, 0, 0) + asked


def message_id(packet: bytes) -> int:
    """The id of a message; raises `WireError` when it is too short to have one."""
    if len(packet) < HEADER.size:
        raise WireError("shorter than a header")
    return int.from_bytes(packet[:2], "big")


def read(packet: bytes, asked: bytes, record_type: Type) -> Response:
    """The answer to the question `asked`; raises `WireError` when the packet is no such thing."""
    message_id(packet)
    _, flags, questions, answers, _, _ = HEADER.unpack_from(packet)
    end = HEADER.size + len(asked)
    if not flags & 0x8000 or questions != 1 or packet[HEADER.size : end].lower() != asked.lower():
        raise WireError("no answer, or one to another question")
    values = []
    try:
        for _ in range(answers):
            _, start = _name(packet, end)
            found, family, _, length = RECORD.unpack_from(packet, start)
            start += RECORD.size
            end = start + length
            if end > len(packet):
                raise WireError("a record is cut off")
            if found == record_type and family == INTERNET:
                values.append(_value(packet, start, end, record_type))
    except (IndexError, struct.error, OSError) as error:
        raise WireError("a record is cut off") from error
    return Response(flags & 0xF, bool(flags & 0x0200), tuple(values))


def _value(packet: bytes, start: int, end: int, record_type: Type) -> str:
    data = packet[start:end]
    match record_type:
        case Type.A | Type.AAAA:
            family = socket.AF_INET if record_type is Type.A else socket.AF_INET6
            try:
                return socket.inet_ntop(family, data)
            except ValueError as error:
                raise WireError("an address of the wrong length") from error
        case Type.PTR:
            return _name(packet, start)[0]
        case Type.MX:
            return f"{int.from_bytes(data[:2], 'big')} {_name(packet, start + 2)[0]}"
        case Type.TXT:
            return _strings(data).decode("utf-8", "surrogateescape")


def _strings(data: bytes) -> bytes:
    parts = []
    while data:
        length = data[0]
        if length >= len(data):
            raise WireError("a character string is cut off")
        parts.append(data[1 : length + 1])
        data = data[length + 1 :]
    return b"".join(parts)


def _name(packet: bytes, start: int) -> tuple[str, int]:
    """The name at an offset, and where what follows it begins; pointers lead backwards only."""
    labels: list[str] = []
    position, after, lowest, size = start, 0, start, 1
    while length := packet[position]:
        if length & POINTER == POINTER:
            target = int.from_bytes(packet[position : position + 2], "big") & 0x3FFF
            after = after or position + 2
            if target >= lowest:
                raise WireError("a compression pointer does not lead backwards")
            position = lowest = target
            continue
        if length & POINTER:
            raise WireError("a label of an unknown kind")
        label = packet[position + 1 : position + 1 + length]
        size += length + 1
        if len(label) < length or size > LONGEST_NAME:
            raise WireError("a name is cut off or too long")
        labels.append(_text(label))
        position += length + 1
    return ".".join(labels), after or position + 1


def _text(label: bytes) -> str:
    if PLAIN.issuperset(label):
        return label.decode("ascii")
    return "".join(chr(byte) if byte in PLAIN else f"\\{byte:03d}" for byte in label)
