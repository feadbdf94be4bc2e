"""STARTTLS: when it is offered, what it shows, what it makes the server forget."""

from harness.scenario import Client, Expect, Stage, Sut, rule


@rule("tls.starttls-offered")
def test_starttls_before_and_after(client: Client, expect: Expect) -> None:
    with client.conversation() as talk:
        clear, covered = client.begin_tls(talk)
        attempt = talk.quit()
    expect.replied(clear, 250)
    assert "STARTTLS" in clear.keywords, f"in clear text the server lists {sorted(clear.keywords)}"
    expect(attempt)
    expect.replied(covered, 250)
    assert "STARTTLS" not in covered.keywords, "STARTTLS is still listed under TLS"


@rule("tls.certificate")
def test_certificate_holds_for_the_name_that_clients_use(client: Client, expect: Expect) -> None:
    name, careful = client.verifying_context()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.starttls(client.tls_context(), name)
        expect(talk.quit())
    with client.conversation("a careful client") as talk:
        talk.connect()
        talk.ehlo(client.host)
        handshake = talk.starttls(careful, name)
        facts = talk.session.tls
        talk.quit()
    fault = facts.verify_error if facts and not facts.verified else ""
    expect.given(handshake.code == 220 or bool(fault), f"no handshake took place: {handshake}")
    assert not fault, f"a client that connects to {name} does not accept the certificate: {fault}"


@rule("tls.state-reset")
def test_greeting_is_forgotten_after_starttls(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    client.be_known()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        tls = talk.starttls(client.tls_context(), sut.hostname)
        expect.given(tls.code == 220, f"TLS could not be started: {tls}")
        if not offence:
            talk.ehlo(client.host)
        client.carry_on(talk)
        attempt = talk.quit()
    expect(attempt)


@rule("tls.state-reset")
def test_sender_is_forgotten_after_starttls(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    client.be_known()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        expect.accepts(talk.attempt, Stage.HELO)
        expect.replied(talk.mail(client.sender), 250)
        tls = talk.starttls(client.tls_context(), sut.hostname)
        expect.applicable(
            tls.code < 400, f"STARTTLS after MAIL is refused, so that no sender can be carried over: {tls}"
        )
        talk.ehlo(client.host)
        if not offence:
            talk.mail(client.sender)
        talk.rcpt(sut.recipient)
        attempt = talk.quit()
    expect.turned_away(attempt, Stage.RCPT)
