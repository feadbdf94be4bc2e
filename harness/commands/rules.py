"""The catalogue as a user reads it."""

import argparse
import json
import shutil
import sys
import textwrap

from harness.commands.base import Commands, UsageError, add_command, default_scenarios
from harness.grants.registry import CAPABILITIES
from harness.printable import printable, printable_json
from harness.rules import Catalogue, spell
from harness.settings.arguments import path
from harness.suites import Suite
from harness.wording import counted

STATUS = "exit status: 0 done, 2 there are no rules, or they cannot be read"


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands, "rules", run, "list the documented rules", "smtp-harness rules --json", STATUS
    )
    parser.add_argument("folder", type=path, nargs="?", help="where suites lie (default: scenarios/)")
    parser.add_argument("--json", action="store_true", help="the catalogue as JSON")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    folder = options.folder or default_scenarios()
    catalogue = Catalogue.below(folder, CAPABILITIES.names)
    if not catalogue.rules:
        raise UsageError(f"{folder}: no rules.toml here or below; name the folder of your scenarios")
    print(_as_json(catalogue) if options.json else _as_table(catalogue, colour=sys.stdout.isatty()))
    return 0


def _as_json(catalogue: Catalogue) -> str:
    listed = json.dumps(
        [
            {
                "id": rule.id,
                "suite": rule.suite,
                "group": rule.group.title,
                "stage": rule.stage,
                "level": rule.level,
                "source": rule.source,
                "statement": rule.statement,
                "expect": [str(outcome) for outcome in rule.expect],
                "needs": sorted(rule.needs),
            }
            for rule in catalogue
        ],
        indent=2,
        ensure_ascii=False,
    )
    return printable_json(listed)


def _as_table(catalogue: Catalogue, *, colour: bool) -> str:
    bold, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if colour else ("", "", "")
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    blocks = []
    named = ""
    for rule in catalogue:
        if rule.suite != named:
            named = rule.suite
            blocks.append(_head(catalogue.suites[named], width))
        needs = ", ".join(sorted(rule.needs)) or "nothing"
        facts = f"{rule.group.title}: {rule.level}, {rule.source}; needs {needs}"
        statement, facts = (_folded(text, width, "    ") for text in (rule.statement, facts))
        head = f"{bold}{printable(rule.id)}{plain}  {spell(rule.expect)}"
        blocks.append(f"{head}\n{statement}\n{dim}{facts}{plain}")
    stages = {rule.stage for rule in catalogue}
    return "\n".join(blocks) + f"\n{counted(len(catalogue.rules), 'rule')} at {counted(len(stages), 'stage')}"


def _head(suite: Suite, width: int) -> str:
    claimed = (
        "" if suite.claimed_by_default else f'; claimed by a profile with [suites] claim = ["{suite.name}"]'
    )
    return _folded(": ".join(filter(None, (suite.title, suite.about))) + claimed, width)


def _folded(text: str, width: int, indent: str = "") -> str:
    """Text of a team's own file, visible and in lines."""
    return textwrap.fill(printable(text), width, initial_indent=indent, subsequent_indent=indent)
