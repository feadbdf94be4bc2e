"""What a server calls itself, and what it offers."""

from harness.discovery.comparison import words
from harness.discovery.dialogues import NOBODY, Dialogues
from harness.discovery.evidence import CHANCES, heard, says, wants_more
from harness.discovery.facts import Face
from harness.discovery.place import Telling
from harness.outcome import Stage, Treatment
from harness.smtp.host_name import host_name
from harness.smtp.tls import verifying_context
from harness.world.client import Client
from harness.world.conversation import Attempt, Step

MENDED_BY = {  # codes of OpenSSL's, X509_V_ERR_…, each with the key of [tls]
    **dict.fromkeys((2, 18, 19, 20, 21), "ca_file"),  # nobody knows who issued it
    **dict.fromkeys((62, 64), "name"),  # it is for another host name, or another address
}


def look_at_face(dialogues: Dialogues, telling: Telling) -> Face:
    """Its name and its keywords, in clear text and under TLS, and whether it takes mail without that."""
    client = dialogues.client()
    seen = heard(lambda: _in_clear_text(dialogues, client))
    greeting, clear = seen.connect, seen.helo
    keywords_tls: dict[str, str] = {}
    distrusted = trusting = unseen = ""
    if not says(clear):
        unseen = f"what it offers was not to be seen: {clear}"
    if "STARTTLS" in clear.keywords:
        for _ in range(CHANCES):
            covered, fault = _under_tls(client)
            keywords_tls = covered.keywords
            unseen = (
                "" if says(covered) else f"what it offers under TLS was not to be seen: {fault or covered}"
            )
            if not unseen:
                break
        else:
            telling.say(unseen)
    hostname = host_name(clear.text, greeting.text, [client.host, client.identity.domain])
    if "STARTTLS" in clear.keywords and hostname:
        distrusted, trusting = _distrusted(client, hostname)
        if distrusted:
            telling.say(distrusted)
    telling.say(f"it calls itself {hostname}" if hostname else "it does not say its own name")
    clear_words, covered_words = (", ".join(one) or "nothing" for one in (clear.keywords, keywords_tls))
    telling.say(f"it offers {clear_words}; under TLS {covered_words}")
    closed = next((step for step in seen.staged if wants_more(step)), None)
    if closed:
        telling.say(f"in clear text it wants more before it takes mail for {NOBODY}: {words(closed)}")
    of_all = words(closed) if closed and closed.stage is not Stage.RCPT else ""  # or of foreign mail alone
    return Face(hostname, clear.keywords, keywords_tls, of_all, distrusted, trusting, unseen)


def _in_clear_text(dialogues: Dialogues, client: Client) -> Attempt:
    with client.conversation() as talk:
        talk.connect()
        (talk.ehlo if dialogues.way.extended else talk.helo)(client.host)
        if talk.mail(client.sender).treatment is Treatment.PASS:
            talk.rcpt(NOBODY)
        return talk.quit()


def _under_tls(client: Client) -> tuple[Step, str]:
    """The answer to EHLO under TLS, and why the handshake failed, if it did."""
    with client.conversation() as talk:
        _, covered = client.begin_tls(talk)
        fault = f"STARTTLS: {talk.tls_fault}" if talk.tls_fault else ""
        talk.quit()
        return covered, fault


def _distrusted(client: Client, hostname: str) -> tuple[str, str]:
    """Why its certificate is not accepted under its name, and the key of [tls] that may mend that."""
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.starttls(verifying_context(), hostname)
        talk.quit()
        tls = talk.session.tls
        return talk.tls_fault.rstrip("."), MENDED_BY.get(tls.verify_code, "") if tls else ""


def likely_domains(hostname: str) -> list[str]:
    """Those for which a host of that name may take mail."""
    _, _, parent = hostname.partition(".")
    return [*([parent] if "." in parent else []), *([hostname] if hostname else [])]
