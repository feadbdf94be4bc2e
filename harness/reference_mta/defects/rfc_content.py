"""Mutants of the rules about where a message ends: other readers of content, other ways to send it on."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.reference_mta.defects.command_lines import at_lines
from harness.reference_mta.defects.kinds import Mutant, delivering, joined, speaking
from harness.reference_mta.mail.wire import DOT
from harness.reference_mta.policy import Policy
from harness.reference_mta.protocol.content import BARE, Content
from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.lines import LINE_END
from harness.reference_mta.protocol.parts import CONTENT, ProtocolParts

TRUE_END = rb"(\r\n)\.\r\n"  # the first group is the end of the line before
LONGEST_FORM = 16  # bytes
CONTROLS = re.compile(rb"[\x0b\x0c\x1b\x7f]")
WITHOUT_RETURN = re.compile(rb"(?<!\r)\n")
WITHOUT_FEED = re.compile(rb"\r(?!\n)")
DOTS = re.compile(rb"(?m)^\.+")
LONE_DOT = re.compile(rb"(?m)^\.(?!\.)")
Text = Callable[[bytes], bytes]


def as_it_is(text: bytes) -> bytes:
    """No change."""
    return text


@dataclass(frozen=True)
class Misreading:
    """How content is read otherwise: what ends it, what becomes of its text, and of what is refused."""

    ends: re.Pattern[bytes]  # its first group that matches is the end of the line before, and belongs to it
    text: Text = as_it_is  # dots of transparency are still in it
    at_false_end: bytes = b""  # what stands in the content for a form that is not its true end
    becomes: Callable[[bytes, str], tuple[bytes, str]] = lambda content, refusal: (content, refusal)
    by_read: bool = False  # the end has to come in one read

    def reading(self, parts: ProtocolParts) -> ProtocolParts:
        """The protocol reads so."""
        sound = parts.content
        return replace(parts, content=lambda limits, in_flight: _Misread(self, sound, limits, in_flight))


class _Misread:
    """Keeps what comes until it ends as misread, and then hands it to a sound reader."""

    def __init__(
        self,
        how: Misreading,
        sound: Callable[[Limits, InFlight], Content],
        limits: Limits,
        in_flight: InFlight,
    ) -> None:
        self._how = how
        self._sound = sound(limits, in_flight)
        self._come = bytearray(LINE_END)

    def feed(self, data: bytearray) -> bytes | None:
        """What comes behind the end, or None."""
        before = len(self._come)
        self._come += data
        start = before if self._how.by_read else max(before - LONGEST_FORM, 0)
        found = self._how.ends.search(self._come, start)
        if found is None:
            return None
        line_end = LINE_END if found[found.lastindex or 0] else b""
        text = bytes(self._come[: found.start()]) + line_end
        if found[0] != b"\r\n.\r\n":
            text += self._how.at_false_end
        self._sound.feed(bytearray(self._how.text(text[len(LINE_END) :]) + b".\r\n"))
        return bytes(self._come[found.end() :])

    def message(self) -> tuple[bytes, str]:
        """What the sound reader makes of it, and another refusal perhaps."""
        return self._how.becomes(*self._sound.message())

    def close(self) -> None:
        """The sound reader gives back what it took."""
        self._sound.close()


def _reading(rule: str, kind: str, description: str, how: Misreading) -> Mutant:
    return speaking(rule, kind, description, how.reading, CONTENT)


def _ending(rule: str, kind: str, description: str, form: bytes) -> Mutant:
    ends = re.compile(TRUE_END + b"|" + form, re.DOTALL)
    return _reading(rule, kind, f"{description} is taken for the end", Misreading(ends))


def _forgiven(content: bytes, refusal: str) -> tuple[bytes, str]:
    return content, "" if refusal == BARE else refusal


def _with_whole_lines(content: bytes, refusal: str) -> tuple[bytes, str]:
    return _forgiven(WITHOUT_RETURN.sub(LINE_END, content), refusal)


SOUND_END = re.compile(TRUE_END)
CR_END = re.compile(TRUE_END + rb"|(\r)\.\r(?=[^\n]|\Z)")
LF_END = re.compile(TRUE_END + rb"|((?<!\r)\n)\.\r?\n|(\r\n)\.\n")

FORMS = (
    _ending("eod.lf-dot-lf", "off", "LF . LF", rb"((?<!\r)\n)\.\n"),
    _ending("eod.lf-dot-crlf", "off", "LF . CRLF", rb"((?<!\r)\n)\.\r\n"),
    _ending("eod.crlf-dot-lf", "off", "CRLF . LF", rb"(\r\n)\.\n"),
    _ending("eod.cr-dot-cr", "off", "CR . CR", rb"(\r)\.\r(?=[^\n]|\Z)"),
    _reading(
        "eod.cr-dot-cr",
        "weak-refused",
        "CR . CR is taken for the end of a message that is refused",
        Misreading(CR_END, at_false_end=b"\n\r\n"),
    ),
    _ending("eod.mixed", "off", "CR . LF", rb"(\r)\.\n"),
    _ending("eod.mixed", "weak-lf-cr", "LF . CR", rb"((?<!\r)\n)\.\r(?=[^\n]|\Z)"),
    _ending("eod.mixed", "weak-cr-crlf", "CR . CRLF", rb"(\r)\.\r\n"),
    _ending("eod.mixed", "weak-crlf-cr", "CRLF . CR", rb"(\r\n)\.\r(?=[^\r\n])"),
    _ending("eod.crcrlf", "off", "CRLF . CRCRLF", rb"((?<!\r)\r\n)\.\r\r\n"),
    _ending("eod.crcrlf", "weak-both", "CRCRLF . CRCRLF", rb"(\r\r\n)\.\r\r\n"),
    _ending("eod.nul-dot", "off", "CRLF . NUL CRLF", rb"(\r\n)\.\0+\r\n"),
    _ending("eod.nul-dot", "weak-before", "CRLF NUL . CRLF", rb"(\r\n)\0+\.\r\n"),
    _ending("eod.space-dot", "off", "a dot with white space behind it", rb"(\r\n)\.[ \t]+\r\n"),
    _ending("eod.space-dot", "weak-before", "a dot with white space before it", rb"(\r\n)[ \t]+\.\r\n"),
    _ending(
        "eod.space-dot",
        "weak-unicode",
        "a dot between line ends of Unicode",
        "(\u2028|\u0085|\v)\\.(?:\u2028|\u0085|\v)".encode(),
    ),
    _reading(
        "eod.no-sync-loss",
        "off",
        "a dot beside a bare LF is refused at once, and what stands behind it is obeyed",
        Misreading(LF_END, at_false_end=b"\n\r\n"),
    ),
)


def _bare_lines(kind: str, end: str, bare: re.Pattern[bytes]) -> Mutant:
    """Noted where a bare LF or CR comes: every dialogue reads lines."""
    rule = "eod.bare-lf-command"
    name = f"{rule}:{kind}"

    def read(policy: Policy, act: Callable[[bytearray], None]) -> Policy:
        return replace(policy, protocol=at_lines(policy.protocol, bare, act))

    def end_there(given: bytearray) -> None:
        given[:] = bare.sub(LINE_END, given)

    return Mutant(
        rule,
        kind,
        f"a bare {end} ends a command as well",
        lambda policy: read(policy, end_there),
        parts=(name,),
        watch=lambda policy: read(policy, lambda _: policy.protocol.note(name)),
    )


LINES = (
    _bare_lines("off", "LF", WITHOUT_RETURN),
    _bare_lines("weak-cr", "CR", WITHOUT_FEED),
)
AS_TEXT: Mapping[str, Callable[[bytes], object]] = {  # whatever is in it
    "is_binary": lambda content: False,
    "outgoing": lambda content: DOT.sub(b"..", content),
}
KEPT = (
    joined(
        _reading(
            "eod.bare-lf-content",
            "off",
            "a bare CR or LF is sent on as it came",
            Misreading(SOUND_END, becomes=_forgiven),
        ),
        delivering("eod.bare-lf-content", "off", "", **AS_TEXT),
    ),
    joined(
        _reading(
            "eod.bare-lf-content",
            "weak-cr",
            "a bare LF becomes the end of a line, and a bare CR is sent on as it came",
            Misreading(SOUND_END, becomes=_with_whole_lines),
        ),
        delivering("eod.bare-lf-content", "weak-cr", "", **AS_TEXT),
    ),
    _reading(
        "eod.controls-kept",
        "off",
        "control characters are dropped",
        Misreading(SOUND_END, text=lambda text: CONTROLS.sub(b"", text)),
    ),
    _reading(
        "eod.empty-data",
        "off",
        "a dot right behind 354 is a line of the content",
        Misreading(re.compile(rb"(?<!\A)(\r\n)\.\r\n")),
    ),
    _reading(
        "eod.unstuff",
        "off",
        "the dot of transparency is kept",
        Misreading(SOUND_END, text=lambda text: DOT.sub(b"..", text)),
    ),
    _reading(
        "eod.unstuff",
        "weak-all",
        "all dots at the beginning of a line are taken away",
        Misreading(SOUND_END, text=lambda text: DOTS.sub(b"", text)),
    ),
    _reading(
        "eod.unstuff",
        "weak-doubled",
        "a dot is taken away where another one follows, and nowhere else",
        Misreading(SOUND_END, text=lambda text: LONE_DOT.sub(b"..", text)),
    ),
    delivering("eod.restuff", "off", "no dot is added to what is sent on", outgoing=lambda content: content),
    _reading(
        "eod.split-writes",
        "off",
        "the dot and its line end have to come in one read",
        Misreading(re.compile(rb"(?<=\r\n)()\.\r\n"), by_read=True),
    ),
    _reading(
        "eod.split-writes",
        "weak-rest",
        "what comes in one read with the end, and behind it, is lost",
        Misreading(re.compile(TRUE_END + rb"(?:.*)", re.DOTALL)),
    ),
)

CONTENT_MUTANTS: tuple[Mutant, ...] = (*FORMS, *LINES, *KEPT)
