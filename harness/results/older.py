"""Result files of older harnesses, brought into the form that is written now.

Version 1 knew no findings, nothing that is blocked, and no caveats; 2 no caveats: what is missing has a
default. Up to version 3 a dialogue had no steps but a list of replies, one for each stage, and its label said
in which play it was held, and with whom; and a run had one suite, without a title.
"""

from typing import Any

_TWIN = "twin: "
_CALLS = "the server calls "


def bring_up_to_date(content: dict[str, Any], version: int) -> None:
    """Change a result of an older version in place; what has another shape than it should stays as it is."""
    if version < 4:
        _give_suites(content)
        for talk in _dialogues(content):
            _give_steps(talk)


def _give_suites(content: dict[str, Any]) -> None:
    """The one suite of the run, which all its rules are of."""
    suite = content.get("suite")
    if not isinstance(suite, dict):
        return
    name = suite.get("name")
    del content["suite"]
    content["suites"] = [suite | {"title": name}]
    for rule in _dicts(content.get("rules")):
        rule["suite"] = name


def _dialogues(content: dict[str, Any]) -> list[dict[str, Any]]:
    rules = _dicts(content.get("rules"))
    cases = [case for rule in rules for case in _dicts(rule.get("cases"))]
    tries = [one for case in cases for one in _dicts(case.get("tries"))]
    return [talk for one in tries for talk in _dicts(one.get("dialogues"))]


def _give_steps(talk: dict[str, Any]) -> None:
    label = talk.get("label")
    if isinstance(label, str):
        talk["is_of_twin"] = label.startswith(_TWIN)
        talk["label"] = label = label.removeprefix(_TWIN)
        talk["called"] = label.removeprefix(_CALLS) if label.startswith(_CALLS) else ""
    replies = talk.get("replies")
    if isinstance(replies, list) and all(isinstance(one, dict) and "stage" in one for one in replies):
        del talk["replies"]
        talk["steps"] = [_step(one) for one in replies]


def _step(fact: dict[str, Any]) -> dict[str, Any]:
    """What a reply of a stage was; one without a code stood for none."""
    stage = fact.pop("stage")
    answered = "code" not in fact or fact["code"] is not None
    return {"stage": stage, "sent": "", "at": None, "replies": [fact] if answered else []}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
