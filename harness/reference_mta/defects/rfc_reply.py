"""Mutants of the rules about the form of replies: other answers, and words of block lists as they came."""

import re
from collections.abc import Callable
from dataclasses import replace

from harness.reference_mta import reached
from harness.reference_mta.defects.command_lines import at_lines
from harness.reference_mta.defects.commands import answering, ruled
from harness.reference_mta.defects.kinds import Mutant
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Treatment
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.protocol.commands import Command, SyntaxFlawError
from harness.reference_mta.protocol.events import Event
from harness.reference_mta.protocol.readers import Situation
from harness.reference_mta.protocol.table import SESSION, TABLE, Row
from harness.reference_mta.replies import printable

AS_IT_CAME = "\ue000"  # begins a line of words that nobody makes fit for a reply
LINE_FEED = "\ue001"  # in it, where words have lines of their own
RETURN = "\ue002"  # in the name of a greeting, where a bare CR stood
BARE_RETURN = re.compile(rb"\r(?=[^\n])")
ODD = re.compile(r"[\x00-\x1f\x7f]")


def _misanswered(rule: str, kind: str, description: str, verb: str, answer: Callable[[str], str]) -> Mutant:
    """A command with a control character in it has another answer, made of its argument."""
    name = f"{rule}:{kind}"

    def reading(policy: Policy, meet: Callable[[Command], None]) -> Policy:
        sound = policy.protocol.readers[verb]

        def read(command: Command, situation: Situation) -> Event:
            if ODD.search(command.argument):
                meet(command)
            return sound(command, situation)

        return replace(policy, protocol=policy.protocol.with_command(verb, reader=read))

    def refuse(command: Command) -> None:
        raise SyntaxFlawError(answer(command.argument))

    return Mutant(
        rule,
        kind,
        description,
        lambda policy: reading(policy, refuse),
        parts=(name,),
        watch=lambda policy: reading(policy, lambda _: policy.protocol.note(name)),
    )


def _listed(rule: str, kind: str, description: str, form: Callable[[str], str]) -> Mutant:
    """The words of block lists are in the refusal as `form` makes them."""

    def naming(about: Transaction) -> str:
        hits = about.listings.against if about.listings else ()
        lines = [f"{about.client} is listed:"]
        for hit in hits:
            lines += [hit.zone, f"{AS_IT_CAME}  {form(hit.text)}".replace("\n", LINE_FEED)]
        return "\n".join(lines)

    def phrase(code: int, status: str, words: str) -> str:
        *first, last = [_as_it_came(line) for line in words.split("\n")]
        lines = [
            *(f"{code}-{code // 100}.{status} {line}" for line in first),
            f"{code} {code // 100}.{status} {last}",
        ]
        return "\r\n".join(lines).replace(LINE_FEED, "\n")

    def change(policy: Policy) -> Policy:
        protocol = replace(policy.protocol, encoded=_encoded)
        changed = replace(policy, phrase=phrase, protocol=protocol)
        return changed.with_treatment("dnsbl.two", lambda check: replace(check, then=_saying(check.then)))

    def _saying(treatment: Treatment) -> Treatment:
        return replace(treatment, words=naming)

    return Mutant(rule, kind, description, change, parts=(reached.answer("dnsbl.two"),))


def _echoing() -> Mutant:
    """A greeting that is no name is shown as it came, its bare CRs among it."""
    rule, kind = "reply.no-echo-injection", "weak-greeting"

    def keep(given: bytearray) -> None:
        given[:] = BARE_RETURN.sub(RETURN.encode(), given)

    def change(policy: Policy) -> Policy:
        sound = policy.protocol.readers["EHLO"]

        def read(command: Command, situation: Situation) -> Event:
            if RETURN in command.argument:
                name = command.argument.replace(RETURN, "\r")
                raise SyntaxFlawError(f"501 5.5.4 {name} is no host name")
            return sound(command, situation)

        protocol = at_lines(policy.protocol, BARE_RETURN, keep).with_command("EHLO", reader=read)
        return replace(policy, protocol=protocol)

    def watch(policy: Policy) -> Policy:
        note = policy.protocol.note
        protocol = at_lines(policy.protocol, BARE_RETURN, lambda _: note(f"{rule}:{kind}"))
        return replace(policy, protocol=protocol)

    about = "a greeting that is no name is shown as it came"
    return Mutant(rule, kind, about, change, parts=(f"{rule}:{kind}",), watch=watch)


