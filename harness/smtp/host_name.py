"""What a server calls itself."""

import re
from collections.abc import Iterable

from harness.settings.hosts import is_domain_name

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"(?:{LABEL}\.)+(?:[A-Za-z]{{2,}}|xn--[A-Za-z0-9-]+)")  # no version number ends so
AROUND = "<>()[]{},;:\"'«»"


def words_of(text: str) -> list[str]:
    """The words of what a server says, in lower case, without brackets, quotes and marks around them."""
    return [word.strip(AROUND).rstrip(".").lower() for word in text.split()]


def host_name(answer: str, banner: str, ours: Iterable[str]) -> str:
    """The name in the answer to EHLO or HELO, which begins with it (RFC 5321 §4.1.1.1), or in the banner.

    The client's own names, which many servers greet, are none of its. Empty when there is none.
    """
    greeted = {name.lower() for name in ours}
    for text in (answer, banner):
        words = words_of(text.partition("\n")[0])
        names = (one for one in words if HOST_NAME.fullmatch(one) and is_domain_name(one))
        found = next((one for one in names if one not in greeted), "")
        if found:
            return found
    return ""
