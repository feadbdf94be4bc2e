"""Reading what the server delivered."""

import time
from dataclasses import dataclass
from pathlib import Path

from harness.verdicts import FailedError

PATIENCE = 10.0  # seconds within which an accepted message must have been delivered
LOOK = 0.05  # seconds between two looks into a directory that another machine may write to


@dataclass(frozen=True)
class MaildirMailbox:
    """A Maildir for each recipient; `{user}` and `{domain}` in the path are filled in."""

    template: str

    def find(self, recipient: str, token: str) -> bytes:
        """The delivered message that has `token` in it; raises `FailedError` when none arrives."""
        user, _, domain = recipient.partition("@")
        folder = Path(self.template.replace("{user}", user).replace("{domain}", domain)) / "new"
        seen: set[Path] = set()
        deadline = time.monotonic() + PATIENCE
        while True:
            for file in sorted(set(folder.glob("*")) - seen if folder.is_dir() else ()):
                seen.add(file)
                content = file.read_bytes()
                if token.encode() in content:
                    return content
            if time.monotonic() > deadline:
                raise FailedError(f"the message to {recipient} was accepted and not delivered to {folder}")
            time.sleep(LOOK)
