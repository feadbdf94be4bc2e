"""The user's filter: which folder of a mailbox a message is kept in (wiki 408–447).

How a filter is written says `filter_language`.
"""

from dataclasses import dataclass
from typing import Literal

from harness.reference_mta.mail.header import decoded, parted, read
from harness.reference_mta.reached import SOUND, Quirks

INBOX = ""
MARK_FIELD = "X-DNSbl-Warning"  # unless the configuration calls it otherwise
BODY_START = 500  # characters of the body that a filter sees (Exim's message_body_visible)

Test = Literal["contains", "is", "defined"]


@dataclass(frozen=True)
class Condition:
    """One condition; names and texts in lower case."""

    field: str  # name of the header field; empty for the body
    test: Test
    text: str = ""


@dataclass(frozen=True)
class Rule:
    """The folder of messages for which any of the conditions holds."""

    conditions: tuple[Condition, ...]
    folder: str


@dataclass(frozen=True)
class Filter:
    """A user's rules, in order."""

    rules: tuple[Rule, ...] = ()

    def folder(self, message: bytes, quirks: Quirks = SOUND, mark_field: str = MARK_FIELD) -> str | None:
        """The folder for a message as it is to be kept; None when no rule holds.

        `mark_field` is the header field in which this server marks mail, which some defects look for.
        """
        rules = self.rules
        named = {condition.field for rule in rules for condition in rule.conditions}
        mark = mark_field.lower()
        seen = _Seen.of(message, named, quirks, mark)
        if "filter.dnsbl-folder:weak-first" in quirks:
            rules = tuple(sorted(rules, key=lambda rule: rule.conditions[0].field != mark))
        return next((rule.folder for rule in rules if any(map(seen.meets, rule.conditions))), None)


@dataclass(frozen=True)
class _Seen:
    """What a filter sees of a message, in lower case."""

    fields: dict[str, list[str]]
    body: str
    quirks: Quirks
    mark: str  # name of the field

    @staticmethod
    def of(message: bytes, named: set[str], quirks: Quirks, mark: str) -> "_Seen":
        """Of the header only the fields that are named."""
        header, body = parted(message)
        if "filter.spam-folder:strict-subject" in quirks:
            named = named | {"subject"}
        found = {name: values for name, values in read(header).items() if name in named}
        fields = {name: [value.lower() for value in decoded(values)] for name, values in found.items()}
        limit = BODY_START
        if "filter.body:strict-beyond" in quirks:
            limit = len(body)
        elif "filter.body:weak-short" in quirks:
            limit = BODY_START // 10
        start = body[: limit * 4].decode("utf-8", "replace").replace("\r\n", " ")[:limit]
        return _Seen(fields, start.lower(), quirks, mark)

    def meets(self, condition: Condition) -> bool:
        """Whether a condition holds."""
        values = self.fields.get(condition.field, []) if condition.field else [self.body]
        broken = self._broken(condition, values)
        if broken is not None:
            return broken
        match condition.test:
            case "defined":
                return bool(values)
            case "is":
                return condition.text in values
        return any(condition.text in value for value in values)

    def _broken(self, condition: Condition, values: list[str]) -> bool | None:
        """What a deliberate defect makes of a condition; None where it leaves it alone."""
        rule = "filter.dnsbl-folder" if condition.field == self.mark else _rule_about(condition.field)
        if f"{rule}:off" in self.quirks:
            return False
        if "filter.spam-folder:strict-subject" in self.quirks and rule == "filter.spam-folder":
            values = [*values, *self.fields.get("subject", [])]
            return any(condition.text in value for value in values) if condition.text else None
        if "filter.list-folder:strict-others" in self.quirks and rule == "filter.list-folder":
            return any(condition.text.rpartition("@")[2] in value for value in values)
        return None


def _rule_about(field: str) -> str:
    """The documented rule that a condition on a header field, or on the body, serves."""
    if field.startswith("x-spam-"):
        return "filter.spam-folder"
    return {"to": "filter.list-folder", "": "filter.body"}.get(field, "")
