"""check_host() (RFC 7208 §4–§7): what a domain says of a client that sends in its name."""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from harness.reference_mta.addresses import reverse_pointer
from harness.reference_mta.resolver import Answer, Lookup
from harness.reference_mta.spf.macro import SyntaxFault, Text, expand, read, shortened
from harness.reference_mta.spf.record import Record, Term, is_spf, parse

MOST_LOOKUPS = 10  # terms that ask DNS, in one check (§4.6.4)
MOST_VOID = 2  # of those whose names or records do not exist
MOST_NAMES = 10  # names of one mx or ptr
LONGEST_LABEL = 63
TIME_LIMIT = 20.0  # seconds for the whole check (§4.6.4)
ASKING = frozenset(("include", "a", "mx", "ptr", "exists"))
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Result(StrEnum):
    """What check_host() comes to (§2.6)."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


class Names(Protocol):
    """DNS."""

    async def ask(self, name: str, record_type: str) -> Answer:
        """The records of a name; never raises."""


@dataclass(frozen=True)
class Inquiry:
    """Who sends, in whose name, and who wants to know."""

    client: Address
    local_part: str
    domain: str
    helo: str
    receiver: str


@dataclass(frozen=True)
class Finding:
    """The result, the term that decided it, the domain's own words about a failure, and what was wrong."""

    result: Result
    mechanism: str = ""
    explanation: str = ""
    problem: str = ""


class _Trouble(Exception):
    """The check ends here."""

    def __init__(self, result: Result, problem: str) -> None:
        super().__init__(problem)
        self.finding = Finding(result, problem=problem)


def _permanent(problem: str) -> _Trouble:
    return _Trouble(Result.PERMERROR, problem)


def records(texts: Iterable[str]) -> list[str]:
    """The SPF records among the texts of a domain (§4.5)."""
    return [text for text in texts if is_spf(text)]


def result_of(term: Term) -> Result:
    """What a term says of whom it matches (§4.6.2)."""
    return QUALIFIERS[term.qualifier]


def includes(found: Finding) -> bool:
    """Whether an include matches, by what the other domain says (§5.2)."""
    return found.result is Result.PASS


def too_many(lookups: int) -> bool:
    """Whether so many terms that ask DNS are more than one check may have (§4.6.4)."""
    return lookups > MOST_LOOKUPS


async def is_mail_host(check: "_Check", name: str, term: Term) -> bool:
    """Whether the client is a mail host of a name (§5.4)."""
    exchanges = [value.partition(" ")[2] for value in await check.ask(name, "MX")]
    hosts = [host for host in exchanges if host]  # an empty name is no host (RFC 7505)
    if len(hosts) > MOST_NAMES:
        raise _permanent(f"{name} has more than {MOST_NAMES} mail hosts")
    for host in hosts:
        if check.near(await check.ask(host, check.family, countable=False), term):
            return True
    return False


@dataclass(frozen=True)
class RecordParts:
    """How records are read: each part as it should be; another one may take its place."""

    records: Callable[[Iterable[str]], list[str]] = records
    result_of: Callable[[Term], Result] = result_of
    includes: Callable[[Finding], bool] = includes
    is_mail_host: Callable[["_Check", str, Term], Awaitable[bool]] = is_mail_host
    too_many: Callable[[int], bool] = too_many


AS_IT_SHOULD_BE = RecordParts()


async def check_host(names: Names, inquiry: Inquiry, parts: RecordParts = AS_IT_SHOULD_BE) -> Finding:
    """What the domain of the inquiry says of its client; never raises."""
    check = _Check(names, inquiry, parts)
    try:
        async with asyncio.timeout(TIME_LIMIT):
            return await check.of(inquiry.domain, explaining=True)
    except TimeoutError:
        return Finding(Result.TEMPERROR, problem=f"not done within {TIME_LIMIT:g} s")
    except _Trouble as trouble:
        return trouble.finding


