"""The filters of all mailboxes: a file each, read again when it has changed; a broken one filters nothing."""

import logging
from pathlib import Path

from harness import settings
from harness.reference_mta.exhaustion import is_exhaustion
from harness.reference_mta.mail.files import folder_name
from harness.reference_mta.mail.filter import Filter
from harness.reference_mta.mail.filter_language import parse
from harness.settings import reading

LARGEST = 1 << 16  # bytes of a filter
NONE = Filter()
log = logging.getLogger(__name__)


class Filters:
    """The filters in one folder, named by the mailbox, as `alice@castle.example`."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nobody has a filter."""
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, ...], Filter]] = {}

    def of(self, mailbox: str) -> Filter:
        """The filter of a mailbox; without rules where there is none, or a broken one, which is logged.

        Raises `OSError` where the system cannot tell for now.
        """
        if self._folder is None:
            return NONE
        path = self._folder / folder_name(mailbox)
        try:
            status = path.stat()
            stamp = (status.st_ctime_ns, status.st_size, status.st_ino)
            known = self._known.get(mailbox)
            if known is None or known[0] != stamp:
                known = self._known[mailbox] = (stamp, read_filter(path))
        except FileNotFoundError:
            self._known.pop(mailbox, None)
            return NONE
        except (OSError, settings.SettingsError) as error:
            if isinstance(error, OSError) and is_exhaustion(error):  # it may be sound, and is looked at again
                raise
            log.error("the filter of %s is broken, so its mail goes to the inbox: %s", mailbox, error)
            return NONE
        return known[1]


def read_filter(path: Path) -> Filter:
    """The filter in a file; raises `SettingsError` that names the file, the lines and how to mend them.

    Raises `OSError` where the system has no descriptor or memory left.
    """
    try:
        text = reading.text(reading.content(path, LARGEST))
    except reading.UnreadableError as error:
        if isinstance(error.__cause__, OSError) and is_exhaustion(error.__cause__):
            raise error.__cause__ from None
        raise settings.SettingsError(path, [str(error)]) from error
    return parse(text, path)
