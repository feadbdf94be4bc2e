"""Lines of commands that are read otherwise."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.reference_mta.protocol.lines import Lines
from harness.reference_mta.protocol.parts import ProtocolParts


@dataclass(frozen=True)
class _ReadsOtherwise:
    """Does something to what is still to be read of commands where something is in it, and reads as ever."""

    sound: Lines
    where: re.Pattern[bytes]
    act: Callable[[bytearray], None]

    def take(self, given: bytearray, most: int) -> bytes | None:
        """The next line."""
        if self.where.search(given):
            self.act(given)
        return self.sound.take(given, most)


def at_lines(
    parts: ProtocolParts, where: re.Pattern[bytes], act: Callable[[bytearray], None]
) -> ProtocolParts:
    """The protocol with `act` done to the bytes of commands where the pattern is found in them."""
    sound = parts.lines
    return replace(parts, lines=lambda: _ReadsOtherwise(sound(), where, act))
