"""What can be wrong with the checks of who a sender is: SPF and DKIM."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.reference_mta.defects.kinds import Mutant
from harness.reference_mta.defects.parts import Part, always, exchanged
from harness.reference_mta.mail.dkim import NO_KEY
from harness.reference_mta.mail.spf import not_permitted
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.spf.check import Finding, Inquiry, Names, RecordParts, Result
from harness.reference_mta.spf.record import Term

if TYPE_CHECKING:
    from harness.reference_mta.mail.signatures import Signature


def _taken_for(rule: str, description: str, result: Result, other: Result) -> Mutant:
    """A result of SPF is taken for another one."""

    def mistaking(sound: Part) -> Part:
        async def check_host(names: Names, inquiry: Inquiry, parts: RecordParts) -> Finding:
            found: Finding = await sound(names, inquiry, parts)
            return replace(found, result=other) if found.result is result else found

        return check_host

    return exchanged(
        rule, "off", description, "spf.check_host", mistaking, lambda found, *_: found.result is result
    )


def _refused(rule: str, description: str, result: Result) -> Mutant:
    """A result of SPF is a failure."""

    def refusing(sound: Part) -> Part:
        def refusal(mode: str, inquiry: Inquiry, found: Finding) -> str:
            if found.result is result:
                return not_permitted(inquiry, found)
            reply: str = sound(mode, inquiry, found)
            return reply

        return refusal

    return exchanged(rule, "strict-refused", description, "spf.refusal", refusing)


def _qualified(rule: str, description: str, result: Result, other: Result) -> Mutant:
    """A qualifier counts as another one."""

    def mistaking(sound: Part) -> Part:
        def result_of(term: Term) -> Result:
            found: Result = sound(term)
            return other if found is result else found

        return result_of

    return exchanged(rule, "off", description, "spf_records.result_of", mistaking)


def _for_now(sound: Part) -> Part:
    def refusal(*given: object) -> str:
        reply: str = sound(*given)
        return reply.replace("550 5.", "450 4.", 1)

    return refusal


def _nobodys_mail_host(_: Part) -> Part:
    async def is_mail_host(check: object, name: str, term: Term) -> bool:
        return False

    return is_mail_host


def _spf() -> Iterable[Mutant]:
    yield _taken_for(
        "spf.pass", "a client that the domain permits is not known to be", Result.PASS, Result.NONE
    )
    yield exchanged(
        "spf.pass",
        "weak-no-mx",
        "the domain's mail hosts are not permitted by mx",
        "spf_records.is_mail_host",
        _nobodys_mail_host,
        always,
    )
    yield _qualified("spf.fail", "a minus counts as a question mark", Result.FAIL, Result.NEUTRAL)
    yield exchanged("spf.fail", "weak-4xx", "refused for the moment only", "spf.refusal", _for_now)
    yield _qualified("spf.neutral", "a question mark counts as a plus", Result.NEUTRAL, Result.PASS)
    yield _refused("spf.neutral", "a neutral result counts as a failure", Result.NEUTRAL)
    yield _taken_for("spf.none", "a domain without a record permits everybody", Result.NONE, Result.PASS)
    yield _refused("spf.none", "a domain without a record permits nobody", Result.NONE)
    yield exchanged(
        "spf.include",
        "off",
        "an included record matches nobody",
        "spf_records.includes",
        lambda _: lambda found: False,
    )
    yield exchanged(
        "spf.include",
        "weak-any-result",
        "an included record that does not permit matches too",
        "spf_records.includes",
        lambda _: lambda found: True,
    )
    yield _qualified("spf.softfail", "a tilde counts as a plus", Result.SOFTFAIL, Result.PASS)
    yield _refused("spf.softfail", "a soft failure counts as a failure", Result.SOFTFAIL)
    yield _taken_for(
        "spf.permerror", "a record that cannot be read counts as none", Result.PERMERROR, Result.NONE
    )
    yield exchanged(
        "spf.permerror",
        "weak-first-record",
        "of several records the first counts",
        "spf_records.records",
        lambda sound: lambda texts: sound(texts)[:1],
    )
    yield _refused("spf.permerror", "a record that cannot be read permits nobody", Result.PERMERROR)
    yield _taken_for("spf.temperror", "no answer of DNS counts as no record", Result.TEMPERROR, Result.NONE)
    yield _refused("spf.temperror", "no answer of DNS counts as a failure", Result.TEMPERROR)
    yield exchanged(
        "spf.lookup-limit",
        "off",
        "no limit to the terms that ask DNS",
        "spf_records.too_many",
        lambda _: lambda lookups: False,
    )
    yield exchanged(
        "spf.lookup-limit",
        "strict-nine",
        "ten terms that ask DNS are too many",
        "spf_records.too_many",
        lambda sound: lambda lookups: sound(lookups + 1),
    )


def _misread(
    rule: str,
    kind: str,
    description: str,
    meant: "Callable[[Signature], bool]",
    result: str,
    reason: str = "",
) -> Mutant:
    """The signatures that are meant have another result."""

    def misreading(
        sound: "Callable[[Transaction, bytes], Awaitable[list[Signature]]]",
    ) -> Part:
        async def signatures(about: Transaction, content: bytes) -> "list[Signature]":
            found = await sound(about, content)
            return [replace(one, result=result, reason=reason) if meant(one) else one for one in found]

        return signatures

    return exchanged(
        rule, kind, description, "dkim.signatures", misreading, lambda found, *_: any(map(meant, found))
    )


def _without_key_is_false(sound: Part) -> Part:
    def refusal(found: "Sequence[Signature]") -> str:
        reply: str = sound(
            [replace(one, result="fail") if one.result == "permerror" else one for one in found]
        )
        return reply

    return refusal


def _is_false(one: "Signature", *, body: bool) -> bool:
    """Whether a signature is not that of the message: of its body, or of its header."""
    return one.result == "fail" and ("body hash" in one.reason) == body


def _unknown(kind: str, description: str, meant: "Callable[[Signature], bool]") -> Mutant:
    """True signatures that are meant are not known for such."""
    return _misread(
        "dkim.pass",
        kind,
        description,
        lambda one: one.result == "pass" and meant(one),
        "permerror",
        "not known here",
    )


def _dkim() -> Iterable[Mutant]:
    yield _unknown("off", "no true signature is known for one", lambda one: True)
    yield _unknown(
        "weak-no-ed25519",
        "signatures of ed25519 keys are not known",
        lambda one: one.algorithm.startswith("ed25519"),
    )
    yield _unknown(
        "weak-simple-only", "relaxed canonical forms are not known", lambda one: "relaxed" in one.canonical
    )
    yield _misread(
        "dkim.broken",
        "off",
        "the body may be another one than was signed",
        lambda one: _is_false(one, body=True),
        "pass",
    )
    yield exchanged("dkim.broken", "weak-4xx", "refused for the moment only", "dkim.refusal", _for_now)
    yield _misread(
        "dkim.wrong-key",
        "off",
        "the signature is not held against the key",
        lambda one: _is_false(one, body=False),
        "pass",
    )
    yield _misread(
        "dkim.no-key",
        "off",
        "a signature without a key counts as true",
        lambda one: one.reason == NO_KEY,
        "pass",
    )
    yield exchanged(
        "dkim.no-key",
        "strict-refused",
        "a signature without a key counts as false",
        "dkim.refusal",
        _without_key_is_false,
    )


SENDER_AUTHENTICATION_MUTANTS: tuple[Mutant, ...] = (*_spf(), *_dkim())
