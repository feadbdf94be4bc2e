"""Connect: a host without a verifiable name waits for the greeting."""

import pytest

from harness.scenario import (
    Attempt,
    Behaviour,
    Client,
    Expect,
    Internet,
    Kind,
    NewClient,
    NoAnswer,
    ServFail,
    Stage,
    needs,
    rule,
)


@rule("connect.rdns-confirmed")
def test_confirmed_host(client: Client, expect: Expect) -> None:
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-confirmed")
def test_one_of_two_names_confirms(client: Client, expect: Expect) -> None:
    client.another_ptr(client.name("unresolvable"))
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-confirmed")
def test_one_of_three_addresses_confirms(client: Client, internet: Internet, expect: Expect) -> None:
    client.publish(client.host, "A", internet.spare_address(), internet.spare_address())
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-confirmed")
@needs("ipv6")
def test_ipv6_host_confirmed_by_aaaa(new_client: NewClient, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-missing")
def test_no_ptr(client: Client, expect: Expect) -> None:
    client.without_ptr()
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-temperror")
@pytest.mark.parametrize("fault", [ServFail(), NoAnswer()], ids=["servfail", "no answer"])
def test_ptr_lookup_fails_for_now(client: Client, expect: Expect, fault: Behaviour) -> None:
    client.ptr_answers(fault)
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-unresolvable")
def test_ptr_to_a_name_without_address(client: Client, expect: Expect) -> None:
    client.ptr_names(client.name("nowhere"))
    expect(greeted(client), twin=greeted(client.twin()))


@rule("connect.rdns-mismatch")
def test_ptr_to_a_host_with_another_address(client: Client, internet: Internet, expect: Expect) -> None:
    elsewhere = client.name("elsewhere")
    client.publish(elsewhere, "A", internet.spare_address())
    client.ptr_names(elsewhere)
    expect(greeted(client), twin=greeted(client.twin()))


def greeted(client: Client) -> Attempt:
    return client.attempt(upto=Stage.CONNECT)
