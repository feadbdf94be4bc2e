"""HELO and EHLO: what a greeting's name gives away about the client."""

from collections.abc import Callable

import pytest

from harness.scenario import (
    Attempt,
    Behaviour,
    Client,
    Expect,
    Internet,
    NoAnswer,
    ServFail,
    Stage,
    Sut,
    rule,
)

VERBS = pytest.mark.parametrize("extended", [True, False], ids=["EHLO", "HELO"])  # both are checked alike


@rule("helo.not-fqdn")
@VERBS
@pytest.mark.parametrize("name", ["localbox", "WORKSTATION7"])
def test_greeting_without_a_dot(client: Client, expect: Expect, name: str, extended: bool) -> None:
    expect(greets(client, name, extended=extended), twin=greets(client.twin(), extended=extended))


@rule("helo.plain-ip")
@VERBS
def test_greeting_with_the_bare_own_address(client: Client, expect: Expect, extended: bool) -> None:
    expect(greets(client, client.address, extended=extended), twin=greets(client.twin(), extended=extended))


@rule("helo.plain-ip")
def test_greeting_with_a_bare_foreign_address(client: Client, internet: Internet, expect: Expect) -> None:
    expect(greets(client, internet.spare_address()), twin=starts_with_digits(client.twin()))


@rule("helo.plain-ip-sticky")
def test_good_greeting_after_a_bare_address(client: Client, expect: Expect) -> None:
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.address)
        talk.ehlo("somebody." + client.host)
        talk.ehlo(client.host)
        attempt = talk.quit()
    expect(attempt, twin=client.attempt(upto=Stage.HELO, label="the same host on a new connection"))


@rule("helo.ip-literal")
@VERBS
def test_greeting_with_the_own_address_literal(client: Client, expect: Expect, extended: bool) -> None:
    expect(
        greets(client, f"[{client.address}]", extended=extended),
        twin=greets(client.twin(), extended=extended),
    )


@rule("helo.own-domain")
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_greeting_with_a_domain_of_the_server(
    client: Client, sut: Sut, expect: Expect, spelling: Callable[[str], str]
) -> None:
    expect(greets(client, spelling(sut.home.name)), twin=named_like(client.twin(), sut))


@rule("helo.own-domain")
@VERBS
def test_greeting_with_every_other_domain_of_the_server(
    client: Client, sut: Sut, expect: Expect, extended: bool
) -> None:
    expect(
        greets(client, sut.domains[-1], extended=extended),
        twin=named_like(client.twin(), sut, extended=extended),
    )


@rule("helo.own-host")
@VERBS
def test_greeting_with_a_host_in_a_domain_of_the_server(
    client: Client, sut: Sut, expect: Expect, extended: bool
) -> None:
    expect(
        greets(client, f"www.{sut.home.name}", extended=extended),
        twin=greets(client.twin(), extended=extended),
    )


@rule("helo.own-primary")
@VERBS
def test_greeting_with_the_host_name_of_the_server(
    client: Client, sut: Sut, expect: Expect, extended: bool
) -> None:
    expect(greets(client, sut.hostname, extended=extended), twin=greets(client.twin(), extended=extended))


@rule("helo.own-primary")
def test_greeting_as_localhost(client: Client, expect: Expect) -> None:
    expect(greets(client, "localhost"), twin=greets(client.twin()))


@rule("helo.forward-match")
def test_name_resolves_to_the_client(client: Client, expect: Expect) -> None:
    other = client.name("other")
    client.publish(other, "A", client.address)
    expect(greets(client, other), twin=greets(client.twin()))


@rule("helo.reverse-match")
def test_name_of_another_host_that_is_consistent(client: Client, internet: Internet, expect: Expect) -> None:
    borrowed, elsewhere = client.name("borrowed"), internet.spare_address()
    client.publish(borrowed, "A", elsewhere)
    internet.dns.publish_ptr(elsewhere, borrowed)
    expect(greets(client, borrowed), twin=greets(client.twin()))


@rule("helo.dns-mismatch")
@VERBS
def test_name_that_does_not_resolve(client: Client, expect: Expect, extended: bool) -> None:
    expect(
        greets(client, client.name("nowhere"), extended=extended),
        twin=greets(client.twin(), extended=extended),
    )


@rule("helo.dns-mismatch")
def test_name_of_another_host_without_ptr(client: Client, internet: Internet, expect: Expect) -> None:
    name = client.name("elsewhere")
    client.publish(name, "A", internet.spare_address())
    expect(greets(client, name), twin=greets(client.twin()))


@rule("helo.dns-mismatch")
def test_name_of_another_host_whose_ptr_differs(client: Client, internet: Internet, expect: Expect) -> None:
    name, elsewhere = client.name("elsewhere"), internet.spare_address()
    client.publish(name, "A", elsewhere)
    internet.dns.publish_ptr(elsewhere, client.name("third"))
    expect(greets(client, name), twin=greets(client.twin()))


@rule("helo.no-aaaa-stall")
@pytest.mark.parametrize("fault", [NoAnswer(), ServFail()], ids=["no answer", "servfail"])
def test_aaaa_lookup_fails_while_a_matches(client: Client, expect: Expect, fault: Behaviour) -> None:
    name = client.another_name("v4only")
    client.script(name, "AAAA", fault)
    expect(greets(client, name), twin=greets(client.twin()))


@rule("helo.no-aaaa-stall")
@pytest.mark.parametrize("fault", [NoAnswer(), ServFail()], ids=["no answer", "servfail"])
def test_aaaa_lookup_of_a_name_that_no_ptr_gives(client: Client, expect: Expect, fault: Behaviour) -> None:
    name = client.name("v4only")
    client.publish(name, "A", client.address)
    client.script(name, "AAAA", fault)
    expect(greets(client, name), twin=greets(client.twin()))


def greets(client: Client, name: str | None = None, *, extended: bool = True) -> Attempt:
    return client.attempt(helo=name, extended=extended, upto=Stage.HELO)


def starts_with_digits(client: Client) -> Attempt:
    return greets(client, client.another_name("192-0-2-1"))


def named_like(client: Client, sut: Sut, *, extended: bool = True) -> Attempt:
    """An innocent whose own name merely begins with the server's domain."""
    return greets(client, client.another_name(sut.home.name), extended=extended)
