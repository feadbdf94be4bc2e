"""A secret: a text that shows as dots wherever it is printed, and that is given away only on purpose."""

import hmac
from collections.abc import Callable
from typing import Any, NoReturn, Self, TypeVar

T = TypeVar("T")

DOTS = "••••••"  # whatever its length


class Secret:
    """A password, a key or a hash. Only `reveal` has the text: where it goes on the wire or into its file.

    What shows an object shows dots: `repr`, `str`, an f-string, a debugger's list of variables. A secret is
    neither pickled nor written as JSON. What is put together from a secret and other text is a secret.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        """An empty text is no secret, but a missing one. Raises `TypeError`, which does not show `text`."""
        if not isinstance(text, str):
            raise TypeError(f"a secret is a text, not a value of type {type(text).__name__}")
        self.__text = text

    @classmethod
    def of(cls, text: "Secret | str") -> "Secret":
        """`text` as a secret, if it is none yet."""
        return text if isinstance(text, Secret) else cls(text)

    def reveal(self) -> str:
        """The text itself; to be called where it is used up, and not kept."""
        return self.__text

    def is_part_of(self, other: "Secret") -> bool:
        """Whether the other one has this one in it."""
        return self.__text in other.__text

    def __add__(self, other: "Secret | str") -> "Secret":
        """A longer secret."""
        return Secret(self.__text + Secret.of(other).__text)

    def __radd__(self, other: str) -> "Secret":
        """A longer secret."""
        return Secret(other + self.__text)

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        """Whether they are the same; a secret is no text, and equal to none."""
        if not isinstance(other, Secret):
            return NotImplemented
        ours, theirs = (one.__text.encode("utf-8", "surrogatepass") for one in (self, other))
        return hmac.compare_digest(ours, theirs)

    def __hash__(self) -> int:
        """By the text."""
        return hash((Secret, self.__text))

    def __repr__(self) -> str:
        """Dots."""
        return DOTS

    __str__ = __repr__

    def __format__(self, form: str) -> str:
        """Dots."""
        return format(DOTS, form)

    def __copy__(self) -> Self:
        """Itself: it does not change."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself."""
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Raises `TypeError`: a pickle could be read by anybody."""
        raise TypeError("a secret is not pickled")


def leaving_no_trace(act: Callable[[], T]) -> T:
    """What `act` returns. What it raises comes without the calls in which a secret was a plain variable.

    A traceback that shows variables (`pytest --showlocals`) would show those as well.
    """
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - whatever it is goes on
        raise error.with_traceback(None) from None
