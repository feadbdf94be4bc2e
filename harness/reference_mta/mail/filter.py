"""The user's filter: which folder of a mailbox a message is kept in (wiki 408–447).

How a filter is written says `filter_language`.
"""

from dataclasses import dataclass
from typing import Literal

from harness.reference_mta.mail.header import decoded, parted, read

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

    def folder(self, message: bytes, visible: int = BODY_START) -> str | None:
        """The folder for a message as it is to be kept; None when no rule holds.

        `visible`: characters of the body that are looked at.
        """
        named = {condition.field for rule in self.rules for condition in rule.conditions}
        seen = _Seen.of(message, named, visible)
        return next((rule.folder for rule in self.rules if any(map(seen.meets, rule.conditions))), None)


@dataclass(frozen=True)
class _Seen:
    """What a filter sees of a message, in lower case."""

    fields: dict[str, list[str]]
    body: str

    @staticmethod
    def of(message: bytes, named: set[str], visible: int) -> "_Seen":
        """Of the header only the fields that are named."""
        header, body = parted(message)
        found = {name: values for name, values in read(header).items() if name in named}
        fields = {name: [value.lower() for value in decoded(values)] for name, values in found.items()}
        start = body[: visible * 4].decode("utf-8", "replace").replace("\r\n", " ")[:visible]
        return _Seen(fields, start.lower())

    def meets(self, condition: Condition) -> bool:
        """Whether a condition holds."""
        values = self.fields.get(condition.field, []) if condition.field else [self.body]
        match condition.test:
            case "defined":
                return bool(values)
            case "is":
                return condition.text in values
        return any(condition.text in value for value in values)
