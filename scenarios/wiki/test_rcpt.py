"""RCPT TO: who may be written to, and by whom."""

import pytest

from harness.scenario import (
    Before,
    Client,
    Domain,
    Expect,
    Internet,
    Kind,
    MailHost,
    MailHosts,
    Network,
    NewClient,
    NotTestableError,
    Stage,
    Sut,
    Treatment,
    each,
    message,
    needs,
    rule,
)

from .manners import COVERED, LATER
from .recipients import comes_there, must_refuse, second_is_turned_away, two_at

TRICKS = {
    "percent hack": "victim%{foreign}@{own}",
    "bang path": "{foreign}!victim@{own}",
    "source route": "@{own}:victim@{foreign}",
    "quoted at": '"victim@{foreign}"@{own}',
    "two ats": "victim@{foreign}@{own}",
}
UNQUOTED = "!#$%&'*+-/=?^_`{|}~"  # that a local part may have without quotes, RFC 5322 §3.2.3


@rule("rcpt.relay-denied")
@COVERED
def test_stranger_writes_to_a_foreign_domain(
    client: Client, offence: bool, sut: Sut, internet: Internet, expect: Expect, covered: bool
) -> None:
    recipient = f"victim@{internet.foreign_domain()}" if offence else sut.recipient
    expect(client.attempt(recipient=recipient, covered=covered))


@rule("rcpt.relay-denied")
@needs("ipv6")
def test_ipv6_stranger_writes_to_a_foreign_domain(
    new_client: NewClient, offence: bool, sut: Sut, internet: Internet, expect: Expect
) -> None:
    recipient = f"victim@{internet.foreign_domain()}" if offence else sut.recipient
    expect(new_client(Kind.IPV6).attempt(recipient=recipient))


@rule("rcpt.relay-denied")
@pytest.mark.parametrize("claimed", ["user", "postmaster", "null sender"])
def test_stranger_relays_by_a_sender_that_he_claims(
    client: Client, offence: bool, sut: Sut, internet: Internet, expect: Expect, claimed: str
) -> None:
    must_refuse(expect)
    of_ours = {"user": sut.recipient, "postmaster": f"postmaster@{sut.home.name}", "null sender": ""}
    attempt = client.attempt(
        sender=of_ours[claimed] if offence else client.sender,
        recipient=f"victim@{internet.foreign_domain()}" if offence else sut.recipient,
    )
    expect.turned_away(attempt, client.world.goal)  # the twin is any client, for such a sender may be refused


@rule("rcpt.relay-denied")
def test_second_recipient_is_in_a_foreign_domain(
    client: Client, offence: bool, sut: Sut, internet: Internet, expect: Expect
) -> None:
    first, another = two_at(sut.home, sut, expect)
    second_is_turned_away(
        client, first, f"victim@{internet.foreign_domain()}" if offence else another, expect
    )


@rule("rcpt.relay-denied")
@LATER
def test_later_mail_is_for_a_foreign_domain(
    client: Client, offence: bool, sut: Sut, internet: Internet, expect: Expect, before: Before
) -> None:
    recipient = f"victim@{internet.foreign_domain()}" if offence else sut.recipient
    expect(client.attempt(recipient=recipient, before=before))


@rule("rcpt.relay-denied")
@pytest.mark.parametrize("trick", list(TRICKS))
def test_stranger_disguises_a_foreign_address(
    client: Client,
    offence: bool,
    sut: Sut,
    internet: Internet,
    sink: MailHosts | None,
    new_client: NewClient,
    expect: Expect,
    trick: str,
) -> None:
    host = sink.host() if sink else None
    foreign = host.domain if host else internet.foreign_domain()
    next_hop = where_mail_goes(sut, sink, host)
    disguised = TRICKS[trick].format(foreign=foreign, own=sut.home.name)
    recipient = disguised if offence else sut.recipient
    attempt = client.attempt(recipient=recipient, message=message(client, sut.recipient))
    if not offence or attempt.data.treatment is not Treatment.PASS or refuses_unknown_users(client, sut):
        expect.turned_away(attempt, Stage.DATA)
        return
    if next_hop is None:
        raise NotTestableError(
            f"{sut.home.name} takes every local part, this one too, and the profile has no [sink] to which "
            "mail that leaves would come"
        )
    assert not next_hop.reached_by(client.token), f"mail to {disguised} came to {next_hop.name}"
    later, authenticated = who_may_relay(client, new_client, sut, expect)
    comes_there(next_hop, later, f"friend@{foreign}", expect, authenticated=authenticated)
    assert not next_hop.arrived(client.token), f"mail to {disguised} came to {next_hop.name}"
    expect.accepted(attempt, Stage.DATA)


