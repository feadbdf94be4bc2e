"""Every system's folder fits together: description, profile, mutants and the files that these change."""

import shutil
import tomllib
from pathlib import Path

import pytest

from harness import settings
from harness.grants.accounts import DIRECTORY
from harness.profile import claims, model
from harness.profile.tables import RouteName
from harness.rules import Catalogue
from harness.systems.mutants import BrokenSystem, Mutants
from harness.systems.system import Parameters, System, UnknownSystemError, names

SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(SCENARIOS)


PROFILES = [(name, variant) for name in names() for variant in ("", *System.named(name).variants)]


@pytest.mark.parametrize(("name", "variant"), PROFILES)
def test_profile_of_a_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, catalogue: Catalogue, name: str, variant: str
) -> None:
    monkeypatch.setattr(model, "is_of_this_host", lambda network: True)  # as in its sandbox
    monkeypatch.setattr(claims, "unfit_authorities", lambda profile: ())  # which lie in it
    text = System.named(name).profile(variant).replace('"@enter@"', '"true"')
    file = tmp_path / "profile.toml"
    file.write_text(Parameters(delay=3).fill(text, {"root": "/nowhere"}), "utf-8")
    profile = claims.load(file, catalogue)
    assert profile.policy.delay in (0, 3)
    assert profile.clients.route is not RouteName.DIRECT  # as it is where a table of a variant leaves it out


def test_tables_of_a_variant_take_the_place_of_the_usual_ones(tmp_path: Path) -> None:
    shutil.copy(System.named("exim").folder / "system.toml", tmp_path)
    (tmp_path / "root").mkdir()
    usual = 'name = "a"\n[one]\nx = 1\ny = [\n  [2],\n]\n[[many]]\nx = 1\n[[many]]\nx = 2\n'
    usual += "[two]\nx = 3\n[two.below]\nx = 5\n"
    variant = '# About it\nname = "b"\n[[many]]\nx = 4\n[two]\n# left out\n'
    (tmp_path / "profile.toml").write_text(usual, "utf-8")
    (tmp_path / "profile-other.toml").write_text(variant, "utf-8")
    system = System.at(tmp_path)
    assert system.variants == {"other": "About it"}
    assert tomllib.loads(system.profile("other")) == {
        "name": "b",
        "one": {"x": 1, "y": [[2]]},
        "many": [{"x": 4}],
    }
    with pytest.raises(UnknownSystemError, match="has no profile 'othre'; did you mean 'other'"):
        system.profile("othre")


def test_known_deviations_of_a_variant_are_added_or_take_the_place_of_one(tmp_path: Path) -> None:
    def deviation(rule: str, case: str = "", reason: str = "") -> str:
        told = {"rule": rule, "case": case, "reason": reason}
        return "\n".join(
            ["[[deviation]]", *(f'{key} = "{value}"' for key, value in told.items() if value), ""]
        )

    shutil.copy(System.named("exim").folder / "system.toml", tmp_path)
    (tmp_path / "root").mkdir()
    usual = [deviation("a", "1", "old"), deviation("a", "2", "old"), deviation("b", "", "old")]
    variant = [deviation("a", "2", "new"), deviation("a", "3", "new"), deviation("b")]
    (tmp_path / "profile.toml").write_text("".join(['name = "usual"\n', *usual]), "utf-8")
    (tmp_path / "profile-other.toml").write_text("".join(['# other\nname = "other"\n', *variant]), "utf-8")
    listed = tomllib.loads(System.at(tmp_path).profile("other"))["deviation"]
    assert [tuple(one.values()) for one in listed] == [
        ("a", "1", "old"),
        ("a", "2", "new"),
        ("a", "3", "new"),
    ]


