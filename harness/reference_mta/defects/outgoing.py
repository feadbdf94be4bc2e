"""Mutants of the rules about mail for others: where it goes, what is tried again, what comes back."""

from harness.reference_mta.defects.kinds import Mutant, defective, treated

SMARTHOST = (
    defective("smarthost.routes-nonlocal", "off", "mail goes to the MX of its domain, past the smarthost"),
    defective("smarthost.routes-nonlocal", "weak-last-resort", "only mail for domains without MX goes to it"),
    defective("smarthost.routes-nonlocal", "weak-bounced", "what it puts off comes back at once"),
    defective("smarthost.routes-nonlocal", "weak-lost", "what it puts off is forgotten"),
    defective("smarthost.routes-nonlocal", "strict-local", "mail for users of the server goes to it as well"),
    defective("smarthost.off", "off", "mail goes to the address of its domain, not to the MX"),
    defective("smarthost.off", "weak-backwards", "the least preferred MX comes first"),
    defective("smarthost.off", "weak-unsorted", "MX records are taken in the order of the answer"),
    defective("smarthost.off", "weak-first-only", "no MX but the most preferred one is ever tried"),
)

QUEUE = (
    defective("queue.retry", "off", "what was put off is not tried again"),
    defective("queue.retry", "weak-slow", "it is tried again after three intervals"),
    defective("queue.retry", "weak-hasty", "it is tried again after a tenth of the interval"),
    defective("queue.retry", "weak-bounced", "it comes back at once"),
    defective("queue.retry", "weak-impatient", "it comes back when the greeting puts it off"),
    defective("queue.retry", "weak-lost", "it is forgotten"),
    defective("queue.list-remove-thaw", "off", "the operator sees an empty queue and can do nothing"),
    defective("queue.list-remove-thaw", "weak-hidden", "frozen messages are not listed"),
    defective("queue.list-remove-thaw", "weak-unmarked", "frozen messages are listed as if they were not"),
    defective("queue.list-remove-thaw", "weak-no-remove", "removing a message does nothing"),
    defective("queue.list-remove-thaw", "weak-no-thaw", "thawing a message does nothing"),
    defective("queue.list-remove-thaw", "weak-restless", "no message is ever frozen; it is tried for ever"),
)

LOCAL_ONLY = (
    defective("local-only.not-listening", "off", "the server listens on another address as well"),
    defective("local-only.nonlocal-refused", "off", "mail for others is sent all the same"),
    defective("local-only.nonlocal-refused", "weak-silent", "its sender is not told"),
    defective(
        "local-only.nonlocal-refused", "weak-kept", "it is kept and tried again, and does not come back"
    ),
    defective("local-only.nonlocal-refused", "weak-sender", "the bounce is not from the null sender"),
)

REFUSED = (
    defective("outgoing.no-rdns-refused", "off", "a greeting of 554 counts as a failure for now"),
    defective("outgoing.no-rdns-refused", "weak-silent", "the sender is not told"),
    defective("outgoing.no-rdns-refused", "weak-wordless", "the bounce does not have the receiver's words"),
    defective("outgoing.no-rdns-refused", "weak-sender", "the bounce is not from the null sender"),
)

SRS = (
    defective("srs.forward", "off", "forwarded mail keeps its sender"),
    defective("srs.forward", "weak-null", "forwarded mail gets the null sender"),
    defective("srs.forward", "strict-null", "a bounce that is forwarded gets a sender"),
    defective("srs.forward", "strict-relayed", "mail that is only relayed gets another sender too"),
    defective("srs.bounce-back", "off", "a bounce to a rewritten address is refused"),
    defective("srs.bounce-back", "weak-lost", "a bounce to a rewritten address is taken and lost"),
    defective("srs.bounce-back", "weak-kept", "a bounce to a rewritten address is kept here"),
    defective("srs.second-hop", "off", "the address of another forwarder is wrapped as any sender is"),
    defective("srs.second-hop", "weak-kept", "the address of another forwarder stays the sender"),
    defective("srs.second-hop", "weak-one-way", "a bounce to the address of a second hop is refused"),
    defective("srs.bad-hash", "off", "the hash is not looked at"),
    defective("srs.bad-hash", "weak-beginning", "only the first character of the hash is compared"),
    defective("srs.bad-hash", "strict-case", "a hash that comes back in lower case is refused"),
    treated("srs.bad-hash", "weak-4xx", "refused for the moment only", lambda check: check.then.temporary()),
    defective("srs.expired", "off", "the timestamp is not looked at"),
    defective("srs.expired", "strict-short", "an address of yesterday is refused"),
    treated("srs.expired", "weak-4xx", "refused for the moment only", lambda check: check.then.temporary()),
)

OUTGOING_MUTANTS: tuple[Mutant, ...] = (*SMARTHOST, *QUEUE, *LOCAL_ONLY, *REFUSED, *SRS)
