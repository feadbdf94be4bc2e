"""SPF: what the domain of a sender says of the client that sends in its name."""

import pytest

from harness.scenario import (
    Attempt,
    Behaviour,
    Client,
    Expect,
    Mailbox,
    NoAnswer,
    ServFail,
    Sut,
    message,
    refusal,
    rule,
    spf_result,
)

MOST = 10  # terms of a record that ask DNS (RFC 7208 §4.6.4)


@rule("spf.pass")
@pytest.mark.parametrize("term", ["a", "mx", "ip4", "exists"])
def test_client_that_its_domain_names(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, term: str
) -> None:
    domain = client.identity.domain
    client.publish(domain, "A", client.address)
    client.publish(client.name(f"{client.address}.known"), "A", "127.0.0.2")
    terms = {"ip4": f"ip4:{client.address}", "exists": f"exists:%{{i}}.known.{domain}"}
    says(client, f"{terms.get(term, term)} -all")
    attempt, twin, outsider = send(client, sut), send(permitted(client), sut), client.twin()
    assert result(attempt, client, mailbox, sut) == "pass"
    strange = send(outsider, sut, sender=client.sender)
    assert result(strange, outsider, mailbox, sut) != "pass", (
        "a client that the domain does not name passes too"
    )
    expect(attempt, twin=twin)


@rule("spf.fail")
@pytest.mark.parametrize("greets_as", ["itself", "the domain"])
def test_client_that_the_domain_denies(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, greets_as: str
) -> None:
    twin = client.twin()
    says(client, f"ip4:{twin.address} -all")
    greeting = client.another_name("smtp") if greets_as == "the domain" else None
    attempt = send(client, sut, helo=greeting)
    assert result(attempt, client, mailbox, sut) == "fail"
    if sut.mail.spf.mode == "reject":
        assert refusal(attempt), "the failure was marked, and the profile says that it is refused"
    else:
        assert not refusal(attempt), "the failure was refused, and the profile says that it is marked"
    expect(attempt, twin=send(twin, sut, sender=client.sender))


@rule("spf.neutral")
@pytest.mark.parametrize("terms", ["?all", "", "?include:{included} ?all"])
def test_client_that_the_domain_says_nothing_of(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, terms: str
) -> None:
    twin, included = client.twin(), client.name("included")
    client.publish(included, "TXT", "v=spf1 +all")
    says(client, f"ip4:{twin.address} {terms.format(included=included)}".strip())
    attempt = send(client, sut)
    assert result(attempt, client, mailbox, sut) == "neutral"
    expect(attempt, twin=send(twin, sut, sender=client.sender))


@rule("spf.none")
@pytest.mark.parametrize("other", ["", "v=spf10 -all", "spf2.0/pra -all"])
def test_domain_without_a_record(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, other: str
) -> None:
    if other:
        client.publish(client.identity.domain, "TXT", other)
    attempt = send(client, sut)
    assert result(attempt, client, mailbox, sut) == "none"
    expect(attempt, twin=send(permitted(client), sut))


@rule("spf.include")
def test_client_that_an_included_record_names(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    provider, outsider, own = client.name("provider"), client.twin(), client.twin()
    client.publish(provider, "TXT", f"v=spf1 ip4:{client.address} -all")
    says(client, f"include:{provider} ip4:{own.address} -all")
    attempt = send(client, sut)
    assert result(attempt, client, mailbox, sut) == "pass"
    strange = send(outsider, sut, sender=client.sender)
    assert result(strange, outsider, mailbox, sut) != "pass", "a client that neither record names passes"
    later = send(own, sut, sender=client.sender)
    assert result(later, own, mailbox, sut) == "pass", "the included record's -all counted here"
    expect(attempt, twin=later)


@rule("spf.softfail")
def test_client_that_the_domain_half_denies(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    twin = client.twin()
    says(client, f"ip4:{twin.address} ~all")
    attempt = send(client, sut)
    assert result(attempt, client, mailbox, sut) == "softfail"
    expect(attempt, twin=send(twin, sut, sender=client.sender))


@rule("spf.permerror")
@pytest.mark.parametrize(
    "fault", ["unknown mechanism", "broken network", "two records", "include of nothing"]
)
def test_record_that_cannot_be_read(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, fault: str
) -> None:
    terms = {
        "unknown mechanism": "address:{0} -all",
        "broken network": "ip4:{0}/33 ip4:{0} -all",
        "two records": "ip4:{0} -all",
        "include of nothing": "include:nobody.{1} ip4:{0} -all",
    }[fault]
    says(client, terms.format(client.address, client.identity.domain))
    if fault == "two records":
        says(client, "a mx -all")
    attempt = send(client, sut)
    assert result(attempt, client, mailbox, sut) == "permerror"
    expect(attempt, twin=send(permitted(client), sut))


@rule("spf.temperror")
@pytest.mark.parametrize("trouble", [ServFail(), NoAnswer()], ids=["SERVFAIL", "silence"])
@pytest.mark.parametrize("about", ["the domain", "an included one"])
def test_dns_does_not_answer(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, trouble: Behaviour, about: str
) -> None:
    name = client.identity.domain
    if about == "an included one":
        name = client.name("provider")
        says(client, f"include:{name} -all")
    client.script(name, "TXT", trouble)
    attempt = send(client, sut)
    assert result(attempt, client, mailbox, sut) == "temperror"
    expect.whenever(attempt, twin=send(permitted(client), sut))


@rule("spf.lookup-limit")
@pytest.mark.parametrize("kind", ["a", "include"])
def test_record_with_more_terms_than_are_followed(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, kind: str
) -> None:
    twin, names = client.twin(), [client.name(f"n{number}") for number in range(MOST + 1)]
    for name in names:
        client.publish(name, "A", "127.0.0.2")
        client.publish(name, "TXT", "v=spf1 -all")
    terms = [f"{kind}:{name}" for name in names]
    says(client, f"{' '.join(terms)} ip4:{client.address} -all")
    says(twin, f"{' '.join(terms[:MOST])} ip4:{twin.address} -all")
    attempt, just = send(client, sut), send(twin, sut)
    assert result(attempt, client, mailbox, sut) == "permerror"
    assert result(just, twin, mailbox, sut) == "pass", f"{MOST} terms are followed"
    expect(attempt, twin=just)


def says(client: Client, terms: str) -> None:
    """Publish an SPF record of the client's domain."""
    client.publish(client.identity.domain, "TXT", f"v=spf1 {terms}".strip())


def permitted(client: Client) -> Client:
    """Another client, which its own domain names."""
    twin = client.twin()
    says(twin, f"ip4:{twin.address} -all")
    return twin


def send(client: Client, sut: Sut, *, sender: str | None = None, helo: str | None = None) -> Attempt:
    """A message to the server that checks SPF."""
    client.server = sut.mail.spf.server
    content = message(client, sut.recipient)
    return client.attempt(helo=helo, sender=sender, message=content)


def result(attempt: Attempt, client: Client, mailbox: Mailbox, sut: Sut) -> str:
    """What the server found out, by its refusal or by the header of what it delivered."""
    return spf_result(attempt, client, mailbox, sut.recipient).result
