"""SPF: what the domain of a sender says of the client that sends in its name."""

import ipaddress

import pytest

from harness.scenario import (
    Attempt,
    Behaviour,
    Client,
    Expect,
    Internet,
    Mailbox,
    NoAnswer,
    ServFail,
    Sut,
    message,
    refusal,
    rule,
    spf_mark,
)

from .filters import is_looked_at

MOST = 10  # terms of a record that ask DNS (RFC 7208 §4.6.4)


@rule("spf.pass")
@pytest.mark.parametrize("term", ["a", "mx", "network", "exists"])
def test_client_that_its_domain_names(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, term: str
) -> None:
    domain = client.identity.domain
    client.publish(domain, "A", client.address)
    client.publish(client.name(f"{client.address}.known"), "A", "127.0.0.2")
    network = ipaddress.ip_network(f"{client.address}/30", strict=False)
    terms = {"network": f"ip4:{network}", "exists": f"exists:%{{i}}.known.{domain}"}
    says(client, f"{terms.get(term, term) if offence else named(client)} -all")
    finds("pass", client, offence, sut, mailbox, expect)
    outsider = client.another("a client that the domain does not name")
    while ipaddress.ip_address(outsider.address) in network:
        outsider = outsider.another(outsider.label)
    if offence:
        does_not_pass(outsider, client, sut, mailbox, expect)


@rule("spf.fail")
@pytest.mark.parametrize("greets_as", ["itself", "the domain"])
def test_client_that_the_domain_denies(
    client: Client,
    offence: bool,
    sut: Sut,
    internet: Internet,
    mailbox: Mailbox,
    expect: Expect,
    greets_as: str,
) -> None:
    says(client, f"{somebody(internet) if offence else named(client)} -all")
    greeting = client.another_name("smtp") if greets_as == "the domain" else None
    attempt = finds("fail", client, offence, sut, mailbox, expect, helo=greeting)
    if offence and sut.mail.spf.mode == "reject":
        assert refusal(attempt), "the failure was marked at most, and the profile says that it is refused"
    elif offence:
        assert not refusal(attempt), "the failure was refused, and the profile says that it is marked"


@rule("spf.neutral")
@pytest.mark.parametrize("terms", ["?all", "", "?include:{included} ?all"])
def test_client_that_the_domain_says_nothing_of(
    client: Client,
    offence: bool,
    sut: Sut,
    internet: Internet,
    mailbox: Mailbox,
    expect: Expect,
    terms: str,
) -> None:
    included = client.name("included")
    client.publish(included, "TXT", "v=spf1 +all")
    says(client, f"{somebody(internet) if offence else named(client)} {terms.format(included=included)}")
    finds("neutral", client, offence, sut, mailbox, expect)


@rule("spf.none")
@pytest.mark.parametrize("other", ["", "v=spf10 -all", "spf2.0/pra -all"])
def test_domain_without_a_record(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, other: str
) -> None:
    if other:
        client.publish(client.identity.domain, "TXT", other)
    if not offence:
        says(client, f"{named(client)} -all")
    finds("none", client, offence, sut, mailbox, expect)


