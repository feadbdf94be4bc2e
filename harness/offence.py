"""What clients do that a server may hold against them, by kinds: profiles say what each of them earns."""

from enum import StrEnum


class Offence(StrEnum):
    """What a client does that a server may hold against it."""

    UNVERIFIED_HOST = "unverified_host"  # its address has no name that leads back to it
    FAILED_LOOKUP = "failed_lookup"  # whether it has one cannot be found out at the moment
    UNQUALIFIED_GREETING = "unqualified_greeting"
    BARE_ADDRESS_GREETING = "bare_address_greeting"
    ADDRESS_LITERAL_GREETING = "address_literal_greeting"
    OWN_NAME_GREETING = "own_name_greeting"  # a domain of the server, or its host name
    OWN_HOST_GREETING = "own_host_greeting"  # a host in a domain of the server
    UNCONFIRMED_GREETING = "unconfirmed_greeting"  # DNS knows the name not, or not as the client's
    BORROWED_GREETING = "borrowed_greeting"  # the consistent name of another host
    NO_GREETING = "no_greeting"
    RELAYING = "relaying"
    ILLEGAL_RECIPIENT = "illegal_recipient"
    UNKNOWN_USER = "unknown_user"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    BOUNCE = "bounce"  # to one who never sends
    BOUNCE_WITHOUT_LIST = "bounce_without_list"  # to a domain that does not say who sends
    LISTED = "listed"  # by block lists whose weights do not reach the threshold
    LISTED_ENOUGH = "listed_enough"
    UNKNOWN_TRIPLET = "unknown_triplet"
    BLACKLISTED_TRIPLET = "blacklisted_triplet"
    BROKEN_HEADER = "broken_header"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105


# Told where they happen, whatever else waits: RFC 5321 §4.1.4, §4.5.3.1.10; RFC 4954 §4, §6.
AT_ONCE = (Offence.NO_GREETING, Offence.TOO_MANY_RECIPIENTS, Offence.WRONG_PASSWORD)
