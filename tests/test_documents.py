"""What the documents show works as it stands there."""

import ast
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_dns import FakeDns, load_zone_file
from harness import settings
from harness.cli import main
from harness.plugin.options import OLDER, OURS
from harness.profile.claims import load
from harness.profile.deviations import Expected
from harness.reference_mta.config import Config
from harness.reference_mta.mail.filter_language import parse
from harness.rules import Catalogue
from harness.suites import Suite
from tests.dns_asking import answers

README = Path("README.md").read_text("utf-8")
DOCS = Path("docs")
DOCUMENTS = [*sorted(DOCS.glob("*.md")), *sorted(Path().glob("*.md"))]
OPTION = re.compile(r"--[a-z][a-z-]*")
SYSTEMS = {file.parent.name for file in Path("harness/systems").glob("*/system.toml")}
Help = Callable[[list[str]], str]


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors(file: Path) -> set[str]:
    """The headings of a document, as links name them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def toml_blocks(document: str) -> list[str]:
    """Those in lists as well."""
    text = (DOCS / document).read_text("utf-8")
    found = re.findall(r"^( *)```toml\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def command_lines(program: str) -> list[tuple[str, list[str]]]:
    """What documents show of a program, in blocks of commands and in sentences: where, and the words behind.

    What the shell does with the rest of a line, and what stands for more words, is left out.
    """
    found = []
    for file in DOCUMENTS:
        text = file.read_text("utf-8")
        shown = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)).splitlines()
        prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
        shown += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
        for line in shown:
            for part in re.split(r"&&|\||>", line):
                if called := re.match(rf"\s*(?:sudo )?(?:\.venv/bin/)?{program} (.*)", part):
                    words = shlex.split(called[1], comments=True)
                    found.append((f"{file}: {line}", [word for word in words if word != "…"]))
    return found


def options_in(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if OPTION.match(word)}


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str]) -> Help:
    """The help of a command line of ours; what is wrong with the words before it fails the test."""

    def asked(words: list[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return out

    return asked


def test_command_lines_are_found() -> None:
    assert {"doctor", "system", "mta", "dns", "compare"} <= {
        words[0] for _, words in command_lines("smtp-harness")
    }
    assert any("--smtp-sut" in words for _, words in command_lines("pytest"))


@pytest.mark.parametrize(("line", "words"), command_lines("smtp-harness"))
def test_a_command_exists_and_has_its_options(help_of: Help, line: str, words: list[str]) -> None:
    ours = words[: words.index("--")] if "--" in words else words
    if ours[0].startswith("--"):
        assert ours[0] in help_of([]), line
        return
    text = help_of(ours)
    usage = text.partition("\n\n")[0]
    assert usage.startswith(f"usage: smtp-harness {ours[0]}"), line
    assert options_in(ours) <= set(OPTION.findall(text)), line
    plain = [word for word in ours[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
    if ours[0] == "system":
        assert set(plain[1:2]) <= SYSTEMS, line
    elif ours[0] == "mta" and plain:  # its parts have a help of their own
        assert usage.startswith(f"usage: smtp-harness mta {plain[0]}"), line


@pytest.mark.parametrize(("line", "words"), command_lines("pytest"))
def test_a_run_has_its_options(pytestconfig: pytest.Config, line: str, words: list[str]) -> None:
    for option in options_in(words):
        pytestconfig.getoption(option)  # raises where there is none


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_options_of_a_run_exist(pytestconfig: pytest.Config, file: Path) -> None:
    for option in re.findall(rf"{OURS}[a-z-]*[a-z]", file.read_text("utf-8")):
        pytestconfig.getoption(option)


def test_every_option_of_a_run_is_in_the_guide(pytestconfig: pytest.Config) -> None:
    guide = (DOCS / "operator.md").read_text("utf-8")
    for older in OLDER:
        own = f"{OURS}{older.removeprefix('--')}"
        pytestconfig.getoption(own)
        assert f"`{own}" in guide


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_options_within_sentences_exist(help_of: Help, pytestconfig: pytest.Config, file: Path) -> None:
    """Of pytest, an older name of ours, or of one of our commands."""
    theirs = {"--forked", "--lf"}  # of pytest-forked, and of a plugin of pytest that can be left out
    commands = (
        "compare",
        "discover",
        "dns",
        "doctor",
        "mta",
        "mutants",
        "rules",
        "spf-suite",
        "system",
        "truth",
    )
    ours = {*OLDER, *OPTION.findall(help_of([]))}
    ours |= {option for command in commands for option in OPTION.findall(help_of([command]))}
    for option in re.findall(r"`(--[a-z][a-z-]*)", file.read_text("utf-8")):
        if option not in ours | theirs:
            pytestconfig.getoption(option)


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_no_link_leads_nowhere(file: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", file.read_text("utf-8")):
        target = (file.parent / path) if path else file
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


def test_the_profile_is_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGING_PASSWORD", "x")
    monkeypatch.setattr("harness.profile.model.is_of_this_host", lambda network: True)  # as in a sandbox
    monkeypatch.setattr("harness.profile.claims.unfit_authorities", lambda profile: ())
    (profile,) = [block for block in blocks("operator.md", "toml") if "[server]" in block]
    file = tmp_path / "staging.toml"
    file.write_text(profile, "utf-8")
    assert load(file, Catalogue.below(Path("scenarios"))).name == "staging"


def test_the_dialect_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGING_PASSWORD", "x")
    monkeypatch.setattr("harness.profile.model.is_of_this_host", lambda network: True)
    monkeypatch.setattr("harness.profile.claims.unfit_authorities", lambda profile: ())
    (shown,) = [block for block in toml_blocks("dialect.md") if "[dialect]" in block]
    (whole,) = [block for block in toml_blocks("operator.md") if "[server]" in block]
    tables = re.split(r"^(?=\[)", whole, flags=re.MULTILINE)
    kept = {"[greylist]": "", "[auth]": ""}  # what the guide has in a table beside what a dialect adds to it
    for head in kept:
        (table,) = [one for one in tables if one.startswith(head)]
        kept[head] = table.partition("\n")[2]
        shown = shown.replace(head, f"{head}\n{kept[head]}")
    others = [one for one in tables if not one.startswith((*kept, "[dialect", "[[dnsbl]]"))]
    file = tmp_path / "staging.toml"
    file.write_text("".join(others) + shown, "utf-8")
    read = load(file, Catalogue.below(Path("scenarios")))
    assert (read.dialect.told, read.dnsbl[0].weight) == ("rcpt", -2)


def test_the_zone_file_of_a_block_list_is_one(tmp_path: Path) -> None:
    (shown,) = [block for block in toml_blocks("operator.md") if "[[rbldnsd]]" in block]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "spammers").write_text(":127.0.0.3:bulk\n198.18.4.0/22\n", "utf-8")
    (tmp_path / "zone.toml").write_text(shown, "utf-8")
    dns = FakeDns()
    assert load_zone_file(tmp_path / "zone.toml", dns) == []
    assert answers(dns, "9.4.18.198.bl.example") == ["127.0.0.3"]


def test_the_zone_file_of_the_help_is_one(help_of: Help, tmp_path: Path) -> None:
    shown = textwrap.dedent(help_of(["dns"]).partition("a zone file in TOML:\n\n")[2])
    (tmp_path / "zone.toml").write_text(shown, "utf-8")
    assert "[[script]]" in shown
    assert load_zone_file(tmp_path / "zone.toml", FakeDns()) == []


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


def test_the_suite_is_one(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks("scenario-author.md", "toml") if "[group." in block]
    (tmp_path / "suite.toml").write_text(shown, "utf-8")
    assert Suite.read(tmp_path / "suite.toml").groups["helo"].title == "Greetings"


def test_the_known_deviation_is_one(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks("operator.md", "toml") if "[[deviation]]" in block]
    file = tmp_path / "expected.toml"
    file.write_text(shown, "utf-8")
    (entry,) = settings.read(file, Expected).deviation
    assert entry.covers("dnsbl.two", "client on two lists [one, two]")


@pytest.mark.parametrize("mark", ["run", "test"])
def test_the_two_commands_are_marked_for_whoever_runs_them(mark: str) -> None:
    assert re.search(rf"^<!-- {mark} -->\n```sh\n.+\n```$", README, re.MULTILINE)
