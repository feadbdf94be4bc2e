"""A server's reply (RFC 5321 §4.2): what it says, what is wrong with its form, and a bounded reader."""

import re
from dataclasses import dataclass

from harness.wording import counted

MAX_LINE = (
    4096  # bytes with the line end; RFC 5321 §4.5.3.1.5 allows 512: more is noted, this much is refused
)
MAX_LINES = 256
MAX_BYTES = 65536  # of one reply
MAX_WAITING = 262144  # bytes that have come and not been taken

_STANDARD_LINE = 512
_CLEAN = re.compile(rb"[2-5][0-5][0-9](?:[ -][\t -~]*)?\r\n")
_FLAWLESS = re.compile(  # a whole reply, as most are
    rb"([2-5][0-5][0-9])(?:-[\t -~]{0,506}\r\n\1){0,100} [\t -~]{0,506}\r\n"
)
_START = re.compile(rb"([0-9]{3})(?![0-9])")
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![^ \t])")
_EXCERPT = 60  # bytes of what is no reply


class GarbageError(Exception):
    """What came is no reply, or exceeds every bound of one; the text is the reason, a predicate."""

    def __init__(self, reason: str, data: bytes) -> None:
        """`data` is the offending line, or its beginning."""
        super().__init__(reason)
        self.data = data


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply. Whatever the server sent is in here as text, never as something to be trusted."""

    code: int
    lines: tuple[str, ...]  # what stands behind the code, without line ends
    raw: bytes  # as it came, save that secrets are masked
    at: float  # seconds from the start of the connection attempt to the last byte
    seconds: float  # from just before the command was sent (the greeting: before connecting) to the last byte
    flaws: tuple[str, ...] = ()  # what a strict reader would object to
    line: int = 0  # how many lines the server had said before its first one

    @property
    def text(self) -> str:
        """The text of all lines, joined by line feeds."""
        return "\n".join(self.lines)

    @property
    def prose(self) -> str:
        """Its words in one line, however they were folded, to look for words in.

        The enhanced code is no part of it, which stands at the beginning of each line (RFC 2034 §4).
        """
        code = self.enhanced or ""
        bare = (line.removeprefix(code) if _begins_with(line, code) else line for line in self.lines)
        return " ".join(" ".join(bare).split())

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code (RFC 3463) that starts the text, such as `5.7.1`."""
        match = _ENHANCED.match(self.lines[0])
        return match[1] if match else None

    @property
    def positive(self) -> bool:
        """2xx or 3xx: the command was taken, or is to be continued."""
        return 200 <= self.code < 400

    @property
    def transient(self) -> bool:
        """4xx: not now."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5xx: not so."""
        return 500 <= self.code < 600


class ReplyReader:
    """Turns bytes, however they are cut, into replies; bounded whatever comes."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._data = b""
        self._position = 0  # up to here the data is taken
        self._lines: list[bytes] = []  # of a reply that is not whole
        self._taken = 0  # lines in all, those that were thrown away as well

    @property
    def unfinished(self) -> bool:
        """Whether there are bytes that no reply has claimed."""
        return bool(self._lines) or self._position < len(self._data)

    def feed(self, data: bytes) -> None:
        """Add what came from the server. Raises `GarbageError` when too much of it waits to be taken."""
        self._data = self._data[self._position :] + data
        self._position = 0
        if len(self._data) > MAX_WAITING:
            raise GarbageError(f"is more than {MAX_WAITING} bytes at once", self._data[:MAX_LINE])

    def discard(self) -> int:
        """Forget what no reply has claimed; the count of its bytes."""
        count = len(self._data) - self._position + sum(map(len, self._lines))
        self._taken += self._data.count(b"\n", self._position)
        self._data, self._position, self._lines = b"", 0, []
        return count

    def take(self, at: float, seconds: float) -> Reply | None:
        """The next reply, with its times as given; None while it is not whole. Raises `GarbageError`."""
        if self._position == len(self._data):
            return None
        if not self._lines and (whole := _FLAWLESS.match(self._data, self._position)):
            self._position = whole.end()
            lines = tuple([line[4:] for line in whole[0].decode().split("\r\n")[:-1]])
            before, self._taken = self._taken, self._taken + len(lines)
            return Reply(int(whole[1]), lines, whole[0], at, seconds, line=before)
        while (line := self._next_line()) is not None:
            if not _START.match(line):
                raise GarbageError("is no reply", line)
            self._lines.append(line)
            if line[3:4] != b"-":
                done, self._lines = self._lines, []
                return _reply(done, at, seconds, self._taken - len(done))
            if len(self._lines) >= MAX_LINES or sum(map(len, self._lines)) > MAX_BYTES:
                raise GarbageError(f"is a reply without end ({counted(len(self._lines), 'line')})", line)
        return None

    def _next_line(self) -> bytes | None:
        start = self._position
        end = self._data.find(b"\n", start) + 1
        if (end or len(self._data)) - start > MAX_LINE:
            raise GarbageError(
                f"is a line of more than {MAX_LINE} bytes", self._data[start : start + MAX_LINE]
            )
        if not end:
            return None
        self._position = end
        self._taken += 1
        return self._data[start:end]


def excerpt(data: bytes) -> str:
    """The beginning of something for a reason, printable."""
    return repr(data[:_EXCERPT])[1:] + ("…" if len(data) > _EXCERPT else "")


def parse_keywords(reply: Reply) -> dict[str, str]:
    """The service extensions that an answer to EHLO lists, in upper case, with their parameters.

    Empty unless the code is 250 (RFC 5321 §4.1.1.1). A keyword listed twice has the parameters of both.
    """
    keywords: dict[str, str] = {}
    for line in reply.lines[1:] if reply.code == 250 else ():
        keyword, _, parameters = line.strip().partition(" ")
        if keyword:
            before = keywords.get(keyword.upper(), "")
            keywords[keyword.upper()] = f"{before} {parameters.strip()}".strip()
    return keywords


def _begins_with(line: str, code: str) -> bool:
    found = _ENHANCED.match(line)
    return found is not None and found[1] == code


def _reply(lines: list[bytes], at: float, seconds: float, before: int) -> Reply:
    return Reply(
        code=int(lines[-1][:3]),
        lines=tuple([_text(line) for line in lines]),
        raw=b"".join(lines),
        at=at,
        seconds=seconds,
        flaws=_flaws(lines),
        line=before,
    )


def _text(line: bytes) -> str:
    body = line[4:] if line[3:4] in (b" ", b"-") else line[3:]
    return body.rstrip(b"\r\n").decode("utf-8", "backslashreplace")


def _flaws(lines: list[bytes]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for line in lines:
        if line[:3] != lines[-1][:3]:
            found["codes differ between lines"] = None
        if len(line) > _STANDARD_LINE:
            found[f"line of {counted(len(line), 'byte')}"] = None
        if not _CLEAN.fullmatch(line):
            found.update(dict.fromkeys(_line_flaws(line)))
    return tuple(found)


def _line_flaws(line: bytes) -> list[str]:
    body = line.removesuffix(b"\n").removesuffix(b"\r")
    checks = {
        "bare LF": not line.endswith(b"\r\n"),
        "bare CR": b"\r" in body,
        "NUL byte": b"\0" in body,
        "control character": re.search(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", body),
        "byte above 127": not body.isascii(),
        "no space behind the code": body[3:4] not in (b" ", b"-", b""),
        f"code {line[:3].decode()}": not re.match(rb"[2-5][0-5]", line),
    }
    return [flaw for flaw, present in checks.items() if present]
