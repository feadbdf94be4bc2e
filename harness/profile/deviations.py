"""Known deviations: failures of a server that its owner knows of, each with its reason and a source."""

import datetime
import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from harness import settings
from harness.outcome import Outcome
from harness.rules import OneOutcome

BESIDE = "expected.toml"  # the file beside a profile that has a list of its own


def _day(text: str) -> str:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text!r} is no day; write it as "2027-01-31"') from None
    return text


def _observed(found: Outcome) -> Outcome:
    if found.codes or found.marked:
        raise ValueError(
            f"{found} has more than what is seen of a dialogue; leave codes out, and mark is pass"
        )
    return found


class Deviation(settings.Settings):
    """One entry of the list: cases of rules that fail.

    `rule` is an id or a pattern of ids. `case` is the name of a case as reports have it, in which `*` stands
    for anything; without it every case of the rule fails. `observed` is what the offence comes to instead,
    such as `pass at rcpt`; without it that is not looked at. Where clients without the offence are hit, it is
    a failure of another kind, which an entry is about that says `innocents`. After the day `until` it is
    known no more.
    """

    rule: str = Field(min_length=1)
    case: str = ""
    observed: Annotated[OneOutcome, AfterValidator(_observed)] | None = None
    innocents: bool = False
    reason: str = Field(min_length=1)
    source: str = Field(min_length=1)
    until: Annotated[str, AfterValidator(_day)] | None = None

    def is_about(self, rule_id: str) -> bool:
        """Whether it is about a rule."""
        return fnmatch.fnmatchcase(rule_id, self.rule)

    def covers(self, rule_id: str, case: str) -> bool:
        """Whether it is about a case of a rule."""
        # The names of cases have brackets, so only the star means something.
        pattern = ".*".join(map(re.escape, self.case.split("*")))
        return self.is_about(rule_id) and (
            not self.case or re.fullmatch(pattern, case, re.DOTALL) is not None
        )

    def is_over(self, today: datetime.date) -> bool:
        """Whether its day has passed."""
        return self.until is not None and datetime.date.fromisoformat(self.until) < today


class Expected(settings.Settings):
    """The list in a file of its own."""

    deviation: Annotated[tuple[Deviation, ...], Field(min_length=1)]


def unknown_cases(listed: Sequence[Deviation], cases: Mapping[str, Sequence[str]]) -> list[str]:
    """What the list says of cases that no rule has, as sentences.

    `cases` are the names of all cases of each rule that is to be tried whole, by its id.
    """
    problems = []
    for one in listed:
        known = [name for rule_id, names in cases.items() if one.is_about(rule_id) for name in names]
        if known and not any(one.covers(rule_id, name) for rule_id in cases for name in cases[rule_id]):
            near = settings.nearest(one.case, known)
            problems.append(f"the known deviation of {one.rule}: no case is called {one.case!r}; {near}")
    return problems
