"""STARTTLS: when it is offered, what it shows, what it makes the server forget."""

from harness.scenario import Attempt, Client, Expect, Stage, Sut, rule


@rule("tls.starttls-offered")
def test_starttls_before_and_after(client: Client, sut: Sut, expect: Expect) -> None:
    with client.conversation() as talk:
        clear, covered = client.begin_tls(talk)
        attempt = talk.quit()
    assert "STARTTLS" in clear.keywords, f"in clear text the server lists {sorted(clear.keywords)}"
    expect(attempt, twin=covered_dialogue(client.twin()))
    expect.outcome("pass at helo", attempt)
    assert "STARTTLS" not in covered.keywords, "STARTTLS is still listed under TLS"


@rule("tls.certificate")
def test_certificate_holds_for_the_name_that_clients_use(client: Client, sut: Sut, expect: Expect) -> None:
    name, context = client.verifying_context()
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.starttls(client.tls_context(), name)
        unverified = talk.quit()
    with client.twin().conversation("verified") as talk:
        talk.connect()
        talk.ehlo(client.host)
        handshake = talk.starttls(context, name)
        fault = talk.tls_fault
        talk.quit()
    expect.given(bool(handshake.code == 220 or fault), f"no handshake took place: {handshake}")
    expect(unverified, twin=covered_dialogue(client.twin()))
    assert not fault, f"a client that connects to {name} does not accept the certificate: {fault}"


@rule("tls.state-reset")
def test_greeting_is_forgotten_after_starttls(client: Client, sut: Sut, expect: Expect) -> None:
    attempts = []
    for host, greets_again in ((client, False), (client.twin(), True)):
        with host.conversation() as talk:
            talk.connect()
            talk.ehlo(host.host)
            tls = talk.starttls(host.tls_context(), sut.hostname)
            expect.given(tls.code == 220, f"TLS could not be started: {tls}")
            if greets_again:
                talk.ehlo(host.host)
            talk.mail(host.sender)
            attempts.append(talk.quit())
    expect(attempts[0], twin=attempts[1])


@rule("tls.state-reset")
def test_sender_is_forgotten_after_starttls(client: Client, sut: Sut, expect: Expect) -> None:
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.mail(client.sender)
        tls = talk.starttls(client.tls_context(), sut.hostname)
        if tls.code == 220:
            talk.ehlo(client.host)
            talk.rcpt(sut.recipient)
        attempt = talk.quit()
    twin = client.twin().attempt()
    if tls.code >= 500:  # to refuse STARTTLS inside a transaction forgets nothing and carries nothing over
        expect.refusal(attempt, Stage.TLS, twin=twin)
    else:
        expect.refusal(attempt, Stage.RCPT, twin=twin)


def covered_dialogue(client: Client) -> Attempt:
    with client.conversation() as talk:
        client.begin_tls(talk)
        return talk.quit()
