"""The catalogue as a user reads it."""

import json
import shutil
import textwrap

from harness.rules import Catalogue, spell


def as_json(catalogue: Catalogue) -> str:
    """Every rule with all its facts, as a JSON list."""
    return json.dumps(
        [
            {
                "id": rule.id,
                "suite": rule.suite,
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


def as_table(catalogue: Catalogue, *, colour: bool) -> str:
    """A block for each rule: one line of facts, its statement below."""
    bold, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if colour else ("", "", "")
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    blocks = []
    for rule in catalogue:
        facts = f"{rule.level}, {rule.source}; needs {', '.join(sorted(rule.needs)) or 'nothing'}"
        blocks.append(
            f"{bold}{rule.id}{plain}  {spell(rule.expect)}\n"
            + textwrap.fill(rule.statement, width, initial_indent="    ", subsequent_indent="    ")
            + "\n"
            + textwrap.fill(facts, width, initial_indent=f"    {dim}", subsequent_indent="    ")
            + plain
        )
    stages = {rule.stage for rule in catalogue}
    return "\n".join(blocks) + f"\n{len(catalogue.rules)} rules at {len(stages)} stages"
