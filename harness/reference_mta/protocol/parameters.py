"""Parameters of MAIL and RCPT (RFC 5321 §4.1.2), each by the extension that it belongs to."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.reference_mta.protocol.paths import read_mailbox

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 §4
_HEXADECIMAL = re.compile(r"\+([0-9A-F]{2})")
_DIGITS = re.compile(r"[0-9]{1,20}")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+\-/?^_`{|}~]+")  # an atom of RFC 822, "=" aside
_UNITEXT = re.compile(r"[!-*,-<>-~\u0080-\U0010ffff]+")  # RFC 6533 §3
LONGEST_ENVELOPE_ID = 100  # characters, as they are sent (RFC 3461 §4.4, §5.4)
LONGEST_ORIGINAL = 500  # characters, as they are sent (RFC 3461 §4.2, §5.4)
UTF8 = "utf-8"  # the type of an address beyond ASCII (RFC 6533 §3)
MOST = 12  # parameters of a command


class ParameterError(Exception):
    """A parameter cannot be taken; the text is the reply."""


@dataclass(frozen=True)
class Parameters:
    """What came behind a path, by upper-case keyword; a keyword without a value has an empty one."""

    values: Mapping[str, str]

    @property
    def size(self) -> int:
        """The size that MAIL declares, in bytes (RFC 1870); 0 where it declares none."""
        return int(self.values.get("SIZE", "0"))

    @property
    def binary(self) -> bool:
        """Whether MAIL says that the content is no text of lines (RFC 3030 §3)."""
        return self.values.get("BODY", "").upper() == "BINARYMIME"

    @property
    def international(self) -> bool:
        """Whether MAIL asks for SMTPUTF8 (RFC 6531)."""
        return "SMTPUTF8" in self.values

    @property
    def is_ascii(self) -> bool:
        """Whether they can be written without SMTPUTF8."""
        return all(value.isascii() for value in self.values.values())


NONE = Parameters({})


def read_parameters(text: str, verb: str, offered: frozenset[str]) -> Parameters:
    """The parameters of a command; `offered` are the keywords that EHLO has listed.

    Raises `ParameterError` for one that is malformed, there twice, or belongs to nothing that was listed.
    """
    words = text.split(" ")[1:] if text else []
    if not words:
        return NONE
    values: dict[str, str] = {}
    for word in words[: MOST + 1]:
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise ParameterError("501 5.5.4 That is no parameter")
        keyword, value = found[1].upper(), found[2] or ""
        known = KNOWN.get((verb, keyword))
        if known is None or known.extension not in offered:
            raise ParameterError("555 5.5.4 That parameter is not known here")
        if keyword in values:
            raise ParameterError("501 5.5.4 A parameter stands there once")
        belongs = known.extensions.get(value.upper(), known.extension)
        plain = value.isascii() or known.beyond_ascii  # letters beyond ASCII may have capitals in it
        if not plain or not known.fits(value) or belongs not in offered:
            raise ParameterError(f"501 5.5.4 {keyword} has no such value")
        values[keyword] = value
    if len(values) > MOST:
        raise ParameterError("501 5.5.4 Too many parameters")
    return Parameters(values)


def read_xtext(text: str) -> str | None:
    """What a value in xtext stands for; None when it is none."""
    if not _XTEXT.fullmatch(text):
        return None
    return _HEXADECIMAL.sub(lambda found: chr(int(found[1], 16)), text)


def _is_sender(value: str) -> bool:
    """AUTH=: `<>` or a mailbox (RFC 4954 §5)."""
    plain = read_xtext(value)
    return plain == "<>" or (plain is not None and read_mailbox(plain) is not None)


def _is_envelope_id(value: str) -> bool:
    return len(value) <= LONGEST_ENVELOPE_ID and _is_printable(read_xtext(value))


def _is_notify(value: str) -> bool:
    wanted = value.upper().split(",")
    if wanted == ["NEVER"]:
        return True
    return len(set(wanted)) == len(wanted) and set(wanted) <= {"SUCCESS", "FAILURE", "DELAY"}


def _is_original(value: str) -> bool:
    """ORCPT=: a type and an address in xtext, or one beyond ASCII (RFC 6533 §3)."""
    kind, semicolon, address = value.partition(";")
    if not semicolon or len(value) > LONGEST_ORIGINAL or not _ADDRESS_TYPE.fullmatch(kind):
        return False
    international = kind.lower() == UTF8 and _UNITEXT.fullmatch(address) is not None
    return (international and address.isprintable()) or _is_printable(read_xtext(address))


def _is_printable(text: str | None) -> bool:
    """Whether it is some text of printable ASCII, which is all that reports have room for (RFC 3461 §4.2)."""
    return bool(text and text.isascii() and text.isprintable())


@dataclass(frozen=True)
class _Known:
    """One parameter: the EHLO keyword that offers it, and which values it has."""

    extension: str
    fits: Callable[[str], bool]
    extensions: Mapping[str, str] = field(default_factory=dict)  # values that belong to another extension
    beyond_ascii: bool = False  # whether a value may be


KNOWN: Mapping[tuple[str, str], _Known] = {
    ("MAIL", "SIZE"): _Known("SIZE", lambda value: _DIGITS.fullmatch(value) is not None),  # RFC 1870 §5
    ("MAIL", "BODY"): _Known(
        "8BITMIME",  # RFC 6152 §3
        lambda value: value.upper() in ("7BIT", "8BITMIME", "BINARYMIME"),
        {"BINARYMIME": "BINARYMIME"},  # RFC 3030 §3
    ),
    ("MAIL", "SMTPUTF8"): _Known("SMTPUTF8", lambda value: not value),  # RFC 6531 §3.4
    ("MAIL", "AUTH"): _Known("AUTH", _is_sender),
    ("MAIL", "RET"): _Known("DSN", lambda value: value.upper() in ("FULL", "HDRS")),  # RFC 3461 §4.3
    ("MAIL", "ENVID"): _Known("DSN", _is_envelope_id),
    ("RCPT", "NOTIFY"): _Known("DSN", _is_notify),  # RFC 3461 §4.1
    ("RCPT", "ORCPT"): _Known("DSN", _is_original, beyond_ascii=True),
}