def _showing(command: Command, _: Situation) -> Event:
    raise SyntaxFlawError(f"500 5.5.2 {command.verb} {command.argument} is not known here")


def _as_it_came(line: str) -> str:
    return line[1:] if line.startswith(AS_IT_CAME) else printable(line)


def _encoded(reply: str) -> bytes:
    return reply.encode("utf-8", "surrogateescape") + b"\r\n"


def _without_controls(text: str) -> str:
    return "".join(one for one in text if one >= " " and one != "\x7f")[:400]


def _but_line_ends(text: str) -> str:
    return "".join(one if one in "\r\n" or " " <= one <= "~" else "?" for one in text[:400])


def _without_a_word(mutant: Mutant) -> Mutant:
    """A reply that is empty is not sent."""

    def change(policy: Policy) -> Policy:
        changed = mutant.change(policy)
        sound = changed.protocol.encoded
        protocol = replace(changed.protocol, encoded=lambda reply: sound(reply) if reply else b"")
        return replace(changed, protocol=protocol)

    return replace(mutant, change=change)


NO_NAME = "5.5.4 That is no host name"

REPLY_MUTANTS: tuple[Mutant, ...] = (
    _without_a_word(
        _misanswered(
            "reply.one-per-command", "off", "a greeting without a name has no reply", "EHLO", lambda _: ""
        )
    ),
    _misanswered(
        "reply.one-per-command",
        "weak-two",
        "a greeting without a name has two replies",
        "EHLO",
        lambda _: f"501 {NO_NAME}\r\n501 5.5.4 Say who you are",
    ),
    ruled(
        "QUIT",
        "reply.one-per-command",
        "weak-quit",
        "QUIT has two replies",
        TABLE["QUIT"],
        answering("221 2.0.0 Bye\r\n221 2.0.0 Gone"),
    ),
    _misanswered(
        "reply.crlf-framed",
        "off",
        "the lines of a refusal are divided by LF alone",
        "EHLO",
        lambda _: f"501-{NO_NAME}\n501 5.5.4 Say who you are",
    ),
    _misanswered(
        "reply.crlf-framed",
        "weak-echo",
        "a sender that is refused is shown as it came",
        "MAIL",
        lambda argument: f"501 5.1.7 {argument} is no sender",
    ),
    _listed(
        "reply.crlf-framed",
        "weak-octets",
        "octets beyond ASCII in the words of a block list are passed on",
        _without_controls,
    ),
    _misanswered(
        "reply.multiline",
        "off",
        "the last line of a refusal says that another one follows",
        "EHLO",
        lambda _: f"501-{NO_NAME}",
    ),
    _misanswered(
        "reply.multiline",
        "weak-codes",
        "the second line of a refusal has another code",
        "EHLO",
        lambda _: f"501-{NO_NAME}\r\n500 5.5.2 Say who you are",
    ),
    _misanswered("reply.code-range", "off", "a refusal is 600", "EHLO", lambda _: f"600 {NO_NAME}"),
    _misanswered("reply.code-range", "weak-second", "a refusal is 561", "EHLO", lambda _: f"561 {NO_NAME}"),
    _listed(
        "reply.line-512",
        "off",
        "the words of a block list are in one line, however long they are",
        lambda text: printable(text, 4000),
    ),
    ruled(
        "XYZZY",
        "reply.line-512",
        "weak-echo",
        "a command that is not known is shown, however long it is",
        Row(SESSION),
        _showing,
    ),
    _listed(
        "reply.no-echo-injection",
        "off",
        "line ends in the words of a block list are passed on",
        _but_line_ends,
    ),
    _listed(
        "reply.no-echo-injection",
        "weak-lf",
        "of the line ends in the words of a block list a bare LF stays",
        lambda text: _but_line_ends(text).replace("\r\n", " ").replace("\r", " "),
    ),
    _listed(
        "reply.no-echo-injection",
        "weak-cr",
        "of the line ends in the words of a block list a bare CR stays",
        lambda text: _but_line_ends(text).replace("\r\n", " ").replace("\n", " "),
    ),
    _echoing(),
    _misanswered(
        "reply.no-internals",
        "off",
        "a refusal is the text of an exception",
        "EHLO",
        lambda _: "501 5.5.4 Error: (ValueError) a host name has letters, digits and hyphens",
    ),
    _misanswered(
        "reply.no-internals",
        "weak-path",
        "a refusal names a file of the server",
        "EHLO",
        lambda _: "501 5.5.4 That is no host name, see /usr/lib/mta/grammar.so",
    ),
)
