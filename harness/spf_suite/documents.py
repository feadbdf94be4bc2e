"""The YAML of a suite, as text: every scalar stays what is written, and nothing refers to anything else."""

from pathlib import Path
from typing import Any

import yaml

from harness import settings
from harness.settings import reading

DEEPEST = 20  # levels within each other; a suite has five
MEND = "rfc7208-tests.yml is in the source distribution of pyspf on PyPI, in the folder test"


class _Loader(yaml.BaseLoader):
    """Makes texts, lists and tables; `4.10` is no number here, and no date is one."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Aliases could make a small file endless, and levels exhaust Python's stack."""
        events: Any = self  # its methods have no types
        mark = events.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "an alias (*name); write the value out", mark)
        if self.depth >= DEEPEST:
            problem = f"more than {DEEPEST} levels within each other; write it flat"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A key that is there twice would hide what stands under the first."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue  # a list or a table as a key, which is refused below
            if key.value in seen:
                problem = f"{key.value!r} is there twice; give one another name"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def documents(path: Path) -> list[Any]:
    """What each document of the file says, empty ones left out; raises `settings.SettingsError`."""
    try:
        loader: Any = _Loader(reading.text(reading.content(path)))
    except reading.MissingError:
        raise settings.SettingsError(path, [f"there is no such file; {MEND}"]) from None
    except reading.UnreadableError as error:
        raise settings.SettingsError(path, [str(error)]) from None
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise settings.SettingsError(path, [f"is no YAML: {' '.join(str(error).split())}"]) from error
    found = []
    try:
        while loader.check_data():
            if (document := loader.get_data()) not in (None, ""):
                found.append(document)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise settings.SettingsError(path, [f"{line}{error.problem}"]) from error
    except yaml.YAMLError as error:
        raise settings.SettingsError(path, [f"is no YAML: {' '.join(str(error).split())}"]) from error
    finally:
        loader.dispose()
    return found