@rule("rcpt.relay-trusted")
@each("trusted_network")
def test_relay_host_writes_to_a_foreign_domain(
    new_client: NewClient,
    offence: bool,
    sut: Sut,
    internet: Internet,
    expect: Expect,
    trusted_network: Network,
) -> None:
    recipient = f"friend@{internet.foreign_domain()}" if offence else sut.recipient
    expect(new_client(Kind.TRUSTED, "trusted", network=trusted_network).attempt(recipient=recipient))


@rule("rcpt.relay-authenticated")
def test_account_writes_to_a_foreign_domain(
    stranger: Client, offence: bool, sut: Sut, internet: Internet, expect: Expect
) -> None:
    recipient = f"friend@{internet.foreign_domain()}" if offence else sut.recipient
    expect(stranger.attempt(recipient=recipient, authenticated=True))


@rule("rcpt.relay-authenticated")
def test_recipient_of_an_account_is_not_verified(
    stranger: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    expect.applicable(not sut.takes_everyone, "nobody is unknown to this server, verified or not")
    expect.applicable(not sut.verifies_for_accounts, "an account's recipients are looked for here")
    recipient = sut.unknown_recipient if offence else sut.recipient
    expect(stranger.attempt(recipient=recipient, authenticated=True))


@rule("rcpt.illegal-chars")
@each("illegal_character")
@each("boundless_domain")
def test_illegal_character_in_the_local_part(
    client: Client, offence: bool, expect: Expect, illegal_character: str, boundless_domain: Domain
) -> None:
    local_part = written(f"any{illegal_character}body") if offence else "anybody"
    expect(client.attempt(recipient=f"{local_part}@{boundless_domain.name}"))


@rule("rcpt.illegal-chars")
@each("illegal_character")
def test_illegal_character_in_the_second_recipient(
    client: Client, offence: bool, sut: Sut, expect: Expect, illegal_character: str
) -> None:
    local_part = written(f"any{illegal_character}body") if offence else "anybody"
    first, second = (f"{name}@{sut.catch_all}" for name in ("somebody", local_part))
    second_is_turned_away(client, first, second, expect)


@rule("rcpt.leading-dot")
@each("boundless_domain")
def test_local_part_with_a_leading_dot(
    client: Client, offence: bool, expect: Expect, boundless_domain: Domain
) -> None:
    local_part = ".anybody" if offence else "any.body"
    expect(client.attempt(recipient=f"{local_part}@{boundless_domain.name}"))


@rule("rcpt.leading-dot")
def test_quoted_local_part_with_a_leading_dot(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    must_refuse(expect)
    local_part = '".anybody"' if offence else "any.body"
    attempt = client.attempt(recipient=f"{local_part}@{sut.catch_all}")
    expect.turned_away(attempt, client.world.goal)  # in whatever words: it may take no quotes at all


@rule("rcpt.unknown-user")
@each("plain_domain")
def test_user_that_nobody_knows(
    client: Client, offence: bool, sut: Sut, expect: Expect, plain_domain: Domain
) -> None:
    name = sut.nobody if offence else sut.ordinary_user(plain_domain)
    expect(client.attempt(recipient=f"{name}@{plain_domain.name}"))


@rule("rcpt.unknown-user")
@needs("tls")
def test_user_that_nobody_knows_under_tls(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    domain = sut.domain_of(sut.unknown_recipient)
    name = sut.nobody if offence else sut.ordinary_user(domain)
    expect(client.attempt(recipient=f"{name}@{domain.name}", covered=True))


@rule("rcpt.unknown-user")
def test_second_recipient_is_one_that_nobody_knows(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    unknown = sut.unknown_recipient
    first, another = two_at(sut.domain_of(unknown), sut, expect)
    second_is_turned_away(client, first, unknown if offence else another, expect)


@rule("rcpt.unknown-user")
@LATER
def test_later_mail_is_for_a_user_that_nobody_knows(
    client: Client, offence: bool, sut: Sut, expect: Expect, before: Before
) -> None:
    domain = sut.domain_of(sut.unknown_recipient)
    name = sut.nobody if offence else sut.ordinary_user(domain)
    expect(client.attempt(recipient=f"{name}@{domain.name}", before=before))


@rule("rcpt.too-many")
def test_one_recipient_too_many(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    limit = sut.profile.policy.max_recipients
    recipients = different_recipients(client, sut, limit + 1) or (sut.recipient,) * (limit + 1)
    attempt = client.attempt(recipient=recipients if offence else recipients[:limit])
    expect.given(attempt.taken > 0, f"not even the first recipient was taken: {attempt.rcpt}")
    if attempt.taken < limit:
        expect.through(attempt, Stage.RCPT)  # which says what became of one of those that may be
    expect.given(
        attempt.taken <= limit or len({*recipients}) > limit,
        f"{sut.recipient} was named {limit + 1} times, and a server may count a repeated recipient once; "
        f"what decides it is a [[domain]] that takes everyone, or has {limit + 1} users, and clients whom no "
        "greylist puts off there (greylist.whitelist_hosts)",
    )
    # Many a server answers each recipient later than the one before, and may be asked for as many as that.
    expect(attempt, whenever=not any(outcome.late for outcome in expect.expected))


def written(local_part: str) -> str:
    """A local part as a command has it: in quotes where they are needed (RFC 5321 §4.1.2)."""
    if all(one.isalnum() or one in UNQUOTED for one in local_part):
        return local_part
    return '"' + local_part.replace("\\", r"\\").replace('"', r"\"") + '"'


def where_mail_goes(sut: Sut, sink: MailHosts | None, host: MailHost | None) -> MailHost | None:
    """Where mail for the domain of a host comes to; None where that is not seen."""
    if sink is None or sut.mail.sends_by_mx:
        return host
    return sink.smarthost() if sut.profile.smarthost else None


def who_may_relay(client: Client, new_client: NewClient, sut: Sut, expect: Expect) -> tuple[Client, bool]:
    """A client that may write to others, and whether it has to log in for that."""
    trusted = bool(sut.profile.clients.trusted)
    expect.needed(
        trusted or sut.profile.auth is not None,
        "whether mail leaves at all is shown by a host or an account that may relay, and the profile has "
        "neither clients.trusted nor [auth]",
    )
    return (new_client(Kind.TRUSTED) if trusted else client.another("the account, later")), not trusted


def refuses_unknown_users(client: Client, sut: Sut) -> bool:
    """Whether an address at home that is taken is one that somebody has."""
    if sut.home.takes_everyone:
        return False
    to_nobody = client.another("ordinary mail to nobody")
    return to_nobody.attempt(recipient=f"{sut.nobody}@{sut.home.name}").refused_for_good


def different_recipients(client: Client, sut: Sut, number: int) -> tuple[str, ...]:
    """So many recipients, of whom the first is taken by itself; empty where there are none.

    Nor are there where the greylist would put the client off at one after the other.
    """
    if sut.minds_recipients(client.host):
        return ()
    found = sut.recipients(number)
    if not found:
        return ()
    alone = client.another("ordinary mail to one of the recipients").attempt(recipient=found[0])
    taken = alone.rcpt.treatment is Treatment.PASS and alone.staged[-1].treatment is Treatment.PASS
    return found if taken else ()
