"""Accounts of a directory: what a profile says of them, the commands, what the scenarios make of a server."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.capabilities.directory import CommandDirectory
from harness.grants.accounts import DIRECTORY, DIRECTORY_BIND, DIRECTORY_OUTAGE
from harness.grants.capability import Tools
from harness.profile.mail_tables import Account
from harness.profile.model import Profile
from harness.profile.tables import Directory
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.run import Run
from harness.settings import SettingsError
from harness.settings.secret import Secret
from harness.verdicts import InconclusiveError, NotApplicableError, NotTestableError
from harness.world.cast import each_of
from harness.world.sut import Sut
from scenarios.wiki import test_directory as scenarios
from tests.test_profile import GOOD, read
from tests.test_scenarios_elsewhere import said

CATALOGUE = Catalogue.below(Path("scenarios"))
GATE = Account(user="gate", password=Secret("the gate's own"))
TABLE = """
[directory]
bind = ["ldapwhoami", "-D", "uid={user},dc=example", "-y", "/dev/stdin"]
[[directory.other_class]]
user = "gate"
password = "the gate's own"
[[directory.odd_name]]
user = 'o*hara\\'
password = "wild"
[directory.outage]
begin = ["stop"]
end = ["start"]
"""
ACCOUNT = '[auth]\nuser = "ann"\npassword = "mine"\n'
TLS = '[tls]\nname = "mx.example.org"\n'


def profile(folder: Path, *tables: str) -> Profile:
    return read(folder, CATALOGUE, GOOD + "".join(tables))


# The profile


def test_accounts_of_a_directory_are_read(tmp_path: Path) -> None:
    read = profile(tmp_path, TLS, ACCOUNT, TABLE)
    assert [account.user for account in read.logins] == ["ann", "gate", "o*hara\\"]
    assert list(read.secrets) == [account.secret for account in read.logins]  # so none is kept in a report
    for need in (DIRECTORY, DIRECTORY_BIND, DIRECTORY_OUTAGE):
        assert need.lacking(read) == ""
    assert [name for name, _ in each_of("outsider", Sut(read))] == ["gate"]
    assert [name for name, _ in each_of("odd_account", Sut(read))] == ["o*hara\\"]


def test_a_directory_that_has_less_is_told_what_it_lacks(tmp_path: Path) -> None:
    other_class = '[[directory.other_class]]\nuser = "gate"\npassword = "x"\n'
    read = profile(tmp_path, TLS, ACCOUNT, other_class)
    assert "has no bind command" in DIRECTORY_BIND.lacking(read)
    assert "no [directory.outage] commands" in DIRECTORY_OUTAGE.lacking(read)
    ((_, nothing),) = each_of("odd_account", Sut(read))
    assert "no [[directory.odd_name]]" in nothing.reason  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (TABLE.replace("uid={user}", "uid=gate"), "directory.bind: {user} must stand in it"),
        ("[directory]\nbind = []\n", "directory.other_class: is required and missing"),
    ],
)
def test_a_directory_that_cannot_be_is_told(tmp_path: Path, wrong: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        profile(tmp_path, TLS, ACCOUNT, wrong)
    assert told in str(error.value)


# The command


def test_a_password_is_given_to_the_directory_where_no_list_of_processes_shows_it() -> None:
    takes = "import sys; sys.exit(sys.argv[1:] != ['uid=gate'] or sys.stdin.read() != \"the gate's own\")"
    CommandDirectory([sys.executable, "-c", takes, "uid={user}"]).vouch_for(GATE)
    with pytest.raises(InconclusiveError, match=r"^directory\.bind: .* ended with 49: Invalid credentials$"):
        CommandDirectory(["/bin/sh", "-c", "echo Invalid credentials >&2; exit 49"]).vouch_for(GATE)


# What the scenarios make of a server


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_run(Wish(CATALOGUE)) as opened:
        yield opened


class Vouches:
    """A directory that knows everybody."""

    def vouch_for(self, account: Account) -> None:
        """It does."""


class Denies:
    """A directory that knows nobody."""

    def vouch_for(self, account: Account) -> None:
        """It does not."""
        raise InconclusiveError("directory.bind: ldapwhoami ended with 49: Invalid credentials")


class NoOutage:
    """Commands that do nothing: whoever is let in anyway is let in meanwhile."""

    shared = True

    def cut(self, client: str) -> None:
        """Nothing is out of reach."""

    def end(self) -> None:
        """Nothing was."""


def with_directory(run: Run, tools: Tools | None = None, odd_name: tuple[Account, ...] = ()) -> Run:
    directory = Directory(other_class=(GATE,), odd_name=odd_name)
    return replace(
        run,
        profile=run.profile.model_copy(update={"directory": directory}),
        tools=tools or run.tools,
        judge=replace(run.judge, delay=600.0),  # nothing of this is about time
    )


def test_who_has_no_directory_is_not_judged_for_it(run: Run) -> None:
    for rule in ("auth.directory-object-class", "auth.directory-name-is-data", "auth.directory-down"):
        assert isinstance(run.refusal(CATALOGUE[rule], ()), NotApplicableError)
    refused = with_directory(run).refusal(CATALOGUE["auth.directory-down"], ())
    assert isinstance(refused, NotTestableError)
    assert "[directory.outage]" in str(refused)


def test_another_class_that_is_let_in(run: Run) -> None:
    rule, asked = "auth.directory-object-class", ("client", "offence", "directory", "expect")
    outsider, account = GATE, run.profile.auth
    assert account
    knows = with_directory(run, Tools({**run.tools.made, DIRECTORY_BIND: Vouches()}))
    refused = said(knows, rule, scenarios.test_account_of_another_class, *asked, outsider=outsider)
    assert refused.status is Status.PASSED, refused.reason
    let_in = said(knows, rule, scenarios.test_account_of_another_class, *asked, outsider=account)
    assert let_in.status is Status.FAILED
    assert "the server said 235" in let_in.reason
    denied = with_directory(run, Tools({**run.tools.made, DIRECTORY_BIND: Denies()}))
    untold = said(denied, rule, scenarios.test_account_of_another_class, *asked, outsider=outsider)
    assert untold.status is Status.INCONCLUSIVE  # it may be refused for its password
    assert "directory.bind" in untold.reason


def test_names_that_mean_something(run: Run) -> None:
    rule, asked = "auth.directory-name-is-data", ("client", "offence", "sut", "expect")
    scenario = scenarios.test_name_that_means_something
    written = scenarios.WRITTEN["condition"]
    vote = said(with_directory(run), rule, scenario, *asked, written=written)
    assert vote.status is Status.PASSED, vote.reason
    assert run.profile.auth
    named = Account(user=written(run.profile.auth.user), password=Secret("x"))
    vote = said(with_directory(run, odd_name=(named,)), rule, scenario, *asked, written=written)
    assert vote.status is Status.NOT_APPLICABLE


def test_a_name_that_is_refused_otherwise_than_a_wrong_password() -> None:
    scenario, asked = scenarios.test_name_that_means_something, ("client", "offence", "sut", "expect")
    with open_run(Wish(CATALOGUE, mutants=["auth.unknown-user:off"])) as tells_apart:
        vote = said(
            with_directory(tells_apart),
            "auth.directory-name-is-data",
            scenario,
            *asked,
            written=scenarios.WRITTEN["comma"],
        )
    assert vote.status is Status.FAILED
    assert "a wrong password 535" in vote.reason


def test_a_user_whose_odd_name_is_not_known(run: Run) -> None:
    scenario, odd = (
        scenarios.test_user_whose_name_has_such_characters,
        Account(user="o*hara", password=Secret("x")),
    )
    asked = ("client", "offence", "expect")
    vote = said(with_directory(run), "auth.directory-name-is-data", scenario, *asked, odd_account=odd)
    assert vote.status is Status.FAILED
    assert "the innocent twin" in vote.reason


@pytest.mark.parametrize(
    ("password", "status", "reason"),
    [
        ("right", Status.FAILED, "the server said 235"),
        ("wrong", Status.FAILED, "the server said 535"),
        ("empty", Status.PASSED, ""),
    ],
)
def test_who_is_answered_while_the_directory_is_out_of_reach(
    run: Run, password: str, status: Status, reason: str
) -> None:
    vote = said(
        with_directory(run, Tools({**run.tools.made, DIRECTORY_OUTAGE: NoOutage()})),
        "auth.directory-down",
        scenarios.test_directory_out_of_reach,
        "client",
        "directory_outage",
        "expect",
        twin=False,
        password=password,
    )
    assert vote.status is status, vote.reason
    assert reason in vote.reason
