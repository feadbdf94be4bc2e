"""Checked TOML: every file that a user writes is read here, and every error names file, key and mend."""

import difflib
import tomllib
from collections.abc import Mapping
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

from harness.secret import Secret

SHOWN = 12  # names in one error
LONGEST = 60  # characters of a wrong value that is shown


class SettingsError(Exception):
    """A file that the user wrote cannot be used; the text says where and how to mend it."""

    def __init__(self, path: Path | str, problems: list[str]) -> None:
        """`problems` are whole sentences, each beginning with the key or line that it is about."""
        self.path = Path(path)
        self.problems = problems
        super().__init__("\n".join(f"{self.path}: {problem}" for problem in problems))


class Settings(BaseModel):
    """Base of every settings table: unknown keys are errors, and what was read does not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True
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


def read_toml(path: Path) -> dict[str, Any]:
    """The bare content of the TOML file `path`; raises `SettingsError` when there is none."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(path, ["there is no such file; check the path"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(path, [f"cannot be read: {error}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, [f"is not valid TOML: {error}"]) from error


def check(path: Path | str, content: Mapping[str, Any], model: type[Model]) -> Model:
    """`content`, as read from `path`, checked against `model`; raises `SettingsError`.

    A `File` or `FilePattern` that is no absolute path counts from the folder of `path`.
    """
    try:
        return model.model_validate(content, context=Path(path).parent)
    except ValidationError as error:
        problems = [_problem(detail, model) for detail in _causes(error)]
    raise SettingsError(path, problems)  # apart from its cause, which has all values, secret ones as well


def nearest(word: str, known: list[str]) -> str:
    """A «did you mean» for `word`, or a list of what is known, not too long; empty when nothing is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not known:
        return ""
    more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"known here: {', '.join(sorted(known)[:SHOWN])}{more}"


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
    key = ".".join(str(part) for part in location) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(str(location[-1]), _keys_at(model, location[:-1]))}"
    if detail["type"] == "missing":
        return f"{key}: is required and missing; add it"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error" or _is_unshown(model, location):
        return f"{key}: {message}"
    return f"{key}: {message}{_found(detail['input'])}"


def _found(value: object) -> str:
    """The wrong value for an error. Of a table or a list its kind: what is in it may be secret."""
    if isinstance(value, Mapping):
        return " (found a table)"
    if isinstance(value, list | tuple):
        return " (found a list)"
    shown = repr(value)
    return "" if len(shown) > LONGEST else f" (found {shown})"


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


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
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
