"""The embedded system under test: reference MTAs on loopback, one for each way to send mail elsewhere."""

import contextlib
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import settings
from harness.embedded.process import ReferenceMta, running
from harness.profile.model import Profile
from harness.reference_mta.passwords import hash_password
from harness.settings.secret import Secret
from harness.toml_text import toml_text

PROFILE = Path(__file__).with_name("profile.toml")
ACCOUNT = "alice"
DNS_TIMEOUT = 0.75  # seconds a question, so that a dead name server costs less than a scenario may last
DNS_ATTEMPTS = 2
HASH_COST = 2**10  # enough for a password that lives as long as a run, and cheap to check
INTERVAL = 1.5  # seconds between two tries to send a message
MBOX_DOMAIN = "orchard.example"  # its mail is kept in mbox files
SINK_NETWORK = "127.64.0.0/10"  # all of it can be bound on Linux; elsewhere only 127.0.0.1 is there
SMARTHOST = "127.63.0.1"
CLOSED = "127.63.0.2"
SERVERS = 3
Started = Callable[[Sequence[Path]], contextlib.AbstractContextManager[list[ReferenceMta]]]


@dataclass(frozen=True)
class _Settings:
    """What the configurations of all servers have in common."""

    profile: dict[str, Any]
    folder: Path
    dns: tuple[str, int]
    sink_port: int
    password: Secret
    srs_secret: Secret
    mutants: Sequence[str]

    def write(self, name: str, outgoing: dict[str, Any], **more: dict[str, Any]) -> Path:
        """The configuration file of one server; `more` are tables that only it has."""
        config = self.folder / f"{name}.toml"
        config.write_text(toml_text(self._configuration(self.state(name), outgoing) | more), "utf-8")
        return config

    def state(self, name: str) -> Path:
        """The state directory of one server; mail for local users is kept in one place."""
        state = self.folder / name
        state.mkdir(mode=0o700)
        (state / "mail").symlink_to(self.folder / "mail")
        return state

    @property
    def _hash(self) -> Secret:
        return Secret(hash_password(self.password.reveal(), cost=HASH_COST))

    def _configuration(self, state: Path, outgoing: dict[str, Any]) -> dict[str, Any]:
        profile = self.profile
        return {
            "server": {
                "hostname": profile["server"]["hostname"],
                "port": 0,
                "proxy_protocol": True,
                "delay": profile["policy"]["delay"],
                "max_recipients": profile["policy"]["max_recipients"],
                "state": str(state),
            },
            "dns": {
                "server": f"{self.dns[0]}:{self.dns[1]}",
                "timeout": DNS_TIMEOUT,
                "attempts": DNS_ATTEMPTS,
            },
            "relay": {"from_hosts": ["127.0.0.1", *profile["clients"]["trusted"]]},
            "refuse": {"from_hosts": profile["clients"]["refused"]},
            "domain": [
                {**domain, "format": "mbox" if domain["name"] == MBOX_DOMAIN else "maildir"}
                for domain in profile["domain"]
            ],
            "dnsbl": profile["dnsbl"],
            "greylist": profile["greylist"],
            "tls": {"names": [profile["server"]["hostname"], profile["tls"]["name"]]},
            "auth": {"users": {ACCOUNT: self._hash}},
            "delivery": {"filters": str(self.folder / "filters")},
            "spam": {"threshold": profile["spam"]["threshold"]},
            "outgoing": {"port": self.sink_port, "interval": INTERVAL, **outgoing},
            "srs": {"secret": self.srs_secret, "lifetime": profile["srs"]["lifetime"]},
            **({"mutation": {"names": list(self.mutants)}} if self.mutants else {}),
        }


@contextlib.contextmanager
def reference_mta(
    dns: tuple[str, int], mutants: Sequence[str] = (), *, started: Started = running
) -> Iterator[tuple[Profile, ReferenceMta]]:
    """Start the reference MTAs with the fake DNS at `dns` as their resolver.

    `started` starts a server for each of so many configurations, `SERVERS` at most. Yields the profile, and
    the server that it describes. Raises `EmbeddedError` when one does not start.
    """
    content = settings.read_toml(PROFILE)
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as place:
        folder, sink_port = Path(place), _free_port()
        password, srs_secret = (Secret(secrets.token_urlsafe(12)) for _ in range(2))
        (folder / "mail").mkdir(mode=0o700)
        _write_filter(folder / "filters", content["filter"])
        common = _Settings(content, folder, dns, sink_port, password, srs_secret, mutants)
        checks = {"spf": {"mode": "reject"}, "dkim": {"mode": "reject"}}
        configs = [common.write("state", {"route": "mx"}), common.write("local", {"route": "none"}, **checks)]
        several = _can_bind(SMARTHOST)
        if several:
            smarthost = {"route": "smarthost", "smarthost": f"{SMARTHOST}:{sink_port}"}
            configs.append(common.write("smart", smarthost))
        with started(configs) as servers:
            main, local = servers[:2]
            main.beside = tuple(servers[1:])
            content["server"]["port"] = main.port
            content["dns"] = {"listen": [f"{dns[0]}:{dns[1]}"]}
            content["auth"] = {"user": ACCOUNT, "password": password}
            content["tls"]["ca_file"] = str(folder / "state" / "ca.pem")
            content["mailbox"] = {"maildir": str(folder / "mail" / "{user}@{domain}"), "patience": 5}
            for domain in content["domain"]:
                if domain["name"] == MBOX_DOMAIN:
                    domain["mailbox"] = {"mbox": str(folder / "mail" / "{user}@{domain}")}
            networks = [SINK_NETWORK if several else "127.0.0.1"]
            content["sink"] = {"networks": networks, "port": sink_port, "patience": 5}
            content["queue"] = {"interval": INTERVAL}
            content["local_only"] = {"server": f"127.0.0.1:{local.port}"}
            for name, table in checks.items():
                content[name] = {**table, "server": f"127.0.0.1:{local.port}"}
            if several:
                content["local_only"]["closed"] = [CLOSED]
                content["smarthost"] = {
                    "host": f"{SMARTHOST}:{sink_port}",
                    "server": f"127.0.0.1:{servers[2].port}",
                }
            yield settings.check(PROFILE, content, Profile), main


def _write_filter(folder: Path, table: dict[str, str]) -> None:
    """The filter of the wiki page (wiki 426–440, 935), in the language of the reference MTA."""
    folder.mkdir(mode=0o700)
    save = {key: value.removeprefix(".") for key, value in table.items() if key.endswith("_folder")}
    (folder / table["user"]).write_text(
        'if header X-Spam-Status contains "Yes" or header X-Spam-Flag defined then '
        f"save {save['spam_folder']}\n"
        f'if header To contains "{table["list_address"]}" then save {save["list_folder"]}\n'
        f'if body contains "{table["body_word"]}" then save {save["body_folder"]}\n'
        f"if header X-DNSbl-Warning defined then save {save['dnsbl_folder']}\n",
        "utf-8",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _can_bind(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
