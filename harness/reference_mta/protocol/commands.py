"""One command line, read (RFC 5321 §4.1): its verb, its argument, or what is wrong with it."""

import re
from dataclasses import dataclass

UNREADABLE = "500 5.5.2 That is no command"
HTTP = frozenset(("GET", "POST", "PUT", "HEAD", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "HOST:"))
NO_WEB_SERVER = "500 5.5.1 This is no web server"
LONGEST_NAME = 255  # bytes of the name in a greeting (RFC 5321 §4.5.3.1.2)
_SENDER = re.compile(r"FROM:(?=<)", re.IGNORECASE)
_RECIPIENT = re.compile(r"TO:(?=<)", re.IGNORECASE)


class SyntaxFlawError(Exception):
    """A line is no command by the grammar; the text is the reply."""


class HttpError(SyntaxFlawError):
    """A web client is speaking, perhaps made to by somebody else; nothing more of it is to be read."""


@dataclass(frozen=True)
class Command:
    """A verb in upper case, and what is behind it."""

    verb: str
    argument: str


def read_command(line: bytes) -> Command:
    """A line without its CR LF; white space behind a command is none of it (RFC 5321 §4.1.1).

    Raises `SyntaxFlawError`; `HttpError` for what a web client sends, which could be mail that somebody
    smuggles through a browser.
    """
    if b"\r" in line or b"\n" in line or b"\0" in line:
        raise SyntaxFlawError(UNREADABLE)
    try:
        text = line.decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError:
        raise SyntaxFlawError(UNREADABLE) from None
    verb, _, argument = text.partition(" ")
    verb = verb.upper()
    if verb in HTTP:
        raise HttpError(NO_WEB_SERVER)
    if not verb.isascii() or not verb.isalpha():
        raise SyntaxFlawError(UNREADABLE)
    return Command(verb, argument)


def without_argument(command: Command) -> None:
    """Raises `SyntaxFlawError` for a command that has one and may not."""
    if command.argument:
        raise SyntaxFlawError(f"501 5.5.4 Syntax: {command.verb}")


def read_greeting(command: Command) -> str:
    """The name in HELO or EHLO, whatever it is worth. Raises `SyntaxFlawError`.

    The grammar asks for a domain or an address literal; who wants to refuse a bare address, or hold back
    a name without a dot, has to hear of it.
    """
    name = command.argument
    if not name or len(name.encode()) > LONGEST_NAME or not name.isprintable():
        raise SyntaxFlawError(f"501 5.5.4 Syntax: {command.verb} hostname")
    return name


def behind_colon(command: Command) -> str:
    """The path of MAIL or RCPT and what is behind it; no space stands beside the colon (RFC 5321 §3.3)."""
    keyword, pattern = ("FROM", _SENDER) if command.verb == "MAIL" else ("TO", _RECIPIENT)
    found = pattern.match(command.argument)
    if found is None:
        raise SyntaxFlawError(f"501 5.5.4 Syntax: {command.verb} {keyword}:<address>")
    return command.argument[found.end() :]
