"""A pytest plugin: the embedded reference MTA is judged over a network that troubles its connections.

    python -m pytest scenarios -p tests.chaos_plugin --chaos-rate 10 --chaos-kind 421 --chaos-seed 7

Only the connections to the main server are troubled. Its control channel, the name server, the mailboxes and
the servers that send mail in other ways are out of reach of the network.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.embedded.process import ReferenceMta
from harness.embedded.servers import reference_mta
from harness.plugin.keys import EMBEDDED
from harness.profile.model import Profile
from tests.chaos_proxy import ChaosProxy
from tests.chaos_trouble import Chaos, Kind

REPLY_TIMEOUT = 4.0  # seconds: twice the delay of the server; what hangs shall cost no more
PERCENT = 100
COUNTS = "chaos.json"  # beside the reports


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the network."""
    group = parser.getgroup("chaos", "a network that loses connections")
    group.addoption("--chaos-rate", type=float, default=0.0, metavar="PERCENT", help="troubled connections")
    group.addoption(
        "--chaos-kind", action="append", type=Kind, choices=list(Kind), help="of trouble (default: all)"
    )
    group.addoption("--chaos-seed", type=int, default=0, help="the same seed has the same trouble in store")


def pytest_configure(config: pytest.Config) -> None:
    """Put the proxy before the server that a run starts."""
    options = config.option
    kinds = tuple(options.chaos_kind or Kind)
    network = Network(Chaos(options.chaos_rate / PERCENT, options.chaos_seed, kinds))
    config.pluginmanager.register(network, "chaos-network")


@dataclass(eq=False)
class Network:
    """What lies between the harness and the embedded server, for one session."""

    chaos: Chaos
    proxies: list[ChaosProxy] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """From here on a run without a profile finds its server behind the network."""
        session.config.stash[EMBEDDED] = self.reference_mta

    @contextlib.contextmanager
    def reference_mta(
        self, dns: tuple[str, int], mutants: Sequence[str] = ()
    ) -> Iterator[tuple[Profile, ReferenceMta]]:
        """The embedded server, and a profile that has the proxy's address as the server's."""
        with reference_mta(dns, mutants) as (profile, mta):
            server = profile.server
            with ChaosProxy((server.address, server.port), self.chaos) as proxy:
                self.proxies.append(proxy)
                host, port = proxy.address
                moved = server.model_copy(
                    update={"address": host, "port": port, "reply_timeout": REPLY_TIMEOUT}
                )
                yield profile.model_copy(update={"server": moved}), mta

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell what the network did, beside the reports."""
        folder = session.config.option.smtp_reports
        if folder and self.proxies:
            told = {
                "connections": sum(proxy.connections for proxy in self.proxies),
                "troubled": {kind: sum(proxy.done[kind] for proxy in self.proxies) for kind in Kind},
            }
            Path(folder, COUNTS).write_text(json.dumps(told), "utf-8")