@dataclass
class _Check:
    """One check, with what it has used up of its limits."""

    names: Names
    inquiry: Inquiry
    parts: RecordParts
    lookups: int = 0
    void: int = 0
    validated: dict[str, list[str]] = field(default_factory=dict)

    async def of(self, domain: str, *, explaining: bool = False) -> Finding:
        """What a domain's record says, its redirection followed. Raises `_Trouble`."""
        record = await self._record(domain)
        if record is None:
            return Finding(Result.NONE)
        for term in record.terms:
            if await self._matches(term, domain):
                result = self.parts.result_of(term)
                explains = explaining and result is Result.FAIL and "exp" in record.modifiers
                words = await self._explanation(record.modifiers["exp"], domain) if explains else ""
                return Finding(result, term.source, words)
        if (target := record.modifiers.get("redirect")) and not _has_all(record):
            self._count()
            name = await self._target(target, domain)
            found = await self.of(name, explaining=explaining)
            if found.result is Result.NONE:
                raise _permanent(f"redirect leads to {name}, which has no record")
            return found
        return Finding(Result.NEUTRAL, "default")

    async def _record(self, domain: str) -> Record | None:
        """The one SPF record of a domain (§4.4, §4.5); a name that cannot be has none (§4.3)."""
        labels = domain.removesuffix(".").split(".")
        if len(labels) < 2 or not all(0 < len(label) <= LONGEST_LABEL for label in labels):
            return None
        answer = await self.names.ask(domain, "TXT")
        if answer.lookup is Lookup.FAILED:
            raise _Trouble(Result.TEMPERROR, f"no answer about {domain}")
        texts = self.parts.records(answer.values)
        if not texts:
            return None
        if len(texts) > 1:
            raise _permanent(f"{domain} has several records")
        try:
            return parse(texts[0])
        except SyntaxFault as fault:
            raise _permanent(f"{domain}: {fault}") from fault

    async def _matches(self, term: Term, domain: str) -> bool:
        if term.name in ASKING:
            self._count()
        name = await self._target(term.domain, domain) if term.domain else domain
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                network = term.network
                client = self.inquiry.client
                return network is not None and client.version == network.version and client in network
            case "include":
                return await self._includes(name)
            case "exists":
                return bool(await self.ask(name, "A"))
            case "a":
                return self.near(await self.ask(name, self.family), term)
            case "mx":
                return await self.parts.is_mail_host(self, name, term)
        return any(_below(found, name) for found in await self._own_names())

    async def _includes(self, name: str) -> bool:
        """Whether the other domain passes the client; its failures are no match (§5.2)."""
        found = await self.of(name)
        if found.result is Result.NONE:
            raise _permanent(f"include leads to {name}, which has no record")
        return self.parts.includes(found)

    async def _own_names(self) -> list[str]:
        """The client's names that lead back to it (§5.5); DNS errors are as if there were none."""
        client = str(self.inquiry.client)
        if client not in self.validated:
            answer = await self.names.ask(reverse_pointer(client), "PTR")
            confirmed = []
            for name in answer.values[:MOST_NAMES]:
                addresses = (await self.names.ask(name, self.family)).values
                if any(ipaddress.ip_address(value) == self.inquiry.client for value in addresses):
                    confirmed.append(name)
            self.validated[client] = confirmed
        return self.validated[client]

    def near(self, addresses: tuple[str, ...], term: Term) -> bool:
        """Whether the client is one of the addresses, or in their networks as the term has them."""
        length = term.lengths[0 if self.inquiry.client.version == 4 else 1]
        return any(
            self.inquiry.client in ipaddress.ip_network(f"{address}/{length}", strict=False)
            for address in addresses
        )

    @property
    def family(self) -> str:
        """The record type of addresses in the client's family."""
        return "A" if self.inquiry.client.version == 4 else "AAAA"

    async def ask(self, name: str, record_type: str, *, countable: bool = True) -> tuple[str, ...]:
        """Records that a term needs. Raises `_Trouble` when DNS fails, or has too often had nothing."""
        answer = await self.names.ask(name, record_type)
        if answer.lookup is Lookup.FAILED:
            raise _Trouble(Result.TEMPERROR, f"no answer about {name}")
        if answer.lookup is Lookup.NOTHING and countable:
            self.void += 1
            if self.void > MOST_VOID:
                raise _permanent(f"more than {MOST_VOID} void lookups")
        return answer.values

    def _count(self) -> None:
        self.lookups += 1
        if self.parts.too_many(self.lookups):
            raise _permanent(f"more than {MOST_LOOKUPS} terms that ask DNS")

    # Macros

    async def _target(self, text: Text, domain: str) -> str:
        return shortened(await expand(text, self._values(domain)))

    async def _explanation(self, text: Text, domain: str) -> str:
        """The domain's words about a failure (§6.2); empty where it has none that can be shown."""
        answer = await self.names.ask(await self._target(text, domain), "TXT")
        if len(answer.values) != 1 or not answer.values[0].isascii():
            return ""
        try:
            words = read(answer.values[0], explanation=True)
        except SyntaxFault:
            return ""
        return await expand(words, self._values(domain))

    def _values(self, domain: str) -> Callable[[str], Awaitable[str]]:
        inquiry = self.inquiry
        plain = {
            "s": f"{inquiry.local_part}@{inquiry.domain}",
            "l": inquiry.local_part,
            "o": inquiry.domain,
            "d": domain,
            "i": _dotted(inquiry.client),
            "v": "in-addr" if inquiry.client.version == 4 else "ip6",
            "h": inquiry.helo,
            "c": str(inquiry.client),
            "r": inquiry.receiver,
            "t": str(int(time.time())),
        }

        async def value(letter: str) -> str:
            return plain[letter] if letter in plain else await self._best_name(domain)

        return value

    async def _best_name(self, domain: str) -> str:
        """`%{p}`: a validated name, best the domain itself or one below it (§7.3)."""
        names = await self._own_names()
        for good in (
            [name for name in names if name.lower() == domain.lower()],
            [name for name in names if _below(name, domain)],
            names,
        ):
            if good:
                return good[0]
        return "unknown"


def _has_all(record: Record) -> bool:
    return any(term.name == "all" for term in record.terms)


def _below(name: str, domain: str) -> bool:
    return f".{name.lower()}".endswith(f".{domain.lower()}")


def _dotted(client: Address) -> str:
    """An address as macros have it: IPv6 as nibbles, each a label of its own."""
    return str(client) if client.version == 4 else ".".join(client.exploded.replace(":", "").upper())
