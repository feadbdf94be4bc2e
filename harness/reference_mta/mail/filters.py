"""The filters of all mailboxes: a file each, read again when it has changed; a broken one filters nothing."""

import logging
import os
import stat
from pathlib import Path

from harness import settings
from harness.reference_mta.exhaustion import is_exhaustion
from harness.reference_mta.mail.files import folder_name
from harness.reference_mta.mail.filter import Filter
from harness.reference_mta.mail.filter_language import parse

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
        if not stat.S_ISREG(path.stat().st_mode):
            raise settings.SettingsError(path, ["is no file; a filter is a text"])
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise settings.SettingsError(path, ["there is no such file; check the path"]) from None
    except OSError as error:
        if is_exhaustion(error):
            raise
        reason = f"cannot be read ({os.strerror(error.errno or 0)}); check its permissions"
        raise settings.SettingsError(path, [reason]) from error
    if len(content) > LARGEST:
        raise settings.SettingsError(path, [f"is larger than {LARGEST} bytes; shorten it"])
    try:
        return parse(content.decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise settings.SettingsError(
            path, [f"line {line}: is not in UTF-8; save the file as UTF-8"]
        ) from None
