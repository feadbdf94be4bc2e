"""All forms that a run is written in: a new one is an object here, and nothing else has to know it."""

from harness.results import html, store, terminal
from harness.results.model import RunResult
from harness.results.report_format import Format, View


def _data(run: RunResult, _: View) -> bytes:
    return store.to_json(run)


def _page(run: RunResult, _: View) -> bytes:
    return store.encoded(html.page(run))


def _table(run: RunResult, view: View) -> bytes:
    return store.encoded(terminal.table(run, view.width, view.colour))


JSON = Format("JSON", ".json", _data, data=True)
HTML = Format("HTML", ".html", _page)
TERMINAL = Format("terminal", "", _table)
FORMATS = (JSON, HTML, TERMINAL)  # that of the result file, which is read back, before all others


def filed(*, data_alone: bool = False) -> tuple[Format, ...]:
    """Those of which a file is kept."""
    return tuple(one for one in FORMATS if one.suffix and (one.data or not data_alone))


def shown(run: RunResult, view: View) -> str:
    """What is shown and not kept, one after the other."""
    return "\n".join(one.write(run, view).decode("utf-8") for one in FORMATS if not one.suffix)
