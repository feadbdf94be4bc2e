"""Checked TOML: every file that a user writes is read here, and every error names file, key and mend."""

import datetime
import difflib
import fnmatch
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from harness.printable import printable
from harness.settings import reading
from harness.settings.secret import Secret

SHOWN = 12  # names in one error
LONGEST_FOUND = 60  # characters of a wrong value in an error
LIST = 'must be a list in brackets, as ["one", "another"]'
TABLE = "must be a table of keys and values"
TYPES = {  # by the kind of an error: what to write
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "finite_number": "must be a number, and neither inf nor nan",
    "bool_type": "must be true or false, without quotes",
    "tuple_type": LIST,
    "frozen_set_type": LIST,
    "list_type": LIST,
    "too_short": "is empty; name at least one",
    "string_too_short": "is empty; write something",
    "dict_type": TABLE,
    "model_type": TABLE,
}


class SettingsError(Exception):
    """A file that the user wrote cannot be used; the text says where and how to mend it."""

    def __init__(self, path: Path | str, problems: list[str]) -> None:
        """`problems` are whole sentences, each beginning with the key or line that it is about.

        They may quote the file, and so are told visibly.
        """
        self.path = Path(path)
        self.problems = [printable(problem) for problem in problems]
        super().__init__("\n".join(f"{printable(str(path))}: {problem}" for problem in self.problems))


class Settings(BaseModel):
    """Base of every settings table: unknown keys are errors, and what was read does not change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


def _from_its_folder(path: Path, info: ValidationInfo) -> Path:
    return (info.context or Path()) / path


def _pattern_from_its_folder(pattern: str, info: ValidationInfo) -> str:
    return str(_from_its_folder(Path(pattern), info)) if pattern else ""


class _Unshown:
    """The mark of a key whose value no error shows."""


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes; what stands there is not shown, it may be secret")
    return Secret(value)  # as it stands: blanks are part of a password


UNSHOWN = _Unshown()
SecretText = Annotated[Secret, PlainValidator(_secret), UNSHOWN]
Command = Annotated[
    tuple[str, ...], Field(repr=False), UNSHOWN
]  # a list of words, among which a password may be

# Relative to the file that names them.
File = Annotated[Path, AfterValidator(_from_its_folder)]
FilePattern = Annotated[str, AfterValidator(_pattern_from_its_folder)]  # with something to be filled in
Model = TypeVar("Model", bound=Settings)


def read(path: Path, model: type[Model]) -> Model:
    """Read the TOML file `path` as `model`.

    Raises `SettingsError` when the file is missing, is not TOML, or does not fit the model.
    """
    return check(path, read_toml(path), model)


def read_text(path: Path) -> str:
    """The text of a file that a user wrote; raises `SettingsError` when it cannot be had."""
    try:
        return reading.text(reading.content(path))
    except reading.UnreadableError as error:
        raise SettingsError(path, [str(error)]) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The bare content of the TOML file `path`; raises `SettingsError` when there is none."""
    text = read_text(path)
    try:
        reading.bounded_toml(text)
        return tomllib.loads(text)
    except reading.UnreadableError as error:
        raise SettingsError(path, [str(error)]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, [f"is not valid TOML: {error}"]) from error


def check(path: Path | str, content: Mapping[str, Any], model: type[Model]) -> Model:
    """`content`, as read from `path`, checked against `model`; raises `SettingsError`.

    A value is of the type that it is written in: "25" is no number, and neither is true. A `File` or
    `FilePattern` that is no absolute path counts from the folder of `path`.
    """
    if dates := list(_dates(content)):
        raise SettingsError(path, [_date_problem(model, *found) for found in dates])
    try:  # as JSON, for which pydantic knows strict types that have lists for tuples and strings for paths
        return model.model_validate_json(
            reading.as_json(content, _revealed), strict=True, context=Path(path).parent
        )
    except reading.UnreadableError as error:
        problems = [str(error)]
    except ValidationError as error:
        problems = [_problem(detail, model) for detail in _causes(error)]
    raise SettingsError(path, problems)  # apart from its cause, which has all values, secret ones as well


