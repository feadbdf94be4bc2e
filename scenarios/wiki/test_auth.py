"""AUTH: PLAIN, under TLS only, for the account and nobody else.

How long a refusal takes says nothing: many a server lets whoever guesses passwords wait.
"""

import pytest

from harness.scenario import (
    Attempt,
    Client,
    Expect,
    Internet,
    Kind,
    MailHosts,
    NewClient,
    Secret,
    Stage,
    Sut,
    Treatment,
    counted,
    message,
    named,
    needs,
    rule,
)

from .recipients import comes_there

BAD_CREDENTIALS = 535  # RFC 4954 §4
WRONG = "any-word-of-that-kind"  # with nothing of the account's own password in it


@rule("auth.only-under-tls")
def test_auth_is_listed_under_tls_only(client: Client, expect: Expect) -> None:
    clear, covered, attempt = keywords(client, expect)
    expect(attempt)
    assert "AUTH" in covered, f"under TLS the server lists {sorted(covered)}"
    assert not mechanisms(clear), "AUTH is listed in clear text"


@rule("auth.login-not-offered")
def test_plain_is_the_only_mechanism(client: Client, expect: Expect) -> None:
    _, covered, attempt = keywords(client, expect)
    expect(attempt)
    expect.given("AUTH" in covered, "AUTH is not listed under TLS, so there are no mechanisms to compare")
    assert mechanisms(covered) == {"PLAIN"}, f"listed are {named(sorted(mechanisms(covered)))}"


@rule("auth.plaintext-refused")
@needs("tls")
def test_account_in_clear_text(client: Client, offence: bool, expect: Expect) -> None:
    log_in = in_clear_text if offence else logged_in
    expect(log_in(client, *client.account()), whenever=True)


@rule("auth.plaintext-refused")
def test_account_in_clear_text_where_nothing_covers_it(client: Client, sut: Sut, expect: Expect) -> None:
    expect.applicable(sut.profile.tls is None, "under TLS the account is known to be taken")
    attempt = in_clear_text(client, *client.account())
    expect(attempt, whenever=True)
    expect.given(
        attempt.auth.code != BAD_CREDENTIALS,
        f"{attempt.auth} is what a wrong password is told, too, and without [tls] nothing shows that the "
        "account's is right",
    )


@rule("auth.plaintext-refused")
def test_wrong_password_in_clear_text(client: Client, expect: Expect) -> None:
    user, _ = client.account()
    expect(in_clear_text(client, user, WRONG), whenever=True)


@rule("auth.plain-initial")
def test_credentials_at_once(client: Client, expect: Expect) -> None:
    expect(logged_in(client, *client.account()))


@rule("auth.plain-prompted")
def test_credentials_after_the_prompt(client: Client, expect: Expect) -> None:
    attempt = logged_in(client, *client.account(), initial=False)
    expect(attempt)
    prompts = [reply for reply in attempt.replies if reply.code == 334]
    assert len(prompts) == 1, f"AUTH was answered with {counted(len(prompts), 'prompt')}, expected one"
    assert not prompts[0].text.strip(), f"the prompt is not empty: {prompts[0].text!r}"


@rule("auth.wrong-password")
def test_wrong_password(stranger: Client, offence: bool, expect: Expect) -> None:
    user, secret = stranger.account()
    expect(logged_in(stranger, user, "not-" + secret if offence else secret), whenever=True)


@rule("auth.wrong-password")
def test_wrong_password_opens_no_relay(
    stranger: Client,
    offence: bool,
    sut: Sut,
    internet: Internet,
    sink: MailHosts | None,
    expect: Expect,
) -> None:
    most = sut.profile.dialect.max_errors
    expect.applicable(
        not 0 < most < 3, f"after {most} refused commands the server ends the connection anyway"
    )
    host = sink.host() if sink else None
    recipient = f"victim@{host.domain if host else internet.foreign_domain()}"
    user, secret = stranger.account()
    with stranger.conversation() as talk:
        stranger.begin_tls(talk)
        stranger.authenticate(talk, user, "not-" + secret if offence else secret)
        told = talk.mail(stranger.sender)
        if offence and told.treatment is Treatment.PASS:
            told = talk.rcpt(recipient)
            if told.treatment is Treatment.PASS and (host or sut.profile.settles(Stage.RCPT) is Stage.DATA):
                told = talk.data(message(stranger, recipient))
        attempt = talk.quit()
    expect(attempt, whenever=True)
    if offence:
        taken = told.treatment is Treatment.PASS
        relayed = taken and (host is None or host.reached_by(stranger.token))
        assert not relayed, f"after the wrong password the server relays: {told}"
        if taken and host:  # not yet: that it never will is known when what was sent later is there
            later = stranger.another("the account, later")
            comes_there(host, later, recipient, expect, authenticated=True)
            assert not host.arrived(stranger.token), f"after the wrong password the server relays: {told}"