def test_a_profile_may_have_a_set_up_of_its_own(tmp_path: Path) -> None:
    usual = 'about = "a"\npackages = ["p"]\nprepare = [{ command = ["x"] }]\n'
    usual += '[[service]]\nname = "s"\ncommand = ["s"]\nready = { tcp = "127.0.0.1:25" }\n'
    (tmp_path / "system.toml").write_text(usual, "utf-8")
    other = tmp_path / "system-other.toml"
    other.write_text('root = ["root", "root-other"]\nprepare = []\n', "utf-8")
    for folder, names_of_files in (("root", "ab"), ("root-other", "bc")):
        (tmp_path / folder).mkdir()
        for file in names_of_files:
            (tmp_path / folder / file).write_text(folder, "utf-8")
    system = System.at(tmp_path, "other")
    assert (system.description.about, system.description.prepare) == ("a", ())
    assert [service.name for service in system.description.service] == ["s"]
    assert [system.file(file).read_text("utf-8") for file in "abc"] == ["root", "root-other", "root-other"]
    assert System.at(tmp_path).roots == [tmp_path / "root"]
    other.write_text('root = ["root-othre"]\n', "utf-8")
    with pytest.raises(settings.SettingsError, match="root: there is no folder root-othre"):
        System.at(tmp_path, "other")
    other.write_text('packages = ["q"]\n', "utf-8")
    with pytest.raises(settings.SettingsError, match="packages: all set-ups share them"):
        System.at(tmp_path, "other")


@pytest.mark.parametrize("name", names())
def test_each_set_up_belongs_to_a_profile(name: str) -> None:
    system = System.named(name)
    set_up = {file.stem.removeprefix("system-") for file in system.folder.glob("system-*.toml")}
    assert set_up <= set(system.variants)
    used = {folder for variant in ("", *set_up) for folder in System.named(name, variant).roots}
    assert used == set(system.folder.glob("root*"))


@pytest.mark.parametrize(("name", "variant"), PROFILES)
def test_each_override_of_a_system_has_its_source(name: str, variant: str) -> None:
    overrides = tomllib.loads(System.named(name).profile(variant).replace("@delay@", "1"))
    for rule, override in overrides.get("rules", {}).get("expect", {}).items():
        assert len(override["reason"]) > 40, f"{rule}: say where the server documents it"


@pytest.mark.parametrize("name", names())
def test_mutants_of_a_system_change_what_is_there_once(catalogue: Catalogue, name: str) -> None:
    mutants = settings.read(System.named(name).folder / "mutants.toml", Mutants).mutant
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        system = System.named(name, mutant.profile)
        services = {service.name for service in system.description.service}
        assert set(mutant.rules) <= set(catalogue.rules), mutant.name
        assert set(mutant.without) <= services, mutant.name
        for edit in mutant.edit:
            content = system.file(edit.file).read_text("utf-8")
            assert content.count(edit.find) == 1, f"{mutant.name}: {edit.find!r}"
            assert edit.find != edit.replace, mutant.name


def test_rules_about_a_directory_are_broken_in_a_real_server(catalogue: Catalogue) -> None:
    about = {rule.id for rule in catalogue if DIRECTORY.name in rule.needs}
    mutants = settings.read(System.named("exim").folder / "mutants.toml", Mutants).mutant
    assert len(about) == 3
    assert about <= {rule for mutant in mutants if mutant.profile == "ldap" for rule in mutant.rules}


def test_mutants_are_those_of_one_profile() -> None:
    def those_of(profile: str) -> set[str]:
        system = System.named("exim", profile)
        return {one.name for one in BrokenSystem(system, Parameters(), SCENARIOS, profile).defects}

    assert "auth.directory-down:refused" in those_of("ldap")
    assert "connect.rdns:no-delay" in those_of("")
    assert not those_of("ldap") & those_of("")
    assert not those_of("debian")


@pytest.mark.parametrize(("name", "variant"), PROFILES)
def test_files_that_a_system_owns_are_there(name: str, variant: str) -> None:
    system = System.named(name, variant)
    for own in system.description.own:
        assert system.file(own.path.lstrip("/")).is_file(), own.path