def _revealed(value: object) -> str:
    """A secret for as long as it is checked; it is one again in the model."""
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"no setting is a {type(value).__name__}")


def nearest(word: str, known: list[str]) -> str:
    """A «did you mean» for `word`, or a list of what is known, not too long; empty when nothing is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not known:
        return ""
    more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"known here: {', '.join(sorted(known)[:SHOWN])}{more}"


def misfits(patterns: Iterable[str], known: list[str], thing: str) -> list[str]:
    """A sentence for each pattern (of `fnmatch`) that no known name of a thing fits, with the nearest."""
    return [
        f"{pattern!r} matches no {thing}; {nearest(pattern, known)}"
        for pattern in patterns
        if not any(fnmatch.fnmatchcase(name, pattern) for name in known)
    ]


def _dates(value: object, place: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Where a value is a date or a time, which no setting is."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _dates(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _dates(inner, (*place, number))
    elif isinstance(value, datetime.date | datetime.time):
        yield place, str(value)


def _date_problem(model: type[BaseModel], location: tuple[int | str, ...], date: str) -> str:
    found = "what stands there" if _is_unshown(model, location) else date
    return f"{'.'.join(map(str, location))}: {found} is a date or a time; write it in quotes"


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Without the lists that are too short only because their entries are wrong."""
    details = error.errors()
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(
            other["loc"][: len(detail["loc"])] == detail["loc"] for other in details if other is not detail
        )
    ]


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> str:
    location = detail["loc"]
    key = ".".join(str(part) for part in location if part != "[key]") or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(str(location[-1]), keys_at(model, location[:-1]))}"
    if detail["type"] == "missing":
        return f"{key}: is required and missing; add it"
    if detail["type"] == "value_error":
        return f"{key}: {detail['msg'].removeprefix('Value error, ')}"
    message = TYPES.get(detail["type"], detail["msg"])
    return f"{key}: {message}{'' if _is_unshown(model, location) else _found(detail['input'])}"


def _found(value: object) -> str:
    """A wrong value as the user wrote it, where it is short; of a list or a table only what it is."""
    if isinstance(value, list | dict):
        return f" (found a {'list' if isinstance(value, list) else 'table'})"
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float | None) else ""
    return f" (found {shown})" if 0 < len(shown) <= LONGEST_FOUND else ""


def _is_unshown(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether a value there belongs to an unshown key, or stands where a table with one should."""
    found: list[Any] = [model]
    for part in location:
        found = [inner for one in found for inner in _within(one, part)] or found
        if UNSHOWN in found:
            return True
    return any(map(_has_unshown, found))


def _within(annotation: Any, part: int | str) -> list[Any]:
    """What may stand below a key or a number: types, and their marks."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return [field.annotation, *field.metadata] if field else []
    arguments = list(get_args(annotation))
    if get_origin(annotation) in (dict, list, tuple):
        return [inner for one in arguments for inner in (one, *get_args(one))]
    return [inner for one in arguments for inner in _within(one, part)]


def _has_unshown(annotation: Any) -> bool:
    """Whether an unshown key is anywhere in a type."""
    if annotation is UNSHOWN or annotation is Secret:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return any(_has_unshown(inner) for field in fields for inner in (field.annotation, *field.metadata))
    return any(map(_has_unshown, get_args(annotation)))


def keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand in the table at a place; none where no table may be."""
    found: Any = model
    for part in location:
        is_container = get_origin(found) in (dict, list, tuple)
        found = _inner_model(found)
        if found is not None and not is_container:
            field = found.model_fields.get(str(part))
            found = field.annotation if field else None
    table = _inner_model(found)
    return [field.alias or name for name, field in table.model_fields.items()] if table else []


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        inner = _inner_model(argument)
        if inner is not None:
            return inner
    return None
