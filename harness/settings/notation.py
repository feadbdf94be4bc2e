"""Values that are written in a notation of their own, such as `deny at rcpt` or `127.0.0.1:5353`."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

Value = TypeVar("Value")


def written(kind: type[Value], parse: Callable[[str], Value]) -> PlainValidator:
    """The check of such a value: a text that `parse` reads, or one of that `kind` that is made already.

    Nothing else passes, not even what a value of that kind could be made of. `parse` raises `ValueError`.
    """

    def check(value: object) -> Value:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "must be a text")
        return parse(value)

    return PlainValidator(check)
