"""How much of a large run stands on its page: the evidence of failures first, and never more than a bound."""

from collections.abc import Iterator

from harness.results import timeline
from harness.results.course import Course, courses
from harness.results.model import Case, Delivery, Dialogue, RunResult, Status, Try

MOST = 8_000_000  # characters of evidence on a page
_ROW = 130  # characters of markup around a row


class Room:
    """What of a run's evidence is shown: what fits, failures first."""

    def __init__(self, run: RunResult, most: int = MOST) -> None:
        """`most` is in characters."""
        self.left_out = 0  # how many dialogues, courses and messages are not shown
        self._courses: dict[int, list[Course]] = {}
        self._rows: dict[int, list[timeline.Moment]] = {}
        self._shown: set[int] = set()
        for attempt in _tries(run):
            if id(attempt) in self._courses:
                continue
            self._courses[id(attempt)] = courses(attempt)
            for part, size in self._parts(attempt):
                if size <= most:
                    most -= size
                    self._shown.add(part)
                elif part not in self._shown:
                    self.left_out += 1
                    self._rows.pop(part, None)

    def courses(self, attempt: Try) -> list[Course]:
        """The plays of a try."""
        return self._courses[id(attempt)]

    def moments(self, dialogue: Dialogue) -> list[timeline.Moment]:
        """The rows of a dialogue that is shown."""
        return self._rows[id(dialogue)]

    def shows(self, part: Dialogue | Course | Delivery) -> bool:
        """Whether there is room for a part."""
        return id(part) in self._shown

    def _parts(self, attempt: Try) -> Iterator[tuple[int, int]]:
        """The ids of the parts of a try, and how many characters each takes."""
        for course in self._courses[id(attempt)]:
            yield id(course), sum(_ROW + len(one.text) + len(one.shown) for one in course.entries)
            for dialogue in course.dialogues:
                rows = self._rows[id(dialogue)] = timeline.moments(dialogue, course.events)
                yield id(dialogue), sum(_ROW + len(row.text) for row in rows)
        for delivery in attempt.deliveries:
            header = sum(_ROW + len(name) + len(value) for name, value in delivery.headers)
            yield id(delivery), header + len(delivery.content)


def _tries(run: RunResult) -> Iterator[Try]:
    """Every try, those of rules that failed before all others, and the telling one of each case first."""
    ordered = sorted(run.rules, key=lambda rule: list(Status).index(rule.status))
    cases: list[Case] = [case for rule in ordered for case in rule.cases]
    for case in cases:
        yield from case.tries[-1:]
    for case in cases:
        yield from case.tries[:-1]
