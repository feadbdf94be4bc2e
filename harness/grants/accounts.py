"""TLS, accounts, and the directory in which they are."""

from typing import Protocol

from harness.capabilities.directory import CommandDirectory
from harness.capabilities.outage import CommandOutage
from harness.grants.capability import Absent, Capability, Plain, Site, Tool
from harness.grants.outage import Outage, RecordedOutage
from harness.profile.mail_tables import Account
from harness.profile.model import Profile
from harness.world.world import World


class Directory(Protocol):
    """A directory of accounts, apart from the server that goes by it."""

    def vouch_for(self, account: Account) -> None:
        """Raises `InconclusiveError` unless the account is there and its password is right."""


def _directory(site: Site) -> Directory | None:
    table = site.profile.directory
    return CommandDirectory(table.bind) if table and table.bind else None


def _as_it_is(directory: Directory, _: World) -> Directory:
    """Who asks it whether a password is right changes nothing, and shows nothing of the server."""
    return directory


def _outage(site: Site) -> Outage | None:
    table = site.profile.directory.outage if site.profile.directory else None
    return CommandOutage(table.begin, table.end, "directory.outage") if table else None


def _recorded(outage: Outage, world: World) -> Outage:
    return RecordedOutage(outage, world, "the directory of accounts")


def _can_be_cut_off(profile: Profile) -> bool:
    return profile.directory is not None and profile.directory.outage is not None


TLS = Plain(
    "tls",
    lambda profile: profile.tls is not None,
    "the profile has no [tls]",
    absent=Absent.CASE_DOES_NOT_APPLY,
)
CREDENTIALS = Plain(
    "credentials", lambda profile: profile.auth is not None, "the profile has no [auth] account"
)
DIRECTORY = Plain(
    "directory",
    lambda profile: profile.directory is not None,
    "the profile has no [directory] of accounts",
    absent=Absent.RULE_DOES_NOT_APPLY,
)
DIRECTORY_BIND = Capability(
    "directory-bind",
    lambda profile: profile.directory is not None and bool(profile.directory.bind),
    "the profile's [directory] has no bind command, so nobody sees that a password is right",
    Tool(_directory, _as_it_is, "directory"),
)
DIRECTORY_OUTAGE = Capability(
    "directory-outage",
    _can_be_cut_off,
    "the profile has no [directory.outage] commands to put the directory out of reach with",
    Tool(
        _outage,
        _recorded,
        "directory_outage",
        undo=lambda outage: outage.end(),
        hits_all=lambda outage: outage.shared,
    ),
)
