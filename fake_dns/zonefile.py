"""Zone files: checked as a whole, and only then applied to a `FakeDns`.

A file is TOML when it is called so (`zonetoml` describes it), otherwise a master file (RFC 1035 section 5).
A block list in the format of rbldnsd (`rbldnsd`) is loaded with its zone, for it does not say it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from fake_dns.dns import FakeDns
from fake_dns.masterfile import LineError
from fake_dns.names import RecordError, name_key
from fake_dns.rbldnsd import check_dataset, read_block_list
from fake_dns.zonemaster import apply_master
from fake_dns.zonesource import read_text
from fake_dns.zonetoml import apply_toml


class ZoneFileError(Exception):
    """A zone file that cannot be used; `line` counts from 1 and is `None` where the whole file is meant."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        """`problem` says what is wrong and how to mend it."""
        self.path = path
        self.line = line
        self.problem = problem
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


def load_zone_file(path: Path | str, dns: FakeDns, origin: str | None = None) -> list[ZoneFileError]:
    """Publish and script in `dns` all that the file says, in addition to what is there.

    `origin` is for master files: what names without a final dot stand below, until the file says otherwise.
    Returns what was left out: records of unusual types that cannot be read, each with its line.
    Raises `ZoneFileError`, and then nothing has changed; `RecordError` for an `origin` that is no name.
    """
    path = Path(path)
    apex = None if origin is None else name_key(origin)
    is_toml = path.suffix == ".toml"
    if is_toml and apex is not None:
        raise ZoneFileError(path, None, "names in a TOML file are absolute; leave the origin out")

    def apply(text: str, target: FakeDns) -> list[LineError]:
        if not is_toml:
            return apply_master(text, target, path, apex)
        apply_toml(text, target, path)
        return []

    left_out = _load(
        path, dns, apply, "TOML" if is_toml else "a master file, as its name does not end in .toml"
    )
    return [ZoneFileError(error.path or path, error.line, str(error)) for error in left_out]


def load_block_list(zone: str, dataset: str, paths: Iterable[Path | str], dns: FakeDns) -> None:
    """Let `dns` answer in `zone` as the files say, data sets in the format of rbldnsd.

    Raises `ZoneFileError`, and then nothing of that file is listed; `RecordError` for a `zone` that cannot be
    one, and for a `dataset` that is not read here.
    """
    check_dataset(dataset)
    name_key(zone)
    for path in paths:

        def apply(text: str, target: FakeDns) -> list[LineError]:
            for publish in read_block_list(text, zone, dataset):
                publish(target)
            return []

        _load(Path(path), dns, apply, f"an rbldnsd list, {dataset}")


def _load(
    path: Path, dns: FakeDns, apply: Callable[[str, FakeDns], list[LineError]], form: str
) -> list[LineError]:
    """Read a file, try on a `FakeDns` of its own whether all can be published, and then publish it."""
    try:
        text = read_text(path)
    except RecordError as error:
        raise ZoneFileError(path, None, str(error)) from error
    rehearsal = FakeDns()  # so that a broken file leaves everything as it was
    try:
        apply(text, rehearsal)
    except LineError as error:
        raise ZoneFileError(error.path or path, error.line, str(error)) from error
    except RecordError as error:
        raise ZoneFileError(path, None, str(error)) from error
    if rehearsal.empty:
        raise ZoneFileError(path, None, f"has no zone, record or script in it (read as {form}); write one")
    return apply(text, dns)
