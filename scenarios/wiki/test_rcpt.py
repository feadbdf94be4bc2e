"""RCPT TO: who may be written to, and by whom."""

import pytest

from harness.scenario import Client, Expect, Internet, NotTestableError, Stage, Sut, Verdict, rule

TRICKS = {
    "percent hack": "victim%{foreign}@{own}",
    "bang path": "{foreign}!victim@{own}",
    "source route": "@{own}:victim@{foreign}",
    "quoted at": '"victim@{foreign}"@{own}',
    "two ats": "victim@{foreign}@{own}",
}


@rule("rcpt.relay-denied")
def test_stranger_writes_to_a_foreign_domain(client: Client, internet: Internet, expect: Expect) -> None:
    recipient = f"victim@{internet.foreign_domain()}"
    expect(client.attempt(recipient=recipient), twin=client.twin().attempt())


@rule("rcpt.relay-denied")
@pytest.mark.parametrize("trick", list(TRICKS))
def test_stranger_disguises_a_foreign_address(
    client: Client, sut: Sut, internet: Internet, expect: Expect, trick: str
) -> None:
    recipient = TRICKS[trick].format(foreign=internet.foreign_domain(), own=sut.home.name)
    expect.refusal(client.attempt(recipient=recipient), Stage.RCPT, twin=client.twin().attempt())


@rule("rcpt.relay-trusted")
def test_relay_host_writes_to_a_foreign_domain(
    trusted_client: Client, internet: Internet, expect: Expect
) -> None:
    recipient = f"friend@{internet.foreign_domain()}"
    expect(trusted_client.attempt(recipient=recipient), twin=trusted_client.twin().attempt())


@rule("rcpt.relay-authenticated")
def test_account_writes_to_a_foreign_domain(stranger: Client, internet: Internet, expect: Expect) -> None:
    recipient = f"friend@{internet.foreign_domain()}"
    attempt = stranger.attempt(recipient=recipient, authenticated=True)
    expect(attempt, twin=stranger.twin().attempt(authenticated=True))


@rule("rcpt.relay-authenticated")
def test_recipient_of_an_account_is_not_verified(stranger: Client, sut: Sut, expect: Expect) -> None:
    attempt = stranger.attempt(recipient=sut.unknown_recipient, authenticated=True)
    expect(attempt, twin=stranger.twin().attempt(authenticated=True))


@rule("rcpt.illegal-chars")
@pytest.mark.parametrize("character", list("@%!/|"), ids=["at", "percent", "bang", "slash", "pipe"])
def test_illegal_character_in_the_local_part(
    client: Client, sut: Sut, expect: Expect, character: str
) -> None:
    if character not in sut.profile.policy.illegal_characters:
        raise NotTestableError("policy.illegal_characters in the profile does not list it")
    local_part = f'"any{character}body"' if character == "@" else f"any{character}body"
    attempt = client.attempt(recipient=f"{local_part}@{sut.catch_all}")
    expect(attempt, twin=client.twin().attempt(recipient=f"anybody@{sut.catch_all}"))


@rule("rcpt.leading-dot")
def test_local_part_with_a_leading_dot(client: Client, sut: Sut, expect: Expect) -> None:
    attempt = client.attempt(recipient=f".anybody@{sut.catch_all}")
    expect(attempt, twin=client.twin().attempt(recipient=f"any.body@{sut.catch_all}"))


@rule("rcpt.unknown-user")
def test_user_that_nobody_knows(client: Client, sut: Sut, expect: Expect) -> None:
    expect(client.attempt(recipient=sut.unknown_recipient), twin=client.twin().attempt())


@rule("rcpt.too-many")
def test_one_recipient_too_many(client: Client, sut: Sut, expect: Expect) -> None:
    limit = sut.profile.policy.max_recipients
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.mail(client.sender)
        taken = [talk.rcpt(sut.recipient) for _ in range(limit)]
        refused = [step for step in taken if step.verdict in (Verdict.DENY, Verdict.DROP, None)]
        assert not refused, (
            f"recipient {taken.index(refused[0]) + 1} of {limit} allowed ones met {refused[0]}"
        )
        talk.rcpt(sut.recipient)
        attempt = talk.quit()
    expect(attempt, twin=client.twin().attempt())
