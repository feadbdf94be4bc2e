"""What a server calls itself, and what it offers."""

import re
import ssl
from collections.abc import Iterable

from harness.discovery.dialogues import Dialogues
from harness.discovery.facts import Face
from harness.discovery.place import Telling
from harness.world.client import Client

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"(?:{LABEL}\.)+(?:[A-Za-z]{{2,}}|xn--[A-Za-z0-9-]+)")  # no version number ends so
AROUND = "<>()[]{},;:\"'«»"
WANTS_MORE = 530  # TLS (RFC 3207 §4) or an account (RFC 4954 §6) before mail


def look_at_face(dialogues: Dialogues, telling: Telling) -> Face:
    """Its name and its keywords, in clear text and under TLS, and whether it takes mail without that."""
    client = dialogues.client()
    keywords_tls: dict[str, str] = {}
    distrusted = ""
    with client.conversation() as talk:
        greeting = talk.connect()
        clear = (talk.ehlo if dialogues.way.extended else talk.helo)(client.host)
        mail = talk.mail(client.sender)
        talk.quit()
    if "STARTTLS" in clear.keywords:
        with client.conversation() as talk:
            _, covered = client.begin_tls(talk)
            keywords_tls = covered.keywords
            if talk.tls_fault:
                telling.say(f"STARTTLS: {talk.tls_fault}")
            talk.quit()
    hostname = host_name(clear.text, greeting.text, [client.host, client.identity.domain])
    if "STARTTLS" in clear.keywords and hostname:
        distrusted = _distrusted(client, hostname)
        if distrusted:
            telling.say(distrusted)
    telling.say(f"it calls itself {hostname}" if hostname else "it does not say its own name")
    telling.say(f"it offers {', '.join(clear.keywords) or 'nothing'}; under TLS {', '.join(keywords_tls) or 'nothing'}")
    closed = str(mail) if mail.code == WANTS_MORE else ""
    if closed:
        telling.say(f"it takes no mail in clear text: mail: {closed}")
    return Face(hostname, clear.keywords, keywords_tls, closed, distrusted)


def _distrusted(client: Client, hostname: str) -> str:
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        talk.starttls(ssl.create_default_context(), hostname)
        talk.quit()
        return talk.tls_fault


def host_name(answer: str, banner: str, ours: Iterable[str]) -> str:
    """The name in the answer to EHLO or HELO, which begins with it (RFC 5321 §4.1.1.1), or in the banner.

    The client's own names, which many servers greet, are none of its.
    """
    greeted = {name.lower() for name in ours}
    for text in (answer, banner):
        words = text.partition("\n")[0].split()
        named = [word.strip(AROUND).lower() for word in words]
        found = next((one for one in named if HOST_NAME.fullmatch(one) and one not in greeted), "")
        if found:
            return found
    return ""


def likely_domains(hostname: str) -> list[str]:
    """Those for which a host of that name may take mail."""
    _, _, parent = hostname.partition(".")
    return [*([parent] if "." in parent else []), *([hostname] if hostname else [])]
