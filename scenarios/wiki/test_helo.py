"""HELO and EHLO: what a greeting's name gives away about the client."""

from collections.abc import Callable

import pytest

from harness.scenario import (
    Attempt,
    Behaviour,
    Client,
    Domain,
    Expect,
    Internet,
    Kind,
    NewClient,
    NoAnswer,
    Offence,
    ServFail,
    Stage,
    Sut,
    Treatment,
    each,
    needs,
    rule,
)

from .recipients import must_refuse

VERBS = pytest.mark.parametrize("extended", [True, False], ids=["EHLO", "HELO"])  # both are checked alike
OUT_OF_ORDER = 503
STALL = 2.0  # seconds that nobody waits for who does not need the answer


@rule("helo.not-fqdn")
@VERBS
@pytest.mark.parametrize("name", ["localbox", "WORKSTATION7"])
def test_greeting_without_a_dot(
    client: Client, offence: bool, sut: Sut, expect: Expect, name: str, extended: bool
) -> None:
    is_nobodys(name, sut, expect)
    expect(client.attempt(helo=name if offence else client.host, extended=extended))


@rule("helo.not-fqdn")
@needs("tls")
def test_greeting_without_a_dot_under_tls(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    is_nobodys("localbox", sut, expect)
    expect(client.attempt(helo="localbox" if offence else client.host, covered=True))


@rule("helo.plain-ip")
@VERBS
def test_greeting_with_the_bare_own_address(
    client: Client, offence: bool, expect: Expect, extended: bool
) -> None:
    expect(client.attempt(helo=client.address if offence else client.host, extended=extended))


@rule("helo.plain-ip")
def test_greeting_with_a_bare_foreign_address(
    client: Client, offence: bool, internet: Internet, expect: Expect
) -> None:
    starts_with_a_digit = client.another_name("2-mx")  # and does not look like that of a dynamic address
    expect(client.attempt(helo=internet.spare_address() if offence else starts_with_a_digit))


@rule("helo.plain-ip")
@needs("ipv6")
def test_greeting_with_a_bare_ipv6_address(new_client: NewClient, offence: bool, expect: Expect) -> None:
    must_refuse(expect)
    client = new_client(Kind.IPV6)
    attempt = client.attempt(helo=client.address if offence else client.host)
    expect.turned_away(attempt, client.world.goal)  # in whatever words: it has characters that no name has


@rule("helo.plain-ip-sticky")
def test_good_greeting_after_a_bare_address(client: Client, offence: bool, expect: Expect) -> None:
    first = client.another_name("first")
    expect.applicable(
        not any(one.stage is Stage.HELO and one.treatment is Treatment.DROP for one in expect.expected),
        "the server ends the connection with such a greeting, so there is no later one",
    )
    client.be_known()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.address if offence else first)
        second = talk.ehlo(client.another_name("second"))
        expect.applicable(
            offence or second.code != OUT_OF_ORDER, f"nobody may greet a second time here: {second}"
        )
        talk.ehlo(client.host)
        client.carry_on(talk)
        attempt = talk.quit()
    expect(attempt)
    settled = client.world.sut.profile.settles(Stage.HELO)
    anew = client.attempt(upto=settled, label="the same host on a new connection")
    expect.through(anew, settled)


@rule("helo.ip-literal")
@VERBS
def test_greeting_with_the_own_address_literal(
    client: Client, offence: bool, expect: Expect, extended: bool
) -> None:
    expect(client.attempt(helo=f"[{client.address}]" if offence else client.host, extended=extended))


