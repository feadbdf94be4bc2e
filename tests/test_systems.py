"""Every system's folder fits together: description, profile, mutants and the files that these change."""

import shutil
import tomllib
from pathlib import Path

import pytest

from harness import settings
from harness.profile import model
from harness.rules import Catalogue
from harness.systems.mutants import Mutants
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
    text = System.named(name).profile(variant).replace('"@enter@"', '"true"')
    file = tmp_path / "profile.toml"
    file.write_text(Parameters(delay=3).fill(text, {"root": "/nowhere"}), "utf-8")
    assert model.load(file, catalogue).policy.delay in (0, 3)


def test_tables_of_a_variant_take_the_place_of_the_usual_ones(tmp_path: Path) -> None:
    shutil.copy(System.named("exim").folder / "system.toml", tmp_path)
    usual = 'name = "a"\n[one]\nx = 1\ny = [\n  [2],\n]\n[[many]]\nx = 1\n[[many]]\nx = 2\n[two]\nx = 3\n'
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


@pytest.mark.parametrize("name", names())
def test_each_override_of_a_system_has_its_source(name: str) -> None:
    overrides = tomllib.loads(System.named(name).profile().replace("@delay@", "1"))
    for rule, override in overrides.get("rules", {}).get("expect", {}).items():
        assert len(override["reason"]) > 40, f"{rule}: say where the server documents it"


@pytest.mark.parametrize("name", names())
def test_mutants_of_a_system_change_what_is_there_once(catalogue: Catalogue, name: str) -> None:
    system = System.named(name)
    mutants = settings.read(system.folder / "mutants.toml", Mutants).mutant
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    services = {service.name for service in system.description.service}
    for mutant in mutants:
        assert set(mutant.rules) <= set(catalogue.rules), mutant.name
        assert set(mutant.without) <= services, mutant.name
        for edit in mutant.edit:
            content = (system.root / edit.file).read_text("utf-8")
            assert content.count(edit.find) == 1, f"{mutant.name}: {edit.find!r}"
            assert edit.find != edit.replace, mutant.name


@pytest.mark.parametrize("name", names())
def test_files_that_a_system_owns_are_there(name: str) -> None:
    system = System.named(name)
    for own in system.description.own:
        assert (system.root / own.path.lstrip("/")).is_file(), own.path
