"""A reference MTA that marks SPF results, for a run of the suite: nothing delayed, everything delivered."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import settings
from harness.embedded.process import ReferenceMta, running
from harness.profile.model import Profile
from harness.settings.hosts import endpoint_text

DOMAIN = "castle.example"
TIMEOUT = 0.75  # seconds for a question: silence is part of the suite
ATTEMPTS = 2
GREYLISTED = 60  # seconds, which pass at once
CONFIGURATION = """\
[server]
hostname = "mail.{domain}"
port = 0
proxy_protocol = true
delay = 0
state = "{state}"

[dns]
server = "{dns}"
timeout = {timeout}
attempts = {attempts}

[[domain]]
name = "{domain}"
users = ["alice", "postmaster"]
bounce_recipients = ["alice", "postmaster"]

[greylist]
delay = {greylisted}

[spf]
mode = "mark"
"""


@contextlib.contextmanager
def checking_mta(dns: tuple[str, int], mutants: Sequence[str] = ()) -> Iterator[tuple[Profile, ReferenceMta]]:
    """The server with the fake DNS at `dns` as its resolver, and its profile; raises `EmbeddedError`."""
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as name:
        folder = Path(name)
        config = folder / "mta.toml"
        content = CONFIGURATION.format(
            domain=DOMAIN,
            state=folder / "state",
            dns=endpoint_text(*dns),
            timeout=TIMEOUT,
            attempts=ATTEMPTS,
            greylisted=GREYLISTED,
        )
        config.write_text(
            content + (f"\n[mutation]\nnames = {json.dumps(list(mutants))}\n" if mutants else ""), "utf-8"
        )
        with running([config]) as (mta,):
            yield _profile(config, folder / "state", mta.port, dns), mta


def _profile(config: Path, state: Path, port: int, dns: tuple[str, int]) -> Profile:
    return settings.check(
        config,
        {
            "name": "reference-mta",
            "server": {
                "address": "127.0.0.1",
                "port": port,
                "hostname": f"mail.{DOMAIN}",
                "reply_timeout": 60.0,
                "rate": 100.0,
                "jobs": 50,
            },
            "clients": {"route": "proxy-v2", "networks": ["198.18.0.0/15", "2001:db8::/32"]},
            "dns": {"listen": [endpoint_text(*dns)]},
            "policy": {"delay": 0},
            "domain": [
                {
                    "name": DOMAIN,
                    "users": ["alice", "postmaster"],
                    "bounce_recipients": ["alice", "postmaster"],
                }
            ],
            "greylist": {"delay": GREYLISTED},
            "mailbox": {"maildir": str(state / "mail" / "{user}@{domain}")},
            "spf": {"mode": "mark"},
        },
        Profile,
    )
