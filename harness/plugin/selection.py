"""What of its suites a session of pytest tries: a run of a part must not be taken for a whole one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from harness.results.model import Caveat, CaveatKind
from harness.rules import Catalogue
from harness.suites import files_for, folders_of


@dataclass
class Selection:
    """Knows the scenarios before anybody has taken some of them out, and after that."""

    config: pytest.Config
    kept: dict[str, str] = field(default_factory=dict)  # node id -> id of its rule
    left_out: dict[str, str] = field(default_factory=dict)
    suites: frozenset[Path] = frozenset()  # folders
    _rules: dict[str, str] = field(default_factory=dict)  # of all that was collected

    @classmethod
    def of(cls, config: pytest.Config, collected: list[pytest.Item]) -> Self:
        """All that was collected, before anybody takes some of it out."""
        rules = {item.nodeid: rule for item in collected if (rule := _rule(item))}
        places = {item.path for item in collected if _rule(item)}
        files = {file for place in places for file in files_for(place)}
        return cls(config, suites=folders_of(files), _rules=rules)

    def choose(self, items: list[pytest.Item]) -> None:
        """Note what -k, -m, --deselect and other plugins have left of it."""
        staying = {item.nodeid for item in items}
        self.kept = {key: rule for key, rule in self._rules.items() if key in staying}
        self.left_out = {key: rule for key, rule in self._rules.items() if key not in staying}

    def caveat(self, catalogue: Catalogue) -> Caveat | None:
        """That not all scenarios of the suites were selected, how, and of which rules; None when all were."""
        narrow = [*self._narrow_arguments()]
        if not (narrow or self.left_out):
            return None
        rules = {*self.left_out.values()}
        if narrow:
            rules |= {*catalogue.rules} - {*self.kept.values()}
        if any("::" in one for one in narrow) or self._last_failed:
            rules |= {*self.kept.values()}  # other cases of them may not even have been collected
        how = [*dict.fromkeys((*self._options(), *narrow))] or ["by a plugin"]
        said = f"a part of the scenarios was selected ({', '.join(how)})"
        return Caveat(CaveatKind.PART, said, tuple(one for one in catalogue.rules if one in rules))

    def _options(self) -> Iterable[str]:
        """Those that take items out after they were collected."""
        options = self.config.option
        for flag, value in (("-k", options.keyword), ("-m", options.markexpr)):
            if value:
                yield f"{flag} {value}"
        if options.smtp_only:
            yield "--smtp-only"
        yield from (f"--smtp-rule {pattern}" for pattern in options.smtp_rule)
        yield from (f"--smtp-level {level}" for level in options.smtp_level)
        if options.deselect:
            yield "--deselect"
        if getattr(options, "stepwise", False):
            yield "--stepwise"

    def _narrow_arguments(self) -> Iterable[str]:
        """Those that keep scenarios from being collected at all."""
        options = self.config.option
        if options.ignore or options.ignore_glob:
            yield "--ignore"
        if self._last_failed:
            yield "--lf"
        whole = [Path(one) for one in self.config.args if "::" not in one]
        whole = [(self.config.invocation_params.dir / one).resolve() for one in whole]
        suites = {suite.resolve() for suite in self.suites}
        if not all(any(one in (suite, *suite.parents) for one in whole) for suite in suites):
            yield from self.config.args

    @property
    def _last_failed(self) -> bool:
        """Whether pytest goes on with what failed the last time, if anything did."""
        cache = getattr(self.config, "cache", None)  # there is none without pytest's own plugin for it
        return bool(getattr(self.config.option, "lf", False) and cache and cache.get("cache/lastfailed", {}))


def _rule(item: pytest.Item) -> str:
    mark = item.get_closest_marker("rule")
    return str(mark.args[0]) if mark and mark.args else ""
