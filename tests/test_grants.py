"""What a capability is: one object, by which rules, profiles, tools and scenarios go."""

import re
from pathlib import Path
from typing import Any

import pytest

from harness import grants, settings
from harness.grants.capability import Capability, Plain, Site, Tool
from harness.grants.mail import MAILBOX
from harness.grants.registry import CAPABILITIES, Capabilities, UnknownCapabilityError
from harness.profile.model import Profile
from harness.rules import Catalogue
from harness.runs.play import FIXTURES
from harness.scenario import needs

RULES = """
suite = "mine"
[rule."mine.first"]
stage = "rcpt"
source = "page 1"
statement = "Something holds."
expect = "deny at rcpt"
needs = ["dns", "mialbox"]
"""


def profile(**tables: Any) -> Profile:
    content = {
        "name": "mine",
        "server": {"address": "127.0.0.1", "hostname": "mx.example.org"},
        "policy": {"delay": 0},
        "domain": [{"name": "here.example", "users": ["ann"]}],
        **tables,
    }
    return settings.check("mine.toml", content, Profile)


def test_what_a_rule_needs_is_looked_for_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES, "utf-8")
    with pytest.raises(settings.SettingsError) as refused:
        Catalogue.load([file], capabilities=CAPABILITIES.names)
    said = "rule.mine.first.needs: unknown capability 'mialbox'; did you mean 'mailbox'?"
    assert str(refused.value) == f"{file}: {said}"


def test_what_a_case_needs_is_looked_for_when_it_is_marked() -> None:
    assert needs("ipv6").args == ("ipv6",)
    with pytest.raises(UnknownCapabilityError, match="did you mean 'ipv6'"):
        needs("ipv")


def test_whatever_a_module_of_the_room_has_is_a_capability_and_gives_its_fixture() -> None:
    written = [
        line
        for folder in grants.__path__
        for file in Path(folder).glob("*.py")
        for line in file.read_text("utf-8").splitlines()
        if re.match(r"[A-Z0-9_]+(: .*)? = (Plain|Capability)\(", line)
    ]
    assert len(written) == len(CAPABILITIES.names)
    assert CAPABILITIES["mailbox"] is MAILBOX
    assert set(CAPABILITIES.fixtures) < FIXTURES


def test_a_tool_is_made_where_its_table_is() -> None:
    assert CAPABILITIES.tools(Site(profile())).get(MAILBOX) is None
    assert MAILBOX.lacking(profile()) == "the profile has no [mailbox] to read mail from"
    with_mailbox = profile(mailbox={"maildir": "/tmp/{user}"})
    assert CAPABILITIES.tools(Site(with_mailbox)).get(MAILBOX) is not None
    assert MAILBOX.lacking(with_mailbox) == ""


@pytest.mark.parametrize(("name", "fixture"), [("tea", "cup"), ("coffee", "pot")])
def test_no_two_capabilities_have_one_name_or_give_one_fixture(name: str, fixture: str) -> None:
    def brewed(name: str, fixture: str) -> Capability[str, str]:
        return Capability(name, lambda _: True, "", Tool(lambda _: "tea", lambda tea, _: tea, fixture))

    with pytest.raises(ValueError, match="rename one"):
        Capabilities.of([brewed("tea", "pot"), brewed(name, fixture)])
    assert Capabilities.of([brewed("tea", "pot"), Plain("sugar", lambda _: True, "")]).fixtures.keys() == {
        "pot"
    }
