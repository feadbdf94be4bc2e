"""Connect: a host without a verifiable name waits for the greeting."""

import pytest

from harness.scenario import (
    Behaviour,
    Client,
    Expect,
    Internet,
    Kind,
    NewClient,
    NoAnswer,
    ServFail,
    needs,
    rule,
)


@rule("connect.rdns-confirmed")
def test_confirmed_host(client: Client, expect: Expect) -> None:
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-confirmed")
def test_one_of_two_names_confirms(client: Client, offence: bool, expect: Expect) -> None:
    if offence:
        client.another_ptr(client.name("unresolvable"))
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-confirmed")
def test_one_of_three_addresses_confirms(
    client: Client, offence: bool, internet: Internet, expect: Expect
) -> None:
    if offence:
        client.publish(client.host, "A", internet.spare_address(), internet.spare_address())
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-confirmed")
@needs("ipv6")
def test_ipv6_host_confirmed_by_aaaa(new_client: NewClient, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-missing")
def test_no_ptr(client: Client, offence: bool, expect: Expect) -> None:
    if offence:
        client.without_ptr()
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-missing")
@needs("ipv6")
def test_ipv6_host_without_ptr(new_client: NewClient, offence: bool, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    if offence:
        client.without_ptr()
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-temperror")
@pytest.mark.parametrize("fault", [ServFail(), NoAnswer()], ids=["servfail", "no answer"])
def test_ptr_lookup_fails_for_now(client: Client, offence: bool, expect: Expect, fault: Behaviour) -> None:
    if offence:
        client.ptr_answers(fault)
    unanswered = isinstance(fault, NoAnswer)  # then it also waits for DNS
    expect(client.attempt(), cause=client.looked_up_address(), whenever=unanswered)


@rule("connect.rdns-temperror")
@needs("ipv6")
def test_ipv6_ptr_lookup_fails_for_now(new_client: NewClient, offence: bool, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    if offence:
        client.ptr_answers(ServFail())
    expect(client.attempt(), cause=client.looked_up_address())


@rule("connect.rdns-unresolvable")
def test_ptr_to_a_name_without_address(client: Client, offence: bool, expect: Expect) -> None:
    nowhere = client.name("nowhere")
    if offence:
        client.ptr_names(nowhere)
    expect(client.attempt(), cause=client.looked_up(nowhere))


@rule("connect.rdns-unresolvable")
@needs("ipv6")
def test_ipv6_ptr_to_a_name_without_address(new_client: NewClient, offence: bool, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    nowhere = client.name("nowhere")
    if offence:
        client.ptr_names(nowhere)
    expect(client.attempt(), cause=client.looked_up(nowhere))


@rule("connect.rdns-mismatch")
def test_ptr_to_a_host_with_another_address(
    client: Client, offence: bool, internet: Internet, expect: Expect
) -> None:
    elsewhere = client.name("elsewhere")
    client.publish(elsewhere, "A", internet.spare_address())
    if offence:
        client.ptr_names(elsewhere)
    expect(client.attempt(), cause=client.looked_up(elsewhere))


@rule("connect.rdns-mismatch")
@needs("ipv6")
def test_ipv6_host_whose_ptr_names_another_one(new_client: NewClient, offence: bool, expect: Expect) -> None:
    client = new_client(Kind.IPV6)
    elsewhere = client.name("elsewhere")
    client.publish(elsewhere, "AAAA", new_client(Kind.IPV6).address)
    if offence:
        client.ptr_names(elsewhere)
    expect(client.attempt(), cause=client.looked_up(elsewhere))
