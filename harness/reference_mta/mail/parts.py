"""The parts of delivery that another one may take the place of: a writer, the lines on top, the wire."""

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.reference_mta.mail.maildir import MaildirCopy
from harness.reference_mta.mail.mbox import entry
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.requests import Requests, passed_on
from harness.reference_mta.mail.storage import Copy
from harness.reference_mta.mail.trace import trace_lines
from harness.reference_mta.mail.wire import stuffed
from harness.reference_mta.protocol.content import is_binary


@dataclass(frozen=True)
class MailParts:
    """Each as it should be."""

    maildir: Callable[[Path, bytes, bytes], Copy] = MaildirCopy  # folder, header, content
    mbox_entry: Callable[[str, bytes], bytes] = entry  # sender, the whole message
    trace: Callable[[Message, str, tuple[str, ...]], tuple[str, ...]] = trace_lines  # mailbox, who led to it
    is_binary: Callable[[bytes], bool] = is_binary  # whether a host must take it in chunks
    outgoing: Callable[[bytes], bytes] = stuffed  # a message for another host, all but its end
    passed_on: Callable[[Requests, Collection[str], bool], Requests] = passed_on  # to one with these keywords

    def noting(self, note: Callable[[str], None]) -> "MailParts":
        """The same; each tells its name when it is at work."""
        return MailParts(
            **{
                one.name: functools.partial(_noted, note, one.name, getattr(self, one.name))
                for one in fields(self)
            }
        )


AS_IT_SHOULD_BE = MailParts()


def _noted(note: Callable[[str], None], name: str, part: Callable[..., Any], *given: Any) -> Any:
    note(name)
    return part(*given)
