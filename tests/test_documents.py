"""What the documents show works as it stands there."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

from harness import settings
from harness.profile.model import load
from harness.reference_mta.config import Config
from harness.reference_mta.mail.filter_language import parse
from harness.rules import Catalogue

README = Path("README.md").read_text("utf-8")
DOCS = Path("docs")
DOCUMENTS = [*sorted(DOCS.glob("*.md")), *sorted(Path().glob("*.md"))]


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors(file: Path) -> set[str]:
    """The headings of a document, as links name them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_no_link_leads_nowhere(file: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", file.read_text("utf-8")):
        target = (file.parent / path) if path else file
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


def test_the_profile_is_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGING_PASSWORD", "x")
    monkeypatch.setattr("harness.profile.model.is_of_this_host", lambda network: True)  # as in a sandbox
    (profile,) = [block for block in blocks("operator.md", "toml") if "[server]" in block]
    file = tmp_path / "staging.toml"
    file.write_text(profile, "utf-8")
    assert load(file, Catalogue.below(Path("scenarios"))).name == "staging"


def test_the_configuration_of_mailboxes_is_one(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks("reference-mta.md", "toml") if "[delivery]" in block]
    server = '[server]\nhostname = "mail.castle.example"\nstate = "x"\n[dns]\nserver = "127.0.0.1:53"\n'
    file = tmp_path / "mta.toml"
    file.write_text(server + shown, "utf-8")
    assert settings.read(file, Config).domain[0].format == "mbox"


def test_the_filter_is_one() -> None:
    (shown,) = re.findall(
        r"^  ```text\n(.*?)^  ```$", (DOCS / "reference-mta.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(parse(textwrap.dedent(shown), Path("reference-mta.md")).rules) == 3


def test_the_rule_is_a_rule_and_its_scenario_is_code(tmp_path: Path) -> None:
    (rule,) = [block for block in blocks("scenario-author.md", "toml") if "[rule." in block]
    file = tmp_path / "rules.toml"
    file.write_text(rule, "utf-8")
    assert Catalogue.load([file])["helo.underscore"].suite == "ours"
    (scenario,) = blocks("scenario-author.md", "python")
    ast.parse(scenario)


def test_the_number_of_rules_is_right() -> None:
    assert f"{len(Catalogue.below(Path('scenarios')).rules)} statements" in README


@pytest.mark.parametrize("mark", ["run", "test"])
def test_the_two_commands_are_marked_for_whoever_runs_them(mark: str) -> None:
    assert re.search(rf"^<!-- {mark} -->\n```sh\n.+\n```$", README, re.MULTILINE)
