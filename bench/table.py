"""How a measurement is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison: what was measured, the ratio, and the goal for the ratio."""

    measured: str
    ratio: float
    goal: str


def show(title: str, rows: list[Row]) -> None:
    """Print a title and its rows."""
    print(f"{title}")
    for row in rows:
        print(f"  {row.measured}: ratio {row.ratio:.2f} (goal {row.goal})", flush=True)