@rule("auth.unknown-user")
@pytest.mark.parametrize("empty", [False, True], ids=["unknown name", "empty name"])
@pytest.mark.parametrize("password", ["right", "any"])
def test_unknown_name_looks_like_a_wrong_password(
    client: Client, offence: bool, sut: Sut, expect: Expect, empty: bool, password: str
) -> None:
    user, secret = client.account()
    given = secret if password == "right" else WRONG  # noqa: S105
    name = "" if empty else sut.nobody
    attempt = logged_in(client, name, given) if offence else logged_in(client, user, secret)
    expect(attempt, whenever=True)
    if offence:
        looks_like_a_wrong_password(attempt, name, client, expect)


@rule("auth.unknown-user")
@pytest.mark.parametrize("name", ["account", "nobody"])
def test_empty_password(client: Client, offence: bool, expect: Expect, name: str) -> None:
    user, secret = client.account()
    attempt = logged_in(client, "" if offence and name == "nobody" else user, "" if offence else secret)
    expect(attempt, whenever=True)


@rule("auth.from-anywhere")
@pytest.mark.parametrize(
    "kind",
    [
        Kind.STRANGER,
        pytest.param(Kind.TRUSTED, marks=needs("trusted-address")),
        pytest.param(Kind.IPV6, marks=needs("ipv6")),
    ],
    ids=["outside", "inside", "outside, IPv6"],
)
def test_auth_from_every_address(new_client: NewClient, expect: Expect, kind: Kind) -> None:
    client = new_client(kind)
    expect(logged_in(client, *client.account()))


def in_clear_text(client: Client, user: str, password: Secret | str) -> Attempt:
    """A dialogue that ends after AUTH without TLS, whatever the server lists."""
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        client.authenticate_in_clear_text(talk, user, password)
        return talk.quit()


def logged_in(client: Client, user: str, password: Secret | str, *, initial: bool = True) -> Attempt:
    """A dialogue that ends after AUTH."""
    with client.conversation() as talk:
        client.begin_tls(talk)
        client.authenticate(talk, user, password, initial=initial)
        return talk.quit()


def looks_like_a_wrong_password(attempt: Attempt, name: str, client: Client, expect: Expect) -> None:
    """Whoever was refused was told what the account is told for a wrong password, to the letter.

    A server that says whose password is wrong says the name that it was given.
    """
    user, secret = client.account()
    wrong, again = (logged_in(client, user, "not-" + secret).auth for _ in range(2))
    expect.replied(wrong)
    expect.replied(again)
    expect.given(
        wrong.treatment is not Treatment.PASS,
        f"a wrong password is not refused, so nothing can be like it: {wrong}",
    )
    assert attempt.auth.code == wrong.code, f"it is answered {attempt.auth}, a wrong password {wrong}"
    if wrong.text == again.text:  # some servers have a word in it that is never the same
        alike = attempt.auth.text == wrong.text or says_the_name(attempt.auth.text, name, wrong.text, user)
        assert alike, f"it is told {attempt.auth}, a wrong password {wrong}"


def says_the_name(text: str, name: str, other: str, account: str) -> bool:
    """Whether a text is another one in which an account is named, but for the name that it has instead."""
    named = other.lower().replace(account.lower(), name.lower())
    return account.lower() in other.lower() and text.lower().split() == named.split()


def keywords(client: Client, expect: Expect) -> tuple[dict[str, str], dict[str, str], Attempt]:
    """What EHLO lists in clear text and under TLS, and the whole dialogue."""
    client.be_known()
    with client.conversation() as talk:
        clear, covered = client.begin_tls(talk)
        client.carry_on(talk)
        attempt = talk.quit()
    expect.replied(clear, 250)
    expect.given(attempt.tls.code == 220, f"TLS could not be started: {attempt.tls}")
    expect.replied(covered, 250)
    return clear.keywords, covered.keywords, attempt


def mechanisms(keywords: dict[str, str]) -> set[str]:
    """What is listed behind AUTH, or as AUTH=LOGIN, which clients from before RFC 2554 look for."""
    listed = (f"{keyword} {parameters}" for keyword, parameters in keywords.items())
    words = (line.upper().replace("=", " ").split() for line in listed)
    return {name for keyword, *names in words if keyword == "AUTH" for name in names or ["none"]}
