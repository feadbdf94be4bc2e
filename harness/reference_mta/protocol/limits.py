"""How much one client may ask of a server; every number has its name here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes are in bytes with the CR LF; 0 is no limit where it says so."""

    command_line: int = 2048  # RFC 5321 §4.5.3.1.4 asks for 512, extensions for more
    secret_line: int = 12290  # of an answer within AUTH (RFC 4954 §4: 12,288 and the line end)
    text_line: int = 1000  # of content, without the dot of transparency (RFC 5321 §4.5.3.1.6)
    content: int = 52428800
    hops: int = 100  # Received fields of a message that is not in a loop (RFC 5321 §6.3)
    errors: int = 0  # refused commands; 0: any number
    credentials: int = 10  # AUTH commands that were refused
    idle_commands: int = 1000  # RSET, NOOP, VRFY, HELP and greetings since the last message


class InFlight:
    """How much content all connections together have under way; each takes its share and gives it back."""

    def __init__(self, most: int) -> None:
        """`most` bytes at once."""
        self._most = most
        self._taken = 0

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes more, which are then taken."""
        if self._taken + size > self._most:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """So many bytes are no longer held."""
        self._taken -= size