@rule("helo.ip-literal")
@needs("ipv6")
def test_greeting_with_an_ipv6_address_literal(new_client: NewClient, offence: bool, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    expect(client.attempt(helo=f"[IPv6:{client.address}]" if offence else client.host))


@rule("helo.own-domain")
@each("domain")
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_greeting_with_a_domain_of_the_server(
    client: Client, offence: bool, expect: Expect, domain: Domain, spelling: Callable[[str], str]
) -> None:
    other = None if offence else named_like(client, domain)
    greets_by_own_name(client, expect, spelling(domain.name), instead=other)


@rule("helo.own-domain")
@each("domain")
def test_helo_with_a_domain_of_the_server(
    client: Client, offence: bool, expect: Expect, domain: Domain
) -> None:
    other = None if offence else named_like(client, domain)
    greets_by_own_name(client, expect, domain.name, instead=other, extended=False)


@rule("helo.own-host")
@each("domain")
def test_greeting_with_a_host_in_a_domain_of_the_server(
    client: Client, offence: bool, sut: Sut, expect: Expect, domain: Domain
) -> None:
    expect(greets(client, sut.host_inside(domain.name) if offence else client.host))


@rule("helo.own-host")
def test_helo_with_a_host_in_a_domain_of_the_server(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    name = sut.host_inside(sut.domains[0])
    expect(greets(client, name if offence else client.host, extended=False))


@rule("helo.own-primary")
@VERBS
def test_greeting_with_the_host_name_of_the_server(
    client: Client, offence: bool, sut: Sut, expect: Expect, extended: bool
) -> None:
    other = None if offence else client.host
    greets_by_own_name(client, expect, sut.hostname, instead=other, extended=extended)


@rule("helo.own-primary")
@pytest.mark.parametrize("spelling", [str.upper, str.title], ids=["upper", "title"])
def test_greeting_with_another_spelling_of_the_host_name(
    client: Client, offence: bool, sut: Sut, expect: Expect, spelling: Callable[[str], str]
) -> None:
    other = None if offence else client.host
    greets_by_own_name(client, expect, spelling(sut.hostname), instead=other)


@rule("helo.own-primary")
def test_greeting_as_localhost(client: Client, offence: bool, expect: Expect) -> None:
    greets_by_own_name(client, expect, "localhost", instead=None if offence else client.host)


@rule("helo.forward-match")
def test_name_resolves_to_the_client(client: Client, offence: bool, expect: Expect) -> None:
    other = client.name("other")
    client.publish(other, "A", client.address)
    expect(greets(client, other if offence else client.host), cause=client.looked_up(other))


@rule("helo.reverse-match")
def test_name_of_another_host_that_is_consistent(
    client: Client, offence: bool, internet: Internet, expect: Expect
) -> None:
    borrowed, elsewhere = client.name("borrowed"), internet.spare_address()
    client.publish(borrowed, "A", elsewhere)
    client.publish_ptr(elsewhere, borrowed)
    expect(greets(client, borrowed if offence else client.host), cause=client.looked_up(borrowed))


@rule("helo.dns-mismatch")
@VERBS
def test_name_that_does_not_resolve(client: Client, offence: bool, expect: Expect, extended: bool) -> None:
    nowhere = client.name("nowhere")
    attempt = greets(client, nowhere if offence else client.host, extended=extended)
    expect(attempt, cause=client.looked_up(nowhere))


@rule("helo.dns-mismatch")
@needs("ipv6")
def test_name_of_an_ipv6_host_that_does_not_resolve(
    new_client: NewClient, offence: bool, expect: Expect
) -> None:
    client = new_client(Kind.IPV6)
    nowhere = client.name("nowhere")
    expect(greets(client, nowhere if offence else client.host), cause=client.looked_up(nowhere))


@rule("helo.dns-mismatch")
def test_name_of_another_host_without_ptr(
    client: Client, offence: bool, internet: Internet, expect: Expect
) -> None:
    name = client.name("elsewhere")
    client.publish(name, "A", internet.spare_address())
    expect(greets(client, name if offence else client.host), cause=client.looked_up(name))


@rule("helo.dns-mismatch")
def test_name_of_another_host_whose_ptr_differs(
    client: Client, offence: bool, internet: Internet, expect: Expect
) -> None:
    name, elsewhere = client.name("elsewhere"), internet.spare_address()
    client.publish(name, "A", elsewhere)
    client.publish_ptr(elsewhere, client.name("third"))
    expect(greets(client, name if offence else client.host), cause=client.looked_up(name))


@rule("helo.no-aaaa-stall")
@pytest.mark.parametrize("fault", [NoAnswer(), ServFail()], ids=["no answer", "servfail"])
def test_aaaa_lookup_fails_while_a_matches(
    client: Client, offence: bool, expect: Expect, fault: Behaviour
) -> None:
    name = client.another_name("v4only")
    if offence:
        client.script(name, "AAAA", fault)
    attempt = greets(client, name)
    expect.no_slower(attempt, STALL)
    expect(attempt)


@rule("helo.no-aaaa-stall")
@pytest.mark.parametrize("fault", [NoAnswer(), ServFail()], ids=["no answer", "servfail"])
def test_aaaa_lookup_of_a_name_that_no_ptr_gives(
    client: Client, offence: bool, expect: Expect, fault: Behaviour
) -> None:
    name = client.name("v4only")
    client.publish(name, "A", client.address)
    if offence:
        client.script(name, "AAAA", fault)
    attempt = greets(client, name)
    expect.no_slower(attempt, STALL)
    expect(attempt, cause=client.looked_up(name))


def is_nobodys(name: str, sut: Sut, expect: Expect) -> None:
    """No name of the server's own, which is another offence."""
    own_names = {one.lower() for one in (sut.hostname, *sut.domains)}
    expect.applicable(name.lower() not in own_names, f"{name} is the server's own name")


def greets(client: Client, name: str, *, extended: bool = True) -> Attempt:
    return client.attempt(helo=name, extended=extended)


def greets_by_own_name(
    client: Client, expect: Expect, own: str, *, instead: str | None, extended: bool = True
) -> None:
    """With a name of the server's own, or `instead`; one without a dot is another offence as well."""
    also = None if "." in own else Offence.UNQUALIFIED_GREETING
    upto = expect.shown(also) if also else None
    expect(client.attempt(helo=instead or own, extended=extended, upto=upto), also=also)


def named_like(client: Client, domain: Domain) -> str:
    """A name of the client's own that merely begins with the server's domain."""
    return client.another_name(domain.name)
