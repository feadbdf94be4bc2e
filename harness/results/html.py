"""The report as one page that needs nothing else: readable without scripts, deaf to what a server writes."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.printable import printable, shortened
from harness.results import attention
from harness.results.model import LISTED, RunResult, Status, count
from harness.results.room import MOST, Room
from harness.wording import counted

_HERE = Path(__file__).parent
_TEXT = 4000  # characters of a reason or a reply

MARKS = {
    Status.FAILED: "✗",
    Status.STALE: "!",
    Status.INCONCLUSIVE: "?",
    Status.KNOWN_DEVIATION: "≠",
    Status.PASSED: "✓",
    Status.NOT_TESTABLE: "∅",
    Status.NOT_APPLICABLE: "–",
}


def page(run: RunResult, most: int = MOST) -> str:
    """The whole page, with at `most` so many characters of evidence; what is left out is said.

    Whatever is written into it is escaped, characters that do not print included; should anything get past
    that, its security policy runs no script and loads nothing but the two parts of the page itself.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _own("report.css"), _own("report.js")
    return environment.get_template("report.html").render(
        run=run,
        verdict=verdict(run),
        attention=attention.needing_a_look(run),
        room=Room(run, most),
        marks=MARKS,
        listed=LISTED,
        chapters=run.chapters,
        count=count,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
    )


def verdict(run: RunResult) -> str:
    """The run in one sentence."""
    counts = run.counts
    failed, doubtful, passed, stale, known = (
        counts[status]
        for status in (
            Status.FAILED,
            Status.INCONCLUSIVE,
            Status.PASSED,
            Status.STALE,
            Status.KNOWN_DEVIATION,
        )
    )
    if failed:
        return f"{failed} of {_rules(failed + doubtful + passed + stale + known)} did not hold"
    if stale:
        return f"{_rules(stale)} held that the list of known deviations has"
    if run.findings and doubtful:
        return f"Innocent clients meet something else than documented; {_rules(doubtful)} cannot be told"
    if not passed and not known:
        return "No rule was proved"
    if doubtful:
        return f"{_rules(passed)} held, {doubtful} could not be decided"
    if known:
        return f"{_rules(passed)} held, {known} deviated as is known"
    return f"{'The one rule' if passed == 1 else f'All {passed} rules'} that could be tested held"


def _rules(number: int) -> str:
    return counted(number, "rule")


def _harmless(value: object) -> object:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(shortened(value, _TEXT), keep="\n")


def _own(name: str) -> Markup:
    return Markup((_HERE / name).read_text("utf-8"))  # noqa: S704 - part of this package, nothing from a run


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
