"""AUTH: PLAIN, under TLS only, for the account and nobody else."""

import pytest

from harness.scenario import Attempt, Client, Expect, Internet, Kind, NewClient, Stage, Sut, rule


@rule("auth.only-under-tls")
def test_auth_is_listed_under_tls_only(client: Client, sut: Sut, expect: Expect) -> None:
    clear, covered, attempt = keywords(client, sut)
    expect(attempt, twin=client.twin().attempt(upto=Stage.HELO))
    assert "AUTH" in covered, f"under TLS the server lists {sorted(covered)}"
    assert "AUTH" not in clear, "AUTH is listed in clear text"


@rule("auth.login-not-offered")
def test_plain_is_the_only_mechanism(client: Client, sut: Sut, expect: Expect) -> None:
    _, covered, attempt = keywords(client, sut)
    expect(attempt, twin=client.twin().attempt(upto=Stage.HELO))
    expect.given("AUTH" in covered, "AUTH is not listed under TLS, so there are no mechanisms to compare")
    assert covered["AUTH"].upper().split() == ["PLAIN"], f"listed are {covered['AUTH']}"


@rule("auth.plaintext-refused")
@pytest.mark.parametrize("password", ["right", "wrong"])
def test_auth_in_clear_text(client: Client, sut: Sut, expect: Expect, password: str) -> None:
    user, secret = client.account()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.auth_plain(user, secret if password == "right" else "wrong-" + secret)  # noqa: S105
        attempt = talk.quit()
    expect(attempt, twin=logged_in(client.twin(), sut, user, secret))


@rule("auth.plain-initial")
def test_credentials_at_once(client: Client, sut: Sut, expect: Expect) -> None:
    attempt = logged_in(client, sut, *client.account())
    expect(attempt, twin=client.twin().attempt(authenticated=True, upto=Stage.HELO))
    assert attempt.auth.code == 235, f"answered {attempt.auth.code}, expected 235"


@rule("auth.plain-prompted")
def test_credentials_after_the_prompt(client: Client, sut: Sut, expect: Expect) -> None:
    attempt = logged_in(client, sut, *client.account(), initial=False)
    expect(attempt, twin=client.twin().attempt(authenticated=True, upto=Stage.HELO))
    prompts = [reply for reply in attempt.replies if reply.code == 334]
    assert len(prompts) == 1, f"{len(prompts)} prompts, expected one"
    assert not prompts[0].text.strip(), f"the prompt is not empty: {prompts[0].text!r}"
    assert attempt.auth.code == 235, f"answered {attempt.auth.code}, expected 235"


@rule("auth.wrong-password")
def test_wrong_password_opens_no_relay(
    stranger: Client, sut: Sut, internet: Internet, expect: Expect
) -> None:
    user, secret = stranger.account()
    with stranger.conversation() as talk:
        stranger.begin_tls(talk)
        auth = talk.auth_plain(user, f"not-{secret}")
        talk.mail(stranger.sender)
        relay = talk.rcpt(f"victim@{internet.foreign_domain()}")
        attempt = talk.quit()
    expect(attempt, twin=logged_in(stranger.twin(), sut, user, secret))
    assert auth.code == 535, f"answered {auth.code}, expected 535"
    assert relay.code >= 400, f"after the wrong password the server relays: {relay}"


@rule("auth.unknown-user")
@pytest.mark.parametrize(
    ("user", "password"),
    [("nobody-of-that-name", "x"), ("", "x"), ("account", ""), ("", "")],
    ids=["unknown name", "empty name", "empty password", "both empty"],
)
def test_unknown_name_looks_like_a_wrong_password(
    client: Client, sut: Sut, expect: Expect, user: str, password: str
) -> None:
    account, secret = client.account()
    attempt = logged_in(client, sut, account if user == "account" else user, password)
    wrong = logged_in(client.twin(), sut, account, f"not-{secret}")
    expect(attempt, twin=logged_in(client.twin(), sut, account, secret))
    seen, meant = (attempt.auth.code, attempt.auth.text), (wrong.auth.code, wrong.auth.text)
    assert seen == meant, f"answered {seen}, a wrong password is answered {meant}"


@rule("auth.from-anywhere")
@pytest.mark.parametrize("kind", [Kind.STRANGER, Kind.TRUSTED], ids=["outside", "inside"])
def test_auth_from_every_address(new_client: NewClient, sut: Sut, expect: Expect, kind: Kind) -> None:
    client = new_client(kind)
    attempt = logged_in(client, sut, *client.account())
    expect(attempt, twin=logged_in(client.twin(), sut, *client.account()))


def logged_in(client: Client, sut: Sut, user: str, password: str, *, initial: bool = True) -> Attempt:
    with client.conversation() as talk:
        client.begin_tls(talk)
        talk.auth_plain(user, password, initial=initial)
        return talk.quit()


def keywords(client: Client, sut: Sut) -> tuple[dict[str, str], dict[str, str], Attempt]:
    with client.conversation() as talk:
        clear, covered = client.begin_tls(talk)
        return clear.keywords, covered.keywords, talk.quit()
