"""Zone files: checked as a whole, and only then applied to a `FakeDns`.

A file is TOML when it is called so (`zonetoml` describes it), otherwise a master file (RFC 1035 section 5).
"""

from pathlib import Path

from fake_dns.dns import FakeDns
from fake_dns.masterfile import LineError
from fake_dns.zonemaster import apply_master
from fake_dns.zonetoml import apply_toml


class ZoneFileError(Exception):
    """A zone file that cannot be used; `line` counts from 1 and is `None` where the whole file is meant."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        """`problem` says what is wrong and how to mend it."""
        self.path = path
        self.line = line
        self.problem = problem
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


def load_zone_file(path: Path | str, dns: FakeDns) -> None:
    """Publish and script in `dns` all that the file says, in addition to what is there.

    Raises `ZoneFileError`, and then nothing has changed.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ZoneFileError(path, None, "there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ZoneFileError(path, None, f"cannot be read: {error}") from error
    apply = apply_toml if path.suffix == ".toml" else apply_master
    rehearsal = FakeDns()  # so that a broken file leaves everything as it was
    try:
        apply(text, rehearsal)
    except LineError as error:
        raise ZoneFileError(path, error.line, str(error)) from error
    if rehearsal.empty:
        form = "TOML" if apply is apply_toml else "a master file, as its name does not end in .toml"
        raise ZoneFileError(path, None, f"has no zone, record or script in it (read as {form}); write one")
    apply(text, dns)
