"""What can be wrong with the checks of who a sender is: SPF and DKIM."""

from collections.abc import Iterable

from harness.reference_mta.defects.kinds import Mutant, defective


def _spf() -> Iterable[Mutant]:
    yield defective("spf.pass", "off", "a client that the domain permits is not known to be")
    yield defective("spf.pass", "weak-no-mx", "the domain's mail hosts are not permitted by mx")
    yield defective("spf.fail", "off", "a minus counts as a question mark")
    yield defective("spf.fail", "weak-4xx", "refused for the moment only")
    yield defective("spf.neutral", "off", "a question mark counts as a plus")
    yield defective("spf.neutral", "strict-refused", "a neutral result counts as a failure")
    yield defective("spf.none", "off", "a domain without a record permits everybody")
    yield defective("spf.none", "strict-refused", "a domain without a record permits nobody")
    yield defective("spf.include", "off", "an included record matches nobody")
    yield defective("spf.include", "weak-any-result", "an included record that does not permit matches too")
    yield defective("spf.softfail", "off", "a tilde counts as a plus")
    yield defective("spf.softfail", "strict-refused", "a soft failure counts as a failure")
    yield defective("spf.permerror", "off", "a record that cannot be read counts as none")
    yield defective("spf.permerror", "weak-first-record", "of several records the first counts")
    yield defective("spf.permerror", "strict-refused", "a record that cannot be read permits nobody")
    yield defective("spf.temperror", "off", "no answer of DNS counts as no record")
    yield defective("spf.temperror", "strict-refused", "no answer of DNS counts as a failure")
    yield defective("spf.lookup-limit", "off", "no limit to the terms that ask DNS")
    yield defective("spf.lookup-limit", "strict-nine", "ten terms that ask DNS are too many")


def _dkim() -> Iterable[Mutant]:
    yield defective("dkim.pass", "off", "no true signature is known for one")
    yield defective("dkim.pass", "weak-no-ed25519", "signatures of ed25519 keys are not known")
    yield defective("dkim.pass", "weak-simple-only", "relaxed canonical forms are not known")
    yield defective("dkim.broken", "off", "the body may be another one than was signed")
    yield defective("dkim.broken", "weak-4xx", "refused for the moment only")
    yield defective("dkim.wrong-key", "off", "the signature is not held against the key")
    yield defective("dkim.no-key", "off", "a signature without a key counts as true")
    yield defective("dkim.no-key", "strict-refused", "a signature without a key counts as false")


AUTHENTICITY_MUTANTS: tuple[Mutant, ...] = (*_spf(), *_dkim())
