"""Arguments of a command line that may not be empty, which a variable that is not set would leave them."""

import argparse
from collections.abc import Callable


def filled(mend: str) -> Callable[[str], str]:
    """The type of an argument that is some text; `mend` says what to write where there is none."""

    def text(given: str) -> str:
        if not given.strip():
            raise argparse.ArgumentTypeError(f"is empty; write {mend}")
        return given

    return text
