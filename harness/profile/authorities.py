"""The files of certificates that a profile names: each is looked into before a server is blamed for it."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from harness.profile.model import Profile
from harness.settings import reading
from harness.smtp.tls import verifying_context


def unfit_authorities(profile: Profile) -> Iterator[str]:
    """What is wrong with files of authorities, each as a sentence that begins with the key."""
    mailboxes = [("mailbox", profile.mailbox)]
    mailboxes += [(f"domain.{number}.mailbox", one.mailbox) for number, one in enumerate(profile.domain)]
    named = [("tls", profile.tls and profile.tls.ca_file)]
    named += [(f"{key}.imap", box.imap.ca_file) for key, box in mailboxes if box and box.imap]
    for key, file in named:
        if file and (reason := _unfit(file)):
            yield f"{key}.ca_file: {file}: {reason}"


def _unfit(file: Path) -> str:
    """Why no certificate can be had from a file, with the mend; empty when there is one."""
    try:
        reading.content(file)
        certificates = verifying_context(file).cert_store_stats()["x509"]
    except reading.UnreadableError as error:
        return str(error)
    except (OSError, ssl.SSLError):  # whose words are those of OpenSSL's innards
        certificates = 0
    return "" if certificates else "has no certificate in it; name a file with one in PEM"
