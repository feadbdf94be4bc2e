"""Result files: where a run's reports go, and how one is read back. Their format: FORMAT.md beside this."""

import dataclasses
import functools
import json
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from harness.printable import printable_json
from harness.results import older
from harness.results.model import RunResult
from harness.results.report_format import Format, View
from harness.settings import reading

FORMAT = "smtp-harness/results"
VERSION = 4
OLDEST = 1  # that is still read

LARGEST = 256 << 20  # bytes of a result file; the largest runs make some 20 MiB

_SHOWN_PROBLEMS = 5
_SLUG_LENGTH = 60  # characters
_RESULT = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]+\.json")  # the name of a result file


class ResultFileError(Exception):
    """A result file cannot be used; the text says which, why, and how to mend it."""

    def __init__(self, path: Path | str, problem: str, mend: str) -> None:
        """`problem` and `mend` are clauses of one sentence."""
        self.path = Path(path)
        self.problem = problem
        self.mend = mend
        super().__init__(f"{self.path}: {problem}; {mend}")


class _Content(BaseModel):
    """A result without its head: nothing missing, nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    run: RunResult


class ReportError(Exception):
    """Reports cannot be written, or not all of them; the text is a sentence with the folder and the mend."""

    def __init__(self, folder: Path, error: OSError, written: Sequence[Path] = ()) -> None:
        """`written` are those that are there all the same, and whole."""
        self.written = tuple(written)
        super().__init__(f"{folder}: {_obstacle(folder, error)}{_left(self.written)}")


def _obstacle(folder: Path, error: OSError) -> str:
    in_the_way = next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), None)
    if in_the_way:
        mend = f"move {in_the_way} away, or name another folder with --reports"
        return f"reports go to a folder, and {in_the_way} is none; {mend}"
    mend = "make room there, or name another folder with --reports"
    return f"reports cannot be written there ({error.strerror or error}); {mend}"


def _left(written: Sequence[Path]) -> str:
    if not written:
        return "; nothing was left there, and latest.* is as it was"
    names = ", ".join(path.name for path in written)
    return f"; {names} is there and whole, and latest.* is as it was"


def prepare(folder: Path) -> None:
    """Make the folder that reports are to go to, and try whether they can; raises `ReportError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"\n")
            trial.flush()
    except OSError as error:
        raise ReportError(folder, error) from error


def save(run: RunResult, folder: Path, formats: Sequence[Format]) -> tuple[Path, ...]:
    """Write the run in each of the `formats` below `folder`, and point `latest.*` to the files.

    Each is written beside its place and then renamed, so that no reader meets half a file; a second run
    in the same second gets names of its own. A run with a caveat does not become the latest. Returns the
    paths, in the order of the formats; raises `ReportError`: then no half file is left, and the latest is
    the one before.
    """
    first, *others = formats
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{_compact(run.started)}-{_slug(run.name)}"
        written.append(_place(folder, stem, first.suffix, first.write(run, View())))
        for other in others:
            target = written[0].with_suffix(other.suffix)
            _write_beside(target, other.write(run, View()))
            written.append(_beside(target).replace(target))
        if not run.caveats:
            _point_latest(written)
    except OSError as error:
        raise ReportError(folder, error, written) from error
    return tuple(written)


def newest(folder: Path) -> Path:
    """The result file in a folder that was written last, whole run or not; raises `ResultFileError`."""
    found = [file for file in folder.glob("*.json") if _RESULT.fullmatch(file.name) and not file.is_symlink()]
    if not found:
        raise ResultFileError(folder, "holds no result of a run", "run the scenarios first")
    return max(found, key=lambda file: (file.stat().st_mtime_ns, file.name))


def load(path: Path) -> RunResult:
    """Read a JSON file that `save` wrote; raises `ResultFileError`."""
    try:
        data = reading.content(path, LARGEST)
    except reading.UnreadableError as error:
        problem, _, mend = str(error).rpartition("; ")
        raise ResultFileError(path, problem, mend) from error
    return from_json(data, path)


def to_json(run: RunResult) -> bytes:
    """The content of a result file."""
    content = {"format": FORMAT, "version": VERSION, **_fields(run)}
    text = json.dumps(content, default=_fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return encoded(printable_json(text + "\n"))


def from_json(data: bytes, path: Path | str) -> RunResult:
    """The run in a result file's content; raises `ResultFileError`, which names `path`."""
    content = _json_object(data, path)
    version = _check_head(content.pop("format", None), content.pop("version", None), path)
    older.bring_up_to_date(content, version)
    try:
        run = _Content.model_validate_json(b'{"run":%b}' % reading.as_json(content)).run
    except reading.UnreadableError as error:
        raise _altered(path, f"has wrong fields: {str(error).partition('; ')[0]}") from error
    except RecursionError as error:
        raise _altered(path, "has values too deep within each other") from error
    except ValidationError as error:
        problems = error.errors()
        shown = "; ".join(_told(detail) for detail in problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise _altered(path, f"has wrong fields: {shown}{more}") from error
    twice = [rule for rule, times in Counter(rule.id for rule in run.rules).items() if times > 1]
    if twice:
        raise _altered(path, f"holds more than one record of {', '.join(twice)}")
    return run


def _json_object(data: bytes, path: Path | str) -> dict[str, Any]:
    if not data.strip():
        raise ResultFileError(path, "is empty", "take another file, or run again")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON, or was cut off ({error})"
        raise ResultFileError(path, problem, "take a whole result file, or run again") from error
    if not isinstance(content, dict):
        raise _foreign(path)
    return content


def _check_head(found: object, version: object, path: Path | str) -> int:
    """The version, which is one that is read; raises `ResultFileError`."""
    if found != FORMAT:
        raise _foreign(path)
    if type(version) is not int:
        raise _altered(path, f"has wrong fields: version is {version!r}, which is no whole number")
    if version > VERSION:
        problem = f"has version {version} of the format, and this harness knows {VERSION}"
        raise ResultFileError(path, problem, "read it with the harness that wrote it, or a newer one")
    if version < OLDEST:
        problem = f"has version {version} of the format, which this harness no longer reads"
        raise ResultFileError(path, problem, "run again with this harness")
    return version


def _foreign(path: Path | str) -> ResultFileError:
    problem = f"is no result of a run (its format is not {FORMAT!r})"
    return ResultFileError(path, problem, "name the .json of a report")


def _altered(path: Path | str, problem: str) -> ResultFileError:
    return ResultFileError(path, problem, "take the file as it was written, or run again")


def _told(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"][1:]) or "the file"
    return f"{where}: {detail['msg']}"


def _fields(value: Any) -> dict[str, Any]:
    # dataclasses.asdict would copy every leaf; a run has tens of thousands of them.
    return {name: getattr(value, name) for name in _names(type(value))}  # type: ignore[arg-type]


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def encoded(text: str) -> bytes:
    """A report as it is written: a lone surrogate has no UTF-8, and must not cost a whole run its report."""
    return text.encode("utf-8", "replace")


def _place(folder: Path, stem: str, suffix: str, data: bytes) -> Path:
    """Write `data` to such as `stem`.json, or `stem`-2.json: the first name that nobody has or takes."""
    number = 1
    while True:
        target = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
        if _claimed(target, data):
            return target
        number += 1


def _claimed(target: Path, data: bytes) -> bool:
    # Only who creates the file beside the target may create the target, so nothing is ever overwritten.
    part = _beside(target)
    try:
        part.open("xb").close()
    except FileExistsError:
        return False
    if target.exists():
        part.unlink()
        return False
    _write_beside(target, data)
    part.replace(target)
    return True


def _write_beside(target: Path, data: bytes) -> None:
    """Write what is to become `target`; whatever keeps it from being whole, nothing of it is left."""
    part = _beside(target)
    try:
        part.write_bytes(data)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _point_latest(targets: Sequence[Path]) -> None:
    links = {
        target.with_name(f".latest-{target.name}"): target.with_name(f"latest{target.suffix}")
        for target in targets
    }
    try:
        for link, target in zip(links, targets, strict=True):
            link.symlink_to(target.name)
        for link, latest in links.items():
            link.replace(latest)
    finally:
        for link in links:
            link.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _compact(started: str) -> str:
    """A time that file systems and shells have no quarrel with, such as `20260131T120000Z`."""
    return re.sub(r"[^0-9TZ]", "", started)


def _slug(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(words)[:_SLUG_LENGTH].strip("-") or "run"
