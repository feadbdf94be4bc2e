"""What can go wrong with a connection to a mail server: the kinds, and what each makes of a reply."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

REPLIES = (
    6  # the greeting and the replies to EHLO, MAIL, RCPT, DATA and the message: trouble comes at one of them
)
BLOCK = 4096  # bytes of a flood that are sent at once
PAUSES = (0.01, 0.2)  # seconds before each byte that drips, at least and at most
MOST_NULS = 3
GARBAGE = (1, 200)  # bytes, at least and at most

CLOSING = b"421 4.3.2 Service not available, closing transmission channel\r\n"

_LAST_LINE = re.compile(rb"^(?!.{3}-).*\n", re.MULTILINE)
_CODE = re.compile(rb"^([245])(\d\d)(?:([- ])([245])(?=\.\d))?", re.MULTILINE)


class Kind(StrEnum):
    """One way in which a connection is troubled."""

    CLOSE = "close"  # FIN, before, amid or behind a reply
    RESET = "reset"  # RST, likewise
    HANG = "hang"  # from some byte on nothing comes any more
    DRIP = "drip"  # a reply comes byte by byte
    GARBAGE = "garbage"  # random bytes stand where a reply should
    NUL = "nul"  # there are NUL bytes in a reply
    FLOOD = "flood"  # a reply has no end
    ENDLESS_LINE = "endless-line"  # a line of a reply has no end
    CLOSING = "421"  # 421 instead of a reply, and FIN
    CHANGED_CODE = "changed-code"  # a reply's code is of another class


FOR_ANY_BYTES = frozenset({Kind.CLOSE, Kind.RESET, Kind.HANG})  # they need no reply that can be read


@dataclass(frozen=True)
class Trouble:
    """What happens to one connection, and to which of its replies."""

    kind: Kind
    reply: int  # replies that go through before it
    chance: random.Random

    def beginning(self, reply: bytes) -> bytes:
        """What still goes through of a reply at which a connection ends: nothing, a part, or all of it."""
        place = self.chance.randrange(3)
        return reply[: (0, self.chance.randrange(1, max(2, len(reply))), len(reply))[place]]

    def pause(self) -> float:
        """Seconds before each byte that drips."""
        return self.chance.uniform(*PAUSES)

    def instead(self, reply: bytes) -> bytes:
        """What is sent in place of a reply by the kinds that let the dialogue go on."""
        match self.kind:
            case Kind.GARBAGE:
                return self._garbage()
            case Kind.NUL:
                return self._with_nuls(reply)
            case Kind.CHANGED_CODE:
                return self._recoded(reply)
            case _:
                return reply

    def endless(self) -> Iterator[bytes]:
        """Blocks of a flood, without end."""
        if self.kind is Kind.ENDLESS_LINE:
            yield b"250 "
            line = b"x"
        else:
            noise = self.chance.randbytes(80).replace(b"\n", b"") + b"\r\n"
            line = self.chance.choice([b"250-and so on\r\n", b"250 Ok\r\n", b"550 No\r\n", b"\r\n", noise])
        block = line * (BLOCK // len(line))
        while True:
            yield block

    def _garbage(self) -> bytes:
        noise = self.chance.randbytes(self.chance.randint(*GARBAGE)).replace(b"\n", b"")
        return b"\x80" + noise + b"\r\n"  # a byte that no reply begins with: chance could make one

    def _with_nuls(self, reply: bytes) -> bytes:
        text = bytearray(reply)
        for _ in range(self.chance.randint(1, MOST_NULS)):
            text.insert(self.chance.randrange(max(1, len(reply.rstrip()))), 0)
        return bytes(text)

    def _recoded(self, reply: bytes) -> bytes:
        others = sorted({b"2", b"4", b"5"} - {reply[:1]})
        digit = self.chance.choice(others)

        def recode(found: re.Match[bytes]) -> bytes:
            _, rest, separator, enhanced = found.groups()
            return digit + rest + (separator + digit if enhanced else b"")

        return _CODE.sub(recode, reply)


@dataclass(frozen=True)
class Chaos:
    """How often there is trouble, and of which kinds; the same seed has the same in store."""

    rate: float  # share of the connections, from 0 to 1
    seed: int
    kinds: Sequence[Kind] = tuple(Kind)

    def trouble_of(self, connection: int) -> Trouble | None:
        """What happens to a connection, by its number in the order of arrival; None when it is spared."""
        chance = random.Random(f"{self.seed}:{connection}")
        if chance.random() >= self.rate:
            return None
        return Trouble(chance.choice(self.kinds), chance.randrange(REPLIES), chance)


def reply_end(data: bytes) -> int | None:
    """Where the reply that `data` begins with ends (RFC 5321 §4.2.1); None while it has not ended."""
    last = _LAST_LINE.search(data)
    return last.end() if last else None


def has_class(reply: bytes) -> bool:
    """Whether a reply is of a class that has an opposite: 2, 4 or 5."""
    return bool(_CODE.match(reply))