@rule("spf.include")
def test_client_that_an_included_record_names(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    provider = client.name("provider")
    client.publish(provider, "TXT", f"v=spf1 {named(client)} -all")
    says(client, f"{f'include:{provider}' if offence else named(client)} -all")
    finds("pass", client, offence, sut, mailbox, expect)
    if offence:
        outsider = client.another("a client that neither record names")
        does_not_pass(outsider, client, sut, mailbox, expect)


@rule("spf.include")
def test_client_that_an_included_record_denies(
    client: Client, offence: bool, sut: Sut, internet: Internet, mailbox: Mailbox, expect: Expect
) -> None:
    provider = client.name("provider")
    client.publish(provider, "TXT", f"v=spf1 {somebody(internet)} -all")
    says(client, f"{f'include:{provider} ' if offence else ''}{named(client)} -all")
    finds("pass", client, offence, sut, mailbox, expect)


@rule("spf.softfail")
def test_client_that_the_domain_half_denies(
    client: Client, offence: bool, sut: Sut, internet: Internet, mailbox: Mailbox, expect: Expect
) -> None:
    says(client, f"{somebody(internet) if offence else named(client)} ~all")
    finds("softfail", client, offence, sut, mailbox, expect)


@rule("spf.permerror")
@pytest.mark.parametrize(
    "fault", ["unknown mechanism", "broken network", "two records", "include of nothing"]
)
def test_record_that_cannot_be_read(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, fault: str
) -> None:
    before = {
        "unknown mechanism": f"address:{client.address} ",
        "broken network": f"ip4:{client.address}/33 ",
        "include of nothing": f"include:nobody.{client.identity.domain} ",
    }.get(fault, "")
    says(client, f"{before if offence else ''}{named(client)} -all")
    if offence and fault == "two records":
        says(client, "a mx -all")
    finds("permerror", client, offence, sut, mailbox, expect)


@rule("spf.temperror")
@pytest.mark.parametrize("trouble", [ServFail(), NoAnswer()], ids=["SERVFAIL", "silence"])
@pytest.mark.parametrize("about", ["the domain", "an included one"])
def test_dns_does_not_answer(
    client: Client,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    trouble: Behaviour,
    about: str,
) -> None:
    name, terms = client.identity.domain, named(client)
    if about == "an included one":
        name = client.name("provider")
        client.publish(name, "TXT", f"v=spf1 {terms} -all")
        terms = f"include:{name}"
    says(client, f"{terms} -all")
    if offence:
        client.script(name, "TXT", trouble)
    finds("temperror", client, offence, sut, mailbox, expect, whenever=True)


@rule("spf.lookup-limit")
@pytest.mark.parametrize("kind", ["a", "include"])
@pytest.mark.parametrize(
    ("number", "result"), [(MOST, "pass"), (MOST + 1, "permerror")], ids=["the last", "one more"]
)
def test_record_with_many_terms_that_ask(
    client: Client,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    kind: str,
    number: int,
    result: str,
) -> None:
    names = [client.name(f"n{each}") for each in range(number)]
    for name in names:
        client.publish(name, "A", "127.0.0.2")
        client.publish(name, "TXT", "v=spf1 -all")
    terms = " ".join(f"{kind}:{name}" for name in names)
    says(client, f"{f'{terms} ' if offence else ''}{named(client)} -all")
    finds(result, client, offence, sut, mailbox, expect)


def says(client: Client, terms: str) -> None:
    """Publish an SPF record of the client's domain."""
    client.publish(client.identity.domain, "TXT", f"v=spf1 {terms}".strip())


def named(client: Client) -> str:
    """The term that names a client."""
    return f"ip4:{client.address}"


def somebody(internet: Internet) -> str:
    """The term that names somebody else."""
    return f"ip4:{internet.spare_address()}"


def finds(
    result: str,
    client: Client,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    *,
    helo: str | None = None,
    whenever: bool = False,
) -> Attempt:
    """The server takes a message or not, as it promises for the rule, and finds that, with the offence."""
    attempt = send(client, client.sender, sut, helo=helo)
    expect(attempt, whenever=whenever)
    if offence and not refusal(attempt):
        found = mark(client, sut, mailbox, expect)
        is_looked_at(client, client.identity.domain, expect)
        without = result == "none" and not found  # to write nothing says that there was nothing to find
        assert found == result or without, f"the delivered message says that SPF came to {found or 'nothing'}"
    looked = client.looked_up_text(client.identity.domain)
    expect.given(looked.seen, looked.missing)
    return attempt


def does_not_pass(outsider: Client, client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    """Another client that sends in the name of the client's domain does not pass."""
    if not refusal(send(outsider, client.sender, sut)):
        found = mark(outsider, sut, mailbox, expect)
        assert found != "pass", "a client that the domain does not name passes, too"


def send(client: Client, sender: str, sut: Sut, *, helo: str | None = None) -> Attempt:
    """A message to the server that checks SPF."""
    client.server = sut.mail.spf.server
    return client.attempt(helo=helo, sender=sender, message=message(client, sut.recipient))


def mark(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> str:
    """The result that the message of a client shows, where a server that may refuse shows any."""
    found = spf_mark(mailbox.find(sut.recipient, client.token))
    expect.needed(
        bool(found) or sut.mail.spf.mode == "mark",
        "this server refuses what fails, and its messages show no result by which others could be told apart",
    )
    return found
