"""What the system may have none left of for a while: descriptors, memory, room on a disk."""

import errno

EXHAUSTED = frozenset(
    (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
    )
)


def is_exhaustion(error: OSError) -> bool:
    """Whether the same may well succeed later, and elsewhere would fail as well."""
    return error.errno in EXHAUSTED
