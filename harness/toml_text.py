"""Writes TOML, as much of it as the project's own files need; `tomllib` only reads."""

import json
import re
from collections.abc import Mapping
from typing import Any

from harness.settings.secret import Secret

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(content: Mapping[str, Any]) -> str:
    """The text of a TOML file: tables, lists of them, and in them what JSON has as well.

    What stands for nothing (None) is left out. A secret stands there in clear: whoever writes the text to a
    file keeps that from others. Values beside the tables come first, as TOML wants them.
    """
    plain = {name: value for name, value in content.items() if not _is_table(value) and value is not None}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    for name, value in content.items():
        if not _is_table(value):
            continue
        many = isinstance(value, list | tuple)
        for entry in value if many else [value]:
            lines.append(f"[[{_key(name)}]]" if many else f"[{_key(name)}]")
            lines += [f"{_key(key)} = {_value(item)}" for key, item in entry.items() if item is not None]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(entry, Mapping) for entry in value)
    return isinstance(value, Mapping)


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    """JSON's strings, numbers and lists are TOML's too."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Secret):
        return json.dumps(value.reveal())
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return json.dumps(value)
