"""Commands that a profile names, run without a shell."""

import subprocess
from collections.abc import Sequence

from harness.verdicts import InconclusiveError

PATIENCE = 30.0  # seconds that one command may take
SHOWN = 300  # characters of what a failed command printed


def run(key: str, words: Sequence[str], given: str | None = None) -> str:
    """What the command prints; `given` is what it reads, nothing of ours unless it is told.

    Raises `InconclusiveError` that names the profile's key when it fails. Of its words an error shows the
    first one only: a password may be among the others.
    """
    try:
        done = subprocess.run(  # noqa: S603
            words,
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",  # strangers' addresses stand in a queue, in whatever bytes
            timeout=PATIENCE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip()[-SHOWN:]
        raise InconclusiveError(f"{key}: {words[0]} ended with {error.returncode}: {said}") from None
    except subprocess.TimeoutExpired:
        raise InconclusiveError(f"{key}: {words[0]} did not end within {PATIENCE:g} s") from None
    except (OSError, ValueError) as error:
        raise InconclusiveError(f"{key}: {words[0]} did not run: {error}") from None
    return done.stdout
